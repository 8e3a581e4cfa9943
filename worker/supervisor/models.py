"""Model files as the supervisor sees them: found, fingerprinted, their context read; never run or compiled.

A model's sources are hostile text here: they are read with bounds, hashed and tokenised, nothing more.
Opening the model file to run it is left to the run process, behind the sandbox.
"""

import hashlib
import io
import json
import os
import stat
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, Final

from protocol.errors import ErrorCode, ProtocolError
from protocol.values import check_value
from worker.errors import RequestError
from worker.runs.contexts import ModelContext, model_context, overlay, pypi_packages

SOURCE_BYTES: Final = 16 * 1024 * 1024
SCANNED_BYTES: Final = 1024 * 1024
CONTEXT_BYTES: Final = 1024 * 1024
SOURCE_FILES: Final = 2000
# Importing these does something to the world, or needs a display.
NEVER_PRELOADED: Final = frozenset(
    {"antigravity", "this", "idlelib", "turtle", "tkinter", "test", "epicenter"}
)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model file that exists. ``name`` is the path relative to the model root, as requests give it.

    ``fingerprint``: SHA-256 (hex) over the Python files and the context file of its folder.
    ``imports``: third-party modules that the folder's files import. ``context``: the ctx2 file's content.
    """

    name: str
    folder: Path
    file: str
    fingerprint: str
    imports: tuple[str, ...]
    context: dict[str, Any]
    context_name: str

    def effective_context(self, override: dict[str, Any] | None) -> tuple[ModelContext, dict[str, Any]]:
        """The ctx2 file overlaid with a request's model context; judged, and as a raw map.

        Raises:
            RequestError: INVALID_CONTEXT naming file or request, and property.
        """
        model_context(self.context_name, self.context)
        raw = overlay(self.context, override or {})
        context = model_context("model_context" if override else self.context_name, raw)
        for package in pypi_packages(context):
            if not _installed(package):
                raise RequestError(
                    ErrorCode.INVALID_CONTEXT,
                    f"{self.context_name}: dependencies: package {package!r} is not installed where the worker "
                    "runs; install it there",
                    source=self.context_name,
                    path="dependencies",
                )
        return context, raw


class ModelCatalog:
    """Finds models under one root. What is read of a folder is kept until a file in it changes."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._cache: dict[str, tuple[tuple[tuple[str, int, int], ...], ModelSource]] = {}

    def find(self, model_file: str) -> ModelSource:
        """The model at ``model_file``, relative to the root.

        Raises:
            RequestError: INVALID_REQUEST for a path that leaves the root by its words, MODEL_NOT_FOUND for
                one that is not there, no regular file, or leads out of the root by a link; INVALID_CONTEXT
                for a ctx2 file that is no JSON map.
        """
        path = self._path(model_file)
        folder = path.parent
        files = sorted(_source_files(folder))
        stamp = tuple((name, *_stamp(folder / name)) for name in files)
        cached = self._cache.get(model_file)
        if cached is not None and cached[0] == stamp:
            return cached[1]
        source = self._read(model_file, path, files)
        self._cache[model_file] = (stamp, source)
        return source

    def _path(self, model_file: str) -> Path:
        parts = PurePosixPath(model_file)
        words = model_file.split("/")
        if (
            parts.is_absolute()
            or any(word in ("", ".", "..") for word in words)
            or not model_file.isprintable()
        ):
            raise RequestError(
                ErrorCode.INVALID_REQUEST,
                f"model_file: {model_file!r:.200} must be a path below the model root, without '..'",
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
        return path

    def _missing(self, model_file: str, reason: str) -> RequestError:
        return RequestError(
            ErrorCode.MODEL_NOT_FOUND, f"model_file {model_file!r:.200}: {reason}", model_file=model_file
        )

    def _read(self, model_file: str, path: Path, files: list[str]) -> ModelSource:
        folder = path.parent
        digest = hashlib.sha256()
        imports: set[str] = set()
        for name in files:
            content = _read_regular(folder / name, SOURCE_BYTES)
            digest.update(f"{name}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
            digest.update(content)
            if name.endswith(".py"):
                imports |= set(scan_imports(content[:SCANNED_BYTES]))
        context_path = path.with_suffix(".ctx2")
        context_name = f"{model_file.removesuffix('.py')}.ctx2"
        return ModelSource(
            name=model_file,
            folder=folder,
            file=path.name,
            fingerprint=digest.hexdigest(),
            imports=tuple(sorted(_preloadable(imports, folder))),
            context=_read_context(context_path, context_name),
            context_name=context_name,
        )


def _source_files(folder: Path) -> Iterator[str]:
    """Python and context files below a folder, relative; links and hidden folders are not followed."""
    seen = 0
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
        for name in names:
            if name.endswith((".py", ".ctx2")):
                seen += 1
                if seen > SOURCE_FILES:
                    return
                yield os.path.relpath(os.path.join(where, name), folder)  # noqa: PTH118 - os.walk's own strings


def _stamp(path: Path) -> tuple[int, int]:
    try:
        info = path.lstat()
    except OSError:
        return (0, 0)
    return (info.st_mtime_ns, info.st_size)


def _read_regular(path: Path, limit: int) -> bytes:
    """At most ``limit`` bytes of a regular file; b"" for anything else, so that a pipe cannot block."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return b""
    with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        return file.read(limit) if stat.S_ISREG(os.fstat(fd).st_mode) else b""


_LINE_ENDS: Final = (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT)


def scan_imports(source: bytes) -> Iterator[str]:
    """Modules named by ``import`` and ``from … import`` statements, wherever they stand.

    Tokens only: source that does not parse yields what came before the fault.
    """
    try:
        at_start, statement = True, list[str]()
        for token in tokenize.tokenize(io.BytesIO(source).readline):
            if token.type in _LINE_ENDS or token.string == ";":
                yield from _modules(statement)
                at_start, statement = True, []
            elif token.type in (tokenize.ENCODING, tokenize.COMMENT):
                continue
            elif statement or (at_start and token.string in ("import", "from")):
                statement.append(token.string)
            else:
                at_start = False
        yield from _modules(statement)
    except (tokenize.TokenError, SyntaxError, UnicodeDecodeError, ValueError):
        return


def _modules(statement: list[str]) -> Iterator[str]:
    if not statement:
        return
    if statement[0] == "from":
        name = "".join(statement[1 : statement.index("import")] if "import" in statement else ())
        if name and not name.startswith("."):
            yield name
        return
    name = ""
    for word in [*statement[1:], ","]:
        if word == ",":
            if name:
                yield name.split(" ")[0]
            name = ""
        elif word == "as":
            name += " "
        else:
            name += word


def _preloadable(names: Iterable[str], folder: Path) -> Iterator[str]:
    for name in names:
        top = name.partition(".")[0]
        own = (folder / top).is_dir() or (folder / f"{top}.py").exists()
        standard = top in sys.stdlib_module_names
        ours = top in ("worker", "protocol")
        if not own and not ours and not standard and top not in NEVER_PRELOADED and _importable(top):
            yield name


def _importable(top: str) -> bool:
    try:
        return find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def _installed(package: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - rarely needed, slow to import

    try:
        version(package)
    except (PackageNotFoundError, ValueError):
        return False
    return True


def _read_context(path: Path, name: str) -> dict[str, Any]:
    if not path.exists():
        return {}
    text = _read_regular(path, CONTEXT_BYTES)
    try:
        context = json.loads(text)
        check_value(context, "")
    except (ValueError, RecursionError, ProtocolError) as error:
        raise RequestError(
            ErrorCode.INVALID_CONTEXT, f"{name}: not JSON: {error}", source=name, path=""
        ) from error
    if not isinstance(context, dict):
        raise RequestError(
            ErrorCode.INVALID_CONTEXT,
            f"{name}: must hold a JSON object, not {type(context).__name__}",
            source=name,
            path="",
        )
    return context
