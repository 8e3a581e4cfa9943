"""Each effect × before and after × supervisor, run process and zygote × killed and stopped.

A script of requests is played against a real worker; where its run first reaches the crash point, the victim
gets the signal. The client insists, under the same request_ids. Then the invariants are judged.
"""

import asyncio
import itertools
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import pytest

from protocol.errors import ErrorCode, ProtocolError
from tests.fault.programs.lab import CONTEXT, MODEL, Lab, Player, judge

EFFECTS: Final = (
    *("Boot", "Replay", "Commit", "Send", "Append", "Resolve", "Reject", "Reroute", "Stop", "Rested"),
    *("Released", "Pause", "Publish", "Reply"),
)
NTH: Final = {"Resolve": 2, "Rested": 2, "Publish": 2, "Reply": 2}
"""Which time counts: the first is the creation's, the second that of an operation that was recorded."""

MOMENTS: Final = ("before", "after")
VICTIMS: Final = ("supervisor", "run process", "zygote")
SIGNALS: Final = (signal.SIGKILL, signal.SIGSTOP)
IMPOSSIBLE: Final = {
    ("Boot", "before"): "the process is what Boot starts",
    ("Stop", "after"): "Stop is done when the process is reaped",
    ("Reroute", "before"): "work is handed back when the process is reaped",
    ("Reroute", "after"): "work is handed back when the process is reaped",
    ("Released", "before"): "the incarnation is released when the process is reaped",
    ("Released", "after"): "the incarnation is released when the process is reaped",
}
"""Points at which there is no run process to strike. The test proves it: the point is reached, without one."""

STOPPED_CLIENT: Final = {"timeout_seconds": 0.3, "resend_seconds": 0.1}
"""Of those who ask a stopped supervisor: they give up, so that their question after it goes on is a new one."""

LANES: Final = 4
SETTINGS: Final = {"operation_timeout_seconds": 2.0, "inception_grace_seconds": 10.0}


@dataclass(frozen=True)
class Cell:
    """One place of the matrix."""

    effect: str
    moment: str
    victim: str
    number: signal.Signals

    @property
    def key(self) -> str:
        """Names the cell; its run's tracking key."""
        return f"{self.moment}-{self.effect}-{self.victim.replace(' ', '-')}-{self.number.name}"

    @property
    def possible(self) -> bool:
        """Whether there is such a victim at this point."""
        return self.victim != "run process" or (self.effect, self.moment) not in IMPOSSIBLE


CELLS: Final = [Cell(*place) for place in itertools.product(EFFECTS, MOMENTS, VICTIMS, SIGNALS)]


async def play(player: Player, model: str) -> tuple[str, str]:
    """The script: every effect occurs in it. Gives the run and its clone."""
    created = await player.ask("create_run", None, model_file=model, tracking_key=player.key)
    assert created is not None
    run_key: str = created.result["run_key"]
    await player.post(run_key, 1)
    actions = [
        {"kind": "execute", "name": "post", "arguments": ["both", 2]},
        {"kind": "set", "name": "note", "value": player.key},
    ]
    await player.ask("perform_actions", run_key, steps=2, actions=actions)
    await player.post(run_key, 4, "fail", error=ErrorCode.OPERATION_FAILED)
    await player.post(run_key, 0, "stall", steps=0, error=ErrorCode.OPERATION_TIMEOUT)
    await player.post(run_key, 8)
    await player.ask("evict_run", run_key, steps=0)
    await player.post(run_key, 16)
    # The second is asked while the first is ending the run, so it is handed back.
    await asyncio.gather(player.post(run_key, 0, "linger", ritual="EXORCISE"), player.post(run_key, 32))
    await player.pay(run_key, 64, action_id="10")
    await player.ask("rewind_run", run_key, rewind_count=1)
    clone = await player.ask("clone_run", run_key, steps=0)
    assert clone is not None
    await player.post(clone.result["run_key"], 128)
    return run_key, clone.result["run_key"]


async def verdict(player: Player, run_key: str, clone: str) -> None:
    """Judge both runs of a played script."""
    assert all(ask.answered for ask in player.asks)
    acknowledged = [ask for ask in player.asks if ask.run_key in (None, run_key)]
    entries = await judge(player.client, run_key, acknowledged)
    keys = [entry["request_id"] for entry in entries if entry["kind"] != "rewind"]
    assert len(keys) == 10, "each step of the script is in the log, once"
    copied = await judge(player.client, clone, [ask for ask in player.asks if ask.run_key == clone])
    assert [entry["seq"] for entry in copied] == list(range(1, len(entries) + 2))


Strike = Callable[[Lab, Cell, dict[str, Any]], Awaitable[None]]
"""What belongs to a fault after it happened, while the script goes on."""


async def get_over_it(_lab: Lab, _cell: Cell, _fired: dict[str, Any]) -> None:
    """The worker does so alone."""


async def start_successor(lab: Lab, _cell: Cell, fired: dict[str, Any]) -> None:
    await lab.died(fired["family"])
    await lab.start()


async def leave_unanswered(lab: Lab, _cell: Cell, _fired: dict[str, Any]) -> None:
    """A stopped supervisor answers nobody, the script's client included; then it goes on."""
    async with lab.client(**STOPPED_CLIENT) as client:
        with pytest.raises(ProtocolError) as failure:
            await client.ping()
    assert failure.value.code is ErrorCode.DEADLINE_EXCEEDED
    os.kill(lab.pid, signal.SIGCONT)


async def serve_others(lab: Lab, cell: Cell, fired: dict[str, Any]) -> None:
    """What is in memory needs no zygote; what is not comes up when the zygote goes on."""
    async with lab.client() as client:
        assert (await client.call_operation(lab.bystander, "post", [cell.key, 1]))[1] > 0
    os.kill(fired["pid"], signal.SIGCONT)


AFTERMATH: Final[dict[tuple[str, signal.Signals], Strike]] = {
    ("supervisor", signal.SIGKILL): start_successor,
    ("supervisor", signal.SIGSTOP): leave_unanswered,
    ("run process", signal.SIGKILL): get_over_it,
    ("run process", signal.SIGSTOP): get_over_it,
    ("zygote", signal.SIGKILL): get_over_it,
    ("zygote", signal.SIGSTOP): serve_others,
}


async def play_cell(lab: Lab, cell: Cell, model: str) -> None:
    """Play the script with a fault, and judge what became of it."""
    await lab.arm(
        cell.key,
        effect=cell.effect,
        moment=cell.moment,
        victim=cell.victim,
        number=cell.number,
        nth=NTH.get(cell.effect, 1),
    )
    stopped = (cell.victim, cell.number) == ("supervisor", signal.SIGSTOP)
    async with lab.client(**(STOPPED_CLIENT if stopped else {})) as asking, lab.client() as judging:
        player = Player(asking, cell.key)
        async with asyncio.TaskGroup() as tasks:
            playing = tasks.create_task(play(player, model))
            fired = lab.fired(cell.key)
            waited: set[asyncio.Future[Any]] = {playing, fired}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            assert fired.done(), f"the script did not come to {cell.key}"
            assert (fired.result()["pid"] is not None) == cell.possible
            if cell.possible:
                await AFTERMATH[cell.victim, cell.number](lab, cell, fired.result())
        player.client = judging
        await verdict(player, *playing.result())


async def play_cells(lab: Lab, cells: list[Cell], model: str) -> dict[Cell, BaseException | None]:
    """What each cell came to. A run process concerns one run, so those cells are played side by side."""
    async with lab.running(), lab.client() as client:
        lab.bystander = (await client.create_run(model)).run_key
        if cells[0].victim == "run process":
            playing = [play_cell(lab, cell, model) for cell in cells]
            return dict(zip(cells, await asyncio.gather(*playing, return_exceptions=True), strict=True))
        return {cell: await failure_of(play_cell(lab, cell, model)) for cell in cells}


async def play_in_lanes(labs: list[Lab], cells: list[Cell], model: str) -> dict[Cell, BaseException | None]:
    """The cells dealt out to labs; most of the time each waits for something."""
    lanes = [play_cells(lab, cells[first :: len(labs)], model) for first, lab in enumerate(labs)]
    return {cell: outcome for lane in await asyncio.gather(*lanes) for cell, outcome in lane.items()}


async def failure_of(playing: Coroutine[Any, Any, None]) -> BaseException | None:
    return (await asyncio.gather(playing, return_exceptions=True))[0]


@pytest.fixture(scope="module")
def outcome_of(
    tmp_path_factory: pytest.TempPathFactory, model_root: Any
) -> Callable[[Cell], BaseException | None]:
    """What a cell came to; the cells of one victim and signal are played when the first of them is asked for."""
    model = model_root.add("ledger", MODEL, CONTEXT)
    outcomes: dict[Cell, BaseException | None] = {}

    def outcome(cell: Cell) -> BaseException | None:
        if cell not in outcomes:
            cells = [one for one in CELLS if (one.victim, one.number) == (cell.victim, cell.number)]
            labs = [
                Lab(tmp_path_factory.mktemp("lab"), model_root.path, **SETTINGS)
                for _ in range(1 if cell.victim == "run process" else LANES)
            ]
            outcomes.update(asyncio.run(play_in_lanes(labs, cells, model)))
        return outcomes[cell]

    return outcome


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.key)
def test_a_fault_at_a_crash_point_loses_and_doubles_nothing(
    cell: Cell, outcome_of: Callable[[Cell], BaseException | None]
) -> None:
    failure = outcome_of(cell)
    if failure is not None:
        raise failure
