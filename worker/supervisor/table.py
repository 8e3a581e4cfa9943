"""The table of hosted runs: at most one incarnation per run key, requests to a run in arrival order."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from protocol.entities import RunStatus
from protocol.errors import ErrorCode
from worker.errors import CapacityError, RequestError, WorkerError
from worker.log.base import Binding, EventListener, Store, StoredEvent
from worker.log.memory import MemoryStore
from worker.runs.record import RunRecord
from worker.runs.stimuli import ProcessState, Work
from worker.supervisor.host import ReroutedError, RunHost
from worker.supervisor.incarnation import Incarnation
from worker.supervisor.memory import MemoryAccount
from worker.waiting import Gates, awaited

LEFT_RUNS: Final = 10_000
"""So many runs that were not stored are remembered when they have left memory."""


class Stores:
    """Where runs are kept: the durable store, and memory for runs that write nothing.

    An ephemeral incarnation of a durable run hides it until it is evicted.
    """

    def __init__(self, durable: Store) -> None:
        self.durable = durable
        self.ephemeral = MemoryStore()
        self._ephemeral_keys: set[str] = set()
        self._shadows: set[str] = set()
        self._left: dict[str, None] = {}

    def of(self, run_key: str) -> Store:
        """The store that serves a run now."""
        return self.ephemeral if run_key in self._ephemeral_keys else self.durable

    def listen(self, listener: EventListener) -> None:
        """Have ``listener`` called with the events of all runs, but not of shadows: theirs are not the run's."""

        def unless_shadow(event: StoredEvent) -> None:
            if event.run_key not in self._shadows:
                listener(event)

        self.durable.listen(listener)
        self.ephemeral.listen(unless_shadow)

    def with_events_of(self, run_key: str) -> Store:
        """The store that has a run's events."""
        return self.durable if run_key in self._shadows else self.of(run_key)

    def mark_ephemeral(self, run_key: str, *, shadow: bool = False) -> None:
        """From now on the run is served from memory; ``shadow``: as a copy of a durable one."""
        self._ephemeral_keys.add(run_key)
        if shadow:
            self._shadows.add(run_key)

    def is_ephemeral(self, run_key: str) -> bool:
        """Whether a run is kept in memory only; a shadow of a stored run is not one."""
        return run_key in self._ephemeral_keys and run_key not in self._shadows

    async def bound_run(self, binding: Binding) -> str | None:
        """The run that is bound: a stored one, else an ephemeral one."""
        found = await self.durable.bound_run(binding)
        if found is None:
            found = await self.ephemeral.bound_run(binding)
            return found if found is not None and self.is_ephemeral(found) else None
        return found

    def unmark(self, run_key: str) -> None:
        """From now on what is kept in memory of the run is hidden; ``forget`` drops it."""
        self._ephemeral_keys.discard(run_key)

    def leave(self, run_key: str) -> None:
        """A run that was started, and is not stored, left memory: of the last ones it can be said why they are not there."""
        self._left[run_key] = None
        if len(self._left) > LEFT_RUNS:
            del self._left[next(iter(self._left))]

    def erase(self, run_key: str) -> None:
        """A run was deleted, and is not there like one that never was."""
        self._left.pop(run_key, None)

    async def forget(self, run_key: str) -> None:
        """Drop an ephemeral run."""
        self.unmark(run_key)
        await self.ephemeral.remove(run_key)
        self._shadows.discard(run_key)

    async def get(self, run_key: str) -> RunRecord:
        """The run's row.

        Raises:
            RequestError: RUN_NOT_FOUND, RUN_EPHEMERAL.
        """
        record = await self.of(run_key).get(run_key)
        if record is not None:
            return record
        if run_key in self._left:
            message = (
                f"run {run_key} was not stored and has left memory: nothing of it is left to come back from"
            )
            raise RequestError(ErrorCode.RUN_EPHEMERAL, message, run_key=run_key, applied="no")
        raise not_found(run_key)

    async def status_of(self, run_key: str) -> RunStatus:
        """The durable status of a run."""
        profile = await self.of(run_key).read_profile(run_key)
        return RunStatus.READY if profile is None else profile.status


@dataclass(frozen=True, slots=True)
class _Shortage:
    """Why there is no room for a run; with a ``project``, its idle runs alone can make some."""

    refusal: CapacityError
    project: str | None = None

    def is_eased_by(self, host: RunHost) -> bool:
        return self.project is None or self.project == host.incarnation.record.project


class RunTable:
    """Hosts by run key. ``make_host`` builds a host whose release calls ``release``.

    ``limit``: runs in memory at once, ``project_limits``: the same of projects; ``memory``: what they hold, and may hold. ``keep_seconds``: how long an ephemeral run whose process was lost waits
    to be asked for again. ``waiting``: how many wait for a place.
    """

    def __init__(
        self,
        make_host: Callable[[Incarnation], RunHost],
        stores: Stores,
        *,
        limit: int,
        project_limits: Mapping[str, int],
        memory: MemoryAccount,
        keep_seconds: float,
    ) -> None:
        self._make_host = make_host
        self._stores = stores
        self._limit = limit
        self._project_limits = project_limits
        self._of_projects: Counter[str] = Counter()
        self._memory = memory
        memory.on_excess = self._relieve
        self._admission = asyncio.Lock()
        self.waiting = 0
        self._keep_seconds = keep_seconds
        self._closing = False
        self._replaced: set[str] = set()
        self._hosts: dict[str, RunHost] = {}
        self._gates = Gates()
        self._gone: dict[str, asyncio.Future[None]] = {}
        self._forgetting: set[asyncio.Task[None]] = set()
        self._kept: dict[str, asyncio.TimerHandle] = {}

    def gate(self, run_key: str) -> asyncio.Lock:
        """The lock that requests to one run pass in arrival order while they are routed."""
        return self._gates.of(run_key)

    def get(self, run_key: str) -> RunHost | None:
        """The host of a run that is in memory, coming into it, or leaving it."""
        return self._hosts.get(run_key)

    def at_hand(self, run_key: str) -> RunHost | None:
        """The host of a run that is in memory, stays there, and is asked by nobody who still waits to be routed."""
        host = self._hosts.get(run_key)
        if host is None or not host.live or host.run.ending or self._gates.is_locked(run_key):
            return None
        return host

    def hosts(self) -> list[RunHost]:
        """All hosts."""
        return list(self._hosts.values())

    def count_of(self, project: str) -> int:
        """How many hosts there are of a project's runs."""
        return self._of_projects[project]

    async def start(self, incarnation: Incarnation, still_wanted: Callable[[], None]) -> RunHost:
        """Make a host; at a limit the least recently used idle runs make room, one after the other.

        The caller gives it work at once. ``still_wanted`` is asked last and may raise what ends the request.

        Raises:
            CapacityError: there is no room, and every run in memory is at work.
            WorkerError: DRAINING, LOG_UNAVAILABLE; nothing was started.
        """
        await incarnation.store.check()
        self.waiting += 1
        try:
            # One after the other, in order: a crowd that looked for room together would look all day.
            async with self._admission:
                while (shortage := self._shortage(incarnation)) is not None:
                    await self._make_room(shortage)
                still_wanted()
                return self._enter(incarnation)
        finally:
            self.waiting -= 1

    def _enter(self, incarnation: Incarnation) -> RunHost:
        if self._closing:
            raise draining()
        host = self._make_host(incarnation)
        self._hosts[incarnation.run_key] = host
        self._of_projects[incarnation.record.project] += 1
        self._keep_no_longer(incarnation.run_key)
        self._gone[incarnation.run_key] = asyncio.get_running_loop().create_future()
        self._memory.admit(host, incarnation.model.place)
        return host

    def release(self, host: RunHost, lost: bool) -> None:
        """The host is finished.

        A run kept only in memory ends with it, unless a failure ended its process or another host follows.
        """
        run_key = host.run_key
        if self._hosts.pop(run_key, None) is not None:
            self._of_projects[host.incarnation.record.project] -= 1
        self._memory.drop(host)
        if host.incarnation.ephemeral and run_key not in self._replaced:
            profile = host.incarnation.profile
            if profile is not None and profile.course is not None and self._stores.is_ephemeral(run_key):
                self._stores.leave(run_key)
            if lost and (host.run.came_up or host.incarnation.continues_ephemeral):
                self._keep_for_a_while(host)
            else:
                self._forget(run_key)
        self._replaced.discard(run_key)
        gone = self._gone.pop(run_key, None)
        if gone is not None and not gone.done():
            gone.set_result(None)

    async def replace(self, host: RunHost, reason: str, request_id: str) -> None:
        """Take a run out of memory for an incarnation that follows at once, as a request wants it."""
        self._replaced.add(host.run_key)
        host.evict(reason, request_id)
        await self.gone(host.run_key)

    async def settled(self, run_key: str) -> None:
        """Wait while the run is leaving memory, or will after what was asked of it.

        The caller holds the gate, so that requests behind it keep their order and nobody starts the run.

        Raises:
            CapacityError: too many wait for this run already.
        """
        while (host := self.get(run_key)) is not None and host.run.ending:
            try:
                await awaited(partial(host.submit, Work("")))
            except ReroutedError:
                continue
            except WorkerError as error:
                if not never_came_up(host, error):
                    raise
                await self.gone(run_key)

    async def gone(self, run_key: str) -> None:
        """Wait until the run is out of memory."""
        waiting = self._gone.get(run_key)
        if waiting is not None:
            await asyncio.shield(waiting)

    async def evict_all(self, reason: str) -> None:
        """Take every run out of memory, each after its current request; none comes back."""
        self._closing = True
        for host in self.hosts():
            host.evict(reason)
        while self._gone:
            await asyncio.wait(list(self._gone.values()))

    async def forget(self, run_key: str) -> None:
        """Drop what is kept in memory of a run that is out of it."""
        self._keep_no_longer(run_key)
        await self._stores.forget(run_key)

    def _keep_for_a_while(self, host: RunHost) -> None:
        if not host.record.perpetual:
            self._kept[host.run_key] = asyncio.get_running_loop().call_later(
                self._keep_seconds, self._forget, host.run_key
            )

    def _keep_no_longer(self, run_key: str) -> None:
        timer = self._kept.pop(run_key, None)
        if timer is not None:
            timer.cancel()

    def _forget(self, run_key: str) -> None:
        self._keep_no_longer(run_key)
        # Hidden at once, dropped in a moment: the next request must not find it in between.
        self._stores.unmark(run_key)
        task = asyncio.get_running_loop().create_task(self._stores.forget(run_key))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    def _shortage(self, incarnation: Incarnation) -> _Shortage | None:
        """Why there is no room for a run; None where there is.

        The project's limit comes first: what makes room under it makes room under the others too. A run that comes
        into an empty memory is taken in any case: nothing could make more room for it.
        """
        project = incarnation.record.project
        allowed, used = self._project_limits.get(project), self._of_projects[project]
        if allowed is not None and used >= allowed:
            message = f"{used} runs of project {project} are in memory and all are at work"
            limit = f"projects.{project}.live_run_limit"
            return _Shortage(CapacityError(message, limit=limit, used=used, allowed=allowed), project)
        used = len(self._hosts)
        if used >= self._limit:
            message = f"{used} runs are in memory and all are at work"
            return _Shortage(CapacityError(message, limit="live_run_limit", used=used, allowed=self._limit))
        memory = self._memory
        if used and memory.used_bytes + memory.expected(incarnation.model.place) > memory.allowed_bytes:
            message = f"the runs in memory hold {memory.used_bytes} bytes and all are at work"
            return _Shortage(
                CapacityError(
                    message, limit="total_memory_bytes", used=memory.used_bytes, allowed=memory.allowed_bytes
                )
            )
        return None

    async def _make_room(self, shortage: _Shortage) -> None:
        stopping = list(filter(shortage.is_eased_by, self._in_state(ProcessState.STOPPING)))
        if not stopping:
            idle = list(filter(shortage.is_eased_by, self._idle_oldest_first()))
            if not idle:
                raise shortage.refusal
            idle[0].evict("capacity")
            stopping = [idle[0]]
        await self.gone(stopping[0].run_key)

    def _relieve(self) -> None:
        """Evict as many idle runs as hold what is too much; those at work are left alone."""
        leaving = sum(self._memory.of(host.run_key) for host in self._in_state(ProcessState.STOPPING))
        excess = self._memory.used_bytes - self._memory.allowed_bytes - leaving
        for host in self._idle_oldest_first():
            if excess <= 0:
                return
            excess -= self._memory.of(host.run_key)
            host.evict("capacity")

    def _in_state(self, state: ProcessState) -> list[RunHost]:
        return [host for host in self._hosts.values() if host.run.state is state]

    def _idle_oldest_first(self) -> list[RunHost]:
        """Idle runs, the least recently used first; ephemeral ones last, because they cannot come back."""
        return sorted(
            self._in_state(ProcessState.IDLE), key=lambda host: (host.incarnation.ephemeral, host.last_used)
        )


def not_found(run_key: str) -> RequestError:
    """The refusal of a run that does not exist."""
    return RequestError(ErrorCode.RUN_NOT_FOUND, f"there is no run {run_key}", run_key=run_key)


def draining() -> WorkerError:
    """The refusal of what would have to start while the worker ends."""
    message = "this worker is draining and takes no new requests; ask another one"
    return WorkerError(ErrorCode.DRAINING, message, applied="no")


def never_came_up(host: RunHost, error: WorkerError) -> bool:
    """Whether a request failed only because the run that it waited for did not come into memory."""
    own = (ErrorCode.CAPACITY, ErrorCode.DEADLINE_EXCEEDED)
    return not host.run.came_up and error.code not in own
