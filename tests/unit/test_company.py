"""Tests that must be alone are, and come to their turn."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.company import Company

MOMENT_SECONDS = 0.1
"""In which who may go on would have gone on."""


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture
def processes(tmp_path: Path, threads: ThreadPoolExecutor) -> Iterator[list[Company]]:
    several = [Company(tmp_path) for _ in range(3)]
    yield several
    # Before their threads are waited for: who still waits gets in.
    for one in several:
        one.close()


def waits(future: "Future[Any]") -> bool:
    try:
        future.result(MOMENT_SECONDS)
    except TimeoutError:
        return True
    return False


def test_whoever_bears_company_has_it(processes: list[Company]) -> None:
    for one in processes:
        one.join(alone=False)


def test_one_that_is_alone_waits_for_all_and_all_wait_for_it(
    processes: list[Company], threads: ThreadPoolExecutor
) -> None:
    first, second, loner = processes
    first.join(alone=False)
    alone = threads.submit(partial(loner.join, alone=True))
    assert waits(alone)
    late = threads.submit(partial(second.join, alone=False))
    assert waits(late), "others would keep it waiting for ever"

    first.leave()

    alone.result(10)
    assert waits(late)
    loner.join(alone=True)
    assert waits(late), "its next test needs no new turn"
    loner.leave()
    late.result(10)
    second.leave()


def test_a_process_that_died_keeps_nobody_out(processes: list[Company]) -> None:
    first, second, _ = processes
    first.join(alone=True)

    first.close()

    second.join(alone=True)
