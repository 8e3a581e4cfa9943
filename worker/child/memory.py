"""What makes children share more of the zygote's memory, and copy less of it."""

import sys
from typing import Final

POOL_BYTES: Final = 16 * 1024
"""CPython hands out small blocks from pools of this size, each of one size of block."""

_POOL_HEADER_BYTES: Final = 48
_LARGEST_BLOCK: Final = 512
_ALIGNMENT: Final = 16
_BYTES_OVERHEAD: Final = sys.getsizeof(b"")
_MOST_BLOCKS: Final = 20_000


def forget_method_cache() -> None:
    """Empty the interpreter's cache of methods.

    Each entry holds a name, and a child that puts in another one writes to both: to names from all over the memory,
    left behind by imports.
    """
    getattr(sys, "_clear_type_cache", _nothing)()


def fill_pools() -> list[bytes]:
    """Take up the free blocks between what is alive, and give what takes them up; it is to be kept.

    A child's new objects would lie on pages that are full of the zygote's, and copy them; now they lie side by side
    on pages of their own.
    """
    kept = []
    for size in range(
        _BYTES_OVERHEAD // _ALIGNMENT * _ALIGNMENT + _ALIGNMENT, _LARGEST_BLOCK + 1, _ALIGNMENT
    ):
        for _ in range(_MOST_BLOCKS):
            block = bytes(size - _BYTES_OVERHEAD)
            kept.append(block)
            if id(block) % POOL_BYTES == _POOL_HEADER_BYTES:
                break  # the first block of a fresh pool: all others of this size are full
    return kept


def _nothing() -> None:
    """What an interpreter without such a cache does."""
