"""Copies in memory of durable runs, which an incarnation may do with what it likes."""

from dataclasses import replace

from worker.log.base import Creation
from worker.runs.profile import RunProfile
from worker.runs.record import RunRecord
from worker.supervisor.histories import pages
from worker.supervisor.table import Stores


async def copy_into_memory(stores: Stores, record: RunRecord) -> None:
    """Copy a durable run into memory, where it hides the durable one until it is forgotten."""
    durable, key = stores.durable, record.run_key
    entries = tuple([entry async for page in pages(durable, key, record.seq) for entry in page])
    records = await durable.read_variables(key)
    metadata = await durable.read_metadata(key)
    profile = await durable.read_profile(key)
    await stores.ephemeral.remove(key)
    await stores.ephemeral.create(
        Creation(
            *(replace(record, ephemeral=True), entries, records, metadata),
            profile=None if profile is None else _of_shadow(profile),
        )
    )
    stores.mark_ephemeral(key, shadow=True)


def _of_shadow(profile: RunProfile) -> RunProfile:
    """Nobody is told of what a copy does."""
    return replace(profile, run_id=None, on_status_change=None, course=None)
