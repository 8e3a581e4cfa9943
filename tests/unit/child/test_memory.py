import subprocess
import sys
from pathlib import Path

import pytest

from worker.child.memory import fill_pools

ROOT = Path(__file__).parents[3]

# In a process of its own: whatever frees a block of this size in between, as a garbage collection does, is taken first.
SIDE_BY_SIDE = """
import gc, sys
from worker.child.memory import POOL_BYTES, fill_pools
gc.disable()
length = 400 - sys.getsizeof(b"")
kept = fill_pools()
last = next(id(block) for block in reversed(kept) if len(block) == length)
new = [bytes(length), bytes(length), bytes(length)]
assert [id(block) - last for block in new] == [400, 800, 1200], [id(block) - last for block in new]
assert {id(block) // POOL_BYTES for block in new} == {last // POOL_BYTES}
"""


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="pools are CPython's")
def test_after_filling_new_objects_of_a_size_lie_side_by_side_in_a_fresh_pool() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIDE_BY_SIDE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_filling_takes_little() -> None:
    assert sum(map(len, fill_pools())) < 4 << 20
