r"""The model's printed lines and log lines, on the one pipe the supervisor drains.

Standard output and standard error are text streams over descriptors 1 and 2 that can be muted here: while
actions are replayed, nothing a model prints is seen again. Only Python's streams are muted; what a C library
writes to the descriptor itself is not.

A log line is ``\x1e<LEVEL>\x1f<message>\\n``, one write, always at the start of a line; a line feed in the
message travels as the two characters ``\\n``.
"""

import io
import sys
from collections.abc import Callable
from os import write as write_fd
from typing import Any, Final

from worker.child.failures import attempt, bounded
from worker.child.isolation import BUILTINS

__builtins__ = BUILTINS

LOG_MESSAGE_BYTES: Final = 4000
"""So that a line is shorter than PIPE_BUF (4096 bytes) and arrives whole."""


class _Pipe(io.RawIOBase):
    """A descriptor that is never closed and can be muted."""

    def __init__(self, fd: int, output: "Output") -> None:
        self._fd = fd
        self._output = output

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        output = self._output
        if output.muted or not view or (self._fd == 1 and not output.redirect):
            return len(view)
        written = write_fd(self._fd, view)
        if written:
            output.at_line_start = view[written - 1] == 0x0A
        return written


class Output:
    """Owns ``sys.stdout`` and ``sys.stderr`` of a run process; ``muted`` discards all that is written.

    With ``redirect`` false, what the model prints to standard output is discarded.
    """

    def __init__(self) -> None:
        self.muted = False
        self.redirect = True
        self.at_line_start = True
        self._streams = [self._open(0), self._open(1)]
        sys.stdout, sys.stderr = self._streams

    def _open(self, index: int) -> io.TextIOWrapper:
        buffered = io.BufferedWriter(_Pipe(index + 1, self), 8192)
        return io.TextIOWrapper(buffered, "utf-8", "backslashreplace", "\n", line_buffering=True)

    def flush(self) -> None:
        """Send what is buffered; a stream that the model closed is opened anew, one it replaced is flushed.

        A pipe without a reader loses its text silently.
        """
        self._flush(0, getattr(sys, "stdout", None))
        self._flush(1, getattr(sys, "stderr", None))

    def _flush(self, index: int, current: Any) -> None:
        own = self._streams[index]
        _, failure = attempt(own.flush)
        if failure is not None and issubclass(type(failure), ValueError):  # closed or detached
            self._streams[index] = self._open(index)
            if current is own:
                setattr(sys, ("stdout", "stderr")[index], self._streams[index])
        elif current is not own and current is not None:
            attempt(_flush_stream, current)

    def log(self, level: str, message: str) -> None:
        """Write one log line, after what was printed before it."""
        if self.muted:
            return
        self.flush()
        text = bounded(message.replace("\n", "\\n"), LOG_MESSAGE_BYTES)
        line = ("" if self.at_line_start else "\n") + f"\x1e{level}\x1f{text}\n"
        attempt(_write_all, line.encode("utf-8", "backslashreplace"), write_fd)
        self.at_line_start = True


def _flush_stream(stream: Any) -> None:
    stream.flush()


def _write_all(data: bytes, write: Callable[[int, bytes], int]) -> None:
    while data:
        data = data[write(1, data) :]
