"""The durable store: one SQLite database per worker, in the worker's data folder.

Four connections, each with one thread: writes go through the group writer, reads through a reader thread,
queries over all runs, which may take long, through another, and the look-up of request ids runs on the event loop's own thread, because it is a point look-up in memory
or in the page cache that would cost more to hand over than to make.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from worker.errors import LogUnavailableError, WorkerError
from worker.log import (
    rules,
    sqlite_bindings,
    sqlite_facets,
    sqlite_profiles,
    sqlite_query,
    sqlite_reads,
    sqlite_requests,
    sqlite_search,
    sqlite_traces,
    sqlite_writes,
)
from worker.log.base import (
    Append,
    Binding,
    Creation,
    EventListener,
    NewEvent,
    Rewind,
    RunPage,
    StoredEvent,
    StoredRequest,
)
from worker.log.searching import SEARCH_SECONDS, ProfilePage
from worker.log.sqlite_deadline import within_seconds
from worker.log.sqlite_errors import StoreRefusedError, driver_errors, translate
from worker.log.sqlite_files import OnCheck, StoreFiles, open_files
from worker.log.sqlite_outbox import SqliteOutbox
from worker.log.sqlite_writer import GroupWriter
from worker.metering import Histogram
from worker.runs.fields import Place
from worker.runs.history import NEVER, PAGE_BYTES, LogEntry, Replayable
from worker.runs.profile import RunProfile, StatusChange
from worker.runs.query import RunQuery
from worker.runs.record import RunRecord
from worker.runs.search import FacetCounts, ProfileQuery
from worker.telemetry import Logger
from worker.waiting import Done, awaited

__all__ = ["SqliteStore", "StoreRefusedError"]

_Answer = TypeVar("_Answer")


class SqliteStore:
    """Implements ``Store``. Made by ``open``, used on that loop only, closed by whoever opened it."""

    def __init__(self, files: StoreFiles, log: Logger | None = None) -> None:
        self._files = files
        self._writer = GroupWriter(files.writer, files.path, log)
        self._health = self._writer.health
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="log-reader")
        self._searcher = ThreadPoolExecutor(1, thread_name_prefix="log-searcher")
        self._closing: asyncio.Task[None] | None = None
        self.outbox = SqliteOutbox(
            self._read,
            partial(self._on, self._searcher, self._files.searcher),
            self._writer.submit,
            sqlite_requests.insert_request,
        )
        self.search_seconds = SEARCH_SECONDS

    @classmethod
    async def open(cls, folder: Path, *, on_check: OnCheck | None = None, log: Logger | None = None) -> Self:
        """Open or create ``worker.db`` in ``folder`` (created 0700 when missing) and bring its schema up to date.

        ``log`` is told when disk or database begin to fail, and when that is over.

        Raises:
            StoreRefusedError: another worker has it, it is damaged, foreign, newer, or not usable.
        """
        return cls(await asyncio.to_thread(open_files, folder, on_check), log)

    @property
    def pending_writes(self) -> int:
        """Writes submitted and not yet durable."""
        return self._writer.pending

    @property
    def commits(self) -> Histogram:
        """What groups of writes took to become durable, those that failed included."""
        return self._writer.commits

    @property
    def in_outage(self) -> bool:
        """Whether the last write that reached for the disk was refused by it."""
        return self._health.outage is not None

    def health(self) -> dict[str, Any]:
        """What is wrong with disk or database."""
        return self._health.view()

    async def check(self) -> None:
        """Try the disk in an outage."""
        await self._health.check()

    async def close(self) -> None:
        """Finish submitted reads and writes, fold the write-ahead log in, release the lock; idempotent."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self._writer.stop()
        # Those behind the one under way find the store closed.
        self._files.searcher.interrupt()
        await asyncio.to_thread(self._searcher.shutdown)
        await asyncio.to_thread(self._reader.shutdown)
        await asyncio.to_thread(self._files.close, closed_cleanly=not self._health.is_suspect)

    def listen(self, listener: EventListener) -> None:
        """Have ``listener`` called with every durable event, in order, on the loop."""
        self._writer.listener = listener

    def add_events(self, run_key: str, events: Sequence[NewEvent]) -> Awaitable[None]:
        """Add events that belong to no other write; durable when awaited, submitted when called."""
        return self._writer.submit(partial(sqlite_writes.add_events, run_key=run_key, events=events))

    async def read_events(
        self, run_key: str, *, after_event: int = 0, limit: int = 1000, max_bytes: int = 2**63 - 1
    ) -> tuple[list[StoredEvent], int]:
        """Events behind ``after_event`` in order, and the highest number."""
        await self._written()
        return await self._read(
            lambda db: sqlite_reads.read_events(db, run_key, after_event, limit, max_bytes)
        )

    async def _written(self) -> None:
        """Wait for what was submitted before."""
        if self._writer.pending:
            # What the disk refuses is not there; what was durable before can be read all the same.
            with contextlib.suppress(LogUnavailableError):
                await self._writer.submit(_nothing)

    def submit(self, append: Append, done: Done) -> None:
        """Add entries if epoch and head are as stated; ``done`` is called when they are durable, or are not."""
        try:
            rules.check_append(append)
            self._writer.append(append, done)
        except (WorkerError, ValueError) as error:
            done(error)

    async def append(self, append: Append) -> None:
        """Add entries if epoch and head are as stated; durable when it returns."""
        await awaited(partial(self.submit, append))

    async def rewind(self, rewind: Rewind) -> None:
        """Take back a tail; durable when it returns."""
        rules.check_rewind(rewind)
        await self._writer.submit(partial(sqlite_writes.rewind, rewind=rewind))

    async def read(
        self, run_key: str, *, after_seq: int = 0, limit: int = 1000, max_bytes: int = PAGE_BYTES
    ) -> list[LogEntry]:
        """Entries behind ``after_seq`` in order."""
        return await self._read(
            lambda db: sqlite_reads.read_entries(db, run_key, after_seq, limit, max_bytes)
        )

    async def read_traces(
        self, run_key: str, *, after_seq: int = 0, limit: int = 1000, max_bytes: int = 2**63 - 1
    ) -> list[str]:
        """Traces behind ``after_seq`` in order."""
        return await self._read(
            lambda db: sqlite_traces.read_traces(db, run_key, after_seq, limit, max_bytes)
        )

    async def read_replayable(
        self, run_key: str, *, after_seq: int = 0, through_seq: int = NEVER, limit: int = 1000
    ) -> list[Replayable]:
        """What a replay applies of the entries behind ``after_seq`` up to ``through_seq``, in order."""
        return await self._read(
            lambda db: sqlite_reads.read_replayable(db, run_key, after_seq, through_seq, limit)
        )

    def find_request(self, request_id: str) -> list[StoredRequest]:
        """What is recorded under a request id, on the caller's thread (a few microseconds)."""
        self._refuse_closed()
        try:
            return sqlite_reads.find_request(self._files.finder, request_id)
        except sqlite3.Error as error:
            refusal = translate(error, self._files.path)
            if isinstance(refusal, LogUnavailableError):
                self._health.read_failed(refusal)
            raise refusal from error

    async def read_outcomes(self, request: StoredRequest) -> list[tuple[str, bytes, bytes]]:
        """The answer of an action request."""
        return await self._read(lambda db: sqlite_reads.read_outcomes(db, request))

    async def create(self, creation: Creation) -> None:
        """Add a run; durable when it returns."""
        rules.check_creation(creation)
        await self._writer.submit(partial(sqlite_writes.create, creation=creation))
        if creation.profile is not None and creation.profile.on_status_change is not None:
            self.outbox.added()

    async def get(self, run_key: str) -> RunRecord | None:
        """The run's row, or None."""
        return await self._read(lambda db: sqlite_reads.get_run(db, run_key))

    async def claim(self, run_key: str) -> RunRecord:
        """Raise the run's epoch by one, durably, and return the row."""
        run: RunRecord = await self._writer.submit(partial(sqlite_writes.claim, run_key=run_key))
        return run

    async def update(
        self,
        run_key: str,
        edit: Callable[[RunRecord], RunRecord],
        request: StoredRequest | None = None,
        render: Callable[[RunRecord], bytes] | None = None,
        tell: Callable[[RunRecord, RunRecord], Sequence[NewEvent]] | None = None,
    ) -> RunRecord:
        """Change attributes atomically; ``edit``, ``render`` and ``tell`` run on the writer's thread."""
        apply = partial(
            sqlite_writes.update, run_key=run_key, edit=edit, request=request, render=render, tell=tell
        )
        run: RunRecord = await self._writer.submit(apply)
        return run

    async def read_profile(self, run_key: str) -> RunProfile | None:
        """The profile of a run, or None."""
        await self._written()
        return await self._read(lambda db: sqlite_profiles.read_profile(db, run_key))

    async def find_run_id(self, project: str, run_id: str) -> str | None:
        """The key of the run that has an id in a project, or None."""
        return await self._read(lambda db: sqlite_profiles.find_run_id(db, project, run_id))

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
        """Change a profile; ``edit``, ``render`` and ``tell`` run on the writer's thread."""
        apply = partial(
            sqlite_writes.update_profile,
            run_key=run_key,
            edit=edit,
            request=request,
            render=render,
            tell=tell,
            at_us=at_us,
        )
        profile: RunProfile = await self._writer.submit(apply)
        return profile

    def change_status(
        self, run_key: str, *changes: StatusChange, request: StoredRequest | None = None
    ) -> Awaitable[RunProfile]:
        """Change the status of a run, in order; submitted when called, durable when awaited."""
        apply = partial(sqlite_writes.change_status, run_key=run_key, changes=changes, request=request)
        return self._writer.submit(apply)

    async def unfinished(self) -> list[str]:
        """The keys of runs that are created, starting or executing, oldest first."""
        return await self._read(sqlite_profiles.unfinished)

    async def take_expired(self, at_us: int, limit: int) -> list[str]:
        """The keys of runs whose time is over."""
        apply = partial(sqlite_profiles.take_expired, at_us=at_us, limit=limit)
        found: list[str] = await self._writer.submit(apply)
        return found

    async def next_expiry(self) -> int | None:
        """When to look for runs whose time is over."""
        return await self._read(sqlite_profiles.next_expiry)

    async def bound_run(self, binding: Binding) -> str | None:
        """The key of the run that is bound, or None."""
        return await self._read(lambda db: sqlite_bindings.bound_run(db, binding))

    async def bind(
        self,
        binding: Binding,
        run_key: str,
        edit: Callable[[RunRecord], RunRecord],
        request: StoredRequest,
    ) -> RunRecord:
        """Bind a run and edit its row; ``edit`` runs on the writer's thread."""
        apply = partial(sqlite_writes.bind, binding=binding, run_key=run_key, edit=edit, request=request)
        run: RunRecord = await self._writer.submit(apply)
        return run

    async def unbind(self, binding: Binding, request: StoredRequest | None = None) -> None:
        """Bind nothing."""
        await self._writer.submit(partial(sqlite_writes.unbind, binding=binding, request=request))

    async def remove(self, run_key: str, request: StoredRequest | None = None) -> None:
        """Delete a run with everything that belongs to it."""
        await self._writer.submit(partial(sqlite_writes.remove, run_key=run_key, request=request))

    async def count(self) -> int:
        """How many runs there are."""
        return await self._read(sqlite_reads.count_runs)

    async def query(self, query: RunQuery) -> RunPage:
        """The runs that match; one query at a time."""
        return await self._on(self._searcher, self._files.searcher, partial(self._search, query))

    def _search(self, query: RunQuery, db: sqlite3.Connection) -> RunPage:
        self._refuse_closed()
        return sqlite_query.search(db, query)

    async def search(self, query: ProfileQuery) -> ProfilePage:
        """The runs that match; one search at a time."""
        return await self._find(lambda db: sqlite_search.search(db, query))

    async def count_facets(self, query: ProfileQuery, places: Sequence[Place]) -> FacetCounts:
        """How many runs match, and how often each field has which values."""
        return await self._find(lambda db: sqlite_facets.count_facets(db, query, places))

    async def _find(self, find: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        def found(db: sqlite3.Connection) -> _Answer:
            self._refuse_closed()
            return within_seconds(db, self.search_seconds, find)

        return await self._on(self._searcher, self._files.searcher, found)

    async def read_variables(self, run_key: str, names: Sequence[str] | None = None) -> dict[str, bytes]:
        """Recorded values by name."""
        return await self._read(lambda db: sqlite_reads.read_variables(db, run_key, names))

    async def read_metadata(self, run_key: str, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Metadata by name."""
        return await self._read(lambda db: sqlite_reads.read_metadata(db, run_key, names))

    async def update_metadata(
        self,
        run_key: str,
        edit: Callable[[dict[str, Any]], dict[str, Any]],
        request: StoredRequest | None = None,
        *,
        at_us: int,
        tell: Callable[[dict[str, Any]], Sequence[NewEvent]] | None = None,
    ) -> dict[str, Any]:
        """Change metadata atomically; ``edit`` and ``tell`` run on the writer's thread."""
        apply = partial(
            sqlite_writes.update_metadata,
            run_key=run_key,
            edit=edit,
            request=request,
            at_us=at_us,
            tell=tell,
        )
        changed: dict[str, Any] = await self._writer.submit(apply)
        return changed

    async def _read(self, query: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        return await self._on(self._reader, self._files.reader, query)

    async def _on(
        self,
        thread: ThreadPoolExecutor,
        db: sqlite3.Connection,
        query: Callable[[sqlite3.Connection], _Answer],
    ) -> _Answer:
        self._refuse_closed()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(thread, self._query, db, query)
        except LogUnavailableError as error:
            self._health.read_failed(error)
            raise

    def _query(self, db: sqlite3.Connection, query: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        with driver_errors(self._files.path):
            return query(db)

    def _refuse_closed(self) -> None:
        if self._closing is not None:
            raise rules.closed()


def _nothing(_db: sqlite3.Connection) -> None:
    """A write that is done when those before it are; a commit without changes costs no fsync."""
