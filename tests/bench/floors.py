"""What the machine itself takes: a bare ZeroMQ echo, a bare fork, a page written to disk."""

import contextlib
import itertools
import os
import signal
import tempfile
from collections.abc import Callable, Iterator

import zmq

PAYLOAD = b"x" * 150
PAGE = b"x" * 4096
FILE_PAGES = 1000


@contextlib.contextmanager
def echo() -> Iterator[Callable[[], None]]:
    """One REQ/REP round trip to another process."""
    with tempfile.TemporaryDirectory(prefix="echo-") as folder:
        endpoint = f"ipc://{folder}/s"
        pid = os.fork()
        if pid == 0:
            _answer(endpoint)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = context.socket(zmq.REQ)
        socket.connect(endpoint)

        def round_trip() -> None:
            socket.send(PAYLOAD)
            socket.recv()

        try:
            round_trip()
            yield round_trip
        finally:
            socket.close(0)
            context.term()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _answer(endpoint: str) -> None:
    socket = zmq.Context().socket(zmq.REP)
    socket.bind(endpoint)
    while True:
        socket.send(socket.recv())


def fork() -> None:
    """A bare fork of this process that ends at once."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@contextlib.contextmanager
def disk() -> Iterator[Callable[[], None]]:
    """One write of a page that is on disk when it returns: what no durable answer can be quicker than."""
    with tempfile.NamedTemporaryFile(prefix="disk-") as file:
        descriptor = file.fileno()
        os.posix_fallocate(descriptor, 0, FILE_PAGES * len(PAGE))
        os.fsync(descriptor)
        pages = itertools.cycle(range(FILE_PAGES))

        def write() -> None:
            os.pwrite(descriptor, PAGE, next(pages) * len(PAGE))
            os.fdatasync(descriptor)

        yield write
