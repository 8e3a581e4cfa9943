"""Threads that a loop has from its start."""

import asyncio
import threading

from worker.waiting import helpers


def test_all_helpers_are_there_before_there_is_anything_to_do() -> None:
    before = threading.active_count()
    threads = helpers(3)

    async def use() -> None:
        asyncio.get_running_loop().set_default_executor(threads)
        assert threading.active_count() == before + 3
        await asyncio.gather(*(asyncio.to_thread(threading.get_ident) for _ in range(20)))
        assert threading.active_count() == before + 3

    asyncio.run(use())
    assert threading.active_count() == before
