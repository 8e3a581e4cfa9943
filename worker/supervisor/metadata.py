"""Requests to the metadata of a run, which the worker keeps outside the model; they never start a process."""

from dataclasses import replace
from typing import Any

from protocol.errors import ErrorCode
from protocol.messages import ReadMetadata, UpdateMetadata
from worker.clock import now_us
from worker.errors import RequestError
from worker.log.base import NewEvent, StoredRequest
from worker.runs.metadata import metadata_edit
from worker.supervisor.access import StateAccess, stored_answer
from worker.supervisor.flights import Flight


async def read_metadata(access: StateAccess, request: ReadMetadata, run_key: str) -> dict[str, Any]:
    """The values of the names asked for.

    Raises:
        RequestError: RUN_NOT_FOUND, or UNRECORDED_VARIABLE listing all names that have none.
    """
    await access.locate(request, run_key)
    values = await access.stores.of(run_key).read_metadata(run_key, request.names)
    missing = [name for name in request.names if name not in values]
    if missing and not request.ignorable:
        raise RequestError(
            ErrorCode.UNRECORDED_VARIABLE,
            f"run {run_key} has no metadata {', '.join(missing[:20])}; ask with ignorable to get null instead",
            run_key=run_key,
            names=missing,
        )
    return {"result": {name: values.get(name) for name in request.names}}


async def update_metadata(
    access: StateAccess, flight: Flight, request: UpdateMetadata, run_key: str
) -> dict[str, Any]:
    """Change metadata once per request; durable when it returns the changed names with their values.

    Raises:
        RequestError: RUN_NOT_FOUND, REQUEST_ID_REUSED, or INVALID_REQUEST for a push or pop on what is no list.
    """
    async with access.table.gate(run_key):
        stored = access.stored(flight, run_key)
        if stored is not None:
            return stored_answer(stored)
        host, record = await access.locate(request, run_key)
        edit = metadata_edit(request.set or {}, request.push or {}, request.pop or {})
        at_us = now_us()

        def tell(changed: dict[str, Any]) -> tuple[NewEvent, ...]:
            return access.births.announcer.metadata(record, changed, request.request_id, at_us)

        stored = StoredRequest(request.request_id, run_key, flight.digest)
        store = access.stores.of(run_key)
        changed = await store.update_metadata(run_key, edit, stored, at_us=at_us, tell=tell)
        if host is not None:
            host.record = replace(host.record, last_modified_us=max(host.record.last_modified_us, at_us))
    return {"result": changed}
