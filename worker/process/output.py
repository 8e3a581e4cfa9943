"""What a model prints: lines from the output pipe of its process, bounded, for the log.

The pipe is the model's: everything in it is text of an author, never a message. It is always drained, so
that a model that prints much is slowed but never blocked; what goes over the budget of one request is
counted and dropped, with one notice.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Final

RECORD: Final = "\x1e"
UNIT: Final = "\x1f"
LEVELS: Final = frozenset({"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"})
CHUNK_BYTES: Final = 64 * 1024
LINE_CHARACTERS: Final = 4096
FLOOD_BYTES_PER_TURN: Final = 1024 * 1024
FLOOD_PAUSE_SECONDS: Final = 0.01

LineSink = Callable[[str, str], None]
"""Called with a level (``STDOUT`` for what the model printed) and one printable line."""


class OutputReader:
    """Reads one output pipe until its end; owns the descriptor.

    ``mute`` discards what comes (the output of replayed actions); ``renew`` begins the budget of the next
    request and reports what the last one lost.
    """

    def __init__(self, fd: int, *, budget_bytes: int, sink: LineSink) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._budget_bytes = budget_bytes
        self._sink = sink
        self._left = budget_bytes
        self._dropped = 0
        self._line = b""
        self._muted = False
        self._pause: asyncio.TimerHandle | None = None
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._on_readable)

    def mute(self) -> None:
        """Discard everything from here on."""
        self._muted = True

    def unmute(self) -> None:
        """Discard what has been written until now and report what is written from here on."""
        self.drain()
        self._line = b""
        self._dropped = 0
        self._left = self._budget_bytes
        self._muted = False

    def renew(self) -> None:
        """A new request begins: say what the last one lost, and give a new budget."""
        if self._dropped:
            self._sink(
                "WARN", f"output cut: {self._dropped} bytes over the limit of {self._budget_bytes} dropped"
            )
        self._dropped = 0
        self._left = self._budget_bytes

    def drain(self) -> None:
        """Take what is in the pipe now, without waiting."""
        taken = 0
        while self._fd >= 0 and taken < FLOOD_BYTES_PER_TURN:
            size = self._read()
            if size == 0:
                return
            taken += size

    def close(self) -> None:
        """Report the rest and release the descriptor; idempotent."""
        if self._fd < 0:
            return
        self.drain()
        if self._line:
            self._emit(self._line)
            self._line = b""
        self.renew()
        self._release()

    def _on_readable(self) -> None:
        self._read()
        if self._left <= 0 and self._fd >= 0:
            # A flood: read on by the clock, at a rate that cannot starve other runs.
            self._loop.remove_reader(self._fd)
            self._pause = self._loop.call_later(FLOOD_PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self.drain()
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._on_readable)

    def _read(self) -> int:
        try:
            data = os.read(self._fd, CHUNK_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            self._release()
            return 0
        if not self._muted:
            self._take(data)
        return len(data)

    def _take(self, data: bytes) -> None:
        kept, lost = data[: max(self._left, 0)], max(len(data) - max(self._left, 0), 0)
        self._left -= len(kept)
        self._dropped += lost
        *lines, self._line = (self._line + kept).split(b"\n")
        for line in lines:
            self._emit(line)
        if len(self._line) > LINE_CHARACTERS:
            self._emit(self._line)
            self._line = b""

    def _emit(self, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace")
        level = "STDOUT"
        if text.startswith(RECORD):
            head, found, rest = text[1:].partition(UNIT)
            if found and head in LEVELS:
                level, text = head, rest.replace("\\n", "\n")
        shown = "".join(
            c if c.isprintable() or c in "\t\n" else f"\\x{ord(c):02x}" for c in text[:LINE_CHARACTERS]
        )
        self._sink(level, shown)

    def _release(self) -> None:
        if self._fd < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1
