"""A program for run processes that evaluates what a test sends: ``["run", source]`` sets ``answer``."""

import os
import socket
import traceback
from typing import Any, NoReturn

from worker import channel


def open_descriptors() -> list[int]:
    """The descriptors below 1024 that are open."""
    return [number for number in range(1024) if _is_open(number)]


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def serve(connection: socket.socket, max_frame_bytes: int) -> NoReturn:
    """Answer ``["answer", value]`` or ``["raised", type name, traceback]`` until the peer closes."""
    reader = channel.FrameReader(max_frame_bytes)
    while data := connection.recv(1 << 16):
        for _kind, source in reader.feed(data):
            connection.sendall(channel.pack_frame(_run(source)))
    os._exit(0)


def _run(source: str) -> list[Any]:
    scope: dict[str, Any] = {"open_descriptors": open_descriptors}
    try:
        exec(source, scope)
    except BaseException as error:  # noqa: BLE001 - whatever the test raises is the answer
        return ["raised", type(error).__name__, traceback.format_exc()]
    return ["answer", scope.get("answer")]
