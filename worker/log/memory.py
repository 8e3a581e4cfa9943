"""The store that keeps nothing beyond its process: every port, nothing on disk.

All methods run on one event loop and none awaits between its checks and its changes, so each is atomic.
Rows and metadata are copied on the way in and out, as a database would.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from worker.channel import pack
from worker.errors import WorkerError
from worker.log import rules
from worker.log.base import (
    Append,
    Binding,
    Creation,
    EventListener,
    NewEvent,
    Rewind,
    StoredRequest,
)
from worker.log.memory_bindings import MemoryBindings
from worker.log.memory_outbox import MemoryOutbox
from worker.log.memory_profiles import MemoryProfiles
from worker.log.memory_query import MemoryRun, packed, unpacked
from worker.log.memory_reads import MemoryReads
from worker.log.memory_requests import MemoryRequests
from worker.log.rows import numbered
from worker.runs.profile import RunProfile, StatusChange, Usage, used
from worker.runs.record import RunRecord
from worker.waiting import Done


class MemoryStore(MemoryReads):
    """Implements ``Store``; its writes are as durable as the process."""

    def __init__(self) -> None:
        self._runs: dict[str, MemoryRun] = {}
        self._requests = MemoryRequests()
        self.outbox = MemoryOutbox(self._requests.refuse_duplicate, self._requests.store)
        self._profiles = MemoryProfiles(self.outbox, lambda run_key: unpacked(self._runs[run_key].metadata))
        self._bindings = MemoryBindings(self._counts)
        self._closed = False
        self._listener: EventListener | None = None

    @property
    def pending_writes(self) -> int:
        """Always 0: a write is done when it is submitted."""
        return 0

    @property
    def in_outage(self) -> bool:
        """Never: there is no disk."""
        return False

    def health(self) -> dict[str, Any]:
        """Nothing can be wrong."""
        return {}

    async def check(self) -> None:
        """Always good."""

    async def close(self) -> None:
        """Refuse everything from now on; idempotent."""
        self._closed = True

    def listen(self, listener: EventListener) -> None:
        """Have ``listener`` called with every event, in order."""
        self._listener = listener

    def add_events(self, run_key: str, events: Sequence[NewEvent]) -> Awaitable[None]:
        """Add events that belong to no other write; done when called."""
        added: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._add_events(self._existing(run_key), events)
        except WorkerError as error:
            added.set_exception(error)
        else:
            added.set_result(None)
        return added

    def submit(self, append: Append, done: Done) -> None:
        """Add entries if epoch and head are as stated; done when it returns."""
        try:
            self._append(append)
        except (WorkerError, ValueError) as error:
            done(error)
        else:
            done(None)

    async def append(self, append: Append) -> None:
        """Add entries if epoch and head are as stated."""
        self._append(append)

    def _append(self, append: Append) -> None:
        rules.check_append(append)
        run = self._owned(append)
        self._requests.refuse_duplicate(append.request)
        _, events = self._profiles.turned(append.run_key, append.changes)
        run.entries.extend(append.entries)
        run.traces.extend(append.traces)
        run.variables.update(append.records)
        self._advance(run, append.head_seq + len(append.entries), append.at_us, append.usage)
        self._requests.store(append.request)
        self._profiles.turn(append.run_key, append.changes)
        self._add_events(run, (*append.events, *events))

    async def rewind(self, rewind: Rewind) -> None:
        """Take back a tail."""
        rules.check_rewind(rewind)
        run = self._owned(rewind)
        self._requests.refuse_duplicate(rewind.request)
        if rewind.marker is None:
            self._requests.keep_answers(rewind.run_key, rewind.to_seq, run.entries)
        run.take_back(rewind)
        self._advance(run, len(run.entries), rewind.at_us)
        self._requests.store(rewind.request)
        self._add_events(run, rewind.events)

    async def create(self, creation: Creation) -> None:
        """Add a run."""
        rules.check_creation(creation)
        self._refuse_closed()
        self._requests.refuse_duplicate(creation.request)
        run_key = creation.run.run_key
        if run_key in self._runs:
            raise rules.run_exists(run_key)
        profile = rules.profile_of(creation)
        self._profiles.refuse_taken(profile)
        self._bindings.refuse_bound(creation.binding)
        self._runs[run_key] = MemoryRun(
            deepcopy(creation.run),
            list(creation.entries),
            dict(creation.records),
            packed(creation.metadata),
        )
        self._profiles.add(profile)
        self._bindings.bind(creation.binding, run_key)
        self._requests.store(creation.request)
        self._profiles.tell_created(run_key, creation.run.created_us)
        self._add_events(self._runs[run_key], creation.events)

    async def claim(self, run_key: str) -> RunRecord:
        """Raise the run's epoch by one and return the row."""
        run = self._existing(run_key)
        run.record = replace(run.record, epoch=run.record.epoch + 1)
        return deepcopy(run.record)

    async def update(
        self,
        run_key: str,
        edit: Callable[[RunRecord], RunRecord],
        request: StoredRequest | None = None,
        render: Callable[[RunRecord], bytes] | None = None,
        tell: Callable[[RunRecord, RunRecord], Sequence[NewEvent]] | None = None,
    ) -> RunRecord:
        """Change attributes; ``edit``, ``render`` and ``tell`` run on the caller's thread."""
        run = self._existing(run_key)
        self._requests.refuse_duplicate(request)
        old = run.record
        new = edit(deepcopy(old))
        rules.check_edit(old, new)
        if request is not None and render is not None:
            request = replace(request, result=render(new))
        events = () if tell is None else tell(old, new)
        run.record = deepcopy(new)
        if new.closed and not old.closed:
            self._profiles.close(run_key)
        self._requests.store(request)
        self._add_events(run, events)
        return new

    async def update_profile(
        self,
        run_key: str,
        edit: Callable[[RunProfile], RunProfile],
        request: StoredRequest | None = None,
        render: Callable[[RunProfile], bytes] | None = None,
        tell: Callable[[RunProfile, RunProfile], Sequence[NewEvent]] | None = None,
        *,
        at_us: int | None,
    ) -> RunProfile:
        """Change a profile; ``edit``, ``render`` and ``tell`` run on the caller's thread."""
        run = self._existing(run_key)
        self._requests.refuse_duplicate(request)
        old, new = self._profiles.edited(run_key, edit)
        if request is not None:
            request = replace(request, result=pack(None) if render is None else render(new))
        self._profiles.put(new)
        if at_us is not None:
            run.record = replace(run.record, last_modified_us=at_us)
        self._requests.store(request)
        self._add_events(run, () if tell is None else tell(old, new))
        return new

    def change_status(
        self, run_key: str, *changes: StatusChange, request: StoredRequest | None = None
    ) -> Awaitable[RunProfile]:
        """Change the status of a run, in order; done when called."""
        turned: asyncio.Future[RunProfile] = asyncio.get_running_loop().create_future()
        try:
            turned.set_result(self._turn(run_key, changes, request))
        except (WorkerError, ValueError) as error:
            turned.set_exception(error)
        return turned

    def _turn(
        self, run_key: str, changes: Sequence[StatusChange], request: StoredRequest | None
    ) -> RunProfile:
        run = self._existing(run_key)
        self._requests.refuse_duplicate(request)
        _, events = self._profiles.turned(run_key, changes)
        profile = self._profiles.turn(run_key, changes)
        run.record = replace(run.record, last_modified_us=changes[-1].at_us)
        self._requests.store(request)
        self._add_events(run, events)
        return profile

    async def unfinished(self) -> list[str]:
        """The keys of runs that are created, starting or executing, oldest first."""
        self._refuse_closed()
        return self._profiles.unfinished()

    async def take_expired(self, at_us: int, limit: int) -> list[str]:
        """The keys of runs whose time is over."""
        self._refuse_closed()
        return self._profiles.take_expired(
            at_us, limit, lambda run_key: self._runs[run_key].record.last_modified_us
        )

    async def next_expiry(self) -> int | None:
        """When to look for runs whose time is over."""
        self._refuse_closed()
        return self._profiles.next_expiry()

    async def bound_run(self, binding: Binding) -> str | None:
        """The key of the run that is bound, or None."""
        self._refuse_closed()
        return self._bindings.bound_run(binding)

    async def bind(
        self,
        binding: Binding,
        run_key: str,
        edit: Callable[[RunRecord], RunRecord],
        request: StoredRequest,
    ) -> RunRecord:
        """Bind a run and edit its row; ``edit`` runs on the caller's thread."""
        run = await self.update(run_key, rules.binding_edit(edit), request)
        self._bindings.bind(binding, run_key)
        return run

    async def unbind(self, binding: Binding, request: StoredRequest | None = None) -> None:
        """Bind nothing."""
        self._refuse_closed()
        self._requests.refuse_duplicate(request)
        self._requests.store(request)
        self._bindings.unbind(binding)

    def _counts(self, run_key: str) -> bool:
        run = self._runs.get(run_key)
        return run is not None and not run.record.closed and not run.record.hidden

    async def remove(self, run_key: str, request: StoredRequest | None = None) -> None:
        """Delete a run with everything that belongs to it."""
        self._refuse_closed()
        self._requests.refuse_duplicate(request)
        self._runs.pop(run_key, None)
        self._bindings.removed(run_key)
        self._profiles.removed(run_key)
        self._requests.removed(run_key)
        self._requests.store(request)

    async def update_metadata(
        self,
        run_key: str,
        edit: Callable[[dict[str, Any]], dict[str, Any]],
        request: StoredRequest | None = None,
        *,
        at_us: int,
        tell: Callable[[dict[str, Any]], Sequence[NewEvent]] | None = None,
    ) -> dict[str, Any]:
        """Change metadata; ``edit`` and ``tell`` run on the caller's thread."""
        run = self._existing(run_key)
        self._requests.refuse_duplicate(request)
        changed = edit(unpacked(run.metadata))
        run.metadata.update(packed(changed))
        run.record = replace(run.record, last_modified_us=at_us)
        if request is not None:
            self._requests.store(replace(request, result=pack(changed)))
        self._add_events(run, () if tell is None else tell(changed))
        return changed

    def _refuse_closed(self) -> None:
        if self._closed:
            raise rules.closed()

    def _existing(self, run_key: str) -> MemoryRun:
        self._refuse_closed()
        run = self._runs.get(run_key)
        if run is None:
            raise rules.run_not_found(run_key)
        return run

    def _owned(self, write: Append | Rewind) -> MemoryRun:
        run = self._existing(write.run_key)
        if (run.record.epoch, run.record.seq) != (write.epoch, write.head_seq):
            raise rules.fenced(write, current_epoch=run.record.epoch, current_seq=run.record.seq)
        return run

    def _add_events(self, run: MemoryRun, events: Sequence[NewEvent]) -> None:
        stored = numbered(run.record.run_key, events, len(run.events) + len(events))
        run.events.extend(stored)
        if self._listener is not None:
            for event in stored:
                self._listener(event)

    def _advance(self, run: MemoryRun, seq: int, at_us: int, usage: Usage | None = None) -> None:
        run.record = replace(
            used(run.record, usage or Usage()), seq=seq, last_operated_us=at_us, last_modified_us=at_us
        )
