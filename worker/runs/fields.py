"""The fields of runs that searches know, by the names that profiles have on the wire; what each is and holds."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from itertools import chain
from typing import Any, Final

from protocol.errors import ErrorCode
from worker.errors import RequestError
from worker.runs.checks import MISSING
from worker.runs.profile import RunProfile
from worker.runs.record import RunRecord
from worker.runs.words import line_of, texts_of

MAX_SEGMENTS: Final = 8
"""Parts of a path, the field's own name included."""
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ROOT: Final = re.compile(r"[.\[,]")
_MAX_SHOWN: Final = 60
_MAX_PATH: Final = 200
_MICRO: Final = 1_000_000


class FieldKind(StrEnum):
    """What a field holds. A ``MOMENT`` is in milliseconds since 1970, a ``DOCUMENT`` any JSON value."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    MOMENT = "moment"
    TEXTS = "texts"
    DOCUMENT = "document"
    WORDS = "words"


@dataclass(frozen=True, slots=True)
class Sought:
    """A run as searches see it."""

    run: RunRecord
    profile: RunProfile
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A field; ``read`` gives ``MISSING`` for what a run does not have."""

    name: str
    kind: FieldKind
    read: Callable[[Sought], Any]


def words_of(profile: RunProfile) -> str:
    """What full text looks at, as one line of words."""
    return words_of_texts(profile.name, profile.tags, profile.finish_reason, profile.error, profile.result)


def words_of_texts(
    name: str, tags: Iterable[str], finish_reason: str | None, error: object, result: object
) -> str:
    """The line of words of what a profile holds."""
    texts = chain((name, *tags, finish_reason), texts_of(error), texts_of(result))
    return line_of(text for text in texts if text is not None)


def _there(value: Any) -> Any:
    return MISSING if value is None else value


def _of_profile(name: str, kind: FieldKind, attribute: str | None = None) -> Field:
    return Field(name, kind, lambda sought: _there(getattr(sought.profile, attribute or name)))


def _of_run(name: str, kind: FieldKind, attribute: str | None = None) -> Field:
    return Field(name, kind, lambda sought: _there(getattr(sought.run, attribute or name)))


def _seconds(name: str, attribute: str) -> Field:
    return Field(name, FieldKind.NUMBER, lambda sought: getattr(sought.run, attribute) / _MICRO)


def _moment(name: str, attribute: str) -> Field:
    return Field(name, FieldKind.MOMENT, lambda sought: getattr(sought.run, attribute) // 1000)


FIELDS: Final[Mapping[str, Field]] = {
    field.name: field
    for field in (
        *(
            _of_profile(name, FieldKind.TEXT)
            for name in ("run_id", "name", "status", "finish_reason", "parent")
        ),
        *(
            _of_profile(name, FieldKind.TEXT)
            for name in ("environment", "created_by", "updated_by", "result_mode")
        ),
        _of_profile("config.id", FieldKind.TEXT, "config_id"),
        _of_profile("source.type", FieldKind.TEXT, "source_type"),
        _of_run("run_key", FieldKind.TEXT),
        _of_run("interaction", FieldKind.TEXT, "model_file"),
        _of_run("model", FieldKind.TEXT, "model_fingerprint"),
        _of_run("tracking_key", FieldKind.TEXT),
        Field("object", FieldKind.TEXT, lambda sought: _there(sought.run.scope.get("scope_key"))),
        *(_of_profile(name, FieldKind.NUMBER) for name in ("status_seq", "ttl_seconds")),
        _of_profile("config.version", FieldKind.NUMBER, "config_version"),
        _of_run("seq", FieldKind.NUMBER),
        _seconds("execution_seconds", "wall_us"),
        _seconds("resource_use.wall_seconds", "wall_us"),
        _seconds("resource_use.cpu_seconds", "cpu_us"),
        _of_run("resource_use.peak_rss_bytes", FieldKind.NUMBER, "peak_rss_bytes"),
        _of_run("resource_use.actions", FieldKind.NUMBER, "actions"),
        *(_of_profile(name, FieldKind.FLAG) for name in ("test", "interactive")),
        *(_of_profile(name, FieldKind.FLAG) for name in ("reasoning_traces", "call_summarization")),
        _moment("created_at", "created_us"),
        _moment("updated_at", "last_modified_us"),
        _of_profile("tags", FieldKind.TEXTS),
        *(_of_profile(name, FieldKind.DOCUMENT) for name in ("parameters", "result", "result_errors")),
        *(_of_profile(name, FieldKind.DOCUMENT) for name in ("error", "source", "evaluation")),
        Field("metadata", FieldKind.DOCUMENT, lambda sought: sought.metadata),
        Field("words", FieldKind.WORDS, lambda sought: words_of(sought.profile)),
    )
}
"""By name. ``words`` is for full text only, and cannot be named by who asks."""

ALIASES: Final[Mapping[str, str]] = {
    "_id": "run_key",
    "id": "run_key",
    "modelId": "model",
    "execution_time": "execution_seconds",
    "ttl": "ttl_seconds",
}
OPEN: Final = ("metadata", "parameters", "result", "source", "error", "evaluation")
"""Fields into which a path leads, whatever is in them."""
COUNTED: Final = (
    *("environment", "interaction", "model", "tags", "status", "finish_reason", "created_by", "source.type"),
)
"""Fields whose values are counted; besides these, each key of ``metadata``."""
KNOWN: Final = (*sorted(set(FIELDS) - {"words", *OPEN}), *(f"{name}.*" for name in OPEN))


@dataclass(frozen=True, slots=True)
class Place:
    """A field, and what a path names within it."""

    field: Field
    path: tuple[str, ...] = ()


def place_of(text: str, where: str) -> Place:
    """The field that a dotted path names; ``where``: the place in the request, for the error.

    Raises:
        RequestError: INVALID_FILTER.
    """
    segments = text.split(".")
    if len(segments) > MAX_SEGMENTS:
        raise refusal(where, text, f"a path of at most {MAX_SEGMENTS} parts")
    for segment in segments:
        if not _SEGMENT.fullmatch(segment):
            raise refusal(where, text, "parts of 1 to 64 letters, digits, _ or - between the dots")
    name = ALIASES.get(text, text)
    if name in FIELDS and name not in ("words", "metadata"):
        return Place(FIELDS[name])
    if segments[0] in OPEN and len(segments) > 1:
        return Place(FIELDS[segments[0]], tuple(segments[1:]))
    raise refusal(where, text, f"a field of a run; {_like(text)}known: {', '.join(KNOWN)}")


def counted_place(text: str, where: str) -> Place:
    """The field that is to be counted.

    Raises:
        RequestError: INVALID_FILTER.
    """
    name = ALIASES.get(text, text)
    if name in COUNTED:
        return Place(FIELDS[name])
    key = text.removeprefix("metadata.")
    if key != text and _SEGMENT.fullmatch(key):
        return Place(FIELDS["metadata"], (key,))
    raise refusal(where, text, f"a field that can be counted: {', '.join(COUNTED)}, metadata.<key>")


def _like(text: str) -> str:
    close = get_close_matches(text[:_MAX_SHOWN], KNOWN, n=3)
    return f"did you mean {', '.join(close)}? " if close else ""


def shown(token: str) -> str:
    """What an error repeats of what it was given."""
    return token if len(token) <= _MAX_SHOWN else f"{token[:_MAX_SHOWN]}…"


def refusal(where: str, token: str, expected: str) -> RequestError:
    """The error that names what stands where, and what should."""
    return RequestError(
        ErrorCode.INVALID_FILTER,
        f"{where[:_MAX_PATH]}, at {shown(token)!r}: expected {expected}",
        field=_ROOT.split(where, maxsplit=1)[0],
        path=where[:_MAX_PATH],
        token=shown(token),
        expected=expected,
    )
