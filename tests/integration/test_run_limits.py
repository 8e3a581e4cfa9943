"""What happens to a run process that wants more than it may have."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.programs import bench
from tests.integration.programs.bench import running_zygote, start_run
from worker.process.isolation import Isolation, SandboxLevel
from worker.process.limits import Limits


@pytest.fixture
def workspace() -> Iterator[Path]:
    with bench.workspace() as folder:
        yield folder


@pytest.fixture(params=(SandboxLevel.PROCESS_ONLY, SandboxLevel.STRICT))
def isolation(request: pytest.FixtureRequest, workspace: Path) -> Isolation:
    return bench.isolation_here(request.param, workspace / "models")


@pytest.mark.parametrize(
    ("limits", "source", "exception"),
    (
        (Limits(memory_bytes=256 << 20), "bytearray(512 << 20)", "MemoryError"),
        (Limits(open_files=16), "import os\nwhile True: os.dup(0)", "OSError"),
        (Limits(file_bytes=1 << 20), "open('big', 'wb').write(bytes(2 << 20))", "OSError"),
    ),
)
def test_a_limit_is_an_exception_in_the_model(
    workspace: Path, isolation: Isolation, limits: Limits, source: str, exception: str
) -> None:
    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            run = await start_run(zygote, isolation, workspace / "models", limits)
            assert await run.raised(source) == exception
            await run.end()

    asyncio.run(main())


def test_spent_cpu_time_ends_the_process_by_sigxcpu(workspace: Path, isolation: Isolation) -> None:
    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            run = await start_run(zygote, isolation, workspace / "models", Limits(cpu_seconds=1))
            assert await run.ask("while True: pass") == ["gone"]
            report = await run.child.exited
            assert report.wait_status & 0x7F == signal.SIGXCPU
            # The kernel counts the limit in ticks, each for whoever runs when it comes, and reports what was really
            # used: 1.0 s where nothing else runs, 0.6 beside four processes that work in bursts of milliseconds.
            assert 0.1 < report.cpu_seconds < 1.5
            await run.end()

    asyncio.run(main())
