"""The whole corpus against one worker: several victims at once, beside a bystander that must notice nothing."""

import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

import psutil

from protocol.client import Client
from protocol.errors import ProtocolError
from tests.hostile.programs.assault import Assault
from tests.hostile.programs.corpus import Attack
from tests.hostile.programs.grounds import Grounds

AT_ONCE = 6
PATIENCE_SECONDS = 60.0
LIFE = 400
"""So often a bystander is used before it is evicted and comes back, so that its CPU time lasts."""


@dataclass
class Bystander:
    """A run that is used without pause, by a client of its own, while something else goes wrong.

    ``milliseconds``: of each answer. ``failure``: the first thing that was not right, None if nothing.
    """

    client: Client
    milliseconds: list[float] = field(default_factory=list)
    failure: Exception | None = None
    pause_seconds: float = 0.002

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self.run_key = self.client.create_run("bystander/model.py").run_key
        self._thread = threading.Thread(target=self._use)
        self._thread.start()
        return self

    def _use(self) -> None:
        try:
            while not self._stop.wait(self.pause_seconds):
                self._tick()
        except (ProtocolError, AssertionError) as error:
            self.failure = error

    def _tick(self) -> None:
        began = time.perf_counter()
        answer = self.client.call_operation(self.run_key, "tick")
        self.milliseconds.append((time.perf_counter() - began) * 1000)
        expected = len(self.milliseconds)
        if answer != expected:
            raise AssertionError(f"the bystander answered {answer} instead of {expected}")
        if expected % LIFE == 0:
            self.client.evict_run(self.run_key)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self.failure is None:
            self.client.evict_run(self.run_key)

    def report(self) -> str:
        """What it saw, for a person."""
        told = self.milliseconds or [0.0]
        return f"{len(self.milliseconds)} answers, median {statistics.median(told):.1f} ms, longest {max(told):.1f} ms"


@dataclass(frozen=True)
class Round:
    """What came of one time through the corpus."""

    complaints: dict[str, list[str]]
    bystander: Bystander
    seconds: float


def run_round(daemon: Any, grounds: Grounds, corpus: Sequence[Attack]) -> Round:
    """Play every attack once."""
    began = time.monotonic()
    with daemon.client(PATIENCE_SECONDS) as own, Bystander(own) as bystander:
        world = grounds.world(pids_of(daemon), daemon.data)

        def play(attack: Attack) -> list[str]:
            with daemon.client(PATIENCE_SECONDS) as client:
                return Assault(client, attack, world).play()

        with ThreadPoolExecutor(AT_ONCE) as threads:
            complaints = dict(zip([one.name for one in corpus], threads.map(play, corpus), strict=True))
    return Round(complaints, bystander, time.monotonic() - began)


def pids_of(daemon: Any) -> dict[str, int]:
    """Whom attacks aim at."""
    worker = psutil.Process(daemon.pid)
    zygote = worker.children()[0]
    return {"daemon": worker.pid, "zygote": zygote.pid, "bystander": zygote.children()[0].pid}
