"""Which paths of the host a run process may read: its interpreter, its libraries, a few devices."""

import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from worker.policy import READABLE

# Prefixes that hold more than an interpreter: of these only the libraries are opened.
_SHARED_PREFIXES: Final = ("/", "/usr", "/usr/local")


def project_root() -> Path:
    """The folder that this package was imported from."""
    return Path(__file__).absolute().parents[2]


def is_source_tree(root: Path) -> bool:
    """Whether the project runs from a checkout; its folder then holds more than installed packages."""
    return root.name not in ("site-packages", "dist-packages")


def forget_import_roots(roots: Iterable[Path]) -> None:
    """Take ``roots`` off the import path: what was to be imported from there has been."""
    gone = set(roots)
    sys.path[:] = [entry for entry in sys.path if Path(entry) not in gone]
    sys.path_importer_cache.clear()


def read_paths() -> tuple[str, ...]:
    """The existing paths by the names that the interpreter uses for them; /proc is never among them."""
    libraries = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    candidates = [*READABLE, *libraries, *(entry for entry in sys.path if entry)]
    for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
        if prefix in _SHARED_PREFIXES:
            candidates += [str(Path(prefix, name)) for name in ("lib", "lib64")]
        else:
            candidates.append(prefix)
    named = {str(Path(path).absolute()) for path in candidates if Path(path).exists()}
    return tuple(sorted(named - set(_SHARED_PREFIXES)))


def outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """The real paths behind ``paths``, without those that lie beneath another of them."""
    chosen: list[str] = []
    for path in sorted(str(Path(path).resolve()) for path in paths):
        if not any(path == outer or path.startswith(outer + "/") for outer in chosen):
            chosen.append(path)
    return tuple(chosen)
