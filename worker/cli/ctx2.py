"""A model's context file as its author sees it: every problem with its line, and names that look misspelled."""

import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from protocol.errors import ProtocolError
from protocol.values import check_value
from worker.cli.advice import advice_for, value_at
from worker.cli.findings import Finding, Severity
from worker.cli.schema_check import wrong_schemas
from worker.runs.contexts import (
    ModelContext,
    Protections,
    Restorations,
    RewindMarker,
    context_problems,
)
from worker.runs.ignored import CODE, ignored_properties
from worker.runs.options import Defaults, EventOptions, OperationOptions, RunOptions, VariableOptions

ALIKE: Final = 0.75
"""How alike a property must be to a known one to be taken for a misspelling of it, 0 to 1."""
# Properties that are known besides those that are typed: read elsewhere, or Epicenter's and only echoed.
_ALSO_KNOWN: Final[Mapping[type[BaseModel], frozenset[str]]] = {
    ModelContext: frozenset({"$schema"}),
}
_INSIDE: Final[Mapping[tuple[type[BaseModel], str], type[BaseModel]]] = {
    (ModelContext, "defaults"): Defaults,
    (ModelContext, "restorations"): Restorations,
    (ModelContext, "protections"): Protections,
    (ModelContext, "run"): RunOptions,
    (Restorations, "rewind"): RewindMarker,
    (Defaults, "operations"): OperationOptions,
    (Defaults, "variables"): VariableOptions,
    (Defaults, "events"): EventOptions,
}
_MAPS: Final[Mapping[str, type[BaseModel]]] = {
    "operations": OperationOptions,
    "events": EventOptions,
    "variables": VariableOptions,
}
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


class ContextFile:
    """One ctx2 file; ``raw`` is its content, empty where there is none or it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.raw: dict[str, Any] = {}
        self._lines: dict[str, int] = {}
        self._unreadable: list[Finding] = []
        if path.exists():
            self._read(path)

    def line(self, path: str) -> int | None:
        """The line of a property, else of the nearest one around it."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = re.sub(r"(\.[^.\[\]]*|\[\d+\]|^[^.\[]+)$", "", path)
        return None

    def findings(self) -> Iterator[Finding]:
        """What the worker would refuse, and what looks misspelled."""
        yield from self._unreadable
        for path, reason in context_problems(self.raw):
            advice = advice_for(value_at(self.raw, path), reason)
            yield self._finding(Severity.PROBLEM, "INVALID_CONTEXT", path, f"{path}: {reason}", advice)
        for path, key, known in _misspelled(ModelContext, self.raw, ""):
            message = f"{path} is no property that the worker knows"
            advice = f"did you mean {known}? As it is, {key} has no effect"
            yield self._finding(Severity.WARNING, "UNKNOWN_PROPERTY", path, message, advice)
        yield from self._unanswered()
        if not context_problems(self.raw):
            context = ModelContext.model_validate(self.raw)
            yield from self._unjudgeable(context)
            yield from self._ignored(context)

    def _unjudgeable(self, context: ModelContext) -> Iterator[Finding]:
        """Schemas that would refuse every value, which a worker tells with the first call only."""
        for path, reason in wrong_schemas(context):
            message = f"{path} is no JSON Schema that values can be judged by: {reason}"
            advice = "as it is, everything that it is to judge is refused"
            yield self._finding(Severity.PROBLEM, "INVALID_SCHEMA", path, message, advice)

    def _ignored(self, context: ModelContext) -> Iterator[Finding]:
        for path, reason in ignored_properties(context, "recorded"):
            yield self._finding(Severity.WARNING, CODE, path, f"{path} has no effect", reason)

    def _unanswered(self) -> Iterator[Finding]:
        """External functions: a check has no providers."""
        functions = self.raw.get("externalFunctions")
        for name in functions if isinstance(functions, dict) else ():
            path = f"externalFunctions.{name}"
            message = f"{path}: nobody answers in a check, so a call of it raises CallbackError (NO_PROVIDER)"
            advice = "have the model catch it, or list in check.json what does not call it"
            yield self._finding(Severity.WARNING, "NOT_ANSWERED", path, message, advice)

    def unknown_names(self, operations: list[str]) -> Iterator[Finding]:
        """Operations that the file names and the model does not have."""
        for name in self.raw.get("operations", {}):
            if name not in operations:
                advice = _closest(name, operations) or "remove the entry, or define the operation"
                message = f"operations.{name}: the model has no such operation"
                path = f"operations.{name}"
                yield self._finding(Severity.WARNING, "UNKNOWN_OPERATION", path, message, advice)
        named = (
            [] if context_problems(self.raw) else RunOptions.model_validate(self.raw.get("run", {})).named()
        )
        for inner, name in named:
            if name not in operations and not name.startswith("_"):  # these are none unless they are attached
                advice = _closest(name, operations) or "remove the entry, or define the operation"
                message = f"run.{inner}: the model has no operation {name!r}: no run could be started with it"
                yield self._finding(Severity.PROBLEM, "UNKNOWN_OPERATION", f"run.{inner}", message, advice)
        marker = self.raw.get("restorations", {}).get("rewind", {}).get("name")
        if marker is not None and marker not in operations:
            advice = _closest(marker, operations) or "name the operation that is one step of a rewind"
            message = f"restorations.rewind.name: the model has no operation {marker!r}: no rewind can work"
            path = "restorations.rewind.name"
            yield self._finding(Severity.PROBLEM, "UNKNOWN_OPERATION", path, message, advice)

    def _finding(self, severity: Severity, code: str, path: str, message: str, advice: str) -> Finding:
        return Finding(severity, code, self.name, self.line(path), path, message, advice)

    def _read(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8")
            raw = json.loads(text)
            check_value(raw, "")
        except json.JSONDecodeError as error:
            self._refuse(error.lineno, f"not JSON: {error.msg} at column {error.colno}")
        except (OSError, ValueError, RecursionError, ProtocolError) as error:
            self._refuse(None, f"cannot be read: {error}")
        else:
            if isinstance(raw, dict):
                self.raw = raw
                self._lines = lines_of(text)
            else:
                self._refuse(1, "must hold a JSON object")

    def _refuse(self, line: int | None, reason: str) -> None:
        finding = Finding(Severity.PROBLEM, "INVALID_CONTEXT", self.name, line, "", reason, "")
        self._unreadable.append(finding)


def lines_of(text: str) -> dict[str, int]:
    """Where each property and list element of well-formed JSON begins: path to line, from 1.

    Paths read ``operations.step.timeoutSeconds`` and ``dependencies[0].pypi``.
    """
    lines: dict[str, int] = {}
    around: list[tuple[str, int | None]] = []  # path of each open container, and the index in a list
    path, line, place = "", 1, 0
    tokens = list(_TOKEN.finditer(text))
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        line += text.count("\n", place, token.start())
        place = token.start()
        word = token[0]
        if word in "}]":
            around.pop()
        elif following is not None and following[0] == ":":
            path = f"{around[-1][0]}.{json.loads(word)}".lstrip(".")
            lines[path] = line
        elif word not in ":,":
            outer, index = around[-1] if around else ("", None)
            if index is not None:
                path = f"{outer}[{index}]"
                lines[path] = line
                around[-1] = (outer, index + 1)
            if word in "{[":
                around.append((path, 0 if word == "[" else None))
    return lines


def _misspelled(kind: type[BaseModel], raw: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    """(path, property, what was probably meant)."""
    known = {*kind.model_fields, *_ALSO_KNOWN.get(kind, ())}
    for key, value in raw.items():
        inner = f"{path}.{key}".lstrip(".")
        if key not in known:
            lowered = {name.lower(): name for name in known}
            alike = get_close_matches(key.lower(), lowered, n=1, cutoff=ALIKE)
            if alike:
                yield inner, key, lowered[alike[0]]
        elif isinstance(value, Mapping):
            yield from _misspelled_inside(kind, key, value, inner)


def _misspelled_inside(
    kind: type[BaseModel], key: str, value: Mapping[str, Any], path: str
) -> Iterator[tuple[str, str, str]]:
    inside = _INSIDE.get((kind, key))
    if inside is not None:
        yield from _misspelled(inside, value, path)
    elif kind is ModelContext and key in _MAPS:
        for name, options in value.items():
            if isinstance(options, Mapping):
                yield from _misspelled(_MAPS[key], options, f"{path}.{name}")


def _closest(name: Any, names: list[str]) -> str:
    alike = get_close_matches(str(name), names, n=1)
    return f"did you mean {alike[0]}?" if alike else ""
