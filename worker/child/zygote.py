"""The zygote program, ``python -s -P -m worker.child.zygote``: imports once, then forks run processes.

It has one thread, no secret and one socket: its control socket, given as standard input, a SOCK_SEQPACKET of
msgpack lists. Supervisor to zygote::

    ["start", config]       once, first; config: {"preload", "entries", "import_roots", "exposed",
                            "packages"}; packages: folders of an environment, [] for none
    ["fork", n, request]    with three descriptors: the run's channel, the write end of its output, and a file
                            with its order (a sandbox.Order map), which only the child reads: what the zygote
                            held of one run, all later ones could find in their memory.
                            request: {"entry", "max_frame_bytes"}
    ["kill", pid]           end a child
    ["retire"]              end when the last child is gone

Zygote to supervisor::

    ["preloading", name]                        before each import, so that a death can be blamed; "" at the end
    ["unusable", name, reason]                  this module must not be preloaded; the zygote ends
    ["hello", preloaded, failed]                ready to fork; failed: map module -> reason
    ["forked", n, pid]                          with one descriptor: the child's pidfd
    ["fork_failed", n, reason]
    ["exited", pid, wait_status, max_rss_bytes, cpu_seconds, counted_seconds]
                                                as of wait4; counted_seconds: what of cpu_seconds counted towards
                                                the limit, which the kernel counts in ticks

End of file on the control socket ends the zygote, and its end ends its children.
"""

import array
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn

from worker import channel
from worker.child import kernel
from worker.child.memory import fill_pools
from worker.child.packages import release_provided, use_environment
from worker.child.readable import forget_import_roots, is_source_tree, project_root
from worker.child.sandbox import Lockdown, LockdownError, Order, Walls

MAX_MESSAGE_BYTES: Final = 64 * 1024
_DESCRIPTORS: Final = 3
_EXIT_UNUSABLE: Final = 3

_WARM_SOURCE: Final = """
import math
class C:
    x: int = 1
def f(a, *b, c=1, **d):
    try:
        return [a * i for i in b if i] + [f"{c}{d}"]
    except ValueError as error:
        raise TypeError from error
f(1, 2)
"""

Entry = Callable[[socket.socket, int], NoReturn]


def send(control: socket.socket, message: list[Any], descriptors: Iterable[int] = ()) -> None:
    """Send one message with descriptors; the caller keeps its copies.

    Raises:
        BlockingIOError: the socket is full; nothing was sent.
    """
    rights = array.array("i", descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
    control.sendmsg([channel.pack(message)], ancillary)


def receive(control: socket.socket) -> tuple[list[Any] | None, list[int]]:
    """Receive one message and the descriptors that came with it; None at the end of file."""
    data, descriptors, _flags, _address = socket.recv_fds(control, MAX_MESSAGE_BYTES, _DESCRIPTORS)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return (channel.unpack(data) if data else None), descriptors


@dataclass(frozen=True, slots=True)
class Job:
    """What a freshly forked child has to do; ``order`` is the descriptor of the file that holds it."""

    entry: Entry
    max_frame_bytes: int
    channel: int
    output: int
    order: int

    def read_order(self) -> Order:
        """The order, in the child."""
        return Order.from_map(channel.unpack(os.pread(self.order, MAX_MESSAGE_BYTES, 0)))


class Forker:
    """The zygote's loop: forks on request, reaps, reports. Never waits for the supervisor to read."""

    def __init__(self, control: socket.socket, entries: dict[str, Entry]) -> None:
        self._control = control
        self._entries = entries
        self._children: dict[int, int] = {}
        self._outgoing: deque[tuple[list[Any], int | None]] = deque()
        self._retired = False
        self._epoll = select.epoll()
        control.setblocking(False)
        self._epoll.register(control, select.EPOLLIN)

    def run(self) -> Job | None:
        """Serve until the supervisor is gone or the retired zygote has no child; returns a job in a child."""
        while not (self._retired and not self._children and not self._outgoing):
            for descriptor, events in self._epoll.poll():
                if descriptor != self._control.fileno():
                    self._reap(descriptor)
                    continue
                if events & select.EPOLLOUT:
                    self._flush()
                if events & ~select.EPOLLOUT:
                    message, descriptors = receive(self._control)
                    if message is None:
                        return None
                    job = self._handle(message, descriptors)
                    if job is not None:
                        return job
        return None

    def _handle(self, message: list[Any], descriptors: list[int]) -> Job | None:
        match message:
            case ["fork", int(n), dict(request)]:
                return self._fork(n, request, descriptors)
            case ["kill", int(pid)] if pid in self._children.values():
                os.kill(pid, signal.SIGKILL)
            case ["retire"]:
                self._retired = True
        return None

    def _fork(self, n: int, request: dict[str, Any], descriptors: list[int]) -> Job | None:
        try:
            refusal = self._refusal(request, descriptors)
            if refusal:
                self._queue(["fork_failed", n, refusal])
                return None
            job = Job(
                self._entries[request["entry"]],
                request["max_frame_bytes"],
                *descriptors,
            )
            try:
                pid = os.fork()
            except OSError as error:
                self._queue(["fork_failed", n, f"fork: {error}"])
                return None
            if pid == 0:
                descriptors.clear()
                self._abandon()
                return job
            pidfd = os.pidfd_open(pid)
            self._children[pidfd] = pid
            self._epoll.register(pidfd, select.EPOLLIN)
            self._queue(["forked", n, pid], pidfd)
            return None
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _refusal(self, request: dict[str, Any], descriptors: list[int]) -> str | None:
        if len(descriptors) != _DESCRIPTORS:
            return f"{len(descriptors)} of {_DESCRIPTORS} descriptors arrived; is the limit of open files too low?"
        if request["entry"] not in self._entries:
            return f"entry {request['entry']!r} was not loaded at start"
        tasks = count_tasks()
        if tasks != 1:
            return f"the zygote has {tasks} threads; a child of it could deadlock"
        return None

    def _abandon(self) -> None:
        """In a child: let go of the zygote's descriptors, so that no finalizer closes a number later reused."""
        self._epoll.close()
        self._control.detach()
        self._children.clear()
        self._outgoing.clear()

    def _reap(self, pidfd: int) -> None:
        pid = self._children.pop(pidfd)
        self._epoll.unregister(pidfd)
        os.close(pidfd)
        counted = time.clock_gettime(_limited_clock(pid))  # while there is such a process
        _, status, usage = os.wait4(pid, 0)
        used = usage.ru_utime + usage.ru_stime
        self._queue(["exited", pid, status, usage.ru_maxrss * 1024, used, counted])

    def _queue(self, message: list[Any], descriptor: int | None = None) -> None:
        # A copy, because the child may be reaped, and its pidfd closed, before the message leaves.
        self._outgoing.append((message, None if descriptor is None else os.dup(descriptor)))
        self._flush()

    def _flush(self) -> None:
        while self._outgoing:
            message, descriptor = self._outgoing[0]
            try:
                send(self._control, message, () if descriptor is None else (descriptor,))
            except BlockingIOError:
                break
            if descriptor is not None:
                os.close(descriptor)
            self._outgoing.popleft()
        wanted = select.EPOLLIN | (select.EPOLLOUT if self._outgoing else 0)
        self._epoll.modify(self._control, wanted)


def _limited_clock(pid: int) -> int:
    """The clock of a process by which the kernel judges RLIMIT_CPU; as clock_getcpuclockid(3), of another kind."""
    return ~pid << 3


def count_tasks() -> int:
    """Threads of this process, those of libraries included."""
    return len(list(Path("/proc/self/task").iterdir()))


def _preload(control: socket.socket, names: list[str]) -> tuple[list[str], dict[str, str]]:
    """Import modules one by one; one that leaves a thread behind makes this zygote useless and ends it."""
    preloaded: list[str] = []
    failed: dict[str, str] = {}
    for name in names:
        send(control, ["preloading", name])
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a foreign module may raise anything; it is reported
            failed[name] = f"{type(error).__name__}: {error}"[:500]
        else:
            preloaded.append(name)
        if count_tasks() != 1:
            send(control, ["unusable", name, f"its import leaves {count_tasks()} threads running"])
            sys.exit(_EXIT_UNUSABLE)
    send(control, ["preloading", ""])
    return preloaded, failed


def _entry(program: ModuleType, name: str) -> Entry:
    """What runs in a child: what the program's ``prepare`` gives, else the function that is named."""
    prepare = getattr(program, "prepare", None)
    entry: Entry = prepare() if callable(prepare) else getattr(program, name.partition(":")[2])
    return entry


def _warm() -> None:
    """Do once, before any fork, what is dear the first time: the compiler's types, encoders, tracebacks."""
    scope: dict[str, Any] = {"__name__": "warm"}
    exec(compile(_WARM_SOURCE, "<warm>", "exec"), scope)
    channel.unpack(channel.pack(json.loads(json.dumps({"a": [1, 1.5, None, "é"]}))))
    try:
        scope["f"](1, object())
    except TypeError:
        traceback.format_exc()


def _take_control() -> socket.socket:
    """Move the control socket away from standard input."""
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return control


def _prepare_process() -> None:
    kernel.set_parent_death_signal()
    kernel.set_dumpable(dumpable=False)
    # A service manager signals the whole group; the supervisor alone decides when a run ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _silenced_preload(control: socket.socket, names: list[str]) -> tuple[list[str], dict[str, str]]:
    """Preload with standard error closed to the modules; it is for the zygote's own complaints."""
    kept = os.dup(2)
    os.dup2(1, 2)
    try:
        return _preload(control, names)
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def main() -> None:
    """Run the zygote; in a child, never returns."""
    control = _take_control()
    _prepare_process()
    message, _ = receive(control)
    if message is None:
        return
    config = message[1]
    programs = {name: importlib.import_module(name.partition(":")[0]) for name in config["entries"]}
    before, packages = list(sys.modules), config["packages"]
    if packages:
        use_environment(packages)
    preloaded, failed = _silenced_preload(control, config["preload"])
    root = project_root()
    forget_import_roots([*map(Path, config["import_roots"]), *([root] if is_source_tree(root) else [])])
    _warm()
    # After the imports, which need what an exposure hides.
    walls = Walls(config["exposed"])
    # Last, because a program may leave nothing to be imported or drawn at random.
    entries = {name: _entry(program, name) for name, program in programs.items()}
    replaced = release_provided(before, packages)
    gc.collect()
    filler = fill_pools()
    gc.disable()
    gc.freeze()
    send(control, ["hello", preloaded, failed])
    job = Forker(control, entries).run()
    if job is not None:
        run_child(walls, job)
    filler.clear()
    replaced.clear()


def run_child(walls: Walls, job: Job) -> NoReturn:
    """Lock this process down and enter its program; whatever happens, it ends here."""
    code = channel.EXIT_LOCKDOWN_FAILED
    try:
        kept = Lockdown(walls, job.read_order(), job.channel, job.output).run()
        gc.enable()
        code = 1
        job.entry(kept, job.max_frame_bytes)
    except LockdownError as error:
        os.write(2, f"lock-down failed: {error}\n".encode())
    finally:
        if code == 1 and sys.exc_info()[0] is not None:
            traceback.print_exc()
        os._exit(code)


if __name__ == "__main__":
    main()
