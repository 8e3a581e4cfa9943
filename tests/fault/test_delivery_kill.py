"""SIGKILL between the commit of a status and its delivery: everybody is told all of it, in order, under the same id."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.entities import RunStatus
from worker.log.base import Creation
from worker.log.sqlite import SqliteStore
from worker.runs.profile import RunProfile, StatusChange
from worker.runs.record import RunRecord

R = RunStatus
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


@pytest.mark.timeout(110)
def test_every_status_is_told_in_order_however_often_the_worker_is_killed(
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

    for told in (1, 10, 40):
        wait_until(lambda told=told: len(receiver.received) >= told)
        daemon.kill()
        daemon.start()
    with daemon.client() as client:
        wait_until(lambda: client.worker_status()["deliveries"]["backlog"] == 0, within=60)

        for run_key in run_keys:
            told = receiver.told(run_key)
            assert in_order(told) == [0, 1, 2, 3, 4, 5], run_key
            assert {one["deliveryId"] for one in told} == {f"{run_key}.{number}" for number in range(6)}
        assert client.worker_status()["deliveries"]["dead_letters"] == 0
