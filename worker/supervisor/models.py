"""Model files as the supervisor sees them: found, fingerprinted, their context read; never run or compiled.

A model's sources are hostile text here: they are read with bounds, hashed and searched in linear time, nothing
more: the loop waits for that, or shares the interpreter with it. Opening the model file to run it is left to the run
process, behind the sandbox.
"""

import asyncio
import hashlib
import json
import os
import re
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.util import find_spec
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Final

from protocol.errors import ErrorCode, ProtocolError
from protocol.offers import Models
from protocol.values import check_value
from worker.errors import RequestError
from worker.runs.contexts import ModelContext, model_context
from worker.runs.guards import Guard
from worker.runs.overrides import override_context
from worker.supervisor.model_lists import list_models

HASHED_BYTES: Final = 64 * 1024 * 1024
"""Of one folder; of what goes beyond, the fingerprint holds names and sizes only."""
SCANNED_BYTES: Final = 256 * 1024
"""Of one folder, the model file first; imports beyond are found when the model imports them."""
CONTEXT_BYTES: Final = 1024 * 1024
SOURCE_FILES: Final = 2000
STATEMENTS: Final = 2000
"""Imports that are looked at in one file, the same ones again counted too."""
IMPORTS: Final = 256
"""Names looked up among the installed modules; a folder that imports more has the rest imported by its runs."""
SETTLED_NS: Final = 100_000_000
"""A file changed less than this ago may change again within the same tick of its file system's clock."""
# Importing these does something to the world, or needs a display.
NEVER_PRELOADED: Final = frozenset(
    {"antigravity", "this", "idlelib", "turtle", "tkinter", "test", "epicenter"}
)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model file that exists. ``name`` is the path relative to the model root, as requests give it.

    ``fingerprint``: SHA-256 (hex) over the Python files and the context file of its folder.
    ``named_imports``: third-party modules that the folder's files import; ``imports``: those that are installed here. ``context``: the ctx2 file's content.
    """

    name: str
    folder: Path
    file: str
    fingerprint: str
    imports: tuple[str, ...]
    named_imports: tuple[str, ...]
    context: dict[str, Any]
    context_name: str

    @property
    def place(self) -> str:
        """The absolute path of the file; another project may have another model of the same name."""
        return str(self.folder / self.file)

    def effective_context(self, override: dict[str, Any] | None) -> tuple[ModelContext, dict[str, Any]]:
        """The ctx2 file overlaid with a request's model context; judged, and as a raw map.

        Raises:
            RequestError: INVALID_CONTEXT naming file or request, and property.
        """
        model_context(self.context_name, self.context)
        raw = override_context(self.context, override or {})
        context = model_context(self.source_of(override), raw)
        return context, raw

    def source_of(self, override: dict[str, Any] | None) -> str:
        """How errors and warnings name the effective context."""
        return "model_context" if override else self.context_name


class ModelCatalog:
    """Finds models under one root. What is read of a folder is kept until a file in it changes."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._cache: dict[str, tuple[_Stamps, ModelSource]] = {}
        self._turn = asyncio.Lock()
        self._listing = asyncio.Lock()
        self._guards: dict[str, tuple[list[tuple[int, int, int]], tuple[Guard, ...]]] = {}

    async def read(self, model_file: str) -> ModelSource:
        """As ``find``; what is not known yet is read and hashed by a thread, as it may be much.

        Who asked first is answered first, so that runs start in their turn.
        """
        async with self._turn:
            known = self._look(model_file).known
            return known if known is not None else await asyncio.to_thread(self.find, model_file)

    async def listed(self) -> Models:
        """The model files below the root, looked for by a thread; one look at a time, as a root may hold much.

        Raises:
            RequestError: MODEL_NOT_FOUND where the root is gone.
        """
        async with self._listing:
            return await asyncio.to_thread(list_models, self.root, self._accepts)

    def _accepts(self, model_file: str) -> bool:
        try:
            self._path(model_file)
        except RequestError:
            return False
        return True

    def find(self, model_file: str) -> ModelSource:
        """The model at ``model_file``, relative to the root.

        Raises:
            RequestError: INVALID_REQUEST for a path that leaves the root by its words, MODEL_NOT_FOUND for
                one that is not there, no regular file, or leads out of the root by a link; INVALID_CONTEXT
                for a ctx2 file that is no JSON map.
        """
        look = self._look(model_file)
        if look.known is not None:
            return look.known
        places, stamps = look.found
        source = self._read(model_file, look.path, list(zip(look.files, places, strict=True)))
        if max(changed_ns for changed_ns, _, _ in stamps) < time.time_ns() - SETTLED_NS:
            self._cache[model_file] = (look.found, source)
        return source

    def _look(self, model_file: str) -> "_Look":
        path, resolved = self._path(model_file)
        files = [path.name, *sorted({*_source_files(path.parent)} - {path.name})]
        places = [resolved, *(path.parent / name for name in files[1:])]
        found = (places, tuple(_stamp(place) for place in places))
        cached = self._cache.get(model_file)
        return _Look(path, files, found, cached[1] if cached is not None and cached[0] == found else None)

    def guards(self, model_file: str) -> tuple[Guard, ...]:
        """The guards in a model's ctx2 file; looks at no more than two files where they were read before.

        Raises:
            RequestError: as ``find``, and INVALID_CONTEXT for a context that cannot be served.
        """
        path = self.root / model_file
        known = self._guards.get(model_file)
        if known is not None and known[0] == [_stamp(path), _stamp(path.with_suffix(".ctx2"))]:
            return known[1]
        model = self.find(model_file)
        guards = (
            model_context(model.context_name, model.context).guards if "protections" in model.context else ()
        )
        stamps = [_stamp(path), _stamp(path.with_suffix(".ctx2"))]
        if max(changed_ns for changed_ns, _, _ in stamps) < time.time_ns() - SETTLED_NS:
            self._guards[model_file] = (stamps, guards)
        return guards

    def _path(self, model_file: str) -> tuple[Path, Path]:
        """Where the file is, and where links lead from there; the second is what was judged."""
        parts = PurePosixPath(model_file)
        words = model_file.split("/")
        if (
            parts.is_absolute()
            or any(word in ("", ".", "..") for word in words)
            or not model_file.isprintable()
        ):
            raise RequestError(
                ErrorCode.INVALID_REQUEST,
                f"model_file: {model_file!r:.200} must be a path below the model root, of printable characters "
                "and without '..'",
                path="model_file",
            )
        path = self.root / parts
        try:
            resolved = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise self._missing(model_file, "there is no such file") from error
        if not resolved.is_relative_to(self.root):
            raise self._missing(model_file, "it leads out of the model root")
        if not stat.S_ISREG(resolved.stat().st_mode):
            hint = f"; did you mean {model_file}/model.py?" if (path / "model.py").is_file() else ""
            raise self._missing(model_file, f"it is no regular file{hint}")
        if path.suffix != ".py":
            raise self._missing(model_file, "a model file is a Python file, its name ends in .py")
        return path, resolved

    def _missing(self, model_file: str, reason: str) -> RequestError:
        return RequestError(
            ErrorCode.MODEL_NOT_FOUND, f"model_file {model_file!r:.200}: {reason}", model_file=model_file
        )

    def _read(self, model_file: str, path: Path, files: list[tuple[str, Path]]) -> ModelSource:
        digest = hashlib.sha256()
        imports: dict[str, None] = {}
        hashed, scanned = 0, 0
        for name, place in files:
            content, size = read_regular(place, HASHED_BYTES - hashed)
            hashed += len(content)
            digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
            digest.update(content)
            if name.endswith(".py"):
                found = scan_imports(content[: SCANNED_BYTES - scanned])
                imports |= dict.fromkeys(islice(found, STATEMENTS))
                scanned = min(scanned + len(content), SCANNED_BYTES)
        context_name = f"{model_file.removesuffix('.py')}.ctx2"
        named = tuple(sorted(_preloadable(list(imports)[:IMPORTS], path.parent)))
        return ModelSource(
            name=model_file,
            folder=path.parent,
            file=path.name,
            fingerprint=digest.hexdigest(),
            imports=tuple(name for name in named if _importable(name.partition(".")[0])),
            named_imports=named,
            context=_read_context(path.with_suffix(".ctx2"), context_name),
            context_name=context_name,
        )


_Stamps = tuple[list[Path], tuple[tuple[int, int, int], ...]]


@dataclass(frozen=True, slots=True)
class _Look:
    """What a folder holds now, and what is ``known`` of it, if nothing has changed."""

    path: Path
    files: list[str]
    found: _Stamps
    known: ModelSource | None


def _source_files(folder: Path) -> Iterator[str]:
    """The first Python and context files below a folder, relative; links and hidden folders are not followed."""
    seen = 0
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
        for name in sorted(name for name in names if name.endswith((".py", ".ctx2"))):
            seen += 1
            if seen > SOURCE_FILES:
                return
            yield os.path.relpath(os.path.join(where, name), folder)  # noqa: PTH118 - os.walk's own strings


def _stamp(path: Path) -> tuple[int, int, int]:
    """What differs when a file was changed or replaced; the change time cannot be set back."""
    try:
        info = path.lstat()
    except OSError:
        return (0, 0, 0)
    return (info.st_ctime_ns, info.st_ino, info.st_size)


def read_regular(path: Path, limit: int) -> tuple[bytes, int]:
    """At most ``limit`` bytes of a regular file, and its size in bytes.

    ``(b"", 0)`` for anything else: a link is not followed, a pipe cannot block.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return b"", 0
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            return b"", 0
        with open(fd, "rb", closefd=False) as file:
            return file.read(limit), info.st_size
    finally:
        os.close(fd)


_NO_CODE: Final = re.compile(
    r"""
      \# [^\n]*+
    | \"{3} (?: [^"\\] | \\. | "(?!"") )*+ (?: \"{3} )?
    | '{3} (?: [^'\\] | \\. | '(?!'') )*+ (?: '{3} )?
    | " (?: [^"\\\n] | \\. )*+ "?
    | ' (?: [^'\\\n] | \\. )*+ '?
    """,
    re.VERBOSE | re.DOTALL,
)
"""Comments and strings, ended or not. Nothing in it backtracks: a source cannot make the search slow."""

_IMPORT: Final = re.compile(
    r"(?:^|[;:])[ \t\f]*(?:import[ \t]+(?P<names>[^\n;]+)|from[ \t]+(?P<module>\w[\w.]*)[ \t]+import\b)",
    re.MULTILINE,
)
_MODULE: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def scan_imports(source: bytes) -> Iterator[str]:
    """Modules named by ``import`` and ``from … import`` statements, wherever they stand; not relative ones.

    The source need not be Python: what looks like an import is one.
    """
    text = source.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    code = _NO_CODE.sub(" ", text).replace("\\\n", " ")
    for found in _IMPORT.finditer(code):
        for part in (found["module"] or found["names"]).split(","):
            name = part.split(maxsplit=1)[:1]
            if name and _MODULE.fullmatch(name[0]):
                yield name[0]


def _preloadable(names: Iterable[str], folder: Path) -> Iterator[str]:
    for name in names:
        top = name.partition(".")[0]
        own = (folder / top).is_dir() or (folder / f"{top}.py").exists()
        standard = top in sys.stdlib_module_names
        ours = top in ("worker", "protocol")
        if not own and not ours and not standard and top not in NEVER_PRELOADED:
            yield name


def importable_from(name: str, folders: Sequence[str]) -> bool:
    """Whether the package that a module belongs to is in one of some folders; nothing is imported."""
    return PathFinder.find_spec(name.partition(".")[0], folders) is not None


def _importable(top: str) -> bool:
    try:
        return find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def _read_context(path: Path, name: str) -> dict[str, Any]:
    if not os.path.lexists(path):
        return {}
    if not stat.S_ISREG(path.lstat().st_mode):
        raise _bad_context(name, "is no regular file")
    text, size = read_regular(path, CONTEXT_BYTES)
    if size > CONTEXT_BYTES:
        raise _bad_context(name, f"has {size} bytes, allowed are {CONTEXT_BYTES}")
    try:
        context = json.loads(text)
        check_value(context, "")
    except ProtocolError as error:
        raise _bad_context(name, f"not JSON: {error.message}") from error
    except (ValueError, RecursionError) as error:
        raise _bad_context(name, f"not JSON: {error}") from error
    if not isinstance(context, dict):
        raise _bad_context(name, f"must hold a JSON object, not {type(context).__name__}")
    return context


def _bad_context(name: str, reason: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_CONTEXT, f"{name}: {reason}", source=name, path="")
