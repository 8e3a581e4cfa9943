"""The one thread that writes: group commit across runs.

All writes that wait are applied in the order of their submission and made durable by one commit; then all
are answered in one call into the event loop. While a group is being committed the next one gathers, so groups
grow with the load and nobody waits for a timer.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from worker.errors import LogUnavailableError
from worker.log import rules
from worker.log.base import Append, EventListener, StoredEvent
from worker.log.health import LogHealth
from worker.log.sqlite_errors import is_damage, is_own_fault, may_be_there, translate, unavailable
from worker.log.sqlite_writes import Written, append_all
from worker.log.sqlite_writes import append as append_one
from worker.metering import Histogram
from worker.telemetry import Logger
from worker.waiting import Done

GROUP_LIMIT: Final = 512
"""Most writes in one transaction."""

LOOK_SECONDS: Final = 0.003
GIVE_WAY_SECONDS: Final = 0.000_05
HOT_SHARE: Final = 0.8
"""How often the loop is looked at while writes are pending, how long it really blocks where it is hot, and what
share of its time it must have computed to be that.

CPython does not hand the interpreter lock over fairly: a loop that is never idle but makes many short system
calls takes it back before the writer's thread is awake, and starves it for seconds, whatever the switch interval
is. A true pause ends that. A loop that rests now and then needs none.
"""

Apply = Callable[[sqlite3.Connection], Any]
_Done = Callable[[Any, Exception | None], None]
"""Takes the result of a write, or what it failed of."""


class _Write:
    """One submitted write and what became of it; ``append`` where it is nothing but one."""

    __slots__ = ("append", "apply", "done", "error", "events", "result")

    def __init__(self, apply: Apply, append: Append | None, done: _Done) -> None:
        self.apply = apply
        self.append = append
        self.done = done
        self.result: Any = None
        self.events: tuple[StoredEvent, ...] = ()
        self.error: Exception | None = None

    def came_to(self, result: Any) -> None:
        """Keep what ``apply`` gave."""
        if isinstance(result, Written):
            self.result, self.events = result.result, result.events
        else:
            self.result = result


class _Scope:
    """What fails inside is undone and noted as ``error``; what ``passes`` goes through, as it undoes more."""

    __slots__ = ("_begin", "_db", "_finish", "_passes", "_undo", "error")

    def __init__(
        self,
        db: sqlite3.Connection,
        begin: str,
        finish: str,
        undo: tuple[str, ...],
        passes: Callable[[BaseException], bool],
    ) -> None:
        self._db = db
        self._passes = passes
        self._begin = begin
        self._finish = finish
        self._undo = undo
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        self._db.execute(self._begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            self._db.execute(self._finish)
            return False
        if not isinstance(error, Exception) or self._passes(error):
            return False
        for statement in self._undo:
            self._db.execute(statement)
        self.error = error
        return True


def _transaction(db: sqlite3.Connection) -> _Scope:
    return _Scope(
        db,
        "BEGIN IMMEDIATE",
        "COMMIT",
        ("ROLLBACK",),
        lambda error: not (is_own_fault(error) or is_damage(error)),
    )


def _savepoint(db: sqlite3.Connection) -> _Scope:
    return _Scope(
        db,
        "SAVEPOINT one_write",
        "RELEASE one_write",
        ("ROLLBACK TO one_write", "RELEASE one_write"),
        lambda error: not is_own_fault(error),
    )


def _segments(group: list[_Write]) -> list[list[_Write]]:
    """The group in order, cut so that neighbours in a segment are appends to different runs."""
    segments: list[list[_Write]] = []
    run_keys: set[str] = set()
    for write in group:
        if write.append is None:
            segments.append([write])
            run_keys = set()
        elif run_keys and write.append.run_key not in run_keys:
            segments[-1].append(write)
            run_keys.add(write.append.run_key)
        else:
            segments.append([write])
            run_keys = {write.append.run_key}
    return segments


def _touch(db: sqlite3.Connection) -> None:
    """A write that changes nothing and still reaches the disk: one frame of the write-ahead log."""
    ((version,),) = db.execute("PRAGMA user_version").fetchall()
    db.execute(f"PRAGMA user_version = {version}")


class GroupWriter:
    """Owns the writing connection from construction until ``stop`` returns; made and used on one loop.

    ``listener`` is called with each event that became durable, in order, before its write is answered.
    ``health`` knows of an outage before the writes that it failed are answered. ``commits``: what groups took, SQL
    and fsync, also those that failed; the writer's thread counts.
    """

    def __init__(self, db: sqlite3.Connection, path: Path, log: Logger | None = None) -> None:
        self._db = db
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._waiting: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._pending = 0
        self._is_looking = False
        self._looked_at = (0.0, 0.0)
        self._stopping = False
        self._is_uncertain = False
        self.listener: EventListener | None = None
        self.commits = Histogram()
        self.health = LogHealth(lambda: self.submit(_touch), log)
        # A daemon thread: a worker that forgot to close still exits; the next open rolls back what it cut off.
        self._thread = threading.Thread(target=self._serve, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Writes submitted and not yet answered."""
        return self._pending

    def submit(self, apply: Apply) -> asyncio.Future[Any]:
        """Queue a write; the future resolves when it is durable. ``apply`` may run twice.

        It gives the result, or a ``Written`` where it has events.

        Cancelling the future gives up the answer, not the write. A ``LogUnavailableError`` on it means that
        the commit failed and the write is not visible. Where its ``applied`` is "unknown", a crash before the
        next commit may still bring back this write, or an earlier one that failed: ask again with the same
        request_id.

        Raises:
            LogUnavailableError: after ``stop``.
        """
        future: asyncio.Future[Any] = self._loop.create_future()

        def done(result: Any, error: Exception | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self._queue(_Write(apply, None, done))
        return future

    def append(self, append: Append, done: Done) -> None:
        """Queue a write of entries, which may be made in one with others; ``done`` is called on the loop.

        Raises:
            LogUnavailableError: after ``stop``; ``done`` is not called then.
        """
        self._queue(_Write(partial(append_one, append=append), append, lambda _, error: done(error)))

    def _queue(self, write: _Write) -> None:
        if self._stopping:
            raise rules.closed()
        self._pending += 1
        if not self._is_looking:
            self._is_looking = True
            self._look_later()
        self._waiting.put(write)

    def _look_later(self) -> None:
        self._looked_at = time.monotonic(), time.thread_time()
        self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Let the writer's thread have the interpreter, again and again until nothing is pending."""
        if not self._pending:
            self._is_looking = False
            return
        (began, used), now = self._looked_at, time.monotonic()
        if time.thread_time() - used > HOT_SHARE * (now - began):
            time.sleep(GIVE_WAY_SECONDS)
        self._look_later()

    async def stop(self) -> None:
        """Finish what was submitted and end the thread; the connection stays open for its owner to close."""
        self._stopping = True
        await self.health.stop()
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        while group := self._next_group():
            began = time.monotonic()
            failure = self._commit(group)
            self.commits.observe(time.monotonic() - began)
            # A closed loop has nobody left to answer.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._answer, group, failure)

    def _next_group(self) -> list[_Write]:
        """All that waits, at least one write; empty when the thread shall end."""
        group: list[_Write] = []
        write = self._waiting.get()
        with contextlib.suppress(queue.Empty):
            while write is not None:
                group.append(write)
                if len(group) == GROUP_LIMIT:
                    return group
                write = self._waiting.get_nowait()
            if group:
                self._waiting.put(None)
        return group

    def _commit(self, group: list[_Write]) -> LogUnavailableError | None:
        """Try the group as a whole; where a write of it fails, do it again one by one.

        Returns what failed all of it, if disk or database did.
        """
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            error = self._all_at_once(group)
            if error is not None and len(group) == 1:
                group[0].error = self._seen_by_caller(error)
            elif error is not None:
                self._one_by_one(group)
        except sqlite3.Error as error:
            return self._abandon(group, error)
        if self._is_uncertain and any(write.apply is _touch and write.error is None for write in group):
            # What failed stood behind the last commit in the write-ahead log; now this one stands there.
            self._is_uncertain = False
        return None

    def _all_at_once(self, group: list[_Write]) -> Exception | None:
        """In few statements: each gives the interpreter lock away, which a busy event loop is slow to return."""
        with _transaction(self._db) as whole:
            for segment in _segments(group):
                if len(segment) > 1:
                    appends = [write.append for write in segment if write.append is not None]
                    for write, written in zip(segment, append_all(self._db, appends), strict=True):
                        write.came_to(written)
                else:
                    segment[0].came_to(segment[0].apply(self._db))
        return whole.error

    def _one_by_one(self, group: list[_Write]) -> None:
        """So that one failing write fails no other: where one meets damage, the others are done again."""
        while group:
            group = self._in_savepoints(group)

    def _in_savepoints(self, group: list[_Write]) -> list[_Write]:
        """Each in a savepoint of its own; returns who must be done again, nothing having been committed."""
        done: list[_Write] = []
        with _transaction(self._db) as whole:
            for write in group:
                done.append(write)
                with _savepoint(self._db) as single:
                    write.came_to(write.apply(self._db))
                write.error = None if single.error is None else self._seen_by_caller(single.error)
        if whole.error is None:
            return []
        done[-1].error = self._seen_by_caller(whole.error)
        return [write for write in group if write is not done[-1]]

    def _seen_by_caller(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        seen = translate(error, self._path)
        if isinstance(seen, LogUnavailableError):
            seen.information["applied"] = self._applied
        return seen

    @property
    def _applied(self) -> str:
        """What is known of a write that failed, and of those with its request_id that failed before."""
        return "unknown" if self._is_uncertain else "no"

    def _abandon(self, group: list[_Write], error: sqlite3.Error) -> LogUnavailableError:
        """Fail the whole group: also who was refused, for the refusal may rest on a neighbour's write."""
        # SQLite may have rolled back by itself; if it cannot now, the next group tries again.
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("ROLLBACK")
        self._is_uncertain = self._is_uncertain or may_be_there(error)
        for write in group:
            write.error = unavailable(error, self._path, applied=self._applied)
            write.error.__cause__ = error
        return unavailable(error, self._path)

    def _answer(self, group: list[_Write], failure: LogUnavailableError | None) -> None:
        self._pending -= len(group)
        if failure is not None:
            self.health.write_failed(failure, len(group))
        # One answer that fails must not keep the others back.
        with contextlib.ExitStack() as answers:
            for write in reversed(group):
                answers.callback(self._answer_one, write, failure)

    def _answer_one(self, write: _Write, failure: LogUnavailableError | None) -> None:
        if failure is None and isinstance(write.error, LogUnavailableError):
            self.health.read_failed(write.error)
        if write.error is None and self.listener is not None:
            for event in write.events:
                self.listener(event)
        write.done(write.result, write.error)
