"""Places that only so many may hold at once; the others wait."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Slots:
    """``limit`` places. Of those that wait the one that asked last goes first, or with ``oldest_first`` the first."""

    def __init__(self, limit: int, *, oldest_first: bool = False) -> None:
        self.limit = limit
        self._free = limit
        self._next = 0 if oldest_first else -1
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def used(self) -> int:
        """Places that are held."""
        return self.limit - self._free

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting)

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one place."""
        if self._free:
            self._free -= 1
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._abandon(turn)
                raise
        try:
            yield
        finally:
            self._release()

    def _abandon(self, turn: "asyncio.Future[None]") -> None:
        if not turn.cancelled():
            self._release()  # the place was given before the cancellation came
        elif turn in self._waiting:
            self._waiting.remove(turn)

    def _release(self) -> None:
        while self._waiting:
            turn = self._waiting.pop(self._next)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
