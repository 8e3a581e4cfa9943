"""When to try again what failed: longer and longer, not all at the same moment, and not for ever."""

from dataclasses import dataclass
from typing import Final

JITTER: Final = 0.2
"""By which part of it a pause may be shorter, so that what failed together is not tried again together."""
_LONGEST_DOUBLING: Final = 64


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double from ``first_seconds`` to ``most_seconds``, over ``total_seconds`` at least."""

    first_seconds: float
    most_seconds: float
    total_seconds: float

    def pause_seconds(self, failed: int, chance: float) -> float:
        """How long to wait after ``failed`` attempts (at least 1); ``chance``: at random, from 0 to 1."""
        return self._longest(failed) * (1 - JITTER * chance)

    @property
    def attempts(self) -> int:
        """How many attempts there are, so that the last comes ``total_seconds`` after the first, or later.

        Counted, not timed: a worker that was down for a day has not tried.
        """
        count, spent = 1, 0.0
        while spent < self.total_seconds:
            if self._longest(count) == self.most_seconds:
                pause = self.most_seconds * (1 - JITTER)
                return count + -int(-(self.total_seconds - spent) // pause)
            spent += self._longest(count) * (1 - JITTER)
            count += 1
        return count

    def _longest(self, failed: int) -> float:
        doubled = self.first_seconds * 2 ** min(failed - 1, _LONGEST_DOUBLING)
        return float(min(doubled, max(self.most_seconds, self.first_seconds)))
