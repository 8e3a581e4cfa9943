"""What ``MemoryStore`` gives of what it holds: of runs, their histories, values, events and requests."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from worker.log import rules
from worker.log.base import StoredEvent, StoredRequest
from worker.log.memory_query import chosen, unpacked
from worker.log.memory_requests import MemoryRequests, outcomes_among
from worker.log.memory_search import MemorySearches
from worker.runs.history import NEVER, PAGE_BYTES, LogEntry, Replayable
from worker.runs.profile import RunProfile
from worker.runs.record import RunRecord


class MemoryReads(MemorySearches):
    """The reads of the port ``Store``; rows and metadata are copied on the way out."""

    _requests: MemoryRequests

    async def read_events(
        self, run_key: str, *, after_event: int = 0, limit: int = 1000, max_bytes: int = 2**63 - 1
    ) -> tuple[list[StoredEvent], int]:
        """Events behind ``after_event`` in order, and the highest number."""
        self._refuse_closed()
        run = self._runs.get(run_key)
        return ([], 0) if run is None else run.events_behind(after_event, limit, max_bytes)

    async def read(
        self, run_key: str, *, after_seq: int = 0, limit: int = 1000, max_bytes: int = PAGE_BYTES
    ) -> list[LogEntry]:
        """Entries behind ``after_seq`` in order."""
        self._refuse_closed()
        run = self._runs.get(run_key)
        return [] if run is None else run.entries_behind(after_seq, limit, max_bytes)

    async def read_traces(
        self, run_key: str, *, after_seq: int = 0, limit: int = 1000, max_bytes: int = 2**63 - 1
    ) -> list[str]:
        """Traces behind ``after_seq`` in order."""
        self._refuse_closed()
        run = self._runs.get(run_key)
        return [] if run is None else run.traces_behind(after_seq, limit, max_bytes)

    async def read_replayable(
        self, run_key: str, *, after_seq: int = 0, through_seq: int = NEVER, limit: int = 1000
    ) -> list[Replayable]:
        """What a replay applies of the entries behind ``after_seq`` up to ``through_seq``, in order."""
        self._refuse_closed()
        run = self._runs.get(run_key)
        return [] if run is None else run.replayable_behind(after_seq, through_seq, limit)

    def find_request(self, request_id: str) -> list[StoredRequest]:
        """What is recorded under a request id, ordered by run key."""
        self._refuse_closed()
        return self._requests.find(request_id)

    async def read_outcomes(self, request: StoredRequest) -> list[tuple[str, bytes, bytes]]:
        """The answer of an action request, as it is stored now."""
        self._refuse_closed()
        stored = self._requests.current(request)
        if stored.result is not None:
            return rules.unpack_outcomes(stored, stored.result)
        run = self._runs.get(stored.run_key)
        return [] if run is None else outcomes_among(run.entries, stored)

    async def get(self, run_key: str) -> RunRecord | None:
        """The run's row, or None."""
        self._refuse_closed()
        run = self._runs.get(run_key)
        return deepcopy(run.record) if run is not None else None

    async def read_profile(self, run_key: str) -> RunProfile | None:
        """The profile of a run, or None."""
        self._refuse_closed()
        return self._profiles.get(run_key)

    async def find_run_id(self, project: str, run_id: str) -> str | None:
        """The key of the run that has an id in a project, or None."""
        self._refuse_closed()
        return self._profiles.find(project, run_id)

    async def count(self) -> int:
        """How many runs there are."""
        self._refuse_closed()
        return len(self._runs)

    async def read_variables(self, run_key: str, names: Sequence[str] | None = None) -> dict[str, bytes]:
        """Recorded values by name."""
        self._refuse_closed()
        run = self._runs.get(run_key)
        return chosen(run.variables, names) if run is not None else {}

    async def read_metadata(self, run_key: str, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Metadata by name."""
        self._refuse_closed()
        run = self._runs.get(run_key)
        return unpacked(chosen(run.metadata, names)) if run is not None else {}
