"""Everybody at once: a thousand runs are asked for in the moment in which a worker has come back."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from protocol.client import AsyncClient
from protocol.entities import Ritual

pytestmark = pytest.mark.alone
RUNS = 1000
RUNS_WITHOUT_ROOM = 300
SOCKETS = 40
PINGS_PER_LOOK = 5
PATIENCE_SECONDS = 110.0
"""For one request; nothing is measured against it."""
MODEL = """
owner = None


def claim(name):
    global owner
    owner = name


def whose():
    return owner
"""
CONTEXT = '{"version": "V2", "operations": {"whose": {"inert": true}}}'


@dataclass
class Watch:
    """What an onlooker saw while a crowd was served.

    ``done``: who was served, in order. ``pings``: how many of the crowd had been served at each pong. ``limits``:
    those of ``worker_status``, again and again.
    """

    done: list[int] = field(default_factory=list)
    pings: list[int] = field(default_factory=list)
    limits: list[dict[str, dict[str, int]]] = field(default_factory=list)
    waited: list[int] = field(default_factory=list)

    def most_used(self, limit: str) -> int:
        return max(seen[limit]["used"] for seen in self.limits)

    def longest_silence(self) -> int:
        """How many of the crowd were served between two pongs at most."""
        points = [0, *self.pings, len(self.done)]
        return max(later - sooner for sooner, later in itertools.pairwise(points))


Serve = Callable[[AsyncClient, int], Coroutine[Any, Any, Any]]


@contextlib.asynccontextmanager
async def clients(endpoint: str, count: int) -> AsyncIterator[list[AsyncClient]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                AsyncClient(endpoint, timeout_seconds=PATIENCE_SECONDS, resend_seconds=PATIENCE_SECONDS)
            )
            for _ in range(count)
        ]


async def crowd(endpoint: str, serve: Serve, size: int = RUNS) -> tuple[list[Any], Watch]:
    """Ask for everything at once; gives the answers in the order of asking, and what was seen meanwhile."""
    watch, progress = Watch(), asyncio.Event()
    async with clients(endpoint, SOCKETS + 1) as (onlooker, *others):

        async def one(number: int) -> Any:
            answer = await serve(others[number % SOCKETS], number)
            watch.done.append(number)
            progress.set()
            return answer

        async def look_on() -> None:
            while len(watch.done) < size:
                progress.clear()
                await onlooker.ping()
                watch.pings.append(len(watch.done))
                if len(watch.pings) % PINGS_PER_LOOK == 0:
                    status = await onlooker.worker_status()
                    watch.limits.append(status["limits"])
                    watch.waited.append(status["runs"]["waiting_for_replay"])
                if watch.limits:  # an onlooker who asks as fast as he can would be a crowd himself
                    await progress.wait()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(look_on())
            asked = [tasks.create_task(one(number)) for number in range(size)]
    return [task.result() for task in asked], watch


@dataclass
class Archive:
    """A thousand runs; ``born``: what was seen while they were created, all at once."""

    daemon: Any
    run_keys: list[str]
    born: Watch

    async def ask(self, client: AsyncClient, number: int) -> Any:
        """Whose run it is; by an operation, or by a variable that no archive has."""
        if number % 2:
            return await client.call_operation(self.run_keys[number], "whose", ritual=Ritual.REANIMATE)
        values = await client.read_variables(self.run_keys[number], ["owner"], ritual=Ritual.REVIVE)
        return values["owner"]

    def restart(self, **env: str) -> None:
        self.daemon.kill()
        self.daemon.env = env
        self.daemon.start()


@pytest.fixture(scope="module")
def archive(make_daemon: Any, model_root: Any) -> Archive:
    model = model_root.add("owned", MODEL, CONTEXT)
    daemon = make_daemon(model_root.path)

    async def create(client: AsyncClient, number: int) -> str:
        run = await client.create_run(model)
        await client.call_operation(run.run_key, "claim", [f"owner {number}"], ritual=Ritual.EXORCISE)
        return run.run_key

    run_keys, born = asyncio.run(crowd(daemon.endpoint, create))
    return Archive(daemon, run_keys, born)


def test_a_thousand_creations_at_once_start_few_processes_at_a_time(archive: Archive) -> None:
    assert len(set(archive.run_keys)) == RUNS
    assert 1 < archive.born.most_used("boot_limit") <= archive.born.limits[0]["boot_limit"]["allowed"]
    assert archive.born.longest_silence() < RUNS / 4


def test_a_thousand_restores_at_once_go_in_bounded_parallel_the_latest_first(archive: Archive) -> None:
    archive.restart()

    owners, watch = asyncio.run(crowd(archive.daemon.endpoint, archive.ask))

    assert owners == [f"owner {number}" for number in range(RUNS)]
    assert watch.most_used("replay_limit") == watch.limits[0]["replay_limit"]["allowed"] == 4
    assert max(watch.waited) > RUNS / 4
    position = {number: place for place, number in enumerate(watch.done)}
    earlier, later = (
        sum(position[number] for number in half) / len(half)
        for half in (range(RUNS // 2), range(RUNS // 2, RUNS))
    )
    assert later < earlier
    assert len(watch.pings) > RUNS / 10
    assert watch.longest_silence() < RUNS / 4


def test_a_crowd_that_does_not_fit_into_memory_is_served_all_the_same(archive: Archive) -> None:
    archive.restart(MODEL_WORKER_LIVE_RUN_LIMIT="50")

    owners, watch = asyncio.run(crowd(archive.daemon.endpoint, archive.ask, RUNS_WITHOUT_ROOM))

    assert owners == [f"owner {number}" for number in range(RUNS_WITHOUT_ROOM)]
    assert watch.most_used("live_run_limit") == 50
    assert watch.most_used("replay_limit") <= 4
    assert len(watch.pings) > RUNS_WITHOUT_ROOM / 10
    assert watch.longest_silence() < RUNS_WITHOUT_ROOM / 4
