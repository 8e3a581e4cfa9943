"""The sandbox under attack, in every variant that this host can offer; one it cannot offer must say why."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.programs import bench
from tests.integration.programs.bench import Interpreter, Run, running_zygote, start_run
from worker.process.isolation import Identity, Isolation, SandboxLevel, others_can_read
from worker.process.limits import Limits
from worker.process.sandbox import probe
from worker.process.zygote import ZygoteConfig

ROOT = Path(__file__).parents[2]
IS_ROOT = os.geteuid() == 0
WALLED = (SandboxLevel.STRICT, SandboxLevel.STRICT_JAIL, SandboxLevel.STRICT_NOQUOTA)


@dataclass(frozen=True)
class Variant:
    """A level and an identity, tried by root or by an ordinary user, with an interpreter of its own or an open one."""

    level: SandboxLevel
    identity: Identity
    ordinary_user: bool
    open_interpreter: bool

    def __str__(self) -> str:
        user = "user" if self.ordinary_user else "root"
        interpreter = "open" if self.open_interpreter else "own"
        return f"{user}-{self.level}-{self.identity}-{interpreter}"


QUOTA = (SandboxLevel.STRICT, SandboxLevel.STRICT_JAIL)
VARIANTS = (
    *(Variant(level, Identity.UID, ordinary_user=False, open_interpreter=True) for level in WALLED),
    *(Variant(level, Identity.USERNS, ordinary_user=False, open_interpreter=False) for level in QUOTA),
    Variant(SandboxLevel.STRICT_NOQUOTA, Identity.NONE, ordinary_user=False, open_interpreter=False),
    *(Variant(level, Identity.USERNS, ordinary_user=True, open_interpreter=True) for level in QUOTA),
    Variant(SandboxLevel.STRICT_NOQUOTA, Identity.NONE, ordinary_user=True, open_interpreter=True),
    Variant(SandboxLevel.STRICT, Identity.UID, ordinary_user=True, open_interpreter=True),
)


@pytest.fixture
def workspace() -> Iterator[Path]:
    with bench.workspace() as folder:
        yield folder


@pytest.fixture(params=WALLED)
def isolation(request: pytest.FixtureRequest, workspace: Path) -> Isolation:
    return bench.isolation_here(request.param, workspace / "models")


@pytest.fixture(params=QUOTA)
def with_scratch(request: pytest.FixtureRequest, workspace: Path) -> Isolation:
    return bench.isolation_here(request.param, workspace / "models")


def user_namespaces_work() -> bool:
    return (
        subprocess.run(["unshare", "--user", "--mount", "true"], capture_output=True, check=False).returncode
        == 0
    )


def obstacle(variant: Variant) -> str | None:
    """The layer that this host cannot give the variant, by facts that the probe does not look at."""
    as_root = IS_ROOT and not variant.ordinary_user
    if variant.identity is Identity.UID and not as_root:
        return "identity" if variant.level is SandboxLevel.STRICT_NOQUOTA else "namespaces"
    if variant.identity is Identity.USERNS and not user_namespaces_work():
        return "namespaces"
    return None


def ask_report(variant: Variant, interpreter: Interpreter, folder: Path) -> dict[str, Any]:
    """Run the probe in a supervisor of its own, as the variant's user."""
    home = folder / "home"
    home.mkdir()
    asked = {
        "level": variant.level,
        "identity": variant.identity,
        "python": interpreter.python,
        "import_roots": interpreter.import_roots,
        "scratch_folder": str(home / "scratch"),
    }
    command = [interpreter.python, "-m", "tests.integration.programs.report", json.dumps(asked)]
    if IS_ROOT and variant.ordinary_user:
        os.chown(home, bench.NOBODY, bench.NOBODY)
        who = str(bench.NOBODY)
        command = ["setpriv", f"--reuid={who}", f"--regid={who}", "--clear-groups", *command]
    home.chmod(0o755)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(ROOT), *interpreter.import_roots]),
    }
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert bench.names(home) == ["scratch"]
    assert bench.names(home / "scratch") == []
    return answer


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_ten_attacks_are_refused(variant: Variant, workspace: Path) -> None:
    interpreter: Interpreter | None = Interpreter(sys.executable, ())
    if variant.open_interpreter:
        interpreter = bench.open_interpreter(workspace)
    assert interpreter is not None, "this host has no Python of this version that other users can read"
    report = ask_report(variant, interpreter, workspace)
    expected = obstacle(variant)
    if expected is None:
        assert report["missing"] == []
        assert report["holds"]
        assert len(report["attacks"]) == 10
        assert set(report["attacks"].values()) == {"refused"}
        assert report["needs"] == {"import": "ok", "model": "ok", "scratch": "ok", "kill": "ok"}
    else:
        assert not report["holds"]
        assert report["missing"][0].startswith(f"{expected}: ")


def test_without_walls_the_attacks_get_through_and_the_report_says_so(workspace: Path) -> None:
    async def main() -> None:
        config = ZygoteConfig(scratch_folder=str(workspace / "scratch"))
        report = await probe(config, Isolation(SandboxLevel.PROCESS_ONLY, Identity.NONE))
        assert report.holds
        assert report.level is SandboxLevel.PROCESS_ONLY
        assert report.attacks["fork"] == "processes can be forked"
        assert "TCP connects" in report.attacks["connect by TCP"]
        assert "refused" not in report.attacks.values()

    asyncio.run(main())


@pytest.mark.skipif(
    not IS_ROOT or others_can_read(Path(sys.base_prefix)),
    reason="only root can have an interpreter that the ids it gives to runs cannot read",
)
def test_a_private_interpreter_under_user_ids_is_named_with_advice(workspace: Path) -> None:
    async def main() -> None:
        config = ZygoteConfig(scratch_folder=str(workspace / "scratch"))
        report = await probe(config, Isolation(SandboxLevel.STRICT, Identity.UID))
        assert not report.holds
        assert report.missing[0].startswith("import: ")
        assert "install it where others can read it" in report.missing[0]

    asyncio.run(main())


def test_a_probe_without_an_interpreter_says_so(workspace: Path) -> None:
    async def main() -> None:
        config = ZygoteConfig(scratch_folder=str(workspace / "scratch"), python="/nonexistent/python")
        report = await probe(config, Isolation(SandboxLevel.STRICT, Identity.USERNS))
        assert not report.holds
        assert report.missing[0].startswith("zygote: /nonexistent/python cannot be started")

    asyncio.run(main())


async def one_run(
    workspace: Path,
    isolation: Isolation,
    source: str,
    *,
    preload: tuple[str, ...] = (),
    limits: Limits | None = None,
) -> Any:
    async with running_zygote(workspace, preload=preload) as zygote:
        run = await start_run(zygote, isolation, workspace / "models", limits)
        try:
            return await run.value(source)
        finally:
            await run.end()


SCIENCE = """
import numpy, pandas, threading
from scipy import optimize, stats
frame = pandas.DataFrame({"x": numpy.arange(1000.0), "day": pandas.date_range("2026-01-01", periods=1000)})
rolled = frame.x.rolling(10).mean().iloc[-1]
local = frame.day.dt.tz_localize("Europe/Berlin").iloc[0].isoformat()
root = optimize.brentq(lambda x: x * x - 2, 0, 2)
p = stats.norm.cdf(0.0)
inverse = numpy.linalg.inv(numpy.eye(50) * 2)[0, 0]
sums = []
threads = [threading.Thread(target=lambda: sums.append(float(numpy.ones(10000).sum()))) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
answer = [float(rolled), local, round(root, 6), float(p), float(inverse), sums]
"""


@pytest.mark.parametrize(
    "preload", ((), ("numpy", "pandas", "scipy.stats", "scipy.optimize")), ids=("cold", "preloaded")
)
def test_science_runs_behind_the_walls(
    workspace: Path, isolation: Isolation, preload: tuple[str, ...]
) -> None:
    limits = Limits(memory_bytes=2 << 30)
    answer = asyncio.run(one_run(workspace, isolation, SCIENCE, preload=preload, limits=limits))
    assert answer == [994.5, "2026-01-01T00:00:00+01:00", 1.414214, 0.5, 0.5, [10000.0] * 8]


STANDARD_LIBRARY = """
import asyncio, datetime, decimal, os, pathlib, shutil, sqlite3, tempfile, zoneinfo
async def add():
    await asyncio.sleep(0.001)
    return await asyncio.to_thread(sum, [1, 2])
with sqlite3.connect("model.db") as database:
    database.execute("pragma journal_mode = wal")
    database.execute("create table t (a)")
    database.execute("insert into t values (42)")
(stored,) = database.execute("select a from t").fetchone()
with tempfile.NamedTemporaryFile("w+", suffix=".txt") as file:
    file.write("temporary")
    file.flush()
    copied = shutil.copy2(file.name, "copied.txt")
touched = pathlib.Path("touched")
touched.touch()
pathlib.Path("a/b").mkdir(parents=True)
os.rename("copied.txt", "renamed.txt")
berlin = datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")).isoformat()
answer = [
    asyncio.run(add()), stored, pathlib.Path("renamed.txt").read_text(), touched.exists(), berlin,
    pathlib.Path(os.getcwd()) == pathlib.Path(tempfile.gettempdir()), open(os.devnull, "w").write("x"),
]
"""


def test_the_standard_library_runs_behind_the_walls(workspace: Path, with_scratch: Isolation) -> None:
    answer = asyncio.run(one_run(workspace, with_scratch, STANDARD_LIBRARY))
    assert answer == [3, 42, "temporary", True, "2026-07-01T00:00:00+02:00", True, 1]


def test_every_run_has_a_scratch_of_its_own(workspace: Path, with_scratch: Isolation) -> None:
    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            runs = [await start_run(zygote, with_scratch, workspace / "models") for _ in range(2)]
            await runs[0].value("open('secret', 'w').write('x')")
            assert await runs[1].value("import os; answer = os.listdir('.')") == []
            assert bench.names(workspace / "scratch") == []
            for run in runs:
                await run.end()

    asyncio.run(main())


async def refused(run: Run, source: str) -> None:
    assert await run.raised(source) in ("PermissionError", "FileNotFoundError", "OSError"), source


def test_links_and_dots_lead_nowhere(workspace: Path, isolation: Isolation) -> None:
    (workspace / "models" / "link").symlink_to("/etc/passwd")
    (workspace / "models" / "up").symlink_to("..")
    (workspace / "secret").write_text("secret")
    (workspace / "secret").chmod(0o644)

    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            run = await start_run(zygote, isolation, workspace / "models")
            models = workspace / "models"
            assert await run.value(f"answer = open({str(models / 'model.py')!r}).read()") == "x = 1\n"
            for path in ("link", "up/secret", "../secret", "../../../../../etc/passwd"):
                await refused(run, f"open({str(models / path)!r}).read()")
            for source in (
                "import os; os.symlink('/etc/passwd', 'out')",
                "import os; os.link('/etc/passwd', 'out')",
                "import os; os.mkfifo('pipe')",
                f"open({str(models / 'model.py')!r}, 'r+')",
                f"import os; os.truncate({str(models / 'model.py')!r}, 0)",
                f"import os; os.unlink({str(models / 'model.py')!r})",
                f"import os; os.listdir({str(workspace)!r})",
            ):
                await refused(run, source)
            await run.end()

    asyncio.run(main())
    assert (workspace / "models" / "model.py").read_text() == "x = 1\n"


def test_the_projects_own_source_is_closed(workspace: Path, isolation: Isolation) -> None:
    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            run = await start_run(zygote, isolation, workspace / "models")
            await refused(run, f"open({str(ROOT / 'worker' / 'channel.py')!r}).read()")
            assert await run.raised("import worker.process") == "ModuleNotFoundError"
            await run.end()

    asyncio.run(main())


def test_metadata_of_foreign_files_stays_as_it_was(workspace: Path, isolation: Isolation) -> None:
    model = workspace / "models" / "model.py"
    before = model.stat()

    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            run = await start_run(zygote, isolation, workspace / "models")
            await run.ask(f"import os; os.chmod({str(model)!r}, 0o777)")
            await run.ask(f"import os; os.utime({str(model)!r}, (1, 1))")
            await run.ask(f"import os; os.utime({str(model)!r})")
            await run.ask(f"import os; os.setxattr({str(model)!r}, 'user.x', b'1')")
            await run.end()

    asyncio.run(main())
    after = model.stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_mode,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )


PRIVILEGES = """
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
refused = []
for act in (lambda: os.setuid(0), lambda: os.setgroups([0]), lambda: os.chroot("/"), lambda: os.nice(-1)):
    try:
        act()
    except OSError as error:
        refused.append(error.errno)
answer = [refused, os.getresuid(), os.umask(0)]
"""


def test_no_privilege_is_left(workspace: Path, isolation: Isolation) -> None:
    answer = asyncio.run(one_run(workspace, isolation, PRIVILEGES))
    assert answer[0] == [1, 1, 1, 1]
    assert answer[2] == 0o077


def test_the_status_of_a_run_shows_every_wall(workspace: Path, isolation: Isolation) -> None:
    async def main() -> None:
        async with running_zygote(workspace) as zygote:
            run = await start_run(zygote, isolation, workspace / "models")
            await run.value("answer = 1")
            status = bench.status(run.child.pid)
            assert status["NoNewPrivs"] == "1"
            assert status["Seccomp"] == "2"
            assert status["Threads"] == "1"
            for capabilities in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                assert int(status[capabilities], 16) == 0
            assert bench.oom_score(run.child.pid) == 500
            await run.end()

    asyncio.run(main())


THREADS = """
import threading
release = threading.Event()
answer = 0
try:
    while answer < 1000:
        threading.Thread(target=release.wait, daemon=True).start()
        answer += 1
except RuntimeError:
    pass
release.set()
"""


def is_kernel_root() -> bool:
    """Whether the kernel takes this user for its own root, by whatever id a user name space shows it."""
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        inside, outside, count = map(int, line.split())
        if inside <= os.geteuid() < inside + count:
            return outside + os.geteuid() - inside == 0
    return False


def test_threads_are_bounded(workspace: Path) -> None:
    strict = bench.isolation_here(SandboxLevel.STRICT, workspace / "models")
    limits = Limits(threads=16, memory_bytes=512 << 20)
    started = asyncio.run(one_run(workspace, strict, THREADS, limits=limits))
    # The kernel never counts for its own root, whatever name space that is in: there, stacks are the bound.
    bound = (512 << 20) // (8 << 20) if is_kernel_root() and strict.identity is Identity.USERNS else 16
    assert 8 <= started < bound
