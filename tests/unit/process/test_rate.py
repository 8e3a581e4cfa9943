"""How many messages a second are let through."""

from hypothesis import given
from hypothesis import strategies as st

from worker.process.rate import BURST_SECONDS, MessageRate


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_let_through_and_then_as_many_as_are_allowed_in_a_second() -> None:
    clock = Clock()
    rate = MessageRate(10, clock)
    assert rate.take(1000) == 10 * BURST_SECONDS
    assert rate.take() == 0
    clock.now += 0.5
    assert rate.take(1000) == 5
    clock.now += 3600
    assert rate.take(1000) == 10 * BURST_SECONDS


def test_what_was_used_is_told_since_it_was_quiet_and_is_above_what_is_allowed() -> None:
    clock = Clock()
    rate = MessageRate(10, clock)
    sent = 0
    while rate.take():
        sent += 1
        clock.now += 0.01
    assert rate.used() == sent + 1 > 10
    clock.now += 3600
    rate.take()
    assert rate.used() == 1


@given(st.integers(1, 50), st.lists(st.tuples(st.integers(0, 80), st.floats(0, 3)), max_size=50))
def test_never_more_than_the_burst_and_the_rate_and_always_as_many(
    per_second: int, steps: list[tuple[int, float]]
) -> None:
    clock = Clock()
    began = clock.now
    rate = MessageRate(per_second, clock)
    passed = 0
    for wanted, seconds in steps:
        granted = rate.take(wanted)
        passed += granted
        assert passed <= per_second * (BURST_SECONDS + clock.now - began) + 1e-6
        if granted < wanted:
            assert rate.take() == 0, "all there were are given"
            if clock.now - began > BURST_SECONDS:
                assert rate.used() >= per_second - 1
        clock.now += seconds


@given(st.integers(1, 50), st.integers(1, 200))
def test_who_keeps_to_the_rate_is_never_refused(per_second: int, messages: int) -> None:
    clock = Clock()
    rate = MessageRate(per_second, clock)
    for _ in range(messages):
        assert rate.take() == 1
        clock.now += 1 / per_second
