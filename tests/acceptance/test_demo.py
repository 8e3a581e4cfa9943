"""``model-worker demo``: every step is shown, each proves something, nothing stays behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

STEPS = (
    "start the worker",
    "create a run",
    "play five weeks",
    "ask for nonsense",
    "send a request twice",
    "evict the run",
    "read without a process",
    "restore by replay",
    "clone the run",
    "rewind the clone two weeks",
    "kill -9 the worker, start it again",
    "read the run again",
    "stop the worker",
)


def processes_in(folder: Path) -> list[int]:
    processes = psutil.process_iter(["cmdline"])
    return [one.pid for one in processes if any(str(folder) in part for part in one.info["cmdline"] or ())]


def test_the_demo_shows_every_step_and_leaves_nothing(command: Callable[..., Any], open_folder: Path) -> None:
    done = command("demo", COLUMNS="200", TMPDIR=str(open_folder))

    assert (done.status, done.err) == (0, "")
    story, _, table = done.out.partition("┏")
    assert str(open_folder) in story
    for step in STEPS:
        assert step in story
        assert step in table
    assert len([line for line in table.splitlines() if line.startswith("│")]) == len(STEPS)
    assert list(open_folder.iterdir()) == []
    assert processes_in(open_folder) == []
