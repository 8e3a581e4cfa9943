"""Histograms: every duration is in the first bucket whose end is not below it."""

import pytest

from worker.metering import BOUNDS_SECONDS, Histogram


def test_bounds_grow() -> None:
    assert list(BOUNDS_SECONDS) == sorted(set(BOUNDS_SECONDS))


@pytest.mark.parametrize("number", range(len(BOUNDS_SECONDS)))
def test_a_bound_belongs_to_its_own_bucket_and_what_is_above_to_the_next(number: int) -> None:
    histogram = Histogram()
    histogram.observe(BOUNDS_SECONDS[number])
    histogram.observe(BOUNDS_SECONDS[number] * 1.001)
    assert histogram.counts[number : number + 2] == [1, 1]
    assert sum(histogram.counts) == 2
    assert histogram.total_seconds == pytest.approx(BOUNDS_SECONDS[number] * 2.001)


def test_a_copy_stands_still() -> None:
    histogram = Histogram()
    histogram.observe(0.0)
    copy = histogram.copy()
    histogram.observe(1.0)
    assert (sum(copy.counts), copy.total_seconds) == (1, 0.0)
