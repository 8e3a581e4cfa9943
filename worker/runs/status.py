"""The durable status of a run, as people see it: which change may follow which.

Whether a run is in memory is another matter: leaving memory changes no status. ``TRANSITIONS`` is all that is
allowed; anything else raises and changes nothing.
"""

from typing import Final

from protocol.entities import RunStatus

R = RunStatus

TRANSITIONS: Final[dict[RunStatus, tuple[RunStatus, ...]]] = {
    R.CREATED: (R.STARTING, R.FAILED),
    R.STARTING: (R.EXECUTING, R.READY, R.FAILED),
    R.EXECUTING: (R.READY, R.PAUSED, R.FAILED),
    R.PAUSED: (R.EXECUTING, R.READY, R.FAILED),
    R.READY: (R.EXECUTING, R.STARTING),
    R.FAILED: (R.STARTING,),
}
"""Which status may follow which. Only a restore, a rewind or a request that follows leads out of ``failed``."""

UNFINISHED: Final = (R.CREATED, R.STARTING, R.EXECUTING)
"""What a worker that starts again has to take up: somebody waits for what comes of it."""

AT_REST: Final = (R.READY, R.PAUSED, R.FAILED)
"""Nothing more happens unless somebody asks for it, or decides."""


class IllegalStatusError(ValueError):
    """A status that cannot follow the one that a run has: a bug of the caller. Nothing was changed."""


def check_change(run_key: str, before: RunStatus, after: RunStatus) -> None:
    """Whether ``after`` may follow ``before``.

    Raises:
        IllegalStatusError: it may not.
    """
    if after not in TRANSITIONS[before]:
        raise IllegalStatusError(f"run {run_key}: {after} cannot follow {before}")


def way(before: RunStatus, after: RunStatus) -> tuple[RunStatus, ...]:
    """The shortest way from one status to another, the last one included; a way round where they are the same."""
    ways: list[tuple[RunStatus, ...]] = [(before,)]
    while ways:
        passed = ways.pop(0)
        for status in TRANSITIONS[passed[-1]]:
            if status is after:
                return (*passed[1:], status)
            if status not in passed:
                ways.append((*passed, status))
    raise IllegalStatusError(f"{after} cannot follow {before}")


def status_diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    arrows = [f"    {before} --> {after}" for before, targets in TRANSITIONS.items() for after in targets]
    return "\n".join(["stateDiagram-v2", "    [*] --> created", "    [*] --> ready", *arrows])
