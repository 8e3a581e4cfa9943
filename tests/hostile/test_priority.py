"""Runs stand behind the worker in the queue for processors, told by how the kernel schedules a live one."""

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.hostile.programs.users import USERS, User
from worker.policy import NICENESS


def group_of(pid: int) -> tuple[str, int]:
    """The scheduler's group of a process, and how nice that is."""
    group, _, niceness = Path(f"/proc/{pid}/autogroup").read_text().partition(" nice ")
    return group, int(niceness)


@pytest.mark.parametrize("user", USERS)
def test_a_run_is_nicer_than_the_worker_and_its_zygote(besiege: Any, user: User) -> None:
    with besiege(user) as siege, siege.daemon.client() as client:
        for _ in range(3):  # quickly one after the other, as the kernel counts changes by time
            client.create_run("bystander/model.py")
        worker = psutil.Process(siege.daemon.pid)
        (zygote,) = worker.children()
        runs = zygote.children()
        assert len(runs) == 3
        for run in runs:
            assert run.nice() == zygote.nice() + NICENESS == worker.nice() + NICENESS
        if not Path("/proc/self/autogroup").exists():
            return
        groups = {group_of(run.pid) for run in runs}
        assert {niceness for _, niceness in groups} == {NICENESS}
        if user is User.ORDINARY:
            assert groups == {group_of(zygote.pid)}, "one group, which is made nicer once"
        else:
            assert len(groups) == 3
            assert group_of(zygote.pid)[1] == 0
        assert all(os.getpgid(run.pid) == run.pid for run in runs), "signals to its group reach itself alone"
