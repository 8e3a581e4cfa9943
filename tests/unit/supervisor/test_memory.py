"""The memory account: who is measured, when, and what follows."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

from worker.supervisor.memory import UNKNOWN_BYTES, MemoryAccount

WITHIN_SECONDS = 20.0
INTERVAL_SECONDS = 0.01


def play(scenario: Awaitable[None]) -> None:
    async def main() -> None:
        async with asyncio.timeout(WITHIN_SECONDS):
            await scenario

    asyncio.run(main())


@dataclass
class Process:
    """A resident whose process holds ``held`` bytes; None: it has ended."""

    run_key: str
    pid: int | None
    held: int | None = 100


class Host:
    """An account of processes; ``measured`` lists their ids as they are looked at."""

    def __init__(self, allowed: int = 1000, *processes: Process) -> None:
        self.account = MemoryAccount(allowed, measure=self._measure, interval_seconds=INTERVAL_SECONDS)
        self.processes = {process.pid: process for process in processes}
        self.measured: list[int] = []
        self._news = asyncio.Event()
        for process in processes:
            self.account.admit(process, "model.py")
            self.account.rests(process)

    def _measure(self, pid: int) -> int | None:
        self.measured.append(pid)
        self._news.set()
        return self.processes[pid].held

    def work(self, process: Process) -> None:
        """Let it do something and come to rest again."""
        self.account.works(process)
        self.account.rests(process)

    async def until_measured(self) -> None:
        self._news.clear()
        await self._news.wait()


def test_a_run_counts_with_what_its_model_needed_last_until_it_is_measured() -> None:
    async def scenario() -> None:
        first, second, other = Process("a", 1), Process("b", 2, 300), Process("c", 3)
        host = Host()
        host.processes = {1: first, 2: second, 3: other}
        host.account.admit(first, "model.py")
        assert host.account.used_bytes == UNKNOWN_BYTES
        host.account.rests(first)
        assert host.account.used_bytes == 100
        host.account.admit(second, "model.py")
        assert host.account.used_bytes == 200
        host.account.rests(second)
        assert (host.account.used_bytes, host.account.expected("model.py")) == (400, 300)
        assert host.account.expected("other.py") == UNKNOWN_BYTES

    play(scenario())


def test_what_left_memory_counts_no_more() -> None:
    async def scenario() -> None:
        process = Process("a", 1)
        host = Host(1000, process, Process("b", 2, 50))
        host.account.works(process)
        host.account.drop(process)
        assert (host.account.used_bytes, host.account.of("a"), host.account.of("b")) == (50, 0, 50)
        host.account.drop(process)
        assert host.account.used_bytes == 50

    play(scenario())


def test_a_run_that_worked_is_measured_once_and_one_at_rest_never() -> None:
    async def scenario() -> None:
        worked, rested = Process("a", 1), Process("b", 2)
        host = Host(1000, worked, rested)
        assert host.measured == [1, 2]
        for _ in range(5):
            host.work(worked)
        worked.held = 700
        await host.until_measured()
        assert host.account.used_bytes == 800
        host.work(rested)
        await host.until_measured()
        assert host.measured == [1, 2, 1, 2]

    play(scenario())


def test_a_run_at_work_is_measured_again_and_again() -> None:
    async def scenario() -> None:
        process = Process("a", 1)
        host = Host(1000, process)
        host.account.works(process)
        for held in (200, 300, 400):
            process.held = held
            await host.until_measured()
            assert host.account.used_bytes == held

    play(scenario())


def test_every_run_that_worked_has_its_turn() -> None:
    async def scenario() -> None:
        processes = [Process(str(number), number) for number in range(1, 51)]
        host = Host(10_000, *processes)
        host.measured.clear()
        for process in processes:
            host.work(process)
        while len(host.measured) < len(processes):
            await host.until_measured()
        assert sorted(host.measured) == [process.pid for process in processes]

    play(scenario())


def test_more_than_is_allowed_is_told() -> None:
    async def scenario() -> None:
        process = Process("a", 1)
        host = Host(100, process)
        told: list[int] = []
        host.account.on_excess = lambda: told.append(host.account.used_bytes)
        host.work(process)
        await host.until_measured()
        assert told == []
        process.held = 101
        host.work(process)
        await host.until_measured()
        assert told == [101]

    play(scenario())


def test_a_process_that_has_ended_keeps_its_count_until_its_run_leaves() -> None:
    async def scenario() -> None:
        process = Process("a", 1)
        host = Host(1000, process)
        process.held = None
        host.work(process)
        await host.until_measured()
        assert host.account.used_bytes == 100

    play(scenario())


def test_a_run_that_takes_long_to_come_up_is_watched_and_then_known() -> None:
    async def scenario() -> None:
        process = Process("a", 1, 50)
        host = Host(1000)
        host.processes = {1: process}
        host.account.admit(process, "model.py")
        host.account.works(process)
        await host.until_measured()
        assert (host.account.used_bytes, host.account.expected("model.py")) == (50, UNKNOWN_BYTES)
        process.held = 80
        host.account.rests(process)
        assert (host.account.used_bytes, host.account.expected("model.py")) == (80, 80)

    play(scenario())
