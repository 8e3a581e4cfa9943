"""The supervisor is killed while a shared run is made or closed: no run without its name, no name without its run."""

import asyncio
import itertools
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from protocol.client import AsyncClient
from tests.fault.programs.lab import CONTEXT, MODEL, PATIENCE_SECONDS, Lab, Player

POINTS: Final = list(itertools.product(("Commit", "Publish", "Reply"), ("before", "after")))
WORLD: Final = "w"
MAKING: Final[dict[str, dict[str, Any]]] = {
    "open_world_run": {"world_key": WORLD},
    "create_singular_run": {},
    "get_run_with_strategy": {"strategy": "multiplayer", "actor": {"world_key": WORLD}},
}
Scene = Callable[[Lab, AsyncClient, str], Awaitable[None]]


def play(folder: Path, models: Any, scene: Scene) -> None:
    async def main() -> None:
        model = models.add("ledger", MODEL, CONTEXT)
        lab = Lab(folder, models.path)
        async with lab.running(), lab.client() as client:
            await scene(lab, client, model)

    asyncio.run(main())


async def killed_while(lab: Lab, key: str, asking: Awaitable[Any], **point: Any) -> Any:
    """What a request comes to whose worker is killed at a point and followed by another one."""
    await lab.arm(key, victim="supervisor", number=signal.SIGKILL, **point)
    asked = asyncio.ensure_future(asking)
    async with asyncio.timeout(PATIENCE_SECONDS):
        fired = await lab.fired(key)
    await lab.died(fired["family"])
    await lab.start()
    return await asked


async def found(client: AsyncClient, key: str) -> list[str]:
    """All runs with a tracking key."""
    page = await client.query_runs(filter=f"run.tracking_key={key}")
    return [run["run_key"] for run in page["values"]]


@pytest.mark.parametrize("type_", sorted(MAKING))
def test_a_kill_while_a_shared_run_is_made_leaves_one_run_that_is_found(
    type_: str, tmp_path_factory: pytest.TempPathFactory, model_root: Any
) -> None:
    async def scene(lab: Lab, client: AsyncClient, model: str) -> None:
        for effect, moment in POINTS:
            key = f"{effect}-{moment}"
            player = Player(client, key)
            fields = {"model_file": model, "tracking_key": key, **MAKING[type_]}

            making = player.ask(type_, None, **fields)
            reply = await killed_while(lab, key, making, effect=effect, moment=moment)

            run_key = reply.result["run_key"]
            assert await found(client, key) == [run_key], key
            again = await client.request(type_, **{**fields, "tracking_key": "other"})
            assert again.result["run_key"] == run_key, key
            await client.update_run(run_key, closed=True)

    play(tmp_path_factory.mktemp("lab"), model_root, scene)


@pytest.mark.parametrize(("effect", "nth"), (("Stop", 1), ("Publish", 1), ("Publish", 2)))
@pytest.mark.parametrize("moment", ("before", "after"))
def test_a_kill_while_a_worlds_run_is_closed_leaves_it_to_the_repetition(
    effect: str, nth: int, moment: str, tmp_path_factory: pytest.TempPathFactory, model_root: Any
) -> None:
    """The process ends, an event tells of the eviction, one of the closing; then the world is free."""

    async def scene(lab: Lab, client: AsyncClient, model: str) -> None:
        first = (await client.open_world_run(WORLD, model, tracking_key="closed")).run_key

        closing = Player(client, "closing").ask("close_world_run", None, world_key=WORLD)
        reply = await killed_while(lab, "closed", closing, effect=effect, moment=moment, nth=nth)

        assert reply.result is None
        assert (await client.get_run(first)).closed
        await client.update_run(first, closed=False)
        second = await client.open_world_run(WORLD, model)
        assert second.run_key != first

    play(tmp_path_factory.mktemp("lab"), model_root, scene)
