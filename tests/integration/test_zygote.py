"""Zygotes and the processes they fork: real ones, ended by real signals."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.programs import bench
from tests.integration.programs.bench import running_zygote, start_run
from worker.channel import pack_frame
from worker.process.exits import classify_exit
from worker.process.isolation import Isolation, SandboxLevel
from worker.process.limits import Limits
from worker.process.zygote import Zygote, ZygoteConfig, ZygoteError

ROOT = Path(__file__).parents[2]
HARD_SECONDS = 3
"""Of processor time; more than a zygote needs."""


@pytest.fixture
def workspace() -> Iterator[Path]:
    with bench.workspace() as folder:
        yield folder


@pytest.fixture(params=(SandboxLevel.PROCESS_ONLY, SandboxLevel.STRICT))
def isolation(request: pytest.FixtureRequest, workspace: Path) -> Isolation:
    return bench.isolation_here(request.param, workspace / "models")


@pytest.fixture
def plain(workspace: Path) -> Isolation:
    return bench.isolation_here(SandboxLevel.PROCESS_ONLY, workspace / "models")


def write_module(workspace: Path, name: str, source: str) -> str:
    """Make a module importable by a zygote; returns the folder to import it from."""
    folder = workspace / "modules"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(source)
    return str(folder)


def test_a_child_has_its_channel_its_outputs_and_nothing_else_open(
    workspace: Path, isolation: Isolation
) -> None:
    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            run = await start_run(zygote, isolation, workspace / "models")
            assert await run.value("answer = open_descriptors()") == [0, 1, 2, 3]
            assert await run.value("import os; answer = os.read(0, 10)") == b""
            await run.value("import os; os.write(1, b'out '); os.write(2, b'err')")
            assert run.output() == "out err"
            await run.end()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("source", "status"),
    (
        ("import os; os._exit(7)", 7 << 8),
        ("import os; os._exit(0)", 0),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", signal.SIGKILL),
        ("import ctypes; ctypes.string_at(0)", signal.SIGSEGV),
        ("import os; os.abort()", signal.SIGABRT),
    ),
)
def test_the_end_of_a_child_is_reported_as_it_was(
    workspace: Path, isolation: Isolation, source: str, status: int
) -> None:
    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            run = await start_run(zygote, isolation, workspace / "models")
            assert await run.ask(source) == ["gone"]
            report = await run.child.exited
            assert report.wait_status == status
            assert report.max_rss_bytes > 1 << 20
            assert 0 < report.cpu_seconds < 10
            assert zygote.children == 0
            await run.end()

    asyncio.run(main())


def test_who_ignores_the_signal_of_the_limit_and_is_killed_by_it_met_the_limit(
    workspace: Path, plain: Isolation
) -> None:
    """The hard limit is the host's here, lower than the five seconds that there usually are to it."""
    limits = Limits(cpu_seconds=1)
    burn = "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: sum(range(1000))"

    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            resource.prlimit(zygote.pid, resource.RLIMIT_CPU, (HARD_SECONDS, HARD_SECONDS))
            run = await start_run(zygote, plain, workspace / "models", limits)
            await asyncio.get_running_loop().sock_sendall(run.connection, pack_frame(["run", burn]))
            report = await run.child.exited
            assert report.wait_status == signal.SIGKILL
            assert report.counted_seconds >= HARD_SECONDS
            cause = classify_exit(report, killed_for=None, limits=limits)
            assert cause.code == "LIMIT_EXCEEDED"
            assert cause.information["used"] >= HARD_SECONDS
            await run.end()

    asyncio.run(main())


def test_modules_are_preloaded_and_failures_reported(workspace: Path, plain: Isolation) -> None:
    root = write_module(
        workspace, "noisy", "import sys; print('out'); print('err', file=sys.stderr); value = 5"
    )
    write_module(workspace, "broken", "raise RuntimeError('no luck')")

    async def main() -> None:
        names = ("colorsys", "broken", "absent", "noisy")
        async with running_zygote(workspace, preload=names, import_roots=(root,)) as zygote:
            assert zygote.preloaded == ("colorsys", "noisy")
            assert zygote.failed["broken"] == "RuntimeError: no luck"
            assert "No module named 'absent'" in zygote.failed["absent"]
            assert zygote.stderr_tail() == ""
            run = await start_run(zygote, plain, workspace / "models")
            assert await run.value("import sys; answer = sys.modules['noisy'].value") == 5
            assert await run.value("import sys; answer = 'colorsys' in sys.modules") is True
            assert run.output() == ""
            await run.end()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("source", "reason"),
    (
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
            "2 threads",
        ),
        ("import os; os._exit(1)", "ended"),
        ("import ctypes; ctypes.string_at(0)", "ended"),
    ),
)
def test_a_module_that_makes_a_zygote_useless_is_left_out(
    workspace: Path, plain: Isolation, source: str, reason: str
) -> None:
    root = write_module(workspace, "harmful", source)

    async def main() -> None:
        names = ("colorsys", "harmful", "wave")
        async with running_zygote(workspace, preload=names, import_roots=(root,)) as zygote:
            assert zygote.preloaded == ("colorsys", "wave")
            assert reason in zygote.failed["harmful"]
            run = await start_run(zygote, plain, workspace / "models")
            assert await run.value("answer = 1") == 1
            await run.end()

    asyncio.run(main())


def test_an_import_that_does_not_return_is_left_out(workspace: Path) -> None:
    root = write_module(workspace, "endless", "while True: pass")

    async def main() -> None:
        config = ZygoteConfig(
            scratch_folder=str(workspace / "scratch"),
            preload=("endless",),
            entries=(bench.EVALUATOR,),
            import_roots=(str(bench.PROGRAMS), root),
            start_timeout_seconds=2.0,
        )
        zygote = await Zygote.start(config)
        try:
            assert "not ready within 2 s" in zygote.failed["endless"]
        finally:
            await zygote.close()

    asyncio.run(main())


def test_a_fork_is_refused_while_the_zygote_has_threads(workspace: Path, plain: Isolation) -> None:
    source = "import threading\nfrom evaluator import serve\n"
    source += "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    root = write_module(workspace, "threaded", source)

    async def main() -> None:
        entry = "threaded:serve"
        async with running_zygote(workspace, entries=(entry,), import_roots=(root,)) as zygote:
            with pytest.raises(ZygoteError, match="2 threads"):
                await start_run(zygote, plain, workspace / "models", entry=entry)
            assert zygote.children == 0

    asyncio.run(main())


def test_an_entry_that_cannot_be_loaded_fails_the_start_with_its_traceback(workspace: Path) -> None:
    async def main() -> None:
        with pytest.raises(ZygoteError, match="No module named 'nowhere'"):
            async with running_zygote(workspace, entries=("nowhere:serve",)):
                pass

    asyncio.run(main())


def test_an_interpreter_that_does_not_exist_fails_the_start(workspace: Path) -> None:
    async def main() -> None:
        with pytest.raises(ZygoteError, match="cannot be started"):
            async with running_zygote(workspace, python="/nonexistent/python"):
                pass

    asyncio.run(main())


def test_an_entry_that_was_not_configured_is_refused(workspace: Path, plain: Isolation) -> None:
    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            with pytest.raises(ZygoteError, match="was not loaded"):
                await start_run(zygote, plain, workspace / "models", entry="os:abort")
            run = await start_run(zygote, plain, workspace / "models")
            await run.end()

    asyncio.run(main())


def test_forks_in_flight_are_answered_each_with_its_own_child(workspace: Path, isolation: Isolation) -> None:
    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            # More than a run may have descriptors, because the zygote has one for each.
            assert Limits().open_files < 100
            runs = await asyncio.gather(
                *(start_run(zygote, isolation, workspace / "models") for _ in range(100))
            )
            pids = await asyncio.gather(*(run.value("import os; answer = os.getpid()") for run in runs))
            assert pids == [run.child.pid for run in runs]
            assert zygote.children == 100
            await asyncio.gather(*(run.end() for run in runs))
            assert zygote.children == 0

    asyncio.run(main())


def test_a_cancelled_fork_leaves_no_child(workspace: Path, plain: Isolation) -> None:
    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            for turns in range(4):
                task = asyncio.create_task(start_run(zygote, plain, workspace / "models"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await (await task).end()
            # Answered in order, so what was cancelled has been dealt with before this one is.
            run = await start_run(zygote, plain, workspace / "models")
            await run.end()
            zygote.retire()
            async with asyncio.timeout(bench.WITHIN_SECONDS):
                await asyncio.shield(zygote.closed)
            assert zygote.children == 0

    asyncio.run(main())


def test_a_retired_zygote_ends_with_its_last_child(workspace: Path, plain: Isolation) -> None:
    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            run = await start_run(zygote, plain, workspace / "models")
            zygote.retire()
            with pytest.raises(ZygoteError, match="retired"):
                await start_run(zygote, plain, workspace / "models")
            assert await run.value("answer = 1") == 1
            assert not zygote.closed.done()
            await run.end()
            async with asyncio.timeout(bench.WITHIN_SECONDS):
                await asyncio.shield(zygote.closed)

    asyncio.run(main())


@pytest.mark.parametrize("how", ("close", "kill"))
def test_children_die_with_their_zygote(workspace: Path, isolation: Isolation, how: str) -> None:
    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            runs = [await start_run(zygote, isolation, workspace / "models") for _ in range(5)]
            for run in runs:
                await run.value("answer = 1")
            if how == "close":
                await zygote.close()
            else:
                os.kill(zygote.pid, signal.SIGKILL)
                async with asyncio.timeout(bench.WITHIN_SECONDS):
                    await asyncio.shield(zygote.closed)
            assert all(bench.ended(run.child.pidfd) for run in runs)
            assert {run.child.exited.result().wait_status for run in runs} == {signal.SIGKILL}
            assert zygote.children == 0
            with pytest.raises(ZygoteError):
                await start_run(zygote, isolation, workspace / "models")
            for run in runs:
                await run.end()

    asyncio.run(main())


@pytest.mark.parametrize("level", (SandboxLevel.PROCESS_ONLY, SandboxLevel.STRICT))
def test_nothing_survives_a_killed_supervisor(workspace: Path, level: SandboxLevel) -> None:
    command = [sys.executable, "-m", "tests.integration.programs.supervise", str(workspace), level]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as supervisor:
        assert supervisor.stdout is not None
        pids = json.loads(supervisor.stdout.readline())
        assert len(pids) == 4
        pidfds = [os.pidfd_open(pid) for pid in pids]
        supervisor.kill()
    try:
        assert all(bench.ended(pidfd) for pidfd in pidfds)
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


def test_two_hundred_forks_leave_nothing_behind(workspace: Path, isolation: Isolation) -> None:
    def inventory(zygote: Zygote) -> tuple[int, int, int, list[str]]:
        ours = len(bench.names("/proc/self/fd"))
        mounts = len(Path("/proc/self/mountinfo").read_text().splitlines())
        children = Path(f"/proc/{zygote.pid}/task/{zygote.pid}/children").read_text().split()
        return ours, mounts, len(children), bench.names(workspace / "scratch")

    async def batch(zygote: Zygote, count: int) -> None:
        runs = await asyncio.gather(
            *(start_run(zygote, isolation, workspace / "models") for _ in range(count))
        )
        await asyncio.gather(*(run.value("open('left', 'w').write('x')") for run in runs))
        await asyncio.gather(*(run.end() for run in runs))

    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            # Removing a plain scratch folder uses the loop's own threads, which stay.
            await batch(zygote, 20)
            before = inventory(zygote)
            for _ in range(10):
                await batch(zygote, 20)
            after = inventory(zygote)
            assert after[0] <= before[0]
            assert after[1:] == (before[1], 0, [])

    asyncio.run(main())


def test_a_child_inherits_no_environment_of_the_supervisor(
    workspace: Path, isolation: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")

    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            run = await start_run(zygote, isolation, workspace / "models")
            environment = await run.value("import os; answer = dict(os.environ)")
            assert "DATABASE_PASSWORD" not in environment
            assert environment["PYTHONHASHSEED"] == "0"
            assert environment["OPENBLAS_NUM_THREADS"] == "1"
            assert environment["HOME"] == environment["TMPDIR"] == run.child.scratch_folder
            assert await run.value("import os; answer = os.getcwd()") == run.child.scratch_folder
            assert str(ROOT) not in await run.value("import sys; answer = sys.path")
            await run.end()

    asyncio.run(main())


def test_hashes_are_the_same_in_every_zygote(workspace: Path, plain: Isolation) -> None:
    async def one() -> int:
        async with running_zygote(workspace) as zygote:
            run = await start_run(zygote, plain, workspace / "models")
            value = await run.value("answer = hash('determinism')")
            await run.end()
            return int(value)

    assert asyncio.run(one()) == asyncio.run(one())


def test_a_run_without_walls_has_a_scratch_folder_until_it_ends(workspace: Path, plain: Isolation) -> None:
    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            first = await start_run(zygote, plain, workspace / "models")
            second = await start_run(zygote, plain, workspace / "models")
            assert first.child.scratch_folder is not None
            assert first.child.scratch_folder != second.child.scratch_folder
            await first.value("open('a', 'w').write('x')")
            assert bench.names(first.child.scratch_folder) == ["a"]
            await first.end()
            await second.end()
            assert bench.names(workspace / "scratch") == []

    asyncio.run(main())


def test_a_failed_lock_down_ends_the_process_and_names_the_step(workspace: Path) -> None:
    strict = bench.isolation_here(SandboxLevel.STRICT, workspace / "models")

    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            run = await start_run(zygote, strict, workspace / "missing")
            assert await run.ask("answer = 1") == ["gone"]
            report = await run.child.exited
            assert os.waitstatus_to_exitcode(report.wait_status) == 97
            assert run.output().startswith("lock-down failed: landlock: [Errno 2]")
            await run.end()

    asyncio.run(main())
