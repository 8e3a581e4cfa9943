"""Limits and user ids."""

import pytest

from worker.process.limits import Limits, UidPool


@pytest.mark.parametrize("name", ("memory_bytes", "cpu_seconds", "threads", "scratch_inodes"))
def test_a_limit_of_nothing_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"limit {name} must be above 0"):
        Limits(**{name: 0})


def test_no_user_id_is_leased_twice_at_a_time() -> None:
    pool = UidPool(first=5000, count=3)
    *leased, none = (pool.lease() for _ in range(4))
    assert set(leased) == {5000, 5001, 5002}
    assert none is None


def test_the_id_that_was_free_longest_is_leased_next() -> None:
    pool = UidPool(first=5000, count=3)
    first = pool.lease()
    assert first is not None
    pool.release(first)
    leased = [pool.lease() for _ in range(3)]
    assert set(leased) == {5000, 5001, 5002}
    assert leased[-1] == first


def test_two_workers_begin_at_different_ids() -> None:
    assert len({UidPool().lease() for _ in range(5)}) > 1


def test_an_id_that_is_not_leased_cannot_be_released() -> None:
    pool = UidPool(first=5000, count=3)
    with pytest.raises(KeyError):
        pool.release(5000)
