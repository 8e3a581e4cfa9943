"""How far a replay has come, told while it goes on, and only where it takes long."""

import asyncio
from collections.abc import Callable
from typing import Final

AFTER_SECONDS: Final = 0.5
"""A replay that takes no longer is not told of."""

EVERY_SECONDS: Final = 0.25

Tell = Callable[[int, int], None]
"""Takes the actions applied so far, and those there are."""


class ProgressMeter:
    """Thins out what one replay reports, from when this is made; the end is told where anything was."""

    def __init__(self, tell: Tell) -> None:
        self._loop = asyncio.get_running_loop()
        self._tell = tell
        self._next = self._loop.time() + AFTER_SECONDS
        self._has_told = False

    def report(self, applied: int, total: int) -> None:
        """So far the process has come."""
        now = self._loop.time()
        if now >= self._next:
            self._next = now + EVERY_SECONDS
            self._has_told = True
            self._tell(applied, total)

    def end(self, applied: int) -> None:
        """The replay is over, all is applied."""
        if self._has_told:
            self._tell(applied, applied)
