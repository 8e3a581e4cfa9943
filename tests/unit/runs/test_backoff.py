"""When what failed is tried again."""

import pytest

from worker.runs.backoff import Backoff

A_DAY = Backoff(1.0, 600.0, 86_400.0)


def test_pauses_double_up_to_the_longest() -> None:
    pauses = [A_DAY.pause_seconds(failed, 0.0) for failed in range(1, 14)]

    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]
    assert A_DAY.pause_seconds(10_000, 0.0) == 600


def test_what_failed_together_is_not_tried_again_together() -> None:
    assert A_DAY.pause_seconds(1, 1.0) == pytest.approx(0.8)
    assert A_DAY.pause_seconds(20, 0.5) == pytest.approx(540)


@pytest.mark.parametrize(
    "backoff",
    (
        A_DAY,
        Backoff(0.05, 0.2, 1.0),
        Backoff(1.0, 600.0, 100.0),
        Backoff(5.0, 5.0, 60.0),
        Backoff(10.0, 1.0, 60.0),
    ),
)
def test_the_last_attempt_comes_late_enough_whatever_chance_does(backoff: Backoff) -> None:
    shortest = sum(backoff.pause_seconds(failed, 1.0) for failed in range(1, backoff.attempts))
    without_last = shortest - backoff.pause_seconds(backoff.attempts - 1, 1.0)

    assert shortest >= backoff.total_seconds * (1 - 1e-9)
    assert without_last < backoff.total_seconds
