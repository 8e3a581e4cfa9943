"""The loop of a run process: one request after the other over the inherited socket, until it ends.

After the lock-down the zygote calls ``serve``. The model's code runs inside the calls made here; it may break
its own process in many ways, and then the process ends at once with a line on its error output: exit status
1 for a broken loop or a broken peer, 98 when the peer is gone. A process that reported ``boot_failed`` or
``fault`` waits to be killed.
"""

import gc
import mmap
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from os import _exit as exit_now
from os import write as write_fd
from time import monotonic
from typing import Any, Final, NoReturn

import msgpack

from worker.channel import EXIT_PARENT_GONE, HEADER, RECORDED_SHARE, ChannelError, outcome_digest
from worker.child.archivist import Archivist
from worker.child.boot_spec import BootSpec, parse_boot
from worker.child.executor import Executor, Outcome
from worker.child.failures import attempt, describe, error_text, type_name
from worker.child.familiar import use_familiar_packages
from worker.child.isolation import BUILTINS
from worker.child.loader import load_model, prepare_imports
from worker.child.memory import forget_method_cache
from worker.child.rehearsal import rehearse
from worker.child.stage import Stage

__builtins__ = BUILTINS

BALLAST_BYTES: Final = 1024 * 1024
ENVELOPE_BYTES: Final = 64 * 1024
DIGESTS_PER_FRAME: Final = 4096
FINDINGS: Final = ("NOT_ASSIGNED", "UNKNOWN_VARIABLE", "NOT_DECODED")
"""What can be wrong with an archived value, the worst first."""
FINDINGS_PER_FRAME: Final = 100
REPLAY_REPORT_SECONDS: Final = 0.25
INITIALIZED: Final = "onInitialized"
RESTORED: Final = "onRestored"
TERMINATING: Final = "onTerminating"
_unpack: Final = msgpack.unpackb
_unpackable: Final = (ValueError, TypeError, msgpack.UnpackException)
_WAIT_ALL: Final = socket.MSG_WAITALL
STDERR_FD: Final = 2


class PeerGoneError(Exception):
    """The supervisor closed the socket."""


class Link:
    """Frames over the socket, one at a time; uses nothing that a model can replace."""

    def __init__(self, channel: socket.socket, max_frame_bytes: int) -> None:
        self._receive = channel.recv
        self._send = channel.sendall
        self._packer = msgpack.Packer(use_bin_type=True)
        self.max_frame_bytes = max_frame_bytes

    def receive(self) -> list[Any]:
        """The next message.

        Raises:
            PeerGoneError: there will be none.
            ChannelError: the bytes are no frame.
        """
        (size,) = HEADER.unpack(self._exactly(HEADER.size))
        if size > self.max_frame_bytes:
            raise ChannelError(f"frame of {size} bytes, allowed {self.max_frame_bytes}")
        try:
            message = _unpack(self._exactly(size), raw=False, strict_map_key=False)
        except _unpackable as error:
            raise ChannelError(f"not msgpack: {error}") from error
        if type(message) is not list or not message:
            raise ChannelError("a message must be a list that begins with its kind")
        return message

    def _exactly(self, size: int) -> bytes:
        data: bytes = self._receive(size, _WAIT_ALL) if size else b""
        while len(data) < size:
            more = self._receive(size - len(data), _WAIT_ALL)
            if not more:
                raise PeerGoneError
            data += more
        return data

    def send(self, message: list[Any]) -> None:
        """Send one message; waits until the peer has room."""
        body = self._packer.pack(message)
        self._send(HEADER.pack(len(body)) + body)

    def wait_for_end(self) -> NoReturn:
        """Wait to be killed; whatever else is asked stays unanswered."""
        while self._receive(4096):
            pass
        raise PeerGoneError


class RunProcess:
    """One booted run: performs what the host asks, in order."""

    def __init__(self, stage: Stage, link: Link, spec: BootSpec) -> None:
        self._link = link
        self._spec = spec
        self._clock = stage.clock
        self._randomness = stage.randomness
        self._output = stage.output
        self._encoder = stage.encoder
        self._bridge = stage.bridge
        self._archivist: Archivist | None = None
        self._callbacks = stage.bridge.callbacks
        self._executor: Executor
        self.request = 0

    def boot(self) -> None:
        """Load the model, fire onInitialized, answer ``booted`` or ``boot_failed``.

        A restored run is initialised again, silently, because its replay must begin where it once began.
        """
        spec = self._spec
        restored = spec.event is None
        self._output.muted = restored
        self._output.redirect = spec.redirect_standard_out
        self._encoder.max_bytes, self._encoder.max_depth = spec.max_result_bytes, spec.max_result_depth
        self._encoder.max_values = spec.max_result_values
        room = self._link.max_frame_bytes
        room = max(room - spec.max_result_bytes, room // 2) - ENVELOPE_BYTES
        self._bridge.start(
            spec.minimum_log_level, min(spec.record_bytes, room), RECORDED_SHARE * spec.max_result_values
        )
        callbacks = self._callbacks
        callbacks.start(self._ask, spec.callback_bytes)
        if restored:
            callbacks.replay(spec.answers)
        callbacks.is_open = True
        os.environ["EPICENTER_WORKER_CONTEXT"] = spec.worker_context
        if spec.scratch is not None:
            os.environ["TMPDIR"] = spec.scratch
        self._clock.start(spec.at_us, stamped=spec.clock == "stamped")
        told = self._bridge.told
        told.start(spec.run_key, spec.lineage, spec.context)
        told.actor_bytes = None if spec.actor is None else self._encoder.pack(spec.actor)
        prepare_imports(spec.model_folder)
        self._randomness.start(spec.seed, seeded=spec.entropy == "seeded")
        arguments = (spec.model_folder, spec.model_file, spec.presets, spec.seed)
        module, error = attempt(load_model, *arguments)
        if error is None:
            if spec.archive is not None:
                self._archivist = Archivist(
                    vars(module), spec.archive, self._encoder, self._bridge, self._randomness
                )
            self._executor = Executor(
                module=module,
                folder=spec.model_folder,
                encoder=self._encoder,
                bridge=self._bridge,
                clock=self._clock,
                randomness=self._randomness,
                archivist=self._archivist,
                attached=spec.attached,
                judged=spec.judged,
            )
            error = self._executor.fire(INITIALIZED, spec.at_us)
        callbacks.is_open = False
        difference = callbacks.settle()
        self._output.flush()
        if error is not None:
            self._fail_boot(error)
        if self._archivist is not None and not restored:
            self._archivist.collect()
        if difference is not None:
            self._encoder.warnings.append({"code": "CALLS_DIFFER", "path": difference})
        records = self._bridge.records if restored else self._bridge.drain_records()
        self._link.send(["booted", records, self._encoder.drain_warnings()])

    def _ask(self, number: int, name: str, arguments: bytes) -> tuple[str, bytes]:
        """Have the supervisor call an external function, and wait for the answer.

        A peer that is gone or broken ends the process here, where the model's code could catch an exception.
        """
        try:
            self._link.send(["call", number, name, arguments])
            match self._link.receive():
                case ["answer", answered, str(status), bytes(value)] if answered == number:
                    return status, value
                case message:
                    _die(ChannelError(f"{message[0]!r:.40} instead of the answer to call {number}"))
        except (PeerGoneError, ConnectionError):
            exit_now(EXIT_PARENT_GONE)
        except ChannelError as error:
            _die(error)

    def _fail_boot(self, error: BaseException) -> NoReturn:
        if issubclass(type(error), MemoryError):
            raise error
        information = describe(error, self._spec.model_folder)
        message = f"{self._spec.model_file} failed to load: {information['type']}: {information['message']}"
        failure = {"code": "MODEL_LOAD_FAILED", "message": message, "information": information}
        self._link.send(["boot_failed", failure])
        self._link.wait_for_end()

    def handle(self, message: list[Any]) -> None:
        """Answer one request.

        Raises:
            ChannelError: it is none of this channel.
            MemoryError: the model ran out of memory; ``request`` is the number of the request at hand.
        """
        match message:
            case ["perform", int(n), int(at_us), actor, bytes(action), bool(inert), int(seq)]:
                self.request = n
                self._answer(n, self._executor.perform(at_us, actor, action, seq, inert=inert))
            case ["read", int(n), list(names), bool(ignorable)]:
                self.request = n
                self._answer(n, self._executor.read(names, ignorable=ignorable))
            case ["introspect", int(n)]:
                self.request = n
                self._answer(n, self._executor.introspect())
            case ["replay", int(n), list(entries)]:
                self.request = n
                self._replay(n, entries)
            case ["assign", int(n), int(at_us), list(values), reseed_seq]:
                self.request = n
                self._assign(n, at_us, values, reseed_seq)
            case ["settle", int(n), int(at_us), event]:
                self.request = n
                self._settle(n, at_us, event)
            case ["terminate", int(at_us)]:
                self._terminate(at_us)
            case _:
                raise ChannelError(f"unknown message {message[0]!r:.40} of {len(message)} parts")

    def _answer(self, n: int, outcome: Outcome) -> None:
        if self._callbacks.made:
            self._callbacks.settle()
        self._output.flush()
        records = self._bridge.drain_records()
        warnings = self._encoder.drain_warnings()
        self._link.send(["outcome", n, outcome.status, outcome.value, records, warnings])

    def _replay(self, n: int, entries: list[Any]) -> None:
        """Apply recorded actions; nothing of them is seen but their digests, in frames of some thousands."""
        self._output.flush()
        self._output.muted = True
        perform, callbacks = self._executor.perform, self._callbacks
        digests: list[bytes | str] = []
        due = monotonic() + REPLAY_REPORT_SECONDS
        for seq, at_us, actor, action, answers in entries:
            if answers is not None:
                callbacks.replay(answers)
            outcome = perform(at_us, actor, action, seq, inert=False, replayed=True)
            digest = outcome_digest(outcome.status, outcome.value, outcome.code, outcome.type)
            if answers is not None or callbacks.made:
                digests.append(callbacks.settle() or digest)
            else:
                digests.append(digest)
            if len(digests) >= DIGESTS_PER_FRAME or monotonic() >= due:
                self._link.send(["replayed", n, digests, False])
                digests = []
                due = monotonic() + REPLAY_REPORT_SECONDS
        self._encoder.drain_warnings()
        self._link.send(["replayed", n, digests, True])

    def _assign(self, n: int, at_us: int, values: list[Any], reseed_seq: int | None) -> None:
        """Take archived values over; what is recorded or drawn meanwhile leaves no trace."""
        state = self._randomness.save()
        found = [self._executor.assign(at_us, name, packed) for name, packed in values]
        findings = [finding for code in FINDINGS for finding in found if finding and finding["code"] == code]
        if reseed_seq is None:
            self._randomness.restore(state)
        else:
            self._randomness.reseed(self._spec.seed, reseed_seq)
        self._encoder.drain_warnings()
        self._bridge.drain_records()
        self._link.send(["assigned", n, findings[:FINDINGS_PER_FRAME]])

    def _settle(self, n: int, at_us: int, event: str | None) -> None:
        """End a restore: the event's handler is the first thing heard again, and draws nothing for good."""
        self._output.flush()
        self._output.muted = False
        self._callbacks.live()
        self._bridge.told.nobody_asks()
        warnings = []
        if self._archivist is not None:
            self._archivist.collect()
            if (
                event == RESTORED
            ):  # which writes no archive, so one that lags behind is put right by the next action
                self._archivist.forget()
        if event is not None:
            state = self._randomness.save()
            error = self._executor.fire(event, at_us)
            self._randomness.restore(state)
            warnings = self._event_warnings(event, error)
        self._output.flush()
        warnings += self._encoder.drain_warnings()
        self._link.send(["settled", n, self._bridge.drain_records(), warnings])

    def _terminate(self, at_us: int) -> None:
        """Let the model know that it leaves memory; what comes of it is printed or logged, and nothing else."""
        self._bridge.told.nobody_asks()
        self._bridge.leave()
        self._event_warnings(TERMINATING, self._executor.fire(TERMINATING, at_us))
        self._output.flush()
        self._link.send(["terminated"])

    def _event_warnings(self, event: str, error: BaseException | None) -> list[dict[str, str]]:
        """A handler that failed does not end the run; it is told as a warning and in the run's log."""
        if error is None:
            return []
        if issubclass(type(error), MemoryError):
            raise error
        told = describe(error, self._spec.model_folder)
        self._output.log("ERROR", f"{event} raised {told['type']}: {told['message']}\n{told['traceback']}")
        return [{"code": "EVENT_FAILED", "path": event}]


def prepare() -> Callable[[socket.socket, int], NoReturn]:
    """Do in the zygote, once and last of all, what every run needs; gives the program of a run process.

    Afterwards this process is no place for anything but forking: its clock stands, its randomness is not.
    """
    use_familiar_packages()
    forget_method_cache()
    stage = Stage()
    with suppress(PeerGoneError):
        rehearse(partial(_serve, stage))
    stage.renew()
    return partial(serve, stage)


def serve(stage: Stage, channel: socket.socket, max_frame_bytes: int) -> NoReturn:
    """Boot one run and serve it until the process ends; never returns."""
    gc.enable()
    try:
        _serve(stage, channel, max_frame_bytes)
    except (PeerGoneError, ConnectionError):
        exit_now(EXIT_PARENT_GONE)
    except BaseException as error:  # noqa: BLE001 - the last resort: a broken loop ends its process
        _die(error)


def _serve(stage: Stage, channel: socket.socket, max_frame_bytes: int) -> NoReturn:
    link = Link(channel, max_frame_bytes)
    # Address space only: untouched, it costs no memory.
    ballast = mmap.mmap(-1, BALLAST_BYTES)
    process = RunProcess(stage, link, parse_boot(link.receive()))
    try:
        process.boot()
        while True:
            process.handle(link.receive())
            process.request = 0
    except MemoryError as error:
        ballast.close()
        BaseException.with_traceback(error, None)
        link.send(["fault", process.request, "memory", "the model used all the memory it may have"])
    link.wait_for_end()


def _die(error: BaseException) -> NoReturn:
    try:
        line = f"run process ended: {type_name(error)}: {error_text(error)}\n"
        attempt(write_fd, STDERR_FD, line.encode("utf-8", "backslashreplace"))
    finally:
        exit_now(1)
