"""How many messages a run process may send by itself in a second."""

import time
from collections.abc import Callable
from typing import Final

BURST_SECONDS: Final = 5
"""As many messages may come at once as are allowed in so many seconds."""


class MessageRate:
    """A bucket of tokens, one for each message, filled at ``per_second`` as long as it is not full.

    ``clock``: seconds of a clock that is never set back.
    """

    def __init__(self, per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_second = per_second
        self._clock = clock
        self._most = per_second * BURST_SECONDS
        self._tokens = float(self._most)
        self._at = self._full_at = clock()
        self._since_full = 0

    def take(self, wanted: int = 1) -> int:
        """Take tokens for messages; tells how many of ``wanted`` there were."""
        now = self._clock()
        tokens = self._tokens + (now - self._at) * self.per_second
        self._at = now
        if tokens >= self._most:
            tokens, self._full_at, self._since_full = self._most, now, 0
        granted = min(wanted, int(tokens))
        self._tokens = tokens - granted
        self._since_full += wanted
        return granted

    def used(self) -> int:
        """Messages a second since the bucket was full, as far as can be told from a second."""
        return int(self._since_full / max(self._clock() - self._full_at, 1.0))
