"""Whether a request may do what it asks of a run: the one place where its project and permits are judged."""

from typing import Final

from protocol.actions import Get
from protocol.errors import ErrorCode
from protocol.messages import (
    CopyRequest,
    GetRun,
    IntrospectRun,
    PerformActions,
    ReadEvents,
    ReadHistory,
    ReadMetadata,
    ReadVariables,
    Request,
    UpdateRun,
)
from protocol.profiles import (
    DeleteRun,
    GetProfile,
    ListDeliveries,
    ReadResult,
    ReadTraces,
    Redeliver,
    UpdateProfile,
)
from protocol.sharing import AssignWorldRun, CreateSingularRun, GetRunWithStrategy, OpenWorldRun
from worker.errors import RequestError
from worker.runs.permits import Right, denial
from worker.runs.record import RunRecord
from worker.settings import Settings
from worker.supervisor.table import not_found

_FINDS: Final = (CreateSingularRun, OpenWorldRun, GetRunWithStrategy)
"""What looks for a run, and is judged on what it finds."""
_READS: Final = (
    *_FINDS,
    GetRun,
    GetProfile,
    ReadVariables,
    ReadMetadata,
    ReadHistory,
    ReadEvents,
    ReadResult,
    ReadTraces,
    ListDeliveries,
    IntrospectRun,
    CopyRequest,
)
_WRITES: Final = (UpdateRun, AssignWorldRun, UpdateProfile, DeleteRun, Redeliver)


def right_of(request: Request) -> Right:
    """What a request to a run needs; a clone or migration only looks at its source."""
    if isinstance(request, _READS):
        return Right.READ
    if isinstance(request, PerformActions) and all(isinstance(action, Get) for action in request.actions):
        return Right.READ
    return Right.WRITE if isinstance(request, _WRITES) else Right.PLAY


def check(request: Request, record: RunRecord, settings: Settings) -> None:
    """Judge a request to the run of ``record`` before anything of it is done.

    Raises:
        RequestError: RUN_NOT_FOUND for a run of another project than the request names, PERMIT_VIOLATION;
            nothing happened.
    """
    if request.project is not None and request.project != record.project:
        raise not_found(record.run_key)
    actor = request.actor
    if actor is None or actor.role is None or settings.permits == "ignore":
        return
    right = right_of(request)
    found = denial(actor, right, record.permit, record.scope)
    if found is not None:
        raise RequestError(
            ErrorCode.PERMIT_VIOLATION,
            f"run {record.run_key}: its {found.lock} is {found.needed}, and the actor counts as {found.role}; "
            f"ask as {found.needed} or above",
            run_key=record.run_key,
            right=right.value,
            lock=found.lock,
            needed=found.needed.value,
            role=found.role.value,
        )
