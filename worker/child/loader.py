"""From a model folder to the live root module.

The model file is read by the run process itself, after its lock-down, so that the kernel judges the path.
It runs as the module named by its stem, with its folder first on the import path. Names of this package
(``worker``, ``protocol``) mean the folder's own modules or nothing.

Presets become globals before the body runs, so that the body can read them. A body that rebinds such a name
as a placeholder (``creator = ''``) gets the preset put back afterwards, unless it made the name a function,
a class or a module: that is the model's own.
"""

import builtins
import importlib.machinery
import stat
import sys
from collections.abc import Mapping, Sequence
from os import O_CLOEXEC, O_NONBLOCK, O_RDONLY
from os import close as close_fd
from os import fstat as stat_fd
from os import open as open_fd
from os import read as read_fd
from types import FunctionType, ModuleType
from typing import Any, Final

from worker.child.isolation import BUILTINS

__builtins__ = BUILTINS

MAX_SOURCE_BYTES: Final = 16 * 1024 * 1024
OWN_NAMES: Final = frozenset({"worker", "protocol"})
_modules: Final = sys.modules


def read_source(path: str) -> bytes:
    """The bytes of a regular file of at most 16 MiB; never waits for a FIFO's writer.

    Raises:
        OSError: it cannot be opened or read.
        ValueError: it is no regular file, or too large.
    """
    fd = open_fd(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    try:
        status = stat_fd(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path.rsplit('/', 1)[-1]} is not a regular file")
        chunks = []
        size = 0
        while chunk := read_fd(fd, 1 << 20):
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_SOURCE_BYTES:
                raise ValueError(f"{path.rsplit('/', 1)[-1]} is larger than {MAX_SOURCE_BYTES} bytes")
        return b"".join(chunks)
    finally:
        close_fd(fd)


class OwnNamesFinder:
    """Resolves ``worker`` and ``protocol`` in the model folder only; a place on ``sys.meta_path``."""

    def __init__(self, folder: str) -> None:
        self._path = [folder]

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None, /
    ) -> importlib.machinery.ModuleSpec | None:
        """The folder's own module of that name.

        Raises:
            ModuleNotFoundError: the folder has none.
        """
        if fullname not in OWN_NAMES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, self._path)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return spec


def release_own_names() -> list[ModuleType]:
    """Forget our own modules' names, so that they mean the model's modules or nothing; once, in the zygote.

    Returns our modules, to be kept: only the names are free.
    """
    sys.argv = [""]
    sys.dont_write_bytecode = True
    return [_modules.pop(name) for name in list(_modules) if name.partition(".")[0] in OWN_NAMES]


def prepare_imports(folder: str) -> None:
    """Make the folder the first place to import from."""
    sys.meta_path.insert(0, OwnNamesFinder(folder))
    sys.path.insert(0, folder)


def load_model(folder: str, file: str, presets: Mapping[str, Any], seed: int) -> ModuleType:
    """Run the model's body and return its module.

    Raises:
        BaseException: whatever reading, compiling or running the file raises; the module may be half built.
    """
    path = f"{folder}/{file}"
    _check_presets(presets)
    code = compile(read_source(path), path, "exec", dont_inherit=True)
    name = file.removesuffix(".py")
    module = ModuleType(name)
    module.__file__ = path
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, origin=path)
    namespace = vars(module)
    namespace["__builtins__"] = builtins
    namespace.update(presets)
    namespace["forio_random_seed"] = seed
    _modules[name] = module
    exec(code, namespace)
    _reapply(namespace, presets)
    return module


def _check_presets(presets: Mapping[str, Any]) -> None:
    for name in presets:
        if not name or name.startswith("_"):
            raise ValueError(f"preset {name!r}: a name that begins with an underscore is not a variable")


def _reapply(namespace: dict[str, Any], presets: Mapping[str, Any]) -> None:
    for name, value in presets.items():
        current = namespace.get(name)
        if current is not value and not issubclass(type(current), (FunctionType, type, ModuleType)):
            namespace[name] = value
