"""The start-up probe: what a hostile model would try first, tried from inside a locked-down process.

One frame asks, ``["probe", targets]``; one answers, ``["probed", attacks, needs]``. ``attacks`` maps each of
ten names to "refused" or to what got through; ``needs`` maps what every model may count on to "ok" or to what
went wrong. A probe that finds an open door does no harm behind it.

``targets``: {"tcp_port", "unix_path", "model_folder", "scratch_bytes", "scratch_inodes"}; the last two are 0
where no scratch is promised.
"""

import ctypes
import errno
import importlib
import os
import socket
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

from worker import channel
from worker.child import kernel

REFUSED: Final = "refused"
FINE: Final = "ok"
_BLOCK: Final = bytes(1 << 20)
_MPTCP: Final = 262
_PTRACE_SEIZE: Final = 0x4206
_REFUSALS: Final = (errno.EPERM, errno.EACCES, errno.ENOSYS)
# In every installation; the first that the zygote has not imported is the test.
_RARE_MODULES: Final = ("colorsys", "wave", "sched", "cmd", "graphlib", "symtable")

_Targets = Mapping[str, Any]


def serve(connection: socket.socket, max_frame_bytes: int) -> NoReturn:
    """Answer one probe and end."""
    reader = channel.FrameReader(max_frame_bytes)
    while data := connection.recv(len(_BLOCK)):
        for _kind, targets in reader.feed(data):
            needs = {name: need(targets) for name, need in _NEEDS.items()}
            attacks = {name: ", ".join(attack(targets)) or REFUSED for name, attack in _ATTACKS.items()}
            connection.sendall(channel.pack_frame(["probed", attacks, needs]))
    os._exit(0)


def _succeeds(act: Callable[[], object]) -> bool:
    """Whether ``act`` does what it is for; any refusal or absence counts as no."""
    try:
        act()
    except OSError:
        return False
    return True


def _reaches_kernel(act: Callable[[], object]) -> bool:
    """Whether a call is carried out at all; one that only fails for its senseless arguments was."""
    try:
        act()
    except OSError as error:
        return error.errno not in _REFUSALS
    return True


def _read_foreign_files(_targets: _Targets) -> Iterable[str]:
    for path in ("/etc/passwd", "/etc/shadow", "/etc/hostname"):
        if _succeeds(Path(path).read_bytes):
            yield f"{path} can be read"


def _read_processes(_targets: _Targets) -> Iterable[str]:
    if _succeeds(lambda: list(Path("/proc").iterdir())):
        yield "/proc can be listed"
    for owner in ("self", str(os.getppid())):
        if _succeeds(Path(f"/proc/{owner}/environ").read_bytes):
            yield f"/proc/{owner}/environ can be read"


def _create(folder: str) -> None:
    path = Path(folder, f".probe-{os.getpid()}")
    path.touch(exist_ok=False)
    path.unlink()


def _write_code(targets: _Targets) -> Iterable[str]:
    for folder in (targets["model_folder"], sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")):
        if _succeeds(partial(_create, folder)):
            yield f"{folder} can be written"


def _connect(family: int, kind: int, protocol: int, address: Any) -> None:
    with socket.socket(family, kind, protocol) as connection:
        connection.connect(address)


def _connect_tcp(targets: _Targets) -> Iterable[str]:
    address = ("127.0.0.1", targets["tcp_port"])
    for name, protocol in (("TCP", 0), ("multipath TCP", _MPTCP)):
        if _succeeds(partial(_connect, socket.AF_INET, socket.SOCK_STREAM, protocol, address)):
            yield f"{name} connects"


def _send_datagram(address: str) -> None:
    """A pair made without asking for a socket, used to write to somebody else's."""
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with first, second:
        first.sendto(b"probe", address)


def _use_sockets(targets: _Targets) -> Iterable[str]:
    path = targets["unix_path"]
    if _succeeds(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()):
        yield "UDP sockets can be made"
    if _succeeds(partial(_connect, socket.AF_UNIX, socket.SOCK_STREAM, 0, path)):
        yield "unix sockets connect"
    if _reaches_kernel(partial(_send_datagram, path)):
        yield "datagrams can be addressed to unix sockets"


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _make_processes(_targets: _Targets) -> Iterable[str]:
    if _succeeds(_fork):
        yield "processes can be forked"


def _execute(_targets: _Targets) -> Iterable[str]:
    nothing = ctypes.create_string_buffer(b"/nonexistent")
    if _reaches_kernel(partial(kernel.syscall, "execve", ctypes.addressof(nothing))):
        yield "programs can be executed"


def _reach_processes(_targets: _Targets) -> Iterable[str]:
    zygote = os.getppid()
    if _succeeds(partial(os.kill, zygote, 0)):
        yield "the zygote can be signalled"
    if _succeeds(partial(kernel.syscall, "ptrace", _PTRACE_SEIZE, zygote)):
        yield "the zygote can be traced"
    if _succeeds(partial(kernel.syscall, "pidfd_open", zygote)):
        yield "the zygote can be opened"


def _fill(act: Callable[[Path], object], allowed: int, step: int) -> bool:
    """Whether more than ``allowed`` can be used up in files of ``step`` each; they are removed again."""
    made: list[Path] = []
    try:
        while len(made) * step <= allowed:
            made.append(Path(f"probe-{len(made)}"))
            act(made[-1])
    except OSError:
        return False
    else:
        return True
    finally:
        for path in made:
            path.unlink(missing_ok=True)


def _exceed_scratch(targets: _Targets) -> Iterable[str]:
    if not targets["scratch_bytes"]:
        for folder in (".", "/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108 - not to use them: to see them refused
            if _succeeds(partial(_create, folder)):
                yield f"{folder} can be written"
        return
    if _fill(lambda path: path.write_bytes(_BLOCK), targets["scratch_bytes"], len(_BLOCK)):
        yield "the scratch takes more bytes than its quota"
    if _fill(Path.touch, targets["scratch_inodes"], 1):
        yield "the scratch takes more files than its quota"


def _use_kernel(_targets: _Targets) -> Iterable[str]:
    calls: tuple[tuple[str, tuple[int, ...]], ...] = (
        ("mount", ()),
        ("io_uring_setup", (1,)),
        ("bpf", ()),
        ("perf_event_open", ()),
        ("userfaultfd", ()),
        ("keyctl", ()),
        ("memfd_create", ()),
        ("open_by_handle_at", ()),
        ("unshare", (kernel.CLONE_NEWUSER,)),
    )
    for name, arguments in calls:
        if _reaches_kernel(partial(kernel.syscall, name, *arguments)):
            yield f"the system call {name} is carried out"


# The last is last, because it could change who this process is.
_ATTACKS: Final[Mapping[str, Callable[[_Targets], Iterable[str]]]] = {
    "read foreign files": _read_foreign_files,
    "read /proc": _read_processes,
    "write code": _write_code,
    "connect by TCP": _connect_tcp,
    "use other sockets": _use_sockets,
    "fork": _make_processes,
    "execute": _execute,
    "reach other processes": _reach_processes,
    "exceed the scratch": _exceed_scratch,
    "use the kernel's interior": _use_kernel,
}


def _import_more(_targets: _Targets) -> str:
    name = next(name for name in _RARE_MODULES if name not in sys.modules)
    try:
        importlib.import_module(name)
    except (ImportError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return FINE


def _read_model(targets: _Targets) -> str:
    try:
        Path(targets["model_folder"], "model.py").read_bytes()
    except OSError as error:
        return str(error)
    return FINE


def _write_scratch(targets: _Targets) -> str:
    if not targets["scratch_bytes"]:
        return FINE
    try:
        _create(".")
    except OSError as error:
        return str(error)
    return FINE


_NEEDS: Final[Mapping[str, Callable[[_Targets], str]]] = {
    "import": _import_more,
    "model": _read_model,
    "scratch": _write_scratch,
}
