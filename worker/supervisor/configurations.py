"""Run configurations as files: ``configs/<id>.<version>.json`` below a project's model root."""

import json
from pathlib import Path
from typing import Final

from protocol.errors import ErrorCode, ProtocolError
from protocol.profiles import Configured
from protocol.values import check_value
from worker.errors import RequestError
from worker.runs.configurations import FILE_NAME, RunConfiguration, configuration
from worker.runs.contexts import refused_property
from worker.supervisor.models import CONTEXT_BYTES, read_regular

FOLDER: Final = "configs"
"""Below the model root; a model of this name keeps its own files."""


def find_configuration(root: Path, asked: Configured) -> tuple[int, RunConfiguration]:
    """The configuration that a request names, with its version; without one the newest.

    Raises:
        RequestError: CONFIG_NOT_FOUND; INVALID_CONTEXT for a file that is none, naming it.
    """
    folder = root / FOLDER
    versions = _versions(folder, asked.id)
    if not versions:
        raise _missing(asked, "there is none of this name")
    version = max(versions) if asked.version is None else asked.version
    if version not in versions:
        raise _missing(
            asked, f"there is no version {version}; there are {', '.join(map(str, sorted(versions)))}"
        )
    name = f"{asked.id}.{version}.json"
    return version, configuration(f"{FOLDER}/{name}", _content(folder / name))


def _versions(folder: Path, wanted: str) -> set[int]:
    if not folder.is_dir():
        return set()
    found = (FILE_NAME.fullmatch(item.name) for item in folder.iterdir())
    return {int(match["version"]) for match in found if match is not None and match["id"] == wanted}


def _content(path: Path) -> object:
    name = f"{FOLDER}/{path.name}"
    text, size = read_regular(path, CONTEXT_BYTES)
    if size > CONTEXT_BYTES:
        raise refused_property(name, "", f"{size} bytes, allowed are {CONTEXT_BYTES}")
    try:
        raw = json.loads(text)
        check_value(raw, "")
    except (ValueError, RecursionError, ProtocolError) as error:
        raise refused_property(name, "", f"not JSON: {error}") from error
    return raw


def _missing(asked: Configured, reason: str) -> RequestError:
    return RequestError(
        ErrorCode.CONFIG_NOT_FOUND, f"config {asked.id!r:.140}: {reason}", path="config.id", config=asked.id
    )
