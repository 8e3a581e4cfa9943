"""A thousand kills at crash points drawn by chance, under load: supervisors, zygotes and run processes.

MODEL_WORKER_FAULT_KILLS asks for another number (a night's worth), MODEL_WORKER_FAULT_SEED repeats the draws of
a printed seed; which point a draw falls on depends on the moment as well.
"""

import asyncio
import os
import random
import secrets
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from protocol.errors import ErrorCode
from tests.fault.programs.lab import CONTEXT, MODEL, Lab, Player, judge

KILLS: Final = int(os.environ.get("MODEL_WORKER_FAULT_KILLS", "1000"))
KILLS_PER_CHAPTER: Final = 200
KILLS_PER_WORKER: Final = 15
"""Of which the last is its own."""

SHARES: Final = {"run process": 0.04, "zygote": 0.0015}
"""How likely a kill is at each crash point; a request passes about ten of them."""

PLAYERS: Final = 4
RUNS: Final = 4
CHAPTERS: Final = range(-(-KILLS // KILLS_PER_CHAPTER))


@pytest.fixture(scope="module")
def seed() -> int:
    chosen = int(os.environ.get("MODEL_WORKER_FAULT_SEED") or secrets.randbits(32))
    sys.stdout.write(f"MODEL_WORKER_FAULT_SEED={chosen}\n")
    return chosen


@dataclass
class World:
    """The runs of one chapter and all that was ever asked of them."""

    model: str
    run_keys: list[str] = field(default_factory=list)
    players: list[Player] = field(default_factory=list)

    async def judge(self, lab: Lab) -> None:
        """All invariants of all runs."""
        asks = [ask for player in self.players for ask in player.asks]
        assert all(ask.answered for ask in asks)
        async with lab.client() as client:
            await asyncio.gather(
                *(judge(client, key, [ask for ask in asks if ask.run_key == key]) for key in self.run_keys)
            )


async def create(world: World, player: Player) -> None:
    reply = await player.ask("create_run", None, model_file=world.model)
    assert reply is not None
    player.asks[-1].run_key = reply.result["run_key"]
    world.run_keys.append(reply.result["run_key"])
    await player.post(world.run_keys[-1], 1)


async def play(world: World, player: Player, dice: random.Random, stop: asyncio.Event) -> None:
    """One request after the other, until told to stop; each is insisted on until it is answered."""
    while not stop.is_set():
        run_key = dice.choice(world.run_keys)
        draw = dice.random()
        if draw < 0.6:
            await player.post(run_key, dice.randint(1, 9))
        elif draw < 0.7:
            await player.post(run_key, dice.randint(1, 9), "fail", error=ErrorCode.OPERATION_FAILED)
        elif draw < 0.8:
            await player.ask("write_variables", run_key, values={"note": player.key})
        elif draw < 0.9:
            actions = [{"kind": "execute", "name": "post", "arguments": ["one of two", 1]}] * 2
            await player.ask("perform_actions", run_key, steps=2, actions=actions)
        elif draw < 0.98:
            await player.ask("evict_run", run_key, steps=0)
        elif draw < 0.99:
            await player.ask("rewind_run", run_key, to_seq=1)
        else:
            await create(world, player)


async def live_and_die(lab: Lab, world: World, seed: int, kills: int) -> None:
    """One worker under load: it loses its children, then its life; its successor finishes what was asked."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks, lab.client() as client:
        players = [Player(client, f"{seed}.{number}") for number in range(PLAYERS)]
        world.players += players
        playing = [
            tasks.create_task(play(world, player, random.Random(player.key), stop)) for player in players
        ]
        await lab.roll(seed, kills, SHARES)
        last = await lab.fired("")
        await lab.died(last["family"])
        await lab.start()
        stop.set()
        await asyncio.gather(*playing)
    await world.judge(lab)


async def chapter_of(lab: Lab, model: str, dice: random.Random, kills: int) -> None:
    world = World(model)
    async with lab.running():
        async with lab.client() as client:
            founder = Player(client, "founder")
            world.players.append(founder)
            for _ in range(RUNS):
                await create(world, founder)
        while (left := kills - len(lab.struck)) > 0:
            await live_and_die(lab, world, dice.getrandbits(32), min(left, KILLS_PER_WORKER))
    log = lab.logged()
    assert "bug" not in log
    assert "Traceback" not in log


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_kills_at_any_point_lose_and_double_nothing(
    chapter: int, seed: int, tmp_path_factory: pytest.TempPathFactory, model_root: Any
) -> None:
    kills = min(KILLS_PER_CHAPTER, KILLS - chapter * KILLS_PER_CHAPTER)
    model = model_root.add("ledger", MODEL, CONTEXT)
    lab = Lab(tmp_path_factory.mktemp("lab"), model_root.path)

    asyncio.run(chapter_of(lab, model, random.Random(f"{seed}/{chapter}"), kills))

    victims = Counter(strike["victim"] for strike in lab.struck)
    points = Counter(f"{strike['moment']} {strike['effect']}" for strike in lab.struck)
    sys.stdout.write(f"chapter {chapter}: {dict(victims)}, at {dict(points)}\n")
    assert victims.total() == kills
