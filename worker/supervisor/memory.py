"""What the run processes hold in memory, all together, and how much that may be.

Nothing is polled. A run is measured when it comes to rest for the first time, and again while and after it is
at work: a round over those that were, ``INTERVAL_SECONDS`` after the first of them began. Runs at rest cost
nothing. Measuring never takes more than ``SHARE`` of the loop's time, however many are at work.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from worker.process.memory import private_bytes

INTERVAL_SECONDS: Final = 1.0
SHARE: Final = 0.05
UNKNOWN_BYTES: Final = 8 * 1024 * 1024
"""Expected of a model of which no run was measured yet; a small one needs four to six mebibytes."""
KNOWN_MODELS: Final = 1000


class Resident(Protocol):
    """Who has a process that is measured."""

    run_key: str

    @property
    def pid(self) -> int | None:
        """Its process, where there is one."""


class MemoryAccount:
    """Bytes by run key; a run that was not measured yet counts with what is expected of its model.

    ``on_excess`` is called after a measurement that finds more in use than ``allowed_bytes``.
    """

    def __init__(
        self,
        allowed_bytes: int,
        *,
        measure: Callable[[int], int | None] = private_bytes,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._interval_seconds = interval_seconds
        self.allowed_bytes = allowed_bytes
        self.used_bytes = 0
        self.on_excess: Callable[[], None] = lambda: None
        self._measure = measure
        self._bytes: dict[str, int] = {}
        self._coming_up: dict[str, str] = {}
        self._expected: OrderedDict[str, int] = OrderedDict()
        self._active: dict[str, Resident] = {}
        self._working: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def expected(self, model_name: str) -> int:
        """What a run of the model will hold once it has come up, as the last one did."""
        return self._expected.get(model_name, UNKNOWN_BYTES)

    def of(self, run_key: str) -> int:
        """What one run counts with."""
        return self._bytes.get(run_key, 0)

    def admit(self, resident: Resident, model_name: str) -> None:
        """A run comes into memory; runs of one model are expected to begin alike."""
        self._coming_up[resident.run_key] = model_name
        self._set(resident.run_key, self.expected(model_name))

    def drop(self, resident: Resident) -> None:
        """A run is out of memory."""
        self._active.pop(resident.run_key, None)
        self._working.discard(resident.run_key)
        self._coming_up.pop(resident.run_key, None)
        self.used_bytes -= self._bytes.pop(resident.run_key, 0)

    def works(self, resident: Resident) -> None:
        """Something is asked of a run's process: its memory may change from now on."""
        self._active[resident.run_key] = resident
        self._working.add(resident.run_key)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval_seconds, self._round)

    def rests(self, resident: Resident) -> None:
        """A run came to rest; the first time it is measured at once, because nothing is known of it yet."""
        self._working.discard(resident.run_key)
        model_name = self._coming_up.pop(resident.run_key, None)
        if model_name is not None:
            self._active.pop(resident.run_key, None)
            taken = self._take(resident)
            if taken is not None:
                self._expected[model_name] = taken
                self._expected.move_to_end(model_name)
                if len(self._expected) > KNOWN_MODELS:
                    self._expected.popitem(last=False)

    def _round(self) -> None:
        self._measure_next(list(self._active.values()))

    def _measure_next(self, due: list[Resident]) -> None:
        """Measure one, then leave the loop to others for long enough before the next."""
        loop = asyncio.get_running_loop()
        while due and self._active.get(due[-1].run_key) is not due[-1]:
            due.pop()  # out of memory meanwhile
        if due:
            began = time.monotonic()
            resident = due.pop()
            if resident.run_key not in self._working:
                self._active.pop(resident.run_key)
            self._take(resident)
            pause = (time.monotonic() - began) / SHARE
            self._timer = loop.call_later(pause, self._measure_next, due)
        elif self._active:
            self._timer = loop.call_later(self._interval_seconds, self._round)
        else:
            self._timer = None

    def _take(self, resident: Resident) -> int | None:
        if resident.pid is None or resident.run_key not in self._bytes:
            return None
        taken = self._measure(resident.pid)
        if taken is None:
            return None
        self._set(resident.run_key, taken)
        if self.used_bytes > self.allowed_bytes:
            self.on_excess()
        return taken

    def _set(self, run_key: str, count: int) -> None:
        self.used_bytes += count - self._bytes.get(run_key, 0)
        self._bytes[run_key] = count
