"""Faults of the disk below a real worker: a preloaded shim that fails chosen system calls, and a small disk."""

import errno
import mmap
import os
import shutil
import struct
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntFlag
from io import FileIO
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

REPLY_SECONDS = 30.0
SHIM = Path(__file__).with_name("disk_faults.c")
_RULE = struct.Struct("6i64s")
"""armed, calls, error, skip, times, fired, match: as ``struct rule`` in the shim."""


class Calls(IntFlag):
    """Kinds of system calls, as the shim numbers them."""

    WRITE = 1
    SYNC = 2
    TRUNCATE = 4
    READ = 8
    OPEN = 16


class DiskFaults:
    """The switch of the shim in one worker; ``env`` is what the worker must be started with."""

    def __init__(self, library: Path, control: Path) -> None:
        control.write_bytes(bytes(_RULE.size))
        control.chmod(0o666)
        self.env = {"LD_PRELOAD": str(library), "DISK_FAULTS": str(control)}
        with control.open("r+b") as file:
            self._rule = mmap.mmap(file.fileno(), _RULE.size)

    def arm(
        self, calls: Calls, error: int, *, match: str = "worker.db", skip: int = 0, times: int = -1
    ) -> None:
        """Have calls on files whose path has ``match`` in it fail with ``error``, from now on.

        The first ``skip`` of them pass, ``times`` fail (-1: all).
        """
        self.disarm()
        self._rule[:] = _RULE.pack(0, calls, error, skip, times, 0, match.encode())
        self._rule[0:4] = struct.pack("i", 1)

    def disarm(self) -> None:
        """Let every call pass."""
        self._rule[0:4] = struct.pack("i", 0)

    @property
    def fired(self) -> int:
        """How many calls failed since ``arm``."""
        fired: int = _RULE.unpack(self._rule[:])[5]
        return fired

    def close(self) -> None:
        """Let go of the mapping; a worker keeps its own."""
        self.disarm()
        self._rule.close()


@pytest.fixture(scope="session")
def disk_shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shim as a shared library, compiled here."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler (cc, gcc or clang) to build the disk fault shim with")
    library = tmp_path_factory.mktemp("shim") / "disk_faults.so"
    command = [
        compiler,
        "-shared",
        "-fPIC",
        "-O1",
        "-D_LARGEFILE64_SOURCE",
        "-o",
        str(library),
        str(SHIM),
        "-ldl",
    ]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return library


@pytest.fixture(scope="module")
def disk_faults(disk_shim: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DiskFaults]:
    """One switch for the workers of a module."""
    faults = DiskFaults(disk_shim, tmp_path_factory.mktemp("faults") / "rule")
    yield faults
    faults.close()


@pytest.fixture(scope="session")
def disk_calls() -> type[Calls]:
    """The kinds of calls that can fail."""
    return Calls


class OneShot:
    """A client that sends a request once and gives the reply as it came: no repetition hides a refusal."""

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.connect(endpoint)
        self.given_up = threading.Event()

    def ask(self, type_: str, /, **fields: Any) -> dict[str, Any]:
        """The reply map; raises TimeoutError when there is none in time, or ``given_up`` is set."""
        request = {"version": 1, "type": type_, "request_id": uuid.uuid4().hex, **fields}
        self._socket.send_multipart([b"", msgpack.packb(request)])
        expires_at = time.monotonic() + REPLY_SECONDS
        while time.monotonic() < expires_at and not self.given_up.is_set():
            if self._socket.poll(50):
                reply: dict[str, Any] = msgpack.unpackb(self._socket.recv_multipart()[-1], raw=False)
                if reply["request_id"] == request["request_id"]:
                    return reply
        raise TimeoutError(type_)

    def refusal(self, type_: str, /, **fields: Any) -> dict[str, Any]:
        """The error of a request that must fail."""
        reply = self.ask(type_, **fields)
        assert not reply["ok"], reply
        error: dict[str, Any] = reply["error"]
        return error

    def result(self, type_: str, /, **fields: Any) -> Any:
        """The result of a request that must succeed."""
        reply = self.ask(type_, **fields)
        assert reply["ok"], reply
        return reply["result"]

    def close(self) -> None:
        self._socket.close()
        self._context.term()


@pytest.fixture
def one_shot() -> Iterator[Callable[[str], OneShot]]:
    """``one_shot(endpoint)``: a client that never repeats; closed with the test."""
    clients: list[OneShot] = []

    def make(endpoint: str) -> OneShot:
        clients.append(OneShot(endpoint))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def _written(file: FileIO, size: int) -> bool:
    """Whether there was room for so many bytes."""
    try:
        return file.write(bytes(size)) == size
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A real file system of a few MiB, in a mount name space of its own that lives as long as the test."""

    enter: tuple[str, ...]
    """Prefix of a command that shall see it."""
    path: str
    """Where it is for those commands."""
    outside: Path
    """Where it is for the test."""

    def fill(self) -> None:
        """Leave no free byte."""
        with (self.outside / "filler").open("ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                while _written(file, size):
                    pass

    def free(self) -> None:
        """Give all of it back."""
        (self.outside / "filler").unlink()

    def remount(self, option: str) -> None:
        """Mount it "ro" or "rw"; nobody may have a file open for writing."""
        subprocess.run([*self.enter, "mount", "-o", f"remount,{option}", self.path], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """An empty disk of 4 MiB."""
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    users = [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
    mount = f"mount -t tmpfs -o size=4m,mode=755 disk '{tmp_path}' && echo mounted && read line"
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("no unshare and nsenter (util-linux) to make a small disk with")
    with subprocess.Popen(
        [*unshare, "sh", "-c", mount],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        if holder.stdout.readline() != "mounted\n":
            assert holder.stderr is not None
            pytest.skip(f"this machine lets nobody mount a small disk: {holder.stderr.read().strip()}")
        try:
            enter = ("nsenter", "-t", str(holder.pid), *users, "-m")
            yield SmallDisk(enter, str(tmp_path), Path(f"/proc/{holder.pid}/root{tmp_path}"))
        finally:
            holder.kill()
