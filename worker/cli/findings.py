"""What a check found, and how it is told: tables for a terminal, lines for a pipe, JSON for a program."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


class Severity(StrEnum):
    """``PROBLEM``: the model does not do what a run must. ``WARNING``: it may not, or not everywhere."""

    PROBLEM = "problem"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to be changed; ``file`` is relative to the model folder, ``line`` counts from 1."""

    severity: Severity
    code: str
    file: str
    line: int | None
    subject: str
    message: str
    advice: str

    @property
    def where(self) -> str:
        """``file:line``."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(slots=True)
class Call:
    """One call of the round trip; ``error`` is what it raised."""

    name: str
    arguments: list[Any]
    error: str | None = None


@dataclass(slots=True)
class RoundTrip:
    """``equal``: whether every variable was restored; None where it did not come that far."""

    calls: list[Call] = field(default_factory=list)
    not_called: list[str] = field(default_factory=list)
    equal: bool | None = None
    differing: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """All that a check has to say of one model."""

    model: str
    operations: list[dict[str, Any]] = field(default_factory=list)
    variables: list[dict[str, Any]] = field(default_factory=list)
    round_trip: RoundTrip = field(default_factory=RoundTrip)
    unrecorded: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there is no problem; warnings do not count."""
        return not any(finding.severity is Severity.PROBLEM for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """As ``check --json`` writes it."""
        return {"ok": self.ok, **asdict(self)}


def show(report: Report, console: Console) -> None:
    """Tell a person; without a terminal there are no frames and no colours."""
    _listing(console, "operation", report.operations, ("signature", "doc"))
    _listing(console, "variable", report.variables, ("name", "type", "value"))
    for line in _round_trip_lines(report.round_trip):
        console.print(_safe(line), soft_wrap=True)
    findings = [(item.severity, item.where, _sentence(item)) for item in report.findings]
    if console.is_terminal and findings:
        console.print(_table(("", "where", "what to do"), findings))
    else:
        for severity, where, text in findings:
            console.print(_safe(f"{severity}: {where}: {text}"), soft_wrap=True)
    console.print(_safe(_verdict(report)), soft_wrap=True)


def _sentence(finding: Finding) -> str:
    text = f"{finding.message}. {finding.advice[:1].upper()}{finding.advice[1:]}".rstrip(". ")
    return text if text.endswith("?") else f"{text}."


def _safe(text: str) -> str:
    """Text of a model for a terminal: without markup, and without characters that steer it."""
    return escape("".join(one if one.isprintable() else _harmless(one) for one in text))


def _harmless(character: str) -> str:
    return " " if character.isspace() else ascii(character)[1:-1]


def _listing(console: Console, title: str, rows: list[dict[str, Any]], keys: tuple[str, ...]) -> None:
    cells = [tuple(str(row[key] or "") for key in keys) for row in rows]
    if console.is_terminal and cells:
        console.print(_table((title, *keys[1:]), cells))
        return
    for row in cells:
        console.print(_safe(f"{title}: {'  '.join(cell for cell in row if cell)}"), soft_wrap=True)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    table = Table(*heads)
    for row in rows:
        table.add_row(*(_safe(cell) for cell in row))
    return table


def _round_trip_lines(trip: RoundTrip) -> list[str]:
    if trip.equal is None:
        return ["round trip: not done"]
    called = ", ".join(call.name for call in trip.calls) or "nothing"
    lines = [f"round trip: called {called}; evicted; restored"]
    if trip.equal:
        lines.append("round trip: every variable is what it was")
    elif trip.differing:
        lines.append(f"round trip: not what they were: {', '.join(trip.differing)}")
    else:
        lines.append("round trip: an operation did not repeat its result")
    if trip.not_called:
        lines.append(f"round trip: not called, as they need arguments: {', '.join(trip.not_called)}")
    return lines


def _verdict(report: Report) -> str:
    problems = sum(finding.severity is Severity.PROBLEM for finding in report.findings)
    warnings = len(report.findings) - problems
    told = (
        f"{problems} problem{'' if problems == 1 else 's'}, {warnings} warning{'' if warnings == 1 else 's'}"
    )
    return f"{report.model}: {'fine' if report.ok else 'not fine'}; {told}"
