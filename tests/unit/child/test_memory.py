import sys

import pytest

from worker.child.memory import POOL_BYTES, fill_pools


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="pools are CPython's")
def test_after_filling_new_objects_of_a_size_lie_side_by_side_in_a_fresh_pool() -> None:
    kept = fill_pools()
    last = {len(block): id(block) for block in kept}
    block_bytes = 400
    length = block_bytes - sys.getsizeof(b"")
    new = [bytes(length) for _ in range(5)]
    assert [id(block) for block in new] == [last[length] + block_bytes * (n + 1) for n in range(5)]
    assert all(id(block) // POOL_BYTES == last[length] // POOL_BYTES for block in new)


def test_filling_takes_little() -> None:
    assert sum(map(len, fill_pools())) < 4 << 20
