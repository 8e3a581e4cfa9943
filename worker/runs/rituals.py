"""Rituals: how a run that is not in memory is brought back for a request, and what becomes of it after.

Every ritual uses the process if there is one. They differ in the fallback, and in whether the run is ended
afterwards, even where the request failed.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from protocol.entities import Ritual


class Restores(StrEnum):
    """When a ritual may start a process."""

    NEVER = "never"
    FOR_CHANGES = "for changes"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class RitualPolicy:
    """What one ritual allows: starting a process, reading the archive instead, ending the run afterwards."""

    restores: Restores
    reads_archive: bool
    ends: bool


POLICIES: Final[dict[Ritual, RitualPolicy]] = {
    Ritual.NONE: RitualPolicy(Restores.NEVER, reads_archive=True, ends=False),
    Ritual.INTER: RitualPolicy(Restores.NEVER, reads_archive=False, ends=False),
    Ritual.REANIMATE: RitualPolicy(Restores.FOR_CHANGES, reads_archive=True, ends=False),
    Ritual.REVIVE: RitualPolicy(Restores.ALWAYS, reads_archive=False, ends=False),
    Ritual.EXORCISE: RitualPolicy(Restores.FOR_CHANGES, reads_archive=True, ends=True),
    Ritual.RESURRECT: RitualPolicy(Restores.ALWAYS, reads_archive=False, ends=True),
}


class Access(StrEnum):
    """Where a request is served, or why it is refused."""

    PROCESS = "process"
    ARCHIVE = "archive"
    NOT_LIVE = "not live"
    CLOSED = "closed"


def route(ritual: Ritual, *, live: bool, closed: bool, needs_process: bool) -> Access:
    """Decide where a request is served.

    ``needs_process``: the request changes state or calls an operation (an inert one included); a mere read
    does not. A closed run is never started again; its archive stays readable.
    """
    policy = POLICIES[ritual]
    if live and not closed:
        return Access.PROCESS
    if not needs_process and policy.reads_archive:
        return Access.ARCHIVE
    may_start = policy.restores is Restores.ALWAYS or (
        needs_process and policy.restores is Restores.FOR_CHANGES
    )
    if not may_start:
        return Access.NOT_LIVE
    return Access.CLOSED if closed else Access.PROCESS


def ritual_table() -> str:
    """The policies as a Markdown table, for the documentation."""
    lines = ["| ritual | may restore | may read the archive | ends the run afterwards |", "|---|---|---|---|"]
    for ritual, policy in POLICIES.items():
        archive, ends = ("yes" if flag else "no" for flag in (policy.reads_archive, policy.ends))
        lines.append(f"| {ritual} | {policy.restores} | {archive} | {ends} |")
    return "\n".join(lines)
