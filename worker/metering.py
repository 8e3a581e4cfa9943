"""Plain numbers that hot paths bump; who shows them reads and names them elsewhere."""

from bisect import bisect_left
from typing import Final, Self

BOUNDS_SECONDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""Upper ends of the buckets of a histogram, each included in its bucket; the last bucket has none."""


class Histogram:
    """Durations, counted by bucket: ``counts`` has one more than there are bounds. ``total_seconds`` adds them up.

    One thread observes. Another may copy; its sum may then be one observation ahead of its counts, or behind.
    """

    __slots__ = ("counts", "total_seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self.total_seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.total_seconds += seconds

    def copy(self) -> Self:
        """As it is now."""
        other = type(self)()
        other.counts, other.total_seconds = self.counts.copy(), self.total_seconds
        return other
