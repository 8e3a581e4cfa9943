"""One run process as the supervisor sees it: frames out, frames in, its output, its end."""

import asyncio
import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol

from worker.channel import ChannelError, FrameReader, LimitError, is_own, pack_frame
from worker.process.output import LineSink, OutputReader
from worker.process.rate import MessageRate
from worker.process.zygote import Child, ExitReport, ForkRequest, Zygote, ZygoteError

READ_BYTES: Final = 256 * 1024
CLOSED_GRACE_SECONDS: Final = 0.25
"""How long a process that closed its socket may take to end; an ending one needs a few milliseconds."""


class Listener(Protocol):
    """Who is told what a process does. Calls come one at a time, on the loop."""

    def on_message(self, message: list[Any]) -> None:
        """A well-formed frame arrived; its content is still to be judged."""

    def on_broken(self, error: ChannelError) -> None:
        """The process sent what is no frame, or more than it may, and has been killed."""

    def on_exit(self, report: ExitReport) -> None:
        """The process is gone and reaped; nothing follows."""


class ProcessHandle:
    """Owns the socket, the output pipe and the pidfd of one run process.

    Whatever happens, the process ends at the latest with ``kill``, and then everything is released and
    ``on_exit`` is called, once.
    """

    def __init__(
        self,
        child: Child,
        channel: socket.socket,
        output: OutputReader,
        *,
        max_frame_bytes: int,
        rate: MessageRate,
        listener: Listener,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._child = child
        self._channel = channel
        self.output = output
        self._frames = FrameReader(max_frame_bytes)
        self._rate = rate
        self._listener = listener
        self._unsent = bytearray()
        self._broken = False
        self._after: list[Callable[[], None]] = []
        self._grace: asyncio.TimerHandle | None = None
        self.killed_for: str | None = None
        channel.setblocking(False)
        self._loop.add_reader(channel, self._on_readable)
        child.exited.add_done_callback(self._on_exited)

    @classmethod
    async def spawn(
        cls, zygote: Zygote, request: ForkRequest, *, listener: Listener, sink: LineSink
    ) -> "ProcessHandle":
        """Fork a run process.

        Raises:
            ZygoteError: it could not be forked; nothing is left over.
        """
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            try:
                channel, remote = socket.socketpair()
                ours.callback(channel.close)
                theirs.callback(remote.close)
                read_end, write_end = os.pipe2(os.O_CLOEXEC)
                ours.callback(os.close, read_end)
                theirs.callback(os.close, write_end)
                child = await zygote.fork(request, remote, write_end)
            except OSError as error:
                raise ZygoteError(f"no descriptors for a run process: {error}") from error
            ours.pop_all()
        limits = request.limits
        lines = MessageRate(limits.message_rate)
        output = OutputReader(read_end, budget_bytes=limits.output_bytes, rate=lines, sink=sink)
        rate = MessageRate(limits.message_rate)
        return cls(
            child, channel, output, max_frame_bytes=request.max_frame_bytes, rate=rate, listener=listener
        )

    @property
    def pid(self) -> int:
        """The process id, as the supervisor's name space knows it."""
        return self._child.pid

    @property
    def scratch_folder(self) -> str | None:
        """Where the run may write; None where it may not."""
        return self._child.scratch_folder

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the process has not taken yet."""
        return len(self._unsent)

    def on_gone(self, call: Callable[[], None]) -> None:
        """Have ``call`` called once the process is gone and reaped, before the listener hears of it."""
        self._after.append(call)

    def send(self, message: list[Any]) -> None:
        """Queue one frame; never blocks. What a dead process does not take is dropped."""
        frame = pack_frame(message)
        if self._unsent:
            self._unsent += frame
            return
        sent = self._try_send(frame)
        if sent < len(frame):
            self._unsent += frame[sent:]
            self._loop.add_writer(self._channel, self._on_writable)

    def kill(self, reason: str) -> None:
        """End the process now; ``on_exit`` follows. The first reason given is kept."""
        if self.killed_for is None:
            self.killed_for = reason
        if not self._child.exited.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._child.pidfd, signal.SIGKILL)

    def _try_send(self, data: bytes | bytearray) -> int:
        try:
            return self._channel.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)

    def _on_writable(self) -> None:
        del self._unsent[: self._try_send(self._unsent)]
        if not self._unsent:
            self._loop.remove_writer(self._channel)

    def _on_readable(self) -> None:
        try:
            data = self._channel.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            # The process closed its end: it is ending, or it wants to hide. Either way it is over. One that is
            # ending is left alone, because a kill would stand as the reason for what ended it.
            self._loop.remove_reader(self._channel)
            self._grace = self._loop.call_later(CLOSED_GRACE_SECONDS, self._outlived)
            return
        self._receive(data)

    def _outlived(self) -> None:
        ended = select.poll()
        ended.register(self._child.pidfd, select.POLLIN)
        if not ended.poll(0):
            self.kill("closed its socket and went on")

    def _receive(self, data: bytes) -> None:
        if self._broken:
            return
        try:
            for message in self._frames.feed(data):
                if is_own(message):
                    self._charge()
                self._listener.on_message(message)
        except ChannelError as error:
            self._broken = True
            self.kill(f"broke the channel: {error}")
            self._listener.on_broken(error)

    def _charge(self) -> None:
        """Charge one message that the process sent by itself.

        Raises:
            LimitError: it sends too many.
        """
        rate = self._rate
        if not rate.take():
            used, allowed = rate.used(), rate.per_second
            told = f"{used} messages a second, allowed are {allowed}"
            raise LimitError(told, limit="message_rate", used=used, allowed=allowed)

    def _on_exited(self, exited: "asyncio.Future[ExitReport]") -> None:
        self._drain()
        if self._grace is not None:
            self._grace.cancel()
        self._unsent.clear()
        self._loop.remove_reader(self._channel)
        self._loop.remove_writer(self._channel)
        self._channel.close()
        self.output.close()
        os.close(self._child.pidfd)
        for call in self._after:
            call()
        self._listener.on_exit(exited.result())

    def _drain(self) -> None:
        """Take the last words of a process that has ended by itself."""
        if self.killed_for is not None:
            return
        with contextlib.suppress(OSError):
            while data := self._channel.recv(READ_BYTES):
                self._receive(data)
