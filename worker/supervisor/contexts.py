"""What the contexts of one coming into memory ask for: files in the place of others, and what has no effect."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.process.isolation import SandboxLevel
from worker.runs.contexts import ExecutionContext, ModelContext, execution_context, refused_property
from worker.runs.ignored import ignored_of_execution, ignored_properties, warnings_of
from worker.settings import Settings
from worker.supervisor.models import ModelSource

EXECUTION: Final = "execution_context"
MAX_MAPPED_FILES: Final = 64
"""Each is two descriptors and a mount in every process of the run."""
MAX_MAPPED_CHARACTERS: Final = 8 * 1024
"""Of all paths below the folder; they travel to the zygote in one message."""
_MOUNTING: Final = (SandboxLevel.STRICT, SandboxLevel.STRICT_JAIL)
"""Levels at which a run has mounts of its own."""


@dataclass(frozen=True, slots=True)
class Contexts:
    """What they come to. ``model`` and ``raw``: the effective model context, judged and as a map.

    ``mapped_files``: what the run finds in the place of files of its folder, (file, the one it finds instead),
    relative to the folder. ``warnings``: what has no effect.
    """

    model: ModelContext
    raw: dict[str, Any]
    presets: dict[str, Any]
    mapped_files: tuple[tuple[str, str], ...]
    warnings: tuple[dict[str, Any], ...]


def judge_contexts(
    model: ModelSource,
    override: dict[str, Any] | None,
    execution: dict[str, Any],
    settings: Settings,
    sandbox: str,
) -> Contexts:
    """Judge the ctx2 file with a request's ``override``, and an execution context.

    Raises:
        RequestError: INVALID_CONTEXT naming context and property.
    """
    context, raw = model.effective_context(override)
    judged, source = execution_context(EXECUTION, execution), model.source_of(override)
    return Contexts(
        context,
        raw,
        judged.presets,
        _mapped_files(model, source, context, judged, sandbox),
        (
            *warnings_of(source, ignored_properties(context, settings.archive)),
            *warnings_of(EXECUTION, ignored_of_execution(judged)),
        ),
    )


def _mapped_files(
    model: ModelSource, source: str, context: ModelContext, execution: ExecutionContext, sandbox: str
) -> tuple[tuple[str, str], ...]:
    """The execution context wins, name by name; ``source`` is where the model context came from."""
    wanted = {**context.mappedFiles, **execution.mappedFiles}
    if not wanted:
        return ()
    size = sum(len(name) + len(file) for name, file in wanted.items())
    if len(wanted) > MAX_MAPPED_FILES or size > MAX_MAPPED_CHARACTERS:
        excess = (
            f"{len(wanted)} files with {size} characters of paths, allowed are {MAX_MAPPED_FILES} and "
            f"{MAX_MAPPED_CHARACTERS}; have the model choose among folders instead"
        )
        raise refused_property(EXECUTION if execution.mappedFiles else source, "mappedFiles", excess)
    folder = Path(os.path.realpath(model.folder))
    for name, file in wanted.items():
        reason = _unmappable(model, name, file, folder, sandbox)
        if reason is not None:
            place = EXECUTION if name in execution.mappedFiles else source
            raise refused_property(place, f"mappedFiles.{name}", reason)
    return tuple(wanted.items())


def _unmappable(model: ModelSource, name: str, file: str, folder: Path, sandbox: str) -> str | None:
    if sandbox not in _MOUNTING:
        return (
            f"a run has no mounts of its own at the level {sandbox}, so no file can stand for another; "
            f"use {' or '.join(_MOUNTING)}"
        )
    if name == f"{model.file.removesuffix('.py')}.ctx2":
        return "the worker reads this file before it knows of mappings; send model_context instead"
    if not _is_plain_file(folder / file):
        return f"{file} is no regular file of the model folder, reached without links"
    if not _is_plain_file(folder / name):
        return f"{name} is no regular file of the model folder; put one there, it is used where nothing is mapped"
    return None


def _is_plain_file(path: Path) -> bool:
    try:
        return os.path.realpath(path) == str(path) and stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
