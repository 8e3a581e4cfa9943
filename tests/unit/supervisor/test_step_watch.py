"""Bounds on one step: a process may end before anybody looks at it."""

import asyncio
import subprocess
import sys

from worker.errors import WorkerError
from worker.process.limits import Limits
from worker.runs.stimuli import Step, StepKind
from worker.supervisor.step_watch import StepWatch

STEP = Step(StepKind.EXECUTE, "die", b"", timeout_seconds=60)


def test_a_process_that_has_ended_before_its_step_is_looked_at_is_left_to_who_tells_of_ends() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    async def main() -> None:
        lost: list[WorkerError] = []
        watch = StepWatch(Limits(action_cpu_seconds=0.01), lost.append)
        watch.begin(STEP, ended.pid)
        watch.end()
        watch.close()
        assert lost == []

    asyncio.run(main())


BUSY = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\nprint('done', flush=True)\ninput()"


def taken_by(step: Step) -> tuple[int, int]:
    """What a step took that a process computes 0.2 s for."""
    with subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        done = process.stdout

        async def main() -> tuple[int, int]:
            watch = StepWatch(Limits(action_cpu_seconds=60), lambda _: None)
            watch.begin(step, process.pid)
            done.readline()
            taken = watch.taken()
            watch.end()
            assert watch.taken() == (0, 0)
            watch.close()
            return taken

        return asyncio.run(main())


def test_a_step_that_may_change_the_run_is_told_with_what_it_took() -> None:
    wall_us, cpu_us = taken_by(STEP)
    assert 200_000 <= cpu_us < 5_000_000
    assert wall_us >= 200_000


def test_a_step_that_only_reads_took_nothing() -> None:
    assert taken_by(Step(StepKind.READ, "x", b"", timeout_seconds=60, names=("x",))) == (0, 0)
    assert taken_by(Step(StepKind.GET, "x", b"", timeout_seconds=60)) == (0, 0)
