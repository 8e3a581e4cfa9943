"""What a model prints: lines from the output pipe of its process, bounded, for the log.

The pipe is the model's: everything in it is text of an author, never a message. It is always drained, so
that a model that prints much is slowed but never blocked; what goes over the budget of one request is
counted and dropped, with one notice.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Final

from worker.process.rate import MessageRate

RECORD: Final = "\x1e"
UNIT: Final = "\x1f"
LEVELS: Final = frozenset({"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"})
CHUNK_BYTES: Final = 64 * 1024
LINE_BYTES: Final = 4096
BYTES_PER_LINE: Final = 32
"""A budget of n bytes is one of n / 32 lines, too: an empty line costs the log as much as a long one."""
FLOOD_BYTES_PER_TURN: Final = 1024 * 1024
FLOOD_PAUSE_SECONDS: Final = 0.01

LineSink = Callable[[str, str], None]
"""Called with a level (``STDOUT`` for what the model printed) and one printable line.

A line longer than ``LINE_BYTES`` comes in pieces.
"""


class OutputReader:
    """Reads one output pipe until its end; owns the descriptor, and holds at most one piece of a line.

    ``budget_bytes`` is of one request, ``rate`` of the life of the process.

    ``mute`` discards what comes (the output of replayed actions); ``renew`` begins the budget of the next
    request and reports what the last one lost.
    """

    def __init__(self, fd: int, *, budget_bytes: int, rate: MessageRate, sink: LineSink) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._budget_bytes = budget_bytes
        self._rate = rate
        self._sink = sink
        self._left = budget_bytes
        self._lines_left = budget_bytes // BYTES_PER_LINE
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
        self.renew()
        self._muted = False

    def renew(self) -> None:
        """A new request begins: say what the last one lost, and give a new budget."""
        if self._dropped:
            self._sink(
                "WARN",
                f"output cut: {self._dropped} bytes dropped, over the limit of {self._budget_bytes} bytes "
                f"or {self._budget_bytes // BYTES_PER_LINE} lines (output_bytes), or of {self._rate.per_second} lines "
                "a second (message_rate)",
            )
        self._dropped = 0
        self._left = self._budget_bytes
        self._lines_left = self._budget_bytes // BYTES_PER_LINE

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
        self.drain()
        self._finish()

    def _on_readable(self) -> None:
        self._read()
        if self._dropped and self._fd >= 0:
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
            self._finish()
            return 0
        if not self._muted:
            self._take(data)
        return len(data)

    def _take(self, data: bytes) -> None:
        kept = data[: self._left]
        self._left -= len(kept)
        self._dropped += len(data) - len(kept)
        *lines, self._line = (self._line + kept).split(b"\n")
        granted = self._rate.take(min(len(lines), self._lines_left))
        surplus = lines[granted:]
        self._dropped += sum(map(len, surplus)) + len(surplus)  # not one by one: they may be 65,536
        for line in lines[:granted]:
            self._emit_counted(line, len(line) + 1)
        while len(self._line) > LINE_BYTES:
            end = _piece_end(self._line)
            self._emit_counted(self._line[:end], end)
            self._line = self._line[end:]
        if self._dropped:
            self._emit_rest()  # what is printed after the gap is no continuation of it

    def _emit_counted(self, line: bytes, size: int) -> None:
        if self._lines_left > 0:
            self._lines_left -= 1
            self._emit(line)
        else:
            self._dropped += size

    def _emit(self, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace")
        level = "STDOUT"
        if text.startswith(RECORD):
            head, found, rest = text[1:].partition(UNIT)
            if found and head in LEVELS:
                level, text = head, rest.replace("\\n", "\n")
        for start in range(0, max(len(text), 1), LINE_BYTES):
            self._sink(level, _printable(text[start : start + LINE_BYTES]))

    def _emit_rest(self) -> None:
        if self._line:
            self._emit(self._line)
            self._line = b""

    def _finish(self) -> None:
        """Report what is left, then release the descriptor."""
        if self._fd < 0:
            return
        self._emit_rest()
        self.renew()
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1


def _piece_end(line: bytes) -> int:
    """Where to cut a long line without tearing a UTF-8 character (of at most 4 bytes) apart."""
    starts = (end for end in range(LINE_BYTES, LINE_BYTES - 4, -1) if line[end] & 0xC0 != 0x80)
    return next(starts, LINE_BYTES)


def _printable(text: str) -> str:
    """The text with every control character, but for tabs and line feeds, written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\t\n" else c.encode("unicode_escape").decode() for c in text)
