"""SIGKILL around requests that wait for approval: decided once, performed once, or not at all, whatever dies when."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any, Final

import pytest

from protocol.errors import ErrorCode
from tests.fault.programs.lab import Lab, Player

MODEL: Final = """
from epicenter import Epicenter

entries = []
total = 0
note = None


def post(key, amount):
    global total
    entries.append(key)
    total += amount
    Epicenter.record("total", total)
    return [len(entries), total]


def pay(key, amount):
    post(key, amount)
    Epicenter.require_approval("to pay")
    return [len(entries), total]


def close(key, amount):
    return post(key, amount)
"""
CONTEXT: Final = '{"operations": {"close": {"approval": true}}}'
VICTIMS: Final = ("supervisor", "run process")
POINTS: Final = (
    ("pay", "Pause", "before", 1),
    ("pay", "Pause", "after", 1),
    ("pay", "Stop", "before", 1),
    ("pay", "Boot", "after", 2),
    ("pay", "Replay", "before", 1),
    ("pay", "Send", "before", 3),
    ("pay", "Send", "after", 3),
    ("pay", "Append", "before", 2),
    ("pay", "Append", "after", 2),
    ("pay", "Resolve", "after", 3),
    ("close", "Send", "before", 2),
    ("close", "Append", "before", 2),
    ("close", "Append", "after", 2),
)
"""Operation, effect, moment and which time counts: before, between and after pause, decision and performance."""
LANES: Final = 3


async def play(player: Player, model: str, name: str) -> str:
    """Ask for what needs approval, approve it, learn what became of it."""
    created = await player.ask("create_run", None, model_file=model, tracking_key=player.key)
    assert created is not None
    run_key: str = created.result["run_key"]
    await player.post(run_key, 1)
    asking = len(player.asks)
    await player.post(run_key, 10, name, error=ErrorCode.PENDING_APPROVAL)
    await player.ask("decide_action", run_key, steps=0, action_id="3", approved=True)
    key = f"{player.key}/{asking}"
    fields = {"run_key": run_key, "name": name, "arguments": [key, 10], "request_id": key}
    reply = await player.client.request("call_operation", **fields)
    assert reply.result == [2, 11]
    await player.post(run_key, 100)
    return run_key


async def play_cell(lab: Lab, model: str, victim: str, point: tuple[str, str, str, int]) -> None:
    name, effect, moment, nth = point
    key = f"{victim[:3]}-{name}-{effect}-{moment}"
    await lab.arm(key, effect=effect, moment=moment, victim=victim, number=signal.SIGKILL, nth=nth)
    async with lab.client() as client:
        player = Player(client, key)
        async with asyncio.TaskGroup() as tasks:
            playing = tasks.create_task(play(player, model, name))
            fired = lab.fired(key)
            waited: set[asyncio.Future[Any]] = {playing, fired}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            assert fired.done(), f"the script did not come to {key}"
            if victim == "supervisor":
                await lab.died(fired.result()["family"])
                await lab.start()
        await verdict(player, playing.result(), name)


async def verdict(player: Player, run_key: str, name: str) -> None:
    """The approved action stands in the history once, with its decision, and so it is after a replay."""
    client = player.client
    entries = (await client.read_history(run_key))["entries"]
    assert [entry.get("name") for entry in entries] == [None, "post", name, "post"]
    assert [entry.get("approval", {}).get("approved") for entry in entries] == [None, None, True, None]
    profile = await client.get_profile(run_key)
    assert (profile["status"], profile["pending"]) == ("ready", None)
    await client.evict_run(run_key)
    values = await client.read_variables(run_key, ["total", "entries"], ritual="REVIVE")
    assert (values["total"], len(values["entries"])) == (111, 3)


async def play_cells(lab: Lab, model: str, cells: list[Any]) -> dict[Any, BaseException | None]:
    outcomes: dict[Any, BaseException | None] = {}
    async with lab.running():
        for victim, point in cells:
            playing = play_cell(lab, model, victim, point)
            (outcomes[victim, point],) = await asyncio.gather(playing, return_exceptions=True)
    return outcomes


async def play_all(labs: list[Lab], model: str) -> dict[Any, BaseException | None]:
    cells = [(victim, point) for victim in VICTIMS for point in POINTS]
    lanes = [play_cells(lab, model, cells[number :: len(labs)]) for number, lab in enumerate(labs)]
    return {cell: found for outcomes in await asyncio.gather(*lanes) for cell, found in outcomes.items()}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, model_root: Any) -> dict[Any, BaseException | None]:
    model = model_root.add("approved", MODEL, CONTEXT)
    labs = [Lab(tmp_path_factory.mktemp("lab"), model_root.path) for _ in range(LANES)]
    return asyncio.run(play_all(labs, model))


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("point", POINTS, ids=lambda point: "-".join(map(str, point)))
def test_a_kill_around_a_decision_loses_and_doubles_nothing(
    outcomes: dict[Any, BaseException | None], victim: str, point: tuple[str, str, str, int]
) -> None:
    failure = outcomes[victim, point]
    if failure is not None:
        raise failure


@pytest.mark.parametrize("approved", (True, False))
def test_a_worker_that_dies_with_the_decision_under_way_has_made_it_or_not(
    make_daemon: Any, model_root: Any, connect: Callable[..., Any], approved: bool
) -> None:
    model = model_root.add("approved", MODEL, CONTEXT)
    daemon = make_daemon(model_root.path)
    peer = connect(daemon.endpoint)
    run_key = peer.result("create_run", model_file=model)["run_key"]
    fields = {"run_key": run_key, "name": "pay", "arguments": ["x", 10], "request_id": f"asked-{approved}"}
    assert peer.error("call_operation", **fields)["code"] == "PENDING_APPROVAL"
    decision = {
        "run_key": run_key,
        "action_id": "2",
        "approved": approved,
        "request_id": f"decided-{approved}",
    }

    peer.send("decide_action", **decision)
    daemon.kill()
    daemon.start()
    peer = connect(daemon.endpoint)
    assert peer.result("get_profile", run_key=run_key)["status"] in (
        "paused",
        "starting",
        "executing",
        "ready",
    )
    assert peer.result("decide_action", **decision) == {"action_id": "2", "approved": approved}

    reply = peer.ask("call_operation", **fields)
    if approved:
        assert reply["result"] == [1, 10]
    else:
        assert reply["error"]["code"] == "APPROVAL_DENIED"
    entries = peer.result("read_history", run_key=run_key)["entries"]
    assert [entry["kind"] for entry in entries] == ["boot", "execute", *([] if approved else ["rewind"])]


def test_a_request_waits_through_a_kill_as_long_as_nobody_decides(
    make_daemon: Any, model_root: Any, connect: Callable[..., Any]
) -> None:
    model = model_root.add("approved", MODEL, CONTEXT)
    daemon = make_daemon(model_root.path)
    peer = connect(daemon.endpoint)
    run_key = peer.result("create_run", model_file=model)["run_key"]
    fields = {"run_key": run_key, "name": "pay", "arguments": ["x", 10], "request_id": "asked"}
    error = peer.error("call_operation", **fields)

    for _ in range(2):
        daemon.kill()
        daemon.start()
        peer = connect(daemon.endpoint)
        assert peer.result("get_profile", run_key=run_key)["status"] == "paused"
        assert peer.error("call_operation", **fields) == error
        assert (
            peer.error("call_operation", run_key=run_key, name="post", arguments=["y", 1])["code"]
            == "RUN_PAUSED"
        )
        values = peer.result("read_variables", run_key=run_key, names=["total"], ritual="REVIVE")
        assert values == {"total": 0}

    peer.result("decide_action", run_key=run_key, action_id="2", approved=True)
    assert peer.result("call_operation", **fields) == [1, 10]
