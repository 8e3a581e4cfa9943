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
