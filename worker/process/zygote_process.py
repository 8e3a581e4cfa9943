"""Starting a zygote program and getting it ready to fork."""

import asyncio
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import worker
from worker import channel

MAIN_ENTRY: Final = "worker.child.main:serve"
MAX_MESSAGE_BYTES: Final = 64 * 1024
_STDERR_TAIL_BYTES: Final = 4096
_FIXED_ENVIRONMENT: Final = {
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "LC_ALL": "C.UTF-8",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PATH": "/usr/bin:/bin",
}


class ZygoteError(Exception):
    """The zygote cannot be started, or refused a fork; no child was left behind."""


@dataclass(frozen=True, slots=True)
class ZygoteConfig:
    """One Python environment with its preloaded modules.

    ``scratch_folder``: absolute; made (mode 0755) if absent. Private scratches are mounted over it, each in
    its run's own name space, so it stays empty. ``preload``: modules to import before the first fork, in this
    order. ``entries``: "module:function" programs that children may be asked to run. ``import_roots``: folders
    to import entries from; children cannot read them. ``packages``: folders of packages instead of the
    interpreter's own. ``exposed``: folders that children with user ids of their own can reach although a folder
    above is private; needs root and mount name spaces.
    """

    scratch_folder: str
    preload: tuple[str, ...] = ()
    python: str = sys.executable
    entries: tuple[str, ...] = (MAIN_ENTRY,)
    import_roots: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    start_timeout_seconds: float = 60.0


class _UnusableModuleError(Exception):
    """The start failed because of one module; it can be tried again without it."""

    def __init__(self, module: str, reason: str) -> None:
        super().__init__(f"{module}: {reason}")
        self.module = module
        self.reason = reason


@dataclass(slots=True)
class ZygoteProcess:
    """A zygote process with its control socket; ``stderr`` is a file in memory."""

    popen: subprocess.Popen[bytes]
    control: socket.socket
    stderr: int
    importing: str = ""
    preloaded: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)

    def stderr_tail(self) -> str:
        """The last that the zygote wrote to standard error."""
        size = os.fstat(self.stderr).st_size
        tail = os.pread(self.stderr, _STDERR_TAIL_BYTES, max(0, size - _STDERR_TAIL_BYTES))
        return tail.decode(errors="replace").strip()

    def destroy(self) -> None:
        """Kill, reap, close; children die with it."""
        self.popen.kill()
        self.popen.wait()
        self.control.close()
        os.close(self.stderr)


def _spawn(config: ZygoteConfig) -> ZygoteProcess:
    Path(config.scratch_folder).mkdir(mode=0o755, parents=True, exist_ok=True)
    root = Path(worker.__file__).parents[1]
    # An installed project is on the interpreter's own path; a checkout is not.
    roots = [*config.import_roots, *([] if root.name in ("site-packages", "dist-packages") else [str(root)])]
    environment = {
        **_FIXED_ENVIRONMENT,
        "HOME": config.scratch_folder,
        "TMPDIR": config.scratch_folder,
        "PYTHONPATH": os.pathsep.join(roots),
    }
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    stderr = os.memfd_create("zygote-stderr")
    try:
        popen = subprocess.Popen(  # noqa: S603 - the interpreter is the operator's choice, no shell is involved
            [config.python, "-s", "-P", "-m", "worker.child.zygote"],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    except OSError:
        ours.close()
        os.close(stderr)
        raise
    finally:
        theirs.close()
    return ZygoteProcess(popen, ours, stderr)


async def _greet(process: ZygoteProcess, config: ZygoteConfig) -> None:
    """Configure a new zygote and wait until it can fork.

    Raises:
        _UnusableModuleError: one module's import ended it, left threads behind or did not return.
        ZygoteError: it cannot start at all.
    """
    try:
        async with asyncio.timeout(config.start_timeout_seconds):
            await _converse(process, config)
            return
    except TimeoutError:
        reason = f"not ready within {config.start_timeout_seconds:g} s"
    except (OSError, EOFError):
        reason = "the zygote ended"
    reason = f"{reason}: {process.stderr_tail() or 'it left no message'}"
    if process.importing:
        raise _UnusableModuleError(process.importing, f"its import fails the zygote: {reason}")
    raise ZygoteError(reason)


async def _converse(process: ZygoteProcess, config: ZygoteConfig) -> None:
    loop = asyncio.get_running_loop()
    start = {
        "preload": list(config.preload),
        "entries": list(config.entries),
        "import_roots": list(config.import_roots),
        "packages": list(config.packages),
        "exposed": list(config.exposed),
    }
    await loop.sock_sendall(process.control, channel.pack(["start", start]))
    while data := await loop.sock_recv(process.control, MAX_MESSAGE_BYTES):
        match channel.unpack(data):
            case ["preloading", str(name)]:
                process.importing = name
            case ["unusable", str(name), str(reason)]:
                raise _UnusableModuleError(name, reason)
            case ["hello", list(preloaded), dict(failed)]:
                process.preloaded, process.failed = tuple(preloaded), failed
                return
    raise EOFError


async def start_process(config: ZygoteConfig) -> ZygoteProcess:
    """Start a zygote, leaving out one after the other the modules that make it useless."""
    unusable: dict[str, str] = {}
    while True:
        preload = tuple(name for name in config.preload if name not in unusable)
        try:
            process = _spawn(config)
        except OSError as error:
            raise ZygoteError(f"{config.python} cannot be started: {error}") from error
        try:
            await _greet(process, replace(config, preload=preload))
        except _UnusableModuleError as error:
            process.destroy()
            unusable[error.module] = error.reason
        except BaseException:
            process.destroy()
            raise
        else:
            process.failed |= unusable
            return process
