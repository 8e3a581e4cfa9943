"""Requests for runs that are shared by name, or found by what they are, and created where there is none.

The fields of a new run describe what is created; a run that is there already is answered as it is.
"""

from typing import ClassVar, Literal

from protocol.entities import Key, Scope
from protocol.envelope import NewRun, Request, RunRequest

Strategy = Literal["reuse-across-sessions", "reuse-never", "reuse-by-tracking-key", "multiplayer"]


class CreateSingularRun(NewRun):
    """The one singular run of a project: the one there is, or a new one."""

    type: Literal["create_singular_run"]
    morphology: Literal["SINGULAR"] = "SINGULAR"


class GetSingularRunKey(Request):
    """The key of the project's singular run, or null; never starts a process."""

    type: Literal["get_singular_run_key"]


class OpenWorldRun(NewRun):
    """The run of a world, in memory: the one it has, or a new one."""

    type: Literal["open_world_run"]
    world_key: Key
    morphology: Literal["MANY"] = "MANY"


class CloseWorldRun(Request):
    """Close the run of a world, which has none afterwards; idempotent."""

    changes_state: ClassVar[bool] = True
    type: Literal["close_world_run"]
    world_key: Key


class AssignWorldRun(RunRequest):
    """Make a run that there is the run of a world."""

    changes_state: ClassVar[bool] = True
    type: Literal["assign_world_run"]
    world_key: Key


class GetRunWithStrategy(NewRun):
    """A run that fits, or a new one, as the strategy says."""

    type: Literal["get_run_with_strategy"]
    strategy: Strategy
    scope: Scope | None = None
    morphology: Literal["MANY"] = "MANY"
