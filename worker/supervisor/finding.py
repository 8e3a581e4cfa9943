"""Requests that want a run which there may be already: found and used, or created, by one at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from protocol.errors import ErrorCode
from protocol.messages import CreateRun, NewRun
from worker.errors import RequestError
from worker.supervisor.access import StateAccess, stored_answer
from worker.supervisor.flights import Flight

Body = dict[str, Any]
"""The body of a reply."""
_ENDED: Final = (ErrorCode.RUN_CLOSED, ErrorCode.RUN_NOT_FOUND)


async def found_or_created(
    access: StateAccess,
    flight: Flight,
    gate: asyncio.Lock,
    *,
    find: Callable[[], Awaitable[str | None]],
    use: Callable[[Flight, str], Awaitable[Body]],
    create: Callable[[], Awaitable[Body]],
) -> Body:
    """What ``use`` makes of the run that ``find`` gives the key of, else what ``create`` gives.

    All who want the same pass ``gate`` to find and to create, so that what one created the next one finds. What is
    done with a run that was found is done beside others; where that has ended by then, all begins anew.

    Raises:
        WorkerError: as ``find``, ``use`` and ``create`` do; DEADLINE_EXCEEDED, nothing having happened.
    """
    ended = None
    while True:
        async with gate:
            stored = access.stored(flight, None)
            if stored is not None:
                return stored_answer(stored)
            flight.check()
            run_key = await find()
            if run_key is None:
                return await create()
        try:
            return await use(flight, run_key)
        except RequestError as error:
            if error.code not in _ENDED or run_key == ended:
                raise
            ended = run_key


def creation_of(request: NewRun, **fields: Any) -> CreateRun:
    """The creation that a request describes, with ``fields`` besides."""
    given = {name: getattr(request, name) for name in NewRun.model_fields if name in request.model_fields_set}
    return CreateRun(type="create_run", **{**given, **fields})
