"""A handle on a real process: its frames, its output, its end, whatever it does."""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from worker.channel import ChannelError, LimitError
from worker.process.handle import ProcessHandle
from worker.process.isolation import Identity, Isolation, SandboxLevel
from worker.process.limits import Limits
from worker.process.output import OutputReader
from worker.process.rate import BURST_SECONDS, MessageRate
from worker.process.zygote import Child, ExitReport, ForkRequest, Zygote, ZygoteConfig, ZygoteError

MAX_FRAME_BYTES = 64 * 1024
WITHIN_SECONDS = 30.0

# What every program of these tests can use; its socket is descriptor 3.
PRELUDE = """
import os, signal, socket, sys, time
from worker.channel import HEADER, pack_frame, unpack
channel = socket.socket(fileno=int(sys.argv[1]))
def send(*message):
    channel.sendall(pack_frame(list(message)))
def receive():
    head = channel.recv(HEADER.size, socket.MSG_WAITALL)
    return unpack(channel.recv(HEADER.unpack(head)[0], socket.MSG_WAITALL)) if head else None
"""


RATE = 100
"""Messages a second."""


class Observer:
    """Keeps what a process did, in order, and lets a test wait for it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.lines: list[tuple[str, str]] = []
        self.exited = asyncio.Event()
        self.news = asyncio.Event()

    def on_message(self, message: list[Any]) -> None:
        self._note("message", message)

    def on_broken(self, error: ChannelError) -> None:
        self.error = error
        self._note("broken", str(error))

    def on_exit(self, report: ExitReport) -> None:
        self._note("exit", report)
        self.exited.set()

    def on_line(self, level: str, text: str) -> None:
        self.lines.append((level, text))

    def _note(self, kind: str, what: Any) -> None:
        self.seen.append((kind, what))
        self.news.set()

    @property
    def messages(self) -> list[Any]:
        return [what for kind, what in self.seen if kind == "message"]

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.seen]

    async def until(self, count: int) -> None:
        """Wait until so many things were seen."""
        async with asyncio.timeout(WITHIN_SECONDS):
            while len(self.seen) < count:
                self.news.clear()
                await self.news.wait()

    async def end(self) -> int:
        """Wait for the exit; its wait status."""
        async with asyncio.timeout(WITHIN_SECONDS):
            await self.exited.wait()
        report = self.seen[-1][1]
        assert isinstance(report, ExitReport)
        return report.wait_status


class Started:
    """A process that runs a program, the handle on it, and who listens. Its reaper stands in for the zygote."""

    def __init__(self, program: str, listener: Observer | None = None) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        read_end, write_end = os.pipe()
        self.popen = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(program), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=write_end,
        )
        theirs.close()
        os.close(write_end)
        self.listener = listener or Observer()
        self.ours = ours
        self.pidfd = os.pidfd_open(self.popen.pid)
        self._reaper_fd = os.dup(self.pidfd)
        self._exited: asyncio.Future[ExitReport] = loop.create_future()
        loop.add_reader(self._reaper_fd, self.reap)
        rate = MessageRate(RATE)
        output = OutputReader(read_end, budget_bytes=64 * 1024, rate=rate, sink=self.listener.on_line)
        child = Child(self.popen.pid, self.pidfd, self._exited, None)
        self.handle = ProcessHandle(
            child,
            ours,
            output,
            max_frame_bytes=MAX_FRAME_BYTES,
            rate=MessageRate(RATE),
            listener=self.listener,
        )

    def reap(self) -> None:
        """Wait for the end of the process and report it."""
        asyncio.get_running_loop().remove_reader(self._reaper_fd)
        os.close(self._reaper_fd)
        code = self.popen.wait()
        status = -code if code < 0 else code << 8
        self._exited.set_result(ExitReport(status, 0, 0.0))

    async def destroy(self) -> None:
        self.handle.kill("the test is over")
        await self.listener.end()


def play(
    program: str,
    scenario: Callable[[Started], Awaitable[None]],
    make_listener: Callable[[], Observer] = Observer,
) -> Observer:
    """Run a program under a handle and play a scenario with it."""

    async def main() -> Observer:
        started = Started(program, make_listener())
        try:
            await scenario(started)
        finally:
            await started.destroy()
        return started.listener

    return asyncio.run(main())


def watched(program: str) -> tuple[Observer, int]:
    """Run a program to its end; what was seen, and its wait status."""
    statuses: list[int] = []

    async def scenario(started: Started) -> None:
        statuses.append(await started.listener.end())

    return play(program, scenario), statuses[0]


def test_frames_go_out_and_in_in_order() -> None:
    async def scenario(started: Started) -> None:
        for number in range(3):
            started.handle.send(["ask", number])
        await started.listener.until(3)

    listener = play("for _ in range(3): send('answer', receive())\nreceive()", scenario)
    assert listener.messages == [["answer", ["ask", number]] for number in range(3)]


def test_the_handle_knows_its_process() -> None:
    async def scenario(started: Started) -> None:
        await started.listener.until(1)
        assert started.handle.pid == started.listener.messages[0][1]

    play("send('pid', os.getpid()); receive()", scenario)


def test_frames_written_before_an_exit_are_delivered_before_it() -> None:
    listener, status = watched("for n in range(200): send('n', n, 'x' * 500)\nos._exit(3)")
    assert [message[1] for message in listener.messages] == list(range(200))
    assert listener.kinds == ["message"] * 200 + ["exit"]
    assert os.waitstatus_to_exitcode(status) == 3


def test_frames_that_nobody_had_read_yet_are_delivered_before_the_exit() -> None:
    async def scenario(started: Started) -> None:
        started.reap()  # the loop has had no turn since the start
        await started.listener.end()

    listener = play("for n in range(20): send('n', n)\nchannel.sendall(bytes(2)); os._exit(3)", scenario)
    assert [message[1] for message in listener.messages] == list(range(20))
    assert listener.kinds == ["message"] * 20 + ["exit"]


def test_output_written_before_an_exit_is_reported_before_it() -> None:
    async def scenario(started: Started) -> None:
        started.handle.on_gone(lambda: seen.extend(started.listener.lines))
        await started.listener.end()

    seen: list[tuple[str, str]] = []
    play("os.write(1, b'last\\nwords'); os._exit(0)", scenario)
    assert seen == [("STDOUT", "last"), ("STDOUT", "words")]


@pytest.mark.parametrize(
    ("program", "code"),
    (
        ("os._exit(7)", 7),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ),
)
def test_an_end_of_its_own_is_not_taken_for_a_kill(program: str, code: int) -> None:
    async def scenario(started: Started) -> None:
        status = await started.listener.end()
        assert os.waitstatus_to_exitcode(status) == code
        assert started.handle.killed_for is None

    assert play(program, scenario).kinds == ["exit"]


@pytest.mark.parametrize(
    ("data", "words"),
    (
        ("HEADER.pack(2**32 - 1)", "frame of 4294967295 bytes"),
        (f"HEADER.pack({MAX_FRAME_BYTES + 1})", f"allowed {MAX_FRAME_BYTES}"),
        ("HEADER.pack(1) + b'\\xc1'", "not msgpack"),
        ("HEADER.pack(0)", "not msgpack"),
        ("HEADER.pack(1) + b'\\xc0'", "must be a list"),
        ("HEADER.pack(1) + b'\\x90'", "must be a list"),
        ("HEADER.pack(2) + b'\\x91\\x01'", "must be a list"),
        ("HEADER.pack(3) + b'\\xd4\\x01\\x00'", "extension type"),
    ),
)
def test_garbage_ends_the_process(data: str, words: str) -> None:
    listener, status = watched(f"send('fine'); channel.sendall({data}); send('late'); receive()")
    assert listener.kinds == ["message", "broken", "exit"]
    assert words in listener.seen[1][1]
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def test_too_many_messages_of_its_own_end_the_process_and_answers_never_do() -> None:
    many = 2 * RATE * BURST_SECONDS
    answers = f"[['outcome', n] for n in range({many})] + [['replayed', 1, [], True]] * {many}"
    calls = f"[['replayed', 1, [], False], ['call', 1, 'f', b'']] * {many}"
    listener, status = watched(f"channel.sendall(b''.join(map(pack_frame, {answers} + {calls}))); receive()")
    assert listener.kinds[-2:] == ["broken", "exit"]
    of_its_own = len(listener.messages) - 2 * many
    assert RATE * BURST_SECONDS <= of_its_own < 2 * many
    error = listener.error
    assert isinstance(error, LimitError)
    assert (error.limit, error.allowed) == ("message_rate", RATE)
    assert error.used is not None
    assert error.used >= RATE
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def test_nothing_is_listened_to_after_garbage() -> None:
    async def scenario(started: Started) -> None:
        await started.listener.end()
        assert started.handle.killed_for is not None
        assert started.handle.killed_for.startswith("broke the channel: ")

    program = (
        "channel.sendall(HEADER.pack(1) + b'\\xc0' + pack_frame(['late']) * 100 + HEADER.pack(1) + b'\\xc0')"
    )
    assert play(program, scenario).kinds == ["broken", "exit"]


def test_what_a_listener_refuses_ends_the_process() -> None:
    class Refusing(Observer):
        def on_message(self, message: list[Any]) -> None:
            super().on_message(message)
            raise ChannelError("not asked for")

    async def scenario(started: Started) -> None:
        await started.listener.end()

    listener = play("send('surplus'); send('late'); receive()", scenario, Refusing)
    assert listener.kinds == ["message", "broken", "exit"]
    assert listener.seen[1][1] == "not asked for"


def test_half_a_frame_is_no_message_and_no_fault() -> None:
    listener, status = watched(
        "channel.sendall(pack_frame(['whole']) + pack_frame(['half'])[:-1]); os._exit(0)"
    )
    assert listener.messages == [["whole"]]
    assert listener.kinds == ["message", "exit"]
    assert status == 0


def test_a_frame_may_come_byte_by_byte() -> None:
    program = """
    for byte in pack_frame(['slow', 'x' * 50]):
        channel.sendall(bytes([byte]))
    receive()
    """

    async def scenario(started: Started) -> None:
        await started.listener.until(1)

    assert play(program, scenario).messages == [["slow", "x" * 50]]


def test_a_process_that_does_not_read_blocks_nobody() -> None:
    async def scenario(started: Started) -> None:
        await started.listener.until(1)
        for _ in range(64):
            started.handle.send(["big", b"x" * 65536])
        assert started.handle.unsent_bytes > 32 * 65536
        started.handle.kill("never reads")
        assert os.waitstatus_to_exitcode(await started.listener.end()) == -signal.SIGKILL
        assert started.handle.killed_for == "never reads"
        assert started.handle.unsent_bytes == 0

    play("send('up'); time.sleep(600)", scenario)


def test_what_a_slow_process_takes_late_arrives_whole_and_in_order() -> None:
    program = """
    send('up')
    while True:
        number, data = receive()[1:]
        send('got', number, len(data), data == bytes([number]) * len(data))
    """

    async def scenario(started: Started) -> None:
        await started.listener.until(1)
        os.kill(started.handle.pid, signal.SIGSTOP)
        for number in range(40):
            started.handle.send(["take", number, bytes([number]) * 50_000])
        assert started.handle.unsent_bytes > 0
        os.kill(started.handle.pid, signal.SIGCONT)
        await started.listener.until(41)
        assert started.handle.unsent_bytes == 0

    listener = play(program, scenario)
    assert listener.messages[1:] == [["got", number, 50_000, True] for number in range(40)]


def test_a_dead_process_takes_what_is_sent_without_complaint() -> None:
    async def scenario(started: Started) -> None:
        started.popen.kill()
        await started.listener.end()
        started.handle.send(["late"])
        started.handle.kill("late")
        assert started.handle.unsent_bytes == 0

    play("receive()", scenario)


def test_a_process_that_closes_its_socket_and_goes_on_is_ended() -> None:
    async def scenario(started: Started) -> None:
        assert os.waitstatus_to_exitcode(await started.listener.end()) == -signal.SIGKILL
        assert started.handle.killed_for == "closed its socket and went on"

    assert play("send('bye'); channel.close(); time.sleep(600)", scenario).kinds == ["message", "exit"]


def test_the_first_reason_for_a_kill_is_kept() -> None:
    async def scenario(started: Started) -> None:
        started.handle.kill("first")
        started.handle.kill("second")
        await started.listener.end()
        assert started.handle.killed_for == "first"

    play("receive()", scenario)


def test_everything_is_released_with_the_process() -> None:
    async def scenario(started: Started) -> None:
        order: list[str] = []
        started.handle.on_gone(lambda: order.append("first"))
        started.handle.on_gone(lambda: order.append("second"))
        started.handle.kill("over")
        await started.listener.end()
        assert order == ["first", "second"]
        assert started.ours.fileno() == -1
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(started.pidfd)

    play("receive()", scenario)


def test_a_host_without_free_descriptors_is_told_and_leaves_none_behind(tmp_path: Path) -> None:
    async def main() -> None:
        zygote = await Zygote.start(
            ZygoteConfig(scratch_folder=str(tmp_path), import_roots=(str(Path(__file__).parents[3]),))
        )
        try:
            request = ForkRequest(
                model_folder=str(tmp_path),
                isolation=Isolation(SandboxLevel.PROCESS_ONLY, Identity.NONE),
                uid=None,
                limits=Limits(),
                max_frame_bytes=MAX_FRAME_BYTES,
            )
            for free in range(4):
                observer = Observer()
                before = psutil.Process().num_fds()
                with descriptors_left(free), pytest.raises(ZygoteError, match="no descriptors"):
                    await ProcessHandle.spawn(zygote, request, listener=observer, sink=observer.on_line)
                assert psutil.Process().num_fds() == before
        finally:
            await zygote.close()

    asyncio.run(main())


@contextlib.contextmanager
def descriptors_left(free: int) -> Iterator[None]:
    """Lower the limit so that ``free`` more descriptors can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probes = [os.open(os.devnull, os.O_RDONLY)]
    while len(probes) <= free:
        probes.append(os.open(os.devnull, os.O_RDONLY))
    limit = max(probes)
    for probe in probes:
        os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
