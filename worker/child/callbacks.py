"""Calls of external functions: what stands behind ``Epicenter.callback``.

While an action is performed live, a call is asked of the supervisor, and the process waits for the answer. While
one is replayed, the answers in the history are given again, in order, and nobody is asked.
"""

from collections.abc import Callable
from threading import get_ident
from typing import Any, Final

import msgpack

from worker.channel import ANSWERED, CALL_OVERHEAD_BYTES, CALLBACK_NAME_CHARACTERS, REFUSED, UNKNOWN
from worker.child.encoding import Encoder
from worker.child.failures import RefusedError
from worker.child.isolation import BUILTINS
from worker.child.output import Output

__builtins__ = BUILTINS

Ask = Callable[[int, str, bytes], tuple[str, bytes]]
"""Takes the number of a call, its name and its packed arguments; gives status and packed value of the answer."""
_unpack: Final = msgpack.unpackb


class CallbackError(RuntimeError):
    """An external function gave no result; ``code`` says why, in the words of the worker or of who answered."""

    __module__ = "epicenter"

    def __init__(self, message: str, code: str = "NOT_POSSIBLE") -> None:
        super().__init__(message)
        self.code = code


class Callbacks:
    """The calls of one run process, one at a time.

    ``is_open`` is set while an action is performed that may call; ``made`` counts its calls, until ``settle``.
    """

    def __init__(self, encoder: Encoder, output: Output) -> None:
        self._encoder = encoder
        self._output = output
        self._ask: Ask | None = None
        self._thread = 0
        self._allowed = 0
        self._room = 0
        self._number = 0
        self.made = 0
        self.is_open = False
        self._is_waiting = False
        self._recorded: list[list[Any]] | None = None
        self._difference: str | None = None

    def start(self, ask: Ask, allowed_bytes: int) -> None:
        """Take what depends on the run; ``allowed_bytes`` bounds what one action asks and is answered."""
        self._ask = ask
        self._allowed = self._room = allowed_bytes
        self._thread = get_ident()

    def replay(self, answers: bytes | None) -> None:
        """Answer the next action from the history; None: it called nothing. Nobody is asked until ``live``."""
        self._recorded = [] if answers is None else _unpack(answers, raw=False)

    def live(self) -> None:
        """Ask the supervisor from now on."""
        self._recorded = None

    def settle(self) -> str | None:
        """An action that called, or that called when it was recorded, is over: begin anew for the next one.

        Gives the way in which a replayed one called otherwise than recorded; None if it did not.
        """
        difference, recorded = self._difference, self._recorded
        if recorded is not None:
            if difference is None and self.made < len(recorded):
                difference = f"it made {self.made} calls of external functions, recorded are {len(recorded)}"
            self._recorded = []
        self._difference = None
        self._room = self._allowed
        self.made = 0
        return difference

    def call(self, name: str, arguments: Any = None) -> Any:
        """Call an external function and wait for its result; None where the context does not know the name.

        Raises:
            CallbackError: nobody answered, or with an error; or this is no place to call from.
            TypeError: the arguments have no encoding, or the name is no string.
            ValueError: the name is empty or too long.
        """
        self._check(name)
        try:
            packed = self._encoder.encode([] if arguments is None else arguments, "arguments")
        except RefusedError as error:
            raise TypeError(f"callback {name!r}: {error.message}") from None
        self._pay(name, packed)
        status, answer = self._answer(name, packed)
        self._room -= len(answer)
        value = _unpack(answer, raw=False)
        if status == ANSWERED:
            return value
        if status == UNKNOWN:
            self._output.log(
                "WARN", f"callback {name!r}: externalFunctions has no such name, nothing was called"
            )
            return None
        raise CallbackError(f"callback {name!r}: {value['message']}", value["code"])

    def _check(self, name: Any) -> None:
        if get_ident() != self._thread:
            raise CallbackError(
                "external functions are called from the thread that the operation runs in; call there, and "
                "hand the result to the others"
            )
        if type(name) is not str:
            raise TypeError("callback: the name must be a string")
        if not 0 < len(name) <= CALLBACK_NAME_CHARACTERS:
            raise ValueError(f"callback: the name must have 1 to {CALLBACK_NAME_CHARACTERS} characters")
        if not self.is_open or self._is_waiting:
            raise CallbackError(
                f"callback {name!r}: external functions are called by operations, by decoders of variables that "
                "are set, and while the model loads (onInitialized too); not by reads, nor by other handlers"
            )

    def _pay(self, name: str, packed: bytes) -> None:
        """Take the call from what the action may ask; every replay comes to the same."""
        room = self._room - len(name.encode()) - len(packed) - CALL_OVERHEAD_BYTES
        if room < 0:
            raise CallbackError(
                f"callback {name!r}: one action may ask and be answered {self._allowed} bytes (callback_bytes)",
                "LIMIT_EXCEEDED",
            )
        self._room = room

    def _answer(self, name: str, packed: bytes) -> tuple[str, bytes]:
        self.made += 1
        if self._recorded is not None:
            return self._repeated(self._recorded, name, packed)
        if self._ask is None:
            raise CallbackError(f"callback {name!r}: nobody can be asked")
        self._number += 1
        self._is_waiting = True
        try:
            return self._ask(self._number, name, packed)
        finally:
            self._is_waiting = False

    def _repeated(self, recorded: list[list[Any]], name: str, packed: bytes) -> tuple[str, bytes]:
        if self.made > len(recorded):
            difference = f"its call {self.made}, of {name!r:.80}, is not recorded ({len(recorded)} are)"
        else:
            recorded_name, recorded_packed, status, value = recorded[self.made - 1]
            if recorded_name == name and recorded_packed == packed:
                return status, value
            difference = f"its call {self.made}, of {name!r:.80}, is recorded as one of {recorded_name!r:.80}"
            if recorded_name == name:
                difference = f"its call {self.made}, of {name!r:.80}, is recorded with other arguments"
        self._difference = self._difference or difference
        told = {"code": "REPLAY_DIVERGED", "message": f"{difference}; a replay asks nobody"}
        return REFUSED, self._encoder.pack(told)
