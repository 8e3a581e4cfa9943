"""Calls of external functions by one run process: judged, handed to a provider, answered, kept for the history.

The process waits for each answer, and that is part of what it was asked to do: it counts under the same time limit,
and ends with it. A run has one call at a time, so a model that calls in a loop takes turns with all others.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any, Final

from worker.channel import (
    ANSWERED,
    CALL_OVERHEAD_BYTES,
    CALLBACK_NAME_CHARACTERS,
    REFUSED,
    UNKNOWN,
    ChannelError,
    pack,
    unpack,
)
from worker.runs.functions import ExternalFunction
from worker.runs.stimuli import Origin, Step, Work
from worker.supervisor.answers import judge_value
from worker.supervisor.incarnation import Incarnation
from worker.supervisor.providers import PendingCall, Providers, too_large

CALL_ID_BYTES: Final = 16
NIL: Final = pack(None)
Send = Callable[[list[Any]], None]
"""Puts a frame on the run's socket."""


@dataclass(slots=True, eq=False)
class _Caller:
    """What may call at present: the loading of a model, or one step. ``ends_at`` is in the loop's time.

    ``owner`` and ``place`` (of the step in its request) are what call ids are made of.
    """

    send: Send
    owner: str
    request_id: str
    place: int
    actor: Any
    ends_at: float
    used: int = 0
    pending: PendingCall | None = None
    recorded: list[list[Any]] = field(default_factory=list)


class Calls:
    """The calls of one incarnation. Between ``begin…`` and ``finish`` or ``drop`` its process may call."""

    def __init__(self, incarnation: Incarnation, providers: Providers, allowed_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._incarnation = incarnation
        self._providers = providers
        self._allowed_bytes = allowed_bytes
        self._mocks = {} if incarnation.profile is None else incarnation.profile.mocks
        self._number = 0
        self._caller: _Caller | None = None

    def begin_boot(self, send: Send, seconds: float) -> None:
        """A model is loaded; only the first time anybody is asked: later the history answers."""
        incarnation = self._incarnation
        if incarnation.origin is Origin.CREATE:
            # A repeated create makes a run of another key.
            ends_at = self._loop.time() + seconds
            self._caller = _Caller(send, "", incarnation.boot_request_id, 0, incarnation.boot_actor, ends_at)

    def begin_step(self, send: Send, work: Work, step: Step) -> None:
        """A step is sent to the process."""
        if step.may_call:
            ends_at = self._loop.time() + step.timeout_seconds
            owner, place = self._incarnation.run_key, len(work.outcomes)
            self._caller = _Caller(send, owner, work.request_id, place, work.actor, ends_at)

    def finish(self) -> bytes | None:
        """The step or the loading is done; what its calls were answered, as the history has it, None without any."""
        caller = self._caller
        self.drop()
        return None if caller is None or not caller.recorded else pack(caller.recorded)

    def drop(self) -> None:
        """Nobody waits for an answer any more, and nobody may call."""
        caller, self._caller = self._caller, None
        if caller is not None and caller.pending is not None:
            self._providers.abandon(caller.pending)

    @property
    def waiting(self) -> bool:
        """Whether the process waits for an answer."""
        return self._caller is not None and self._caller.pending is not None

    def hears(self, message: list[Any]) -> bool:
        """Take a call of the process; False where the frame is none.

        Raises:
            ChannelError: it may not call now, or not so.
        """
        match message:
            case ["call", number, name, arguments]:
                if self._caller is None or self.waiting or number != self._number + 1:
                    raise ChannelError("a call where none may come")
                self._ask(self._caller, name, arguments)
                return True
            case _:
                return False

    def _ask(self, caller: _Caller, name: Any, arguments: Any) -> None:
        value = self._judged(caller, name, arguments)
        self._number += 1
        function = self._incarnation.context.functions.get(name)
        question = (self._number, name, arguments)
        if function is None:
            self._answered(caller, question, UNKNOWN, NIL)
            return
        if name in self._mocks:
            self._answered(caller, question, *self._mocked(caller, name))
            return
        body = self._body(caller, function, name, value)
        call_id = _call_id(caller, function, name, arguments)
        caller.pending = PendingCall(
            call_id=call_id,
            service=function.service,
            version=function.version,
            body={**body, "call_id": call_id},
            room=self._allowed_bytes - caller.used,
            ends_at=caller.ends_at,
            done=partial(self._answered, caller, question),
        )
        self._providers.ask(caller.pending)

    def _mocked(self, caller: _Caller, name: str) -> tuple[str, bytes]:
        """What a test is answered; within the room that a provider's answer has."""
        value, room = pack(self._mocks[name]), self._allowed_bytes - caller.used
        return (ANSWERED, value) if len(value) <= room else (REFUSED, too_large(len(value), room))

    def _judged(self, caller: _Caller, name: Any, arguments: Any) -> Any:
        """The arguments of a call, if it is one; it is charged to its caller."""
        if not isinstance(name, str) or not 0 < len(name) <= CALLBACK_NAME_CHARACTERS:
            raise ChannelError("a call must have a name")
        if not isinstance(arguments, bytes):
            raise ChannelError("the arguments of a call must be bytes")
        caller.used += len(name.encode()) + len(arguments) + CALL_OVERHEAD_BYTES
        if caller.used > self._allowed_bytes:
            raise ChannelError(f"calls of {caller.used} bytes, allowed {self._allowed_bytes}")
        value = unpack(arguments)
        judge_value(value)
        return value

    def _body(self, caller: _Caller, function: ExternalFunction, name: str, arguments: Any) -> dict[str, Any]:
        """The message to the provider but for its id and deadline."""
        record = self._incarnation.record
        actor = unpack(caller.actor) if isinstance(caller.actor, bytes) else caller.actor
        body = {
            "version": 1,
            "type": "function_call",
            "service": function.service,
            "service_version": function.version,
            "name": name,
            "arguments": arguments,
            "options": function.options or None,
            "run_key": record.run_key,
            "project": record.project or None,
            "model_file": record.model_file,
            "address": record.address,
            "actor": actor,
            "request_id": caller.request_id,
        }
        return {key: value for key, value in body.items() if value is not None or key == "arguments"}

    def _answered(self, caller: _Caller, question: tuple[int, str, bytes], status: str, value: bytes) -> None:
        caller.pending = None
        caller.used += len(value)
        number, name, arguments = question
        caller.recorded.append([name, arguments, status, value])
        caller.send(["answer", number, status, value])


def nobody(number: int) -> list[Any]:
    """The answer to a call where no run is played."""
    told = {"code": "NO_PROVIDER", "message": "the model is only looked at, no function is called"}
    return ["answer", number, REFUSED, pack(told)]


def _call_id(caller: _Caller, function: ExternalFunction, name: str, arguments: bytes) -> str:
    """The same for the same call of the same request, also after a crash."""
    parts = (caller.owner, caller.request_id, caller.place, len(caller.recorded))
    what = [*parts, function.service, function.version, name, arguments]
    return blake2b(pack(what), digest_size=CALL_ID_BYTES).hexdigest()
