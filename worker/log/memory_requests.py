"""Requests that took effect, by id and run; the part of ``MemoryStore`` that answers repetitions."""

from dataclasses import replace

from worker.errors import DuplicateRequestError
from worker.log import rules
from worker.log.base import StoredRequest
from worker.runs.history import LogEntry


class MemoryRequests:
    """What is recorded under each request id."""

    def __init__(self) -> None:
        self._requests: dict[str, dict[str, StoredRequest]] = {}
        self._ids: dict[str, set[str]] = {}

    def find(self, request_id: str) -> list[StoredRequest]:
        """What is recorded under a request id, ordered by run key."""
        found = self._requests.get(request_id, {})
        return [found[run_key] for run_key in sorted(found)]

    def current(self, request: StoredRequest) -> StoredRequest:
        """A request as it is stored now."""
        return self._requests.get(request.request_id, {}).get(request.run_key, request)

    def refuse_duplicate(self, request: StoredRequest | None) -> None:
        """Refuse a request that is recorded for its run.

        Raises:
            DuplicateRequestError: it is.
        """
        if request is not None and request.run_key in self._requests.get(request.request_id, {}):
            raise DuplicateRequestError(request.request_id, request.run_key)

    def store(self, request: StoredRequest | None) -> None:
        """Record a request, if it is one."""
        if request is not None:
            self._requests.setdefault(request.request_id, {})[request.run_key] = request
            self._ids.setdefault(request.run_key, set()).add(request.request_id)

    def keep_answers(self, run_key: str, to_seq: int, entries: list[LogEntry]) -> None:
        """Store the answers of requests whose entries are about to be deleted."""
        for request_id in self._ids.get(run_key, ()):
            request = self._requests[request_id][run_key]
            if request.last_seq > to_seq and request.result is None:
                result = rules.pack_outcomes(outcomes_among(entries, request))
                self._requests[request_id][run_key] = replace(request, result=result)

    def removed(self, run_key: str) -> None:
        """Forget the requests of a run."""
        for request_id in self._ids.pop(run_key, ()):
            found = self._requests[request_id]
            del found[run_key]
            if not found:
                del self._requests[request_id]


def outcomes_among(entries: list[LogEntry], request: StoredRequest) -> rules.Outcomes:
    """The answer that the entries of a run hold to a request."""
    return rules.outcomes_of(entries[max(request.first_seq, 1) - 1 : request.last_seq])
