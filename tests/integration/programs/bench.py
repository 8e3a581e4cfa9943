"""Starting zygotes and run processes in tests, and talking to them."""

import asyncio
import contextlib
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker import channel
from worker.process.isolation import Identity, Isolation, SandboxLevel, choose_isolation, others_can_read
from worker.process.limits import FIRST_UID, Limits
from worker.process.zygote import Child, ForkRequest, Zygote, ZygoteConfig

PROGRAMS = Path(__file__).parent
EVALUATOR = "evaluator:serve"
NOBODY = 65534
MAX_FRAME_BYTES = 1 << 20
WITHIN_SECONDS = 20.0


@dataclass
class Run:
    """A run process with the supervisor's ends of its socket and its output."""

    child: Child
    connection: socket.socket
    output_fd: int

    async def ask(self, source: str) -> list[Any]:
        """Run ``source`` in the process; ``["gone"]`` if it ends instead of answering."""
        loop = asyncio.get_running_loop()
        reader = channel.FrameReader(MAX_FRAME_BYTES)
        async with asyncio.timeout(WITHIN_SECONDS):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                await loop.sock_sendall(self.connection, channel.pack_frame(["run", source]))
                while data := await loop.sock_recv(self.connection, 1 << 16):
                    for message in reader.feed(data):
                        return message
        return ["gone"]

    async def value(self, source: str) -> Any:
        """What ``source`` assigns to ``answer``; an exception in it fails the test."""
        kind, *rest = await self.ask(source)
        assert kind == "answer", "\n".join(map(str, rest)) or self.output()
        return rest[0]

    async def raised(self, source: str) -> str:
        """The type of the exception that ``source`` must raise."""
        kind, *rest = await self.ask(source)
        assert kind == "raised", rest
        return str(rest[0])

    def output(self) -> str:
        """What the process has written so far and nobody read."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self.output_fd, 1 << 16).decode()
        return ""

    async def end(self) -> None:
        """Close everything and wait for the exit."""
        self.connection.close()
        async with asyncio.timeout(WITHIN_SECONDS):
            await asyncio.shield(self.child.exited)
        os.close(self.child.pidfd)
        os.close(self.output_fd)


def isolation_here(level: SandboxLevel, model_folder: Path) -> Isolation:
    """What the worker would choose for this user, this interpreter and this folder."""
    return choose_isolation(level, model_folder)


async def start_run(
    zygote: Zygote,
    isolation: Isolation,
    folder: Path,
    limits: Limits | None = None,
    entry: str = EVALUATOR,
    *,
    mapped_files: tuple[tuple[str, str], ...] = (),
) -> Run:
    """Fork one run process; it may fail in its lock-down, which ``ask`` then shows."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    output, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    request = ForkRequest(
        model_folder=str(folder),
        isolation=isolation,
        uid=FIRST_UID if isolation.identity is Identity.UID else None,
        limits=limits or Limits(),
        max_frame_bytes=MAX_FRAME_BYTES,
        entry=entry,
        mapped_files=mapped_files,
    )
    try:
        child = await zygote.fork(request, theirs, write_end)
    except BaseException:
        ours.close()
        os.close(output)
        raise
    finally:
        theirs.close()
        os.close(write_end)
    return Run(child, ours, output)


@contextlib.asynccontextmanager
async def running_zygote(
    workspace: Path,
    *,
    preload: tuple[str, ...] = (),
    entries: tuple[str, ...] = (EVALUATOR,),
    import_roots: tuple[str, ...] = (),
    python: str = sys.executable,
) -> AsyncIterator[Zygote]:
    """A zygote that is closed at the end, whatever happened."""
    config = ZygoteConfig(
        scratch_folder=str(workspace / "scratch"),
        preload=preload,
        python=python,
        entries=entries,
        import_roots=(str(PROGRAMS), *import_roots),
        start_timeout_seconds=60.0,
    )
    zygote = await Zygote.start(config)
    try:
        yield zygote
    finally:
        await zygote.close()


@contextlib.contextmanager
def workspace() -> Any:
    """A folder that every user can reach, with a ``models`` folder in it; pytest's own are private."""
    with tempfile.TemporaryDirectory(prefix="workspace-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        models = folder / "models"
        models.mkdir(mode=0o755)
        (models / "model.py").write_text("x = 1\n")
        yield folder


def names(folder: str | Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in Path(folder).iterdir())


def status(pid: int) -> dict[str, str]:
    """What the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def oom_score(pid: int) -> int:
    """How much sooner than others the kernel ends a process when memory is short."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def ended(pidfd: int) -> bool:
    """Whether the process behind ``pidfd`` ends within the deadline; waits for it."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(WITHIN_SECONDS * 1000))


@dataclass(frozen=True)
class Interpreter:
    """A Python that others can read, and a folder with the packages that a zygote needs."""

    python: str
    import_roots: tuple[str, ...]


def open_interpreter(folder: Path) -> Interpreter | None:
    """An interpreter of this version that every user can run; None if this host has none."""
    if others_can_read(Path(sys.prefix)) and others_can_read(Path(sys.base_prefix)):
        return Interpreter(sys.executable, ())
    system = "/usr/bin/python3"
    version = "import sys; print(*sys.version_info[:2])"
    if not Path(system).exists():
        return None
    said = subprocess.run([system, "-c", version], capture_output=True, text=True, check=True).stdout.split()
    if [int(part) for part in said] != list(sys.version_info[:2]):
        return None
    packages = folder / "packages"
    packages.mkdir(mode=0o755)
    for name in ("msgpack", "time_machine", "_time_machine"):
        _copy_package(name, packages)
    return Interpreter(system, (str(packages),))


def _copy_package(name: str, target: Path) -> None:
    for entry in map(Path, sys.path):
        for found in (*entry.glob(name), *entry.glob(f"{name}.*.so")):
            if found.is_dir():
                shutil.copytree(found, target / found.name)
            else:
                shutil.copy(found, target / found.name)
