"""Which packages a zygote and its run processes import: the interpreter's own, or those of an environment.

An environment takes the place of everything but the standard library, and comes after it, so that no package can
stand in for a standard module. Nothing of it is run by being put on the path: no ``.pth`` file is read.
"""

import sys
import sysconfig
from collections.abc import Iterable, Sequence
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Final

KEPT_NAMES: Final = frozenset({"worker", "protocol", "epicenter"})


def use_environment(folders: Sequence[str]) -> None:
    """Import third-party modules from ``folders`` from now on; those that are imported already stay."""
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    kept = [entry for entry in sys.path if _is_standard(entry, standard)]
    sys.path[:] = [*kept, *folders]
    sys.path_importer_cache.clear()


def _is_standard(entry: str, folders: set[str]) -> bool:
    return entry.endswith(".zip") or entry in folders or entry.removesuffix("/lib-dynload") in folders


def release_provided(before: Iterable[str], folders: Sequence[str]) -> list[ModuleType]:
    """Forget modules that were imported before the environment came, where it has its own of that name.

    Returns them, to be kept: the run process goes on with its own, a model gets those of the environment.
    """
    tops = {name.partition(".")[0] for name in before} - KEPT_NAMES - sys.stdlib_module_names
    provided = {top for top in tops if PathFinder.find_spec(top, folders) is not None}
    return [sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in provided]
