"""What the machine itself takes: a bare ZeroMQ echo, a bare fork; and what others take: a Jupyter kernel."""

import contextlib
import importlib.util
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import zmq

PAYLOAD = b"x" * 150


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


def has_jupyter() -> bool:
    """Whether the peer is installed."""
    return all(importlib.util.find_spec(name) for name in ("jupyter_client", "ipykernel"))


class Jupyter:
    """A kernel started and called through jupyter_client, as its users do."""

    def __init__(self) -> None:
        from jupyter_client.manager import KernelManager  # noqa: PLC0415 - optional

        self._manager: Any = KernelManager(kernel_name="python3")
        self._client: Any = None

    def start(self) -> None:
        """Until the kernel answers."""
        self._manager.start_kernel()
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        self._client.execute_interactive("count = 0", output_hook=lambda _: None)

    def call(self) -> None:
        """One execution, until it is idle again."""
        self._client.execute_interactive("count += 1\ncount", output_hook=lambda _: None)

    def stop(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
