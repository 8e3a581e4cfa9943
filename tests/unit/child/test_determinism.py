import random

import pytest

from worker.child.determinism import Randomness, derived_seed


@pytest.fixture
def randomness() -> Randomness:
    """Seeded, but not installed: the test process keeps its own sources."""
    state = Randomness()
    state.seed_all(7)
    return state


def test_the_entropy_stream_depends_on_the_seed_alone(randomness: Randomness) -> None:
    drawn = [randomness.draw(size) for size in (0, 1, 16, 64, 65, 5000)]
    assert [len(data) for data in drawn] == [0, 1, 16, 64, 65, 5000]
    randomness.seed_all(7)
    assert [randomness.draw(size) for size in (0, 1, 16, 64, 65, 5000)] == drawn
    randomness.seed_all(8)
    assert [randomness.draw(size) for size in (0, 1, 16, 64, 65, 5000)] != drawn


def test_a_negative_size_is_refused(randomness: Randomness) -> None:
    with pytest.raises(ValueError, match="negative"):
        randomness.draw(-1)


def test_restoring_puts_all_streams_back(randomness: Randomness) -> None:
    state = randomness.save()
    first = (random.random(), randomness.draw(8))
    randomness.restore(state)
    assert (random.random(), randomness.draw(8)) == first


def test_derived_seeds_differ_by_seed_and_seq(randomness: Randomness) -> None:
    seeds = {derived_seed(seed, seq) for seed in (0, 1, 2**63 - 1) for seq in (1, 2, 11)}
    assert len(seeds) == 9
    assert all(0 <= seed < 2**63 for seed in seeds)
    randomness.reseed(7, 3)
    drawn = randomness.draw(8)
    randomness.seed_all(derived_seed(7, 3))
    assert randomness.draw(8) == drawn
