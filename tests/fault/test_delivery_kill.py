"""SIGKILL between the commit of a status and its delivery: everybody is told all of it, in order, under the same id."""

import asyncio
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from protocol.entities import RunStatus
from protocol.errors import ProtocolError
from worker.log.base import Creation
from worker.log.sqlite import SqliteStore
from worker.runs.profile import RunProfile, StatusChange
from worker.runs.record import RunRecord

R = RunStatus
ADDING = """
from epicenter import Epicenter

total = 0


def add(n):
    global total
    total += n
    Epicenter.record("total", total)
    return total
"""
LASTING = """
import time

x = 1


def double():
    global x
    x *= 2
    return x


def hang():
    time.sleep(3600)
"""
RUNS = 12
COURSE = (R.STARTING, R.EXECUTING, R.READY, R.EXECUTING, R.READY)
QUICKLY = {
    "MODEL_WORKER_DELIVERY_NETWORKS": "127.0.0.0/8",
    "MODEL_WORKER_DELIVERY_FIRST_SECONDS": "0.02",
    "MODEL_WORKER_DELIVERY_MOST_SECONDS": "0.1",
    "MODEL_WORKER_DELIVERY_TOTAL_SECONDS": "60",
    "MODEL_WORKER_DELIVERY_TARGET_LIMIT": "16",
}


def run_of(run_key: str) -> RunRecord:
    return RunRecord(
        run_key=run_key,
        model_file="model.py",
        model_language="PYTHON_3",
        model_fingerprint="f" * 64,
        created_us=10,
        last_modified_us=10,
        seed=7,
        scope={"scope_boundary": "PROJECT", "scope_key": "default"},
        permit={"read_lock": "USER"},
    )


def commit(data: Path, url: str) -> list[str]:
    """The statuses of runs as a worker left them that was killed before it told any of them."""
    run_keys = [f"{number:036d}" for number in range(RUNS)]

    async def main() -> None:
        store = await SqliteStore.open(data)
        for run_key in run_keys:
            profile = RunProfile(
                run_key, "", "n", status=R.CREATED, course={}, on_status_change={"webhook": url}
            )
            await store.create(Creation(run_of(run_key), (), profile=profile))
            for status in COURSE:
                await store.change_status(run_key, StatusChange(status, 20))
        await store.close()

    asyncio.run(main())
    return run_keys


def in_order(told: list[dict[str, Any]]) -> list[int]:
    """The numbers of what was told, without what came again at once."""
    numbers = [one["sequence"] for one in told]
    return [number for place, number in enumerate(numbers) if place == 0 or numbers[place - 1] != number]


def all_told(receiver: Any, run_key: str, last: int) -> None:
    told = receiver.told(run_key)
    assert in_order(told) == list(range(last + 1)), run_key
    assert [one["deliveryId"] for one in told] == [f"{run_key}.{one['sequence']}" for one in told]


def test_what_was_committed_before_a_kill_is_told_after_it(
    make_daemon: Callable[..., Any],
    make_receiver: Callable[[], Any],
    tmp_path: Path,
    model_root: Any,
    wait_until: Callable[..., None],
) -> None:
    receiver, chance = make_receiver(), random.Random(7)
    # One in five is refused, so that kills also meet what waits for its next attempt.
    receiver.status_of = lambda _: 500 if chance.random() < 0.2 else 204
    run_keys = commit(tmp_path / "data", receiver.url)
    daemon = make_daemon(model_root.path, data=str(tmp_path / "data"), env=QUICKLY)

    for told in (1, 20):
        wait_until(lambda told=told: len(receiver.received) >= told)
        daemon.kill()
        daemon.start()
    with daemon.client() as client:
        wait_until(lambda: client.worker_status()["deliveries"]["backlog"] == 0, within=60)

        assert client.worker_status()["deliveries"]["dead_letters"] == 0
    for run_key in run_keys:
        all_told(receiver, run_key, len(COURSE))


def keep_calling(daemon: Any, run_keys: list[str], ends: threading.Event, seed: int) -> None:
    """Ask runs for operations until told to end; what a killed worker does not answer is let go."""
    chance = random.Random(seed)
    while not ends.is_set():
        with suppress(ProtocolError), daemon.client(timeout_seconds=1.0) as client:
            while not ends.is_set():
                client.call_operation(chance.choice(run_keys), "add", [1])


def test_under_load_every_status_is_told_in_order_whenever_the_worker_is_killed(
    make_daemon: Callable[..., Any],
    make_receiver: Callable[[], Any],
    tmp_path: Path,
    model_root: Any,
    wait_until: Callable[..., None],
) -> None:
    receiver, chance, ends = make_receiver(), random.Random(8), threading.Event()
    receiver.status_of = lambda _: 500 if chance.random() < 0.05 else 204
    model_file = model_root.add("adding", ADDING)
    daemon = make_daemon(model_root.path, data=str(tmp_path / "data"), env=QUICKLY)
    with daemon.client() as client:
        started = [client.start_run(model_file, on_status_change={"webhook": receiver.url}) for _ in range(6)]
    run_keys = [answer["run"]["run_key"] for answer in started]
    callers = [
        threading.Thread(target=keep_calling, args=(daemon, run_keys, ends, seed), daemon=True)
        for seed in range(3)
    ]
    for caller in callers:
        caller.start()
    for _ in range(3):
        told = len(receiver.received)
        wait_until(lambda told=told: len(receiver.received) > told + chance.randrange(5, 60))
        daemon.kill()
        daemon.start()
    told = len(receiver.received)
    wait_until(lambda: len(receiver.received) > told + 20)
    ends.set()
    for caller in callers:
        caller.join()

    with daemon.client() as client:
        profiles = [client.get_profile(run_key, wait_seconds=20) for run_key in run_keys]
        wait_until(lambda: client.worker_status()["deliveries"]["backlog"] == 0, within=60)
    for run_key, profile in zip(run_keys, profiles, strict=True):
        all_told(receiver, run_key, profile["status_seq"])


def test_a_run_killed_in_a_request_is_ready_again_with_the_result_it_had(
    make_daemon: Callable[..., Any],
    make_receiver: Callable[[], Any],
    tmp_path: Path,
    model_root: Any,
    wait_until: Callable[..., None],
) -> None:
    receiver = make_receiver()
    model_file = model_root.add("lasting", LASTING, '{"version": "V2", "run": {"result": "double"}}')
    daemon = make_daemon(model_root.path, data=str(tmp_path / "data"), env=QUICKLY)
    with daemon.client() as client:
        target = {"webhook": receiver.url}
        started = client.start_run(model_file, on_status_change=target, wait_seconds=20)
        run_key = started["run"]["run_key"]
        assert [client.call_operation(run_key, "double") for _ in range(2)] == [4, 8]
    seen = len(receiver.received)
    caller = threading.Thread(target=call_and_forget, args=(daemon, run_key, "hang"), daemon=True)
    caller.start()
    wait_until(lambda: len(receiver.received) > seen and receiver.told(run_key)[-1]["status"] == "executing")
    daemon.kill()
    caller.join()

    daemon.start()
    with daemon.client() as client:
        profile = client.get_profile(run_key, wait_seconds=20)
        wait_until(lambda: client.worker_status()["deliveries"]["backlog"] == 0, within=60)

    assert (profile["status"], profile["result"]) == ("ready", 8)
    all_told(receiver, run_key, profile["status_seq"])
    assert receiver.told(run_key)[-1]["result"] == 8


def call_and_forget(daemon: Any, run_key: str, name: str) -> None:
    with suppress(ProtocolError), daemon.client(timeout_seconds=3.0) as client:
        client.call_operation(run_key, name)
