"""How much slower many bystanders are answered while attacks go on beside them."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from typing import Any

from protocol.client import AsyncClient, Client
from tests.hostile.programs.assault import Assault
from tests.hostile.programs.campaign import PATIENCE_SECONDS
from tests.hostile.programs.corpus import Attack

MEMBERS = 50
PAUSE_SECONDS = 0.2
ATTACKERS = 2
"""So many attacks at once as there may be processors to spare."""


@dataclass
class Crowd:
    """Runs of one model, each used by a task of its own with short pauses.

    ``quiet`` and ``attacked``: seconds of the answers in either phase.
    """

    endpoint: str
    quiet: list[float] = field(default_factory=list)
    attacked: list[float] = field(default_factory=list)

    async def attend(self, stop: Callable[[], bool], times: Callable[[], list[float]]) -> None:
        """Use all runs until ``stop``; each answer's seconds go to the list that ``times`` gives then."""
        async with AsyncClient(self.endpoint, timeout_seconds=PATIENCE_SECONDS) as client:
            keys = [(await client.create_run("bystander/model.py")).run_key for _ in range(MEMBERS)]
            uses = (self._use(client, key, place, stop, times) for place, key in enumerate(keys))
            await asyncio.gather(*uses)
            await asyncio.gather(*map(client.evict_run, keys))

    async def _use(
        self,
        client: AsyncClient,
        key: str,
        place: int,
        stop: Callable[[], bool],
        times: Callable[[], list[float]],
    ) -> None:
        # Not all at once: else each would mostly wait for the others.
        await asyncio.sleep(PAUSE_SECONDS * place / MEMBERS)
        expected = 0
        while not stop():
            expected += 1
            began = time.perf_counter()
            answer = await client.call_operation(key, "tick")
            times().append(time.perf_counter() - began)
            if answer != expected:
                raise AssertionError(f"{key} answered {answer} instead of {expected}")
            await asyncio.sleep(PAUSE_SECONDS)


@contextlib.contextmanager
def _attending(crowd: Crowd, times: Callable[[], list[float]]) -> Iterator[None]:
    stopped = threading.Event()

    def attend() -> None:
        asyncio.run(crowd.attend(stopped.is_set, times))

    with ThreadPoolExecutor(1) as thread:
        attending = thread.submit(attend)
        try:
            yield
        finally:
            stopped.set()
            attending.result()


def p99(values: Sequence[float]) -> float:
    """The 99th percentile."""
    return sorted(values)[int(len(values) * 0.99)]


def measure(endpoint: str, world: dict[str, Any], corpus: Sequence[Attack], quiet_seconds: float) -> Crowd:
    """A crowd that was left alone for some seconds, and then had the corpus beside it.

    Raises:
        ProtocolError, AssertionError: a bystander was not answered, or wrongly.
    """
    crowd = Crowd(endpoint)
    phase = [crowd.quiet]

    # In processes of their own, so that the crowd does not wait for the interpreter's lock beside them.
    attackers = ProcessPoolExecutor(ATTACKERS, get_context("spawn"))
    with attackers, _attending(crowd, lambda: phase[-1]):
        list(attackers.map(_warm, range(ATTACKERS)))
        deadline = time.monotonic() + quiet_seconds
        while len(crowd.quiet) < MEMBERS or time.monotonic() < deadline:
            time.sleep(0.05)
        phase.append(crowd.attacked)
        list(attackers.map(partial(_play, endpoint, world), corpus))
    return crowd


def _play(endpoint: str, world: dict[str, Any], attack: Attack) -> list[str]:
    with Client(endpoint, timeout_seconds=PATIENCE_SECONDS) as client:
        return Assault(client, attack, world).play()


def _warm(_number: int) -> None:
    """Have a process started, with what it imports."""
