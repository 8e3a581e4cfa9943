"""Two hundred clients, each with a connection of its own, that want the same run in the same moment."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import zmq

from protocol.client import AsyncClient
from protocol.entities import Run

CLIENTS = 200
Ask = Callable[[AsyncClient], Awaitable[Run]]
MODEL = "counter/model.py"


@pytest.fixture
def crowded(make_daemon: Any, model_root: Any, counter_model: str) -> Any:
    """A worker of its own, so that what it starts and holds can be counted."""
    daemon = make_daemon(model_root.path)
    yield daemon
    daemon.close()


async def together(endpoint: str, ask: Ask) -> list[Run]:
    """What each of the crowd got; all are connected before the first asks."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    clients = [AsyncClient(endpoint, context=context) for _ in range(CLIENTS)]
    try:
        await asyncio.gather(*(client.ping() for client in clients))
        return await asyncio.gather(*(ask(client) for client in clients))
    finally:
        for client in clients:
            await client.close()
        context.term()


def steps(daemon: Any) -> Counter[tuple[str, str]]:
    """How often each step of a life was logged, by what it was and of which run."""
    lines = [json.loads(line) for line in daemon.logged().splitlines()]
    return Counter((line["event"], line["run_key"]) for line in lines if line["event"].startswith("run "))


def run_processes(daemon: Any) -> int:
    """Those that a zygote forked."""
    return sum(child.ppid() != daemon.pid for child in daemon.descendants())


ASKED: tuple[tuple[str, Ask], ...] = (
    ("singular", lambda client: client.create_singular_run(MODEL)),
    ("world", lambda client: client.open_world_run("w", MODEL)),
    ("across sessions", lambda client: client.get_run_with_strategy("reuse-across-sessions", MODEL)),
    (
        "tracking key",
        lambda client: client.get_run_with_strategy("reuse-by-tracking-key", MODEL, tracking_key="t"),
    ),
    (
        "multiplayer",
        lambda client: client.get_run_with_strategy("multiplayer", MODEL, actor={"world_key": "w"}),
    ),
)


@pytest.mark.parametrize("ask", [ask for _, ask in ASKED], ids=[name for name, _ in ASKED])
def test_all_get_the_one_run_that_is_created(crowded: Any, ask: Ask) -> None:
    runs = asyncio.run(together(crowded.endpoint, ask))

    (run_key,) = {run.run_key for run in runs}
    assert all(run.live for run in runs)
    with crowded.client() as client:
        page = client.query_runs()
        status = client.worker_status()
    assert [found["run_key"] for found in page["values"]] == [run_key]
    assert status["runs"]["live"] == 1
    assert run_processes(crowded) == 1
    assert steps(crowded) == {("run created", run_key): 1}


@pytest.mark.parametrize(
    "name_of",
    (
        lambda run_key: lambda client: client.restore_run(run_key),
        lambda _: lambda client: client.open_world_run("w", MODEL),
    ),
    ids=("restore_run", "open_world_run"),
)
def test_all_get_the_one_run_that_is_restored(crowded: Any, name_of: Callable[[str], Ask]) -> None:
    with crowded.client() as client:
        run_key = client.open_world_run("w", MODEL).run_key
        client.call_operation(run_key, "add", [7])
        client.evict_run(run_key)

    runs = asyncio.run(together(crowded.endpoint, name_of(run_key)))

    assert {(run.run_key, run.live, run.seq) for run in runs} == {(run_key, True, 2)}
    assert run_processes(crowded) == 1
    told = steps(crowded)
    assert (told["run created", run_key], told["run restored", run_key]) == (1, 1)
    assert sum(told.values()) == 3
