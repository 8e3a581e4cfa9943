"""The start-up probe: whether this host's sandbox holds, found out by attacking it, not by version numbers."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from worker.channel import ChannelError, FrameReader, pack_frame
from worker.process.exits import classify_exit
from worker.process.isolation import Identity, Isolation, SandboxLevel, choose_isolation
from worker.process.limits import FIRST_UID, Limits
from worker.process.zygote import ForkRequest, Zygote, ZygoteConfig, ZygoteError

__all__ = ["Identity", "Isolation", "ProbeReport", "SandboxLevel", "choose_isolation", "probe"]

PROBE_ENTRY: Final = "worker.child.probe:serve"
REFUSED: Final = "refused"
_FINE: Final = "ok"
_SOCKET_FOLDER_CHARACTERS: Final = 80
_MAX_FRAME_BYTES: Final = 1 << 16
_TIMEOUT_SECONDS: Final = 30.0

_GROUPED: Final = Path("/proc/sys/kernel/sched_autogroup_enabled")
_NOT_BEHIND: Final = (
    "priority: this kernel schedules by session and did not let the sessions of runs be made nicer, so that a busy run "
    "gets as much of a processor as the worker; run the worker as root, or in a control group of its own "
    "(CPUAccounting= of systemd, or a container), or set kernel.sched_autogroup_enabled = 0"
)
_LOWER_LEVEL: Final = 'or set sandbox = "strict-noquota", which needs neither'
_ADVICE: Final[Mapping[str, str]] = {
    "namespaces": "let the worker make name spaces: run it as root (in a container: with CAP_SYS_ADMIN), or allow "
    f"user name spaces for it (kernel.unprivileged_userns_clone, AppArmor's userns rule), {_LOWER_LEVEL}",
    "scratch": f"let the worker mount file systems of its own, {_LOWER_LEVEL}",
    "jail": 'use sandbox = "strict"',
    "identity": "the user ids given to runs must exist in the worker's user name space: set the first one within "
    "its range",
    "landlock": "a kernel of Linux 6.2 or later with Landlock among its security modules (boot parameter lsm=) is "
    'needed; without it only sandbox = "process-only" is left, which does not hold against hostile authors',
    "seccomp": "system call filters are needed, on x86_64 or aarch64; without them only sandbox = "
    '"process-only" is left, which does not hold against hostile authors',
    "folder": "the scratch and model folders must be reachable for the user id of a run (mode o+x all the way)",
    "kill": "the worker must be able to end runs that have user ids of their own: give it CAP_KILL besides "
    "CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID",
    "import": "the interpreter cannot be read by the user id of a run: install it where others can read it, or "
    "let choose_isolation use a user name space",
}


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What the probe found.

    ``attacks``: ten attacks, each "refused" or what got through; empty if the lock-down failed. ``needs``: what
    models count on, each "ok" or what went wrong. ``missing``: one sentence per failed layer, with advice;
    ``remarks``: one for what is weaker here than it could be, and holds nevertheless.
    """

    isolation: Isolation
    attacks: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def level(self) -> SandboxLevel:
        """The level that was probed."""
        return self.isolation.level

    @property
    def holds(self) -> bool:
        """Whether runs may be started at this level; without walls, attacks are expected to get through."""
        return not self.missing


async def probe(config: ZygoteConfig, isolation: Isolation, *, uid: int = FIRST_UID) -> ProbeReport:
    """Fork a process from a zygote of its own, lock it down, attack from inside it; nothing is left behind.

    Of ``config``, the interpreter and the scratch folder matter; nothing is preloaded. ``uid`` is used if the
    isolation gives runs user ids.
    """
    own = replace(config, preload=(), entries=(PROBE_ENTRY,))
    try:
        zygote = await Zygote.start(own)
    except (ZygoteError, OSError) as error:
        return ProbeReport(isolation, missing=(f"zygote: {error}",))
    try:
        async with _bait(Path(config.scratch_folder).parent) as bait:
            return await _run(zygote, isolation, uid, bait)
    except (ZygoteError, OSError, TimeoutError) as error:
        return ProbeReport(isolation, missing=(f"probe: {type(error).__name__}: {error}",))
    finally:
        await zygote.close()


@dataclass(slots=True)
class _Bait:
    """Things to attack: a model folder, listeners; ``connections`` counts who came."""

    folder: Path
    unix_path: str
    tcp_port: int = 0
    connections: int = 0

    async def count(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()


def _lay_out(parent: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="probe-", dir=parent))
    folder.chmod(0o755)
    model = folder / "model.py"
    model.write_text("")
    model.chmod(0o644)
    return folder


@contextlib.asynccontextmanager
async def _bait(parent: Path) -> AsyncIterator[_Bait]:
    folder = _lay_out(parent)
    try:
        # A socket's path must be short.
        place = parent if len(str(parent)) < _SOCKET_FOLDER_CHARACTERS else None
        with tempfile.TemporaryDirectory(prefix="probe-", dir=place) as short:
            bait = _Bait(folder, f"{short}/s")
            tcp = await asyncio.start_server(bait.count, "127.0.0.1", 0)
            unix = await asyncio.start_unix_server(bait.count, bait.unix_path)
            async with tcp, unix:
                bait.tcp_port = tcp.sockets[0].getsockname()[1]
                yield bait
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _run(zygote: Zygote, isolation: Isolation, uid: int, bait: _Bait) -> ProbeReport:
    limits = Limits()
    request = ForkRequest(
        model_folder=str(bait.folder),
        isolation=isolation,
        uid=uid if isolation.identity is Identity.UID else None,
        limits=limits,
        max_frame_bytes=_MAX_FRAME_BYTES,
        entry=PROBE_ENTRY,
    )
    quota = isolation.private_scratch or not isolation.walls
    targets = {
        "tcp_port": bait.tcp_port,
        "unix_path": bait.unix_path,
        "model_folder": str(bait.folder),
        "scratch_bytes": limits.scratch_bytes if quota else 0,
        "scratch_inodes": limits.scratch_inodes if quota else 0,
    }
    ours, theirs = socket.socketpair()
    output, output_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    with ours, os.fdopen(output, "rb") as said:
        try:
            child = await zygote.fork(request, theirs, output_write)
        finally:
            theirs.close()
            os.close(output_write)
        answer = await _converse(ours, targets)
        reach, remarks = _reach(child.pidfd), _remarks(child.pid)
        os.close(child.pidfd)
        if answer is None:
            ours.close()
            cause = classify_exit(await child.exited, killed_for=None, limits=limits)
            words = (said.read() or b"").decode(errors="replace").strip()
            return ProbeReport(isolation, missing=(_explain(words or cause.message),))
    _, attacks, needs = answer
    needs |= reach
    return ProbeReport(
        isolation, attacks, needs, _judge(isolation, attacks, needs, bait.connections), remarks
    )


def _reach(pidfd: int) -> dict[str, str]:
    """Whether the worker may end a process that gave up its identity."""
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except PermissionError as error:
        return {"kill": str(error)}
    except ProcessLookupError:
        pass
    return {"kill": _FINE}


def _remarks(pid: int) -> tuple[str, ...]:
    """Whether a run is behind the worker in the queue for processors, also where sessions are scheduled as groups."""
    try:
        if _GROUPED.read_text().strip() != "1":
            return ()
        (group, niceness), (own, own_niceness) = _group_of(str(pid)), _group_of("self")
    except (OSError, ValueError):
        return ()
    return (_NOT_BEHIND,) if group != own and niceness <= own_niceness else ()


def _group_of(process: str) -> tuple[str, int]:
    """The scheduler's group of a process, and how nice it is."""
    group, _, niceness = Path(f"/proc/{process}/autogroup").read_text().partition(" nice ")
    return group, int(niceness)


async def _converse(connection: socket.socket, targets: dict[str, Any]) -> list[Any] | None:
    """The probe's answer, or None if the process ended without one."""
    loop = asyncio.get_running_loop()
    connection.setblocking(False)
    reader = FrameReader(_MAX_FRAME_BYTES)
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await loop.sock_sendall(connection, pack_frame(["probe", targets]))
            while data := await loop.sock_recv(connection, _MAX_FRAME_BYTES):
                for message in reader.feed(data):
                    return message
    except (OSError, ChannelError):
        return None
    return None


def _explain(words: str) -> str:
    """A sentence about the step that failed, with what to do about it."""
    step, _, reason = words.removeprefix("lock-down failed: ").partition(": ")
    advice = _ADVICE.get(step)
    return f"{step}: {reason}; {advice}" if advice else words


def _judge(
    isolation: Isolation, attacks: Mapping[str, str], needs: Mapping[str, str], connections: int
) -> tuple[str, ...]:
    missing = [_explain(f"{name}: {what}") for name, what in needs.items() if what != _FINE]
    if isolation.walls:
        missing += [f"{name}: {what}" for name, what in attacks.items() if what != REFUSED]
        if connections:
            missing.append(f"network: {connections} connections arrived from inside the sandbox")
    return tuple(missing)
