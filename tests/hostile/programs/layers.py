"""Locks a child down as a zygote does, but for one layer, and attacks from inside it.

``python -m tests.hostile.programs.layers '{"layer", "attack", "identity", "off": [layers in front, off in both tries],
"limits": {…}, "jail": bool, "folder": an empty folder that others can reach}'`` prints ``{"with": …, "without": …}``:
"refused", "through", or "closed: …" where the lock-down itself refuses to go on.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from worker.child import kernel, mounts
from worker.child.sandbox import Lockdown, LockdownError, Order, Walls
from worker.process.limits import FIRST_UID, Limits
from worker.supervisor.step_watch import processor_clock

SEGMENT_KEY = 0x6D776C79
NAMESPACES = {
    "network": kernel.CLONE_NEWNET,
    "ipc": kernel.CLONE_NEWIPC,
    "mounts": kernel.CLONE_NEWNS,
}
FORBIDDEN = {
    name: getattr(resource, f"RLIMIT_{name.upper()}")
    for name in ("core", "memlock", "msgqueue", "nice", "rtprio")
}
UNLIMITED = 1 << 40
SHARED_SECONDS = 1.0
"""Processor time that two processes share while it is seen how."""
EVEN_SHARE = 0.37
"""Of one of them; it is half where they are equals, and a quarter where one of them steps back."""


class Weakened(Lockdown):
    """A lock-down that leaves out some layers."""

    def __init__(self, off: set[str], walls: Walls, order: Order, output: int) -> None:
        self._ends = socket.socketpair()
        super().__init__(walls, order, self._ends[0].fileno(), output)
        self._off = off

    def steps(self) -> list[tuple[str, Callable[[], None]]]:
        return [(step, act) for step, act in super().steps() if step not in self._off]

    def _leave_namespaces(self) -> None:
        shared = sum(flag for name, flag in NAMESPACES.items() if name in self._off)
        unshare = kernel.unshare
        kernel.unshare = lambda flags: unshare(flags & ~shared)
        super()._leave_namespaces()

    def _limit_resources(self) -> None:
        kept = {kind for name, kind in FORBIDDEN.items() if name in self._off}
        lower = resource.setrlimit
        resource.setrlimit = lambda kind, limits: None if kind in kept else lower(kind, limits)
        super()._limit_resources()
        resource.setrlimit = lower

    def _give_up_identity(self) -> None:
        if "capabilities" not in self._off:
            super()._give_up_identity()

    def _bind_to_parent(self) -> None:
        super()._bind_to_parent()
        if "dumpable" in self._off:
            kernel.set_dumpable(dumpable=True)
        if "parent death" in self._off:
            ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)

    def _keep_channel(self) -> None:
        if "descriptors" in self._off:
            kernel.close_from = lambda _first: None  # type: ignore[assignment]  # in this process only
        super()._keep_channel()


# --- attacks: whether one gets through ------------------------------------------------------------------------


def _works(act: Callable[[], object]) -> bool:
    try:
        act()
    except (OSError, ValueError, MemoryError, RuntimeError):
        return False
    return True


def _repeat(facts: dict[str, Any], act: Callable[[int], object]) -> None:
    for number in range(facts["beyond"]):
        act(number)


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def fork(_facts: dict[str, Any]) -> bool:
    return _works(_fork)


def read_foreign(_facts: dict[str, Any]) -> bool:
    return _works(Path("/etc/passwd").read_bytes)


def read_private(facts: dict[str, Any]) -> bool:
    """A file in the model's own folder that only its owner may read."""
    return _works(Path(facts["private"]).read_bytes)


def see_foreign(_facts: dict[str, Any]) -> bool:
    return _works(Path("/etc/passwd").stat)


def send_datagram(facts: dict[str, Any]) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        return _works(lambda: sender.sendto(b"x", ("127.0.0.1", facts["udp"])))


def share_memory(_facts: dict[str, Any]) -> bool:
    return _works(lambda: kernel.syscall("shmget", SEGMENT_KEY, 0, 0))


def change_root(_facts: dict[str, Any]) -> bool:
    return _works(lambda: os.chroot("."))


def become_owner(facts: dict[str, Any]) -> bool:
    """Execute a program that belongs to root and gives its rights to whoever does."""
    os.execv(facts["privileged"], [facts["privileged"], "-u"])


def read_inherited(facts: dict[str, Any]) -> bool:
    return _works(lambda: os.pread(facts["inherited"], 1, 0))


def fill_bytes(facts: dict[str, Any]) -> bool:
    return _works(lambda: Path("big").write_bytes(bytes(facts["beyond"])))


def fill_inodes(facts: dict[str, Any]) -> bool:
    return _works(lambda: _repeat(facts, lambda n: Path(f"f{n}").touch()))


def allocate(facts: dict[str, Any]) -> bool:
    return _works(lambda: bytearray(facts["beyond"]))


def burn(facts: dict[str, Any]) -> bool:
    while time.process_time() < facts["beyond"]:
        pass
    return True


def start_threads(facts: dict[str, Any]) -> bool:
    forever = threading.Event()
    return _works(
        lambda: _repeat(facts, lambda _: threading.Thread(target=forever.wait, daemon=True).start())
    )


def open_files(facts: dict[str, Any]) -> bool:
    return _works(lambda: _repeat(facts, lambda _: os.open(os.devnull, os.O_RDONLY)))


def queue_signals(facts: dict[str, Any]) -> bool:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN})
    number = int(signal.SIGRTMIN)
    information = ctypes.create_string_buffer(number.to_bytes(4, "little") + b"\0\0\0\0\xff\xff\xff\xff", 128)
    call = ("rt_sigqueueinfo", os.getpid(), number, ctypes.addressof(information))
    return _works(lambda: _repeat(facts, lambda _: kernel.syscall(*call)))


def raise_stack(_facts: dict[str, Any]) -> bool:
    return _works(lambda: resource.setrlimit(resource.RLIMIT_STACK, (1 << 26, 1 << 26)))


def raise_core(_facts: dict[str, Any]) -> bool:
    return _works(lambda: resource.setrlimit(resource.RLIMIT_CORE, (4096, 4096)))


def lock_memory(_facts: dict[str, Any]) -> bool:
    page = ctypes.create_string_buffer(4096)
    return _works(lambda: kernel.syscall("mlock", ctypes.addressof(page), 4096))


def make_queue(_facts: dict[str, Any]) -> bool:
    name = ctypes.create_string_buffer(b"layers")
    return _works(lambda: kernel.syscall("mq_open", ctypes.addressof(name), os.O_CREAT | os.O_RDWR, 0o600, 0))


def be_preferred(_facts: dict[str, Any]) -> bool:
    return _works(lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))


def be_real_time(_facts: dict[str, Any]) -> bool:
    return _works(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))


def crowd_out(facts: dict[str, Any]) -> bool:
    """Take half of a processor that the parent wants for itself; the parent looks."""
    os.write(facts["ask"], str(os.getpid()).encode())
    while not select.select([facts["told"]], [], [], 0)[0]:
        pass
    return os.read(facts["told"], 1) == b"1"


def outlive(facts: dict[str, Any]) -> bool:
    """Whether it is still there some time after its parent has gone."""
    while os.getppid() == facts["parent"]:
        time.sleep(0.01)
    time.sleep(0.2)
    return True


def mount_outside(facts: dict[str, Any]) -> bool:
    """What it makes in its scratch is to be seen by nobody; the parent looks."""
    Path("seen").touch()
    return _observed(facts)


def be_looked_into(facts: dict[str, Any]) -> bool:
    """A process of the same user looks into this one's memory."""
    return _observed(facts)


def _observed(facts: dict[str, Any]) -> bool:
    os.write(facts["ask"], str(os.getpid()).encode())
    return os.read(facts["told"], 1) == b"1"


ATTACKS: dict[str, Callable[[dict[str, Any]], bool]] = {
    one.__name__: one
    for one in (
        fork, read_foreign, read_private, see_foreign, send_datagram, share_memory, change_root, become_owner,
        read_inherited, fill_bytes, fill_inodes, allocate, burn, start_threads, open_files, queue_signals, raise_stack,
        raise_core, lock_memory, make_queue, be_preferred, be_real_time, crowd_out, outlive, mount_outside, be_looked_into,
    )
}  # fmt: skip


# --- the tries ------------------------------------------------------------------------------------------------


def _high(descriptor: int) -> int:
    """A copy out of the way of the numbers that a lock-down hands out."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD, 40)


class Try:
    """One child, locked down without ``off``, and its attack."""

    def __init__(self, asked: dict[str, Any], off: set[str], limits: dict[str, int]) -> None:
        self._asked = asked
        self._off = off
        self._walls = Walls()
        folder = Path(asked["folder"])
        uid = FIRST_UID if asked["identity"] == "uid" else -1
        self._uid = uid if uid >= 0 else os.geteuid()
        self._order = Order(
            identity=asked["identity"],
            walls=True,
            private_scratch=True,
            jail=asked["jail"] and "jail" not in off,
            uid=uid,
            model_folder=str(folder / "model"),
            read_paths=(),
            mapped_files=(),
            scratch_folder=str(folder / "scratch"),
            limits=limits,
        )

    def outcome(self) -> str:
        """What came of it. The parent of the attacker is a process that ends when the attacker is to outlive it."""
        read, write = os.pipe()
        zygote = os.fork()
        if zygote == 0:
            os.close(read)
            self._be_zygote(write)
        os.close(write)
        with os.fdopen(read, "rb") as output:
            said = output.read().decode().strip()
        os.waitpid(zygote, 0)
        if said.startswith(("closed", "through")) or said == "0":
            return "through" if said == "0" else said
        return "refused"

    def _be_zygote(self, output: int) -> None:
        self._walls.zygote_pid = os.getpid()
        ready, tell_ready = os.pipe()
        told, tell = os.pipe()
        facts = {**self._asked["facts"], "ask": _high(tell_ready), "told": _high(told)}
        facts["parent"] = os.getpid()
        facts["inherited"] = _high(os.open("/etc/passwd", os.O_RDONLY))
        pid = os.fork()
        if pid == 0:
            self._be_attacker(output, facts)
        os.close(tell_ready)
        os.close(facts["ask"])
        attack = self._asked["attack"]
        if attack == "outlive":
            os.read(ready, 1)
            os._exit(0)
        if attack in ("mount_outside", "be_looked_into", "crowd_out") and (number := os.read(ready, 16)):
            os.write(tell, b"1" if self._observe(attack, int(number)) else b"0")
        os.waitpid(pid, 0)
        os._exit(0)

    def _observe(self, attack: str, pid: int) -> bool:
        if attack == "mount_outside":
            return Path(self._asked["folder"], "scratch", "seen").exists()
        if attack == "crowd_out":
            return _shared_out(pid) > EVEN_SHARE
        looker = os.fork()
        if looker == 0:
            if self._uid != os.geteuid():
                os.setgroups([])
                os.setresgid(self._uid, self._uid, self._uid)
                os.setresuid(self._uid, self._uid, self._uid)
            kernel.drop_capabilities()
            os._exit(0 if _works(lambda: os.open(f"/proc/{pid}/mem", os.O_RDONLY)) else 1)
        return os.waitpid(looker, 0)[1] == 0

    def _be_attacker(self, output: int, facts: dict[str, Any]) -> None:
        said = "refused"
        try:
            Weakened(self._off | self._kept(), self._walls, self._order, output).run()
            if self._asked["attack"] == "outlive":
                os.write(facts["ask"], b"x")
            if ATTACKS[self._asked["attack"]](facts):
                said = "through"
        except LockdownError as error:
            said = f"closed: {error}"
        finally:
            os.write(1, said.encode())
            os._exit(0)

    def _kept(self) -> set[str]:
        """Attacks that are watched talk to their parent over descriptors of their own."""
        watched = ("outlive", "mount_outside", "be_looked_into", "crowd_out")
        return {"descriptors"} if self._asked["attack"] in watched else set()


def _shared_out(pid: int) -> float:
    """How much of a processor another process took while this one wanted it too, as a share of both."""
    one = {min(os.sched_getaffinity(0))}
    os.sched_setaffinity(pid, one)
    os.sched_setaffinity(0, one)
    clock = processor_clock(pid)
    mine, others = time.process_time(), time.clock_gettime(clock)
    while True:
        own, other = time.process_time() - mine, time.clock_gettime(clock) - others
        if own + other > SHARED_SECONDS:
            return other / (own + other)


def main(asked: dict[str, Any]) -> None:
    """Try with the layer and without it; print what came of both."""
    if os.geteuid() == 0:
        kernel.unshare(kernel.CLONE_NEWNS)
        mounts.make_private()
    for kind in FORBIDDEN.values():
        # As on a host that grants all of them, where this user may grant himself anything.
        with contextlib.suppress(ValueError):
            resource.setrlimit(kind, (1 << 20, 1 << 20))
    folder = Path(asked["folder"])
    for name in ("scratch", "model"):
        (folder / name).mkdir(mode=0o755)
    private = folder / "model" / "private"
    private.touch(mode=0o600)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        asked["facts"] |= {"udp": listener.getsockname()[1], "private": str(private)}
        segment = kernel.syscall("shmget", SEGMENT_KEY, 4096, 0o1666)
        try:
            sys.stdout.write(json.dumps(_both(asked)))
        finally:
            kernel.syscall("shmctl", segment, 0, 0)


def _both(asked: dict[str, Any]) -> dict[str, str]:
    limits = {**asdict(Limits()), **asked["limits"]}
    layer, off = asked["layer"], set(asked["off"])
    lifted = {layer: UNLIMITED} if layer in limits else {}
    return {
        "with": Try(asked, off, limits).outcome(),
        "without": Try(asked, off | {layer}, limits | lifted).outcome(),
    }


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
