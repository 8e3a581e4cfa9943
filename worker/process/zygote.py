"""The supervisor's side of a zygote: starting it, asking it for run processes, learning of their ends.

The frames are described in ``worker.child.zygote``. Everything here runs on the event loop's thread, which
must be the thread that started the loop's process: the kernel ties the zygote's life to that thread.
"""

import array
import asyncio
import os
import shutil
import signal
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from worker import channel
from worker.process.isolation import Identity, Isolation
from worker.process.limits import Limits
from worker.process.zygote_process import (
    MAIN_ENTRY,
    MAX_MESSAGE_BYTES,
    ZygoteConfig,
    ZygoteError,
    ZygoteProcess,
    start_process,
)

__all__ = ["Child", "ExitReport", "ForkRequest", "Zygote", "ZygoteConfig", "ZygoteError"]

_MAX_FORKS_IN_FLIGHT: Final = 64


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """One run process.

    ``model_folder``: absolute, the readable tree of the run, with ``extra_read_paths``. ``uid``: user and group
    id, leased by the caller until the child has exited; required if and only if the identity is "uid".
    ``entry``: one of the configuration's. ``mapped_files``: (file, the one found in its place), paths below the
    model folder without links; only where the isolation has a private scratch, and so mounts of its own.
    """

    model_folder: str
    isolation: Isolation
    uid: int | None
    limits: Limits
    max_frame_bytes: int
    entry: str = MAIN_ENTRY
    extra_read_paths: tuple[str, ...] = ()
    mapped_files: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if (self.uid is not None) != (self.isolation.identity is Identity.UID):
            raise ValueError(f"uid {self.uid} does not go with {self.isolation}")
        if not Path(self.model_folder).is_absolute():
            raise ValueError(f"model folder {self.model_folder!r} is not absolute")
        if self.mapped_files and not self.isolation.private_scratch:
            raise ValueError(f"files cannot be mapped at {self.isolation}")


@dataclass(frozen=True, slots=True)
class ExitReport:
    """How a process ended: ``wait_status`` as of waitpid; peak resident memory; user and system time.

    ``counted_seconds``: what of that time counted towards its limit. The kernel counts that in ticks, and may come to
    more or less than was used.
    ``with_zygote``: its zygote ended and took it along; nothing was measured then.
    """

    wait_status: int
    max_rss_bytes: int
    cpu_seconds: float
    counted_seconds: float = 0.0
    with_zygote: bool = False


@dataclass(slots=True)
class Child:
    """A run process. ``pidfd`` belongs to the holder, who closes it; ``exited`` is set once it is reaped.

    ``scratch_folder`` is its working directory and HOME, as the process sees it; None where it has no scratch.
    """

    pid: int
    pidfd: int
    exited: asyncio.Future[ExitReport]
    scratch_folder: str | None


@dataclass(slots=True)
class _Fork:
    reply: asyncio.Future[Child]
    folder: str | None
    scratch_folder: str | None


@dataclass(slots=True)
class _Living:
    exited: asyncio.Future[ExitReport]
    folder: str | None


class Zygote:
    """A running zygote. Built by ``start``; the owner ends it with ``retire`` or ``close``."""

    def __init__(self, process: ZygoteProcess, scratch_folder: str) -> None:
        self.pid = process.popen.pid
        self.preloaded = process.preloaded
        self.failed: Mapping[str, str] = MappingProxyType(process.failed)
        self._process = process
        self._scratch_folder = scratch_folder
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._retired = False
        self._gone = False
        self._requests = 0
        self._forks: dict[int, _Fork] = {}
        self._living: dict[int, _Living] = {}
        self._outgoing: deque[tuple[bytes, list[int]]] = deque()
        self._slots = asyncio.Semaphore(_MAX_FORKS_IN_FLIGHT)
        self._removals: set[asyncio.Task[None]] = set()
        self._pidfd = os.pidfd_open(self.pid)
        self._loop.add_reader(process.control, self._on_readable)
        self._loop.add_reader(self._pidfd, self._on_exit)

    @classmethod
    async def start(cls, config: ZygoteConfig) -> "Zygote":
        """Start a zygote and wait until it can fork; a module that cannot be preloaded is listed in ``failed``.

        Raises:
            ZygoteError: with the end of its standard error; no process is left.
        """
        return cls(await start_process(config), config.scratch_folder)

    @property
    def takes_forks(self) -> bool:
        """Whether it was not retired and is not known to have ended; ``closed`` may follow its end later."""
        return not self._gone and not self._retired

    @property
    def children(self) -> int:
        """Run processes that have not been reaped yet."""
        return len(self._living)

    async def fork(self, request: ForkRequest, channel: socket.socket, output_fd: int) -> Child:
        """Fork one run process with ``channel`` on descriptor 3 and ``output_fd`` as its two outputs.

        The caller closes its copies of both afterwards. That the child is locked down is known only when its
        program speaks; a child that could not be writes why to its output and exits with 97. If the caller is
        cancelled, the child is killed.

        Raises:
            ZygoteError: there is no child.
        """
        async with self._slots:
            if self._gone or self._retired:
                raise ZygoteError("the zygote is gone" if self._gone else "the zygote is retired")
            # The zygote passes the order on unread: what it held of one run, later ones could find in their memory.
            with os.fdopen(os.memfd_create("order"), "wb", buffering=0) as order:
                folder = self._make_folder(request)
                fork = _Fork(self._loop.create_future(), folder, folder or self._shared_folder(request))
                order.write(_packed_order(request, fork.scratch_folder))
                self._requests += 1
                self._forks[self._requests] = fork
                wanted = {"entry": request.entry, "max_frame_bytes": request.max_frame_bytes}
                self._send(["fork", self._requests, wanted], (channel.fileno(), output_fd, order.fileno()))
            try:
                return await fork.reply
            except asyncio.CancelledError:
                if fork.reply.done() and not fork.reply.cancelled() and not fork.reply.exception():
                    self._discard(fork.reply.result())
                raise

    def retire(self) -> None:
        """Take no more forks; the process ends by itself when its last child is gone."""
        if not self._retired and not self._gone:
            self._retired = True
            self._send(["retire"])

    async def close(self) -> None:
        """Kill the zygote and with it its children; nothing is left afterwards. Idempotent."""
        self._retired = True
        if not self._gone:
            self._process.popen.kill()
        await asyncio.shield(self.closed)

    def stderr_tail(self) -> str:
        """The last that the zygote itself complained about; empty once it is closed."""
        return "" if self._gone else self._process.stderr_tail()

    def _make_folder(self, request: ForkRequest) -> str | None:
        """A plain scratch for a run without walls; removed when the run has ended."""
        if request.isolation.walls:
            return None
        return tempfile.mkdtemp(prefix="run-", dir=self._scratch_folder)

    def _shared_folder(self, request: ForkRequest) -> str | None:
        return self._scratch_folder if request.isolation.private_scratch else None

    def _remove_folder(self, folder: str | None, then: Callable[[], None]) -> None:
        """Call ``then`` once ``folder``, if there is one, is gone; it may be large, so a thread removes it."""
        if folder is None:
            then()
            return
        task = self._loop.create_task(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)
        task.add_done_callback(lambda _task: then())

    def _discard(self, child: Child) -> None:
        """End a child that nobody waits for."""
        os.close(child.pidfd)
        self._send(["kill", child.pid])

    def _send(self, message: list[Any], descriptors: Sequence[int] = ()) -> None:
        # Copies, because a cancelled caller closes its descriptors while the message still waits.
        self._outgoing.append((channel.pack(message), [os.dup(one) for one in descriptors]))
        self._flush()

    def _flush(self) -> None:
        control = self._process.control
        while self._outgoing:
            data, descriptors = self._outgoing[0]
            rights = (
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
            )
            try:
                control.sendmsg([data], rights)
            except BlockingIOError:
                self._loop.add_writer(control, self._flush)
                return
            except OSError:
                # The zygote is going; its exit answers every request.
                self._drop_outgoing()
                break
            self._outgoing.popleft()
            _close_all(descriptors)
        self._loop.remove_writer(control)

    def _drop_outgoing(self) -> None:
        while self._outgoing:
            _close_all(self._outgoing.popleft()[1])

    def _on_readable(self) -> None:
        if not self._receive_all():
            self._loop.remove_reader(self._process.control)
            self._process.popen.kill()

    def _receive_all(self) -> bool:
        """Handle what has arrived; False at the end of file."""
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._process.control, MAX_MESSAGE_BYTES, 1)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            self._handle(channel.unpack(data), descriptors)

    def _handle(self, message: Any, descriptors: list[int]) -> None:
        match message:
            case ["forked", int(n), int(pid)]:
                self._on_forked(self._forks.pop(n), pid, descriptors)
            case ["fork_failed", int(n), str(reason)]:
                self._fail(self._forks.pop(n), reason)
            case ["exited", int(pid), int(status), int(rss), float(cpu), float(counted)]:
                self._settle(pid, ExitReport(status, rss, cpu, counted))

    def _on_forked(self, fork: _Fork, pid: int, descriptors: list[int]) -> None:
        living = _Living(self._loop.create_future(), fork.folder)
        self._living[pid] = living
        if not descriptors:
            self._send(["kill", pid])
            _reject(fork.reply, "no descriptor is free for the run process")
            return
        os.set_inheritable(descriptors[0], False)
        child = Child(pid, descriptors[0], living.exited, fork.scratch_folder)
        if fork.reply.done():
            self._discard(child)
        else:
            fork.reply.set_result(child)

    def _fail(self, fork: _Fork, reason: str) -> None:
        self._remove_folder(fork.folder, partial(_reject, fork.reply, reason))

    def _settle(self, pid: int, report: ExitReport) -> None:
        living = self._living.pop(pid)
        self._remove_folder(living.folder, partial(_resolve, living.exited, report))

    def _on_exit(self) -> None:
        """The zygote process is gone: take its last reports, then answer for it."""
        self._receive_all()
        self._loop.remove_reader(self._process.control)
        self._loop.remove_writer(self._process.control)
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._drop_outgoing()
        tail = self._process.stderr_tail()
        self._process.destroy()
        self._gone = True
        for fork in list(self._forks.values()):
            self._fail(fork, f"the zygote is gone: {tail}" if tail else "the zygote is gone")
        self._forks.clear()
        for pid in list(self._living):
            # Each was killed by the kernel with its parent; who reaps it then is not told to us.
            self._settle(pid, ExitReport(signal.SIGKILL, 0, 0.0, with_zygote=True))
        self._close_when_removed()

    def _close_when_removed(self) -> None:
        if not self._removals:
            _resolve(self.closed, None)
            return
        for task in self._removals:
            task.add_done_callback(lambda _task: self._close_when_removed())


_T = TypeVar("_T")


def _resolve(future: asyncio.Future[_T], result: _T) -> None:
    if not future.done():
        future.set_result(result)


def _reject(future: asyncio.Future[Child], reason: str) -> None:
    if not future.done():
        future.set_exception(ZygoteError(reason))


def _packed_order(request: ForkRequest, scratch_folder: str | None) -> bytes:
    isolation = request.isolation
    order = {
        "identity": isolation.identity.value,
        "walls": isolation.walls,
        "private_scratch": isolation.private_scratch,
        "jail": isolation.jail,
        "uid": -1 if request.uid is None else request.uid,
        "model_folder": request.model_folder,
        "read_paths": list(request.extra_read_paths),
        "mapped_files": [list(pair) for pair in request.mapped_files],
        "scratch_folder": scratch_folder,
        "limits": asdict(request.limits),
    }
    return channel.pack(order)


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
