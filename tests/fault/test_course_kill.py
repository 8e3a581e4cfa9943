"""SIGKILL of the worker at every effect of a run's course: the next worker takes it up, and does nothing twice."""

import asyncio
import signal
from pathlib import Path
from typing import Any, Final

import pytest

from protocol.client import AsyncClient
from tests.fault.programs.lab import CONTEXT, MODEL, PATIENCE_SECONDS, Lab, history, state_of

POINTS: Final = (
    *((effect, moment, 1) for effect in ("Boot", "Commit") for moment in ("before", "after")),
    *(
        (effect, moment, nth)
        for effect in ("Send", "Append")
        for moment in ("before", "after")
        for nth in (1, 3)
    ),
    *(("Resolve", "before", nth) for nth in (1, 2, 4)),
    ("Rested", "after", 1),
    ("Publish", "before", 2),
    ("Publish", "after", 4),
)
"""Effect, moment, and which time counts: of the boot, of the first action and of the last."""

LANES: Final = 3
ACTIONS: Final[list[dict[str, Any]]] = [
    {"kind": "execute", "name": "post", "arguments": ["a", 1]},
    {"kind": "set", "name": "note", "value": "n"},
    {"kind": "execute", "name": "post", "arguments": ["b", 2]},
]
STATUSES: Final = ["starting", "executing", "ready"]


async def start(client: AsyncClient, model: str, key: str) -> dict[str, Any]:
    """Start a run, again and again under the same ids until it is answered."""
    answer = await client.start_run(
        model, tracking_key=key, run_id=key, actions=ACTIONS, request_id=key, allow_channel=True
    )
    run: dict[str, Any] = answer["run"]
    return run


async def come_to_rest(client: AsyncClient, run_key: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            profile = await client.get_profile(run_key, wait_seconds=5)
            if profile["status"] in ("ready", "failed"):
                return profile


async def play(lab: Lab, model: str, effect: str, moment: str, nth: int) -> None:
    key = f"{effect}-{moment}-{nth}"
    await lab.arm(key, effect=effect, moment=moment, victim="supervisor", number=signal.SIGKILL, nth=nth)
    async with lab.client(timeout_seconds=PATIENCE_SECONDS, resend_seconds=0.5) as client:
        starting = asyncio.create_task(start(client, model, key))
        async with asyncio.timeout(PATIENCE_SECONDS):
            fired = await lab.fired(key)
        await lab.died(fired["family"])
        await lab.start()
        run_key = (await starting)["run_key"]

        profile = await come_to_rest(client, run_key)

        assert (profile["status"], profile["result"], profile["error"]) == ("ready", [2, 3], None), key
        entries = await history(client, run_key)
        requests = [entry.get("request_id") for entry in entries]
        assert requests == [key, *(f"{run_key}:{number}" for number in (1, 2, 3))], key
        names = ["entries", "total", "note"]
        assert await client.read_variables(run_key, names, ritual="REVIVE") == state_of(entries), key
        told = [
            event["to"]
            for event in (await client.read_events(run_key))["events"]
            if event["kind"] == "status"
        ]
        assert told == STATUSES, key
        assert profile["status_seq"] == len(STATUSES)


async def play_lane(lab: Lab, model: str, points: list[tuple[str, str, int]]) -> None:
    async with lab.running():
        for effect, moment, nth in points:
            await play(lab, model, effect, moment, nth)


@pytest.mark.timeout(200)
def test_a_course_is_taken_up_where_the_worker_was_killed(
    tmp_path_factory: pytest.TempPathFactory, model_root: Any
) -> None:
    model = model_root.add("ledger", MODEL, CONTEXT)

    async def main() -> None:
        labs = [Lab(tmp_path_factory.mktemp("lab"), model_root.path) for _ in range(LANES)]
        async with asyncio.TaskGroup() as lanes:
            for number, lab in enumerate(labs):
                lanes.create_task(play_lane(lab, model, list(POINTS[number::LANES])))

    asyncio.run(main())


def test_a_worker_that_is_killed_right_after_the_answer_has_the_run(
    make_daemon: Any, model_root: Any, tmp_path: Path
) -> None:
    model = model_root.add("ledger", MODEL, CONTEXT)
    daemon = make_daemon(model_root.path, data=str(tmp_path / "data"))
    with daemon.client() as client:
        started = [client.start_run(model, actions=ACTIONS)["run"]["run_key"] for _ in range(20)]
    daemon.kill()
    daemon.start()

    with daemon.client() as client:
        for run_key in started:
            profile = client.get_profile(run_key, wait_seconds=20)
            assert (profile["status"], profile["result"], profile["seq"]) == ("ready", [2, 3], 4)
