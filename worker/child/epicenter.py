"""The package ``epicenter`` as a model sees it, and what stands behind it.

``from epicenter import Epicenter`` and the older ``import epicenter as Epicenter`` (also ``import
Epicenter``) give the same functions:

| function | what it does here |
|---|---|
| record(name, value) | keeps the value, encoded at once, for the archive; the last call of an action wins |
| subscribe(name, function) | one handler per event, the last one counts; what cannot be called is ignored |
| publish(name, *args, **kwargs) | calls that handler and returns its result; None without one |
| log(level, message), scribble | one log line, if the level reaches the minimum; an unknown level is INFO |
| callback(name, arguments) | calls an external function and waits for its result; see ``callbacks`` |
| actor() | a new dict of who asks; the five keys of an actor are always there |
| run() | an immutable view of the run and of the call at hand; see ``run_view`` |
| require_approval(reason) | goes on if the call was approved, else raises ApprovalRequired, which has it wait |
| register_custom_encoder(type, fn) | ``fn(value)`` returns JSON text; see ``encoding`` |
| register_custom_decoder(type, fn) | ``fn(name, variable, text, mode)`` assigns a value; mode: set or restore |

Events a model may subscribe to: onInitialized, onRestored, onRewound, onCloned, onTerminating.
"""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from worker.channel import RECORD_NAME_CHARACTERS
from worker.child.callbacks import CallbackError, Callbacks
from worker.child.encoding import Encoder
from worker.child.failures import RefusedError
from worker.child.isolation import BUILTINS
from worker.child.output import Output
from worker.child.room import RecordRoom
from worker.child.run_view import ApprovalRequired, Told

__builtins__ = BUILTINS

LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "OFF")
_length: Final = str.__len__


class Bridge:
    """What a model said through ``Epicenter`` and the host has not heard yet.

    Nothing can be recorded before ``start``.
    """

    def __init__(self, encoder: Encoder, output: Output) -> None:
        self.told = Told()
        self.callbacks = Callbacks(encoder, output)
        self._encoder = encoder
        self._output = output
        self._minimum = 0
        self._room = RecordRoom()
        self._is_leaving = False
        self._named: set[str] = set()
        self._records: dict[str, bytes] = {}
        self._handlers: dict[str, Callable[..., Any]] = {}
        self._decoders: dict[type, Callable[..., Any]] = {}

    def start(self, minimum_log_level: str, record_bytes: int, record_values: int) -> None:
        """Set the limits of a run, once.

        The last two bound the values of all names recorded since the process began, the last of each.
        """
        self._minimum = _rank(minimum_log_level)
        self._room.start(record_bytes, record_values)

    def leave(self) -> None:
        """The run leaves memory: what is recorded from now on is not kept, and a log line says so."""
        self._is_leaving = True

    @property
    def records(self) -> dict[str, bytes]:
        """The packed values recorded since the last ``drain_records``, by name."""
        return self._records

    def drain_records(self) -> dict[str, bytes]:
        """The records since the last call."""
        records = self._records
        if records:
            self._records = {}
        return records

    @property
    def has_decoders(self) -> bool:
        """Whether any custom decoder is registered."""
        return bool(self._decoders)

    def decoder_for(self, value: Any) -> Callable[..., Any] | None:
        """The custom decoder for a variable that holds ``value``: by its class, then by its base classes."""
        decoders = self._decoders
        return next((decoders[base] for base in type(value).__mro__ if base in decoders), None)

    def record(self, name: Any, value: Any) -> None:
        """Keep a value for the archive.

        Raises:
            TypeError: the value has no encoding; the message names the record and the place.
            ValueError: no name, too long a name, or more than a run may record.
        """
        # Not len(): a model's own kind of text may say what it likes of its length.
        if not isinstance(name, str) or not 0 < _length(name) <= RECORD_NAME_CHARACTERS:
            raise ValueError(f"record: the name must be a string of 1 to {RECORD_NAME_CHARACTERS} characters")
        if self._is_leaving:
            self._output.log(
                "WARN", f"record {name!r} in onTerminating is not kept: record it when it changes"
            )
            return
        try:
            packed = self._encoder.encode(value, name)
        except RefusedError as error:
            raise TypeError(f"record {name!r}: {error.message}") from None
        self._named.add(name)
        self.keep(name, packed)

    def is_recorded(self, name: str) -> bool:
        """Whether the model itself ever recorded something under this name."""
        return name in self._named

    def keep(self, name: str, packed: bytes) -> None:
        """Keep an encoded value for the archive.

        Raises:
            ValueError: more than a run may record.
        """
        self._room.take(name, _length(name), packed)
        self._records[name] = packed

    def subscribe(self, name: str, function: Any) -> None:
        """Set the handler of an event."""
        if callable(function):
            self._handlers[name] = function

    def publish(self, name: str, /, *arguments: Any, **options: Any) -> Any:
        """Call the handler of an event; None without one."""
        handler = self._handlers.get(name)
        return None if handler is None else handler(*arguments, **options)

    def log(self, level: Any, message: Any) -> None:
        """Write a log line."""
        name = level.upper() if isinstance(level, str) else ""
        if name not in LEVELS[:-1]:
            name = "INFO"
        if _rank(name) >= self._minimum:
            self._output.log(name, str(message))

    def register_custom_encoder(self, kind: type, function: Callable[[Any], str]) -> None:
        """Let a function encode values of a class.

        Raises:
            TypeError: the first argument is no class, or the second cannot be called.
        """
        _check_registration(kind, function)
        self._encoder.register(kind, function)

    def register_custom_decoder(self, kind: type, function: Callable[..., Any]) -> None:
        """Let a function assign to variables that hold values of a class; raises as for encoders."""
        _check_registration(kind, function)
        self._decoders[kind] = function


def functions(bridge: Bridge) -> dict[str, Callable[..., Any]]:
    """What the package offers a model, by name."""
    return {
        "record": bridge.record,
        "subscribe": bridge.subscribe,
        "publish": bridge.publish,
        "log": bridge.log,
        "scribble": bridge.log,
        "callback": bridge.callbacks.call,
        "actor": bridge.told.actor,
        "run": bridge.told.run,
        "require_approval": bridge.told.require_approval,
        "register_custom_encoder": bridge.register_custom_encoder,
        "register_custom_decoder": bridge.register_custom_decoder,
    }


def publish_module(bridge: Bridge) -> None:
    """Put the package into ``sys.modules``, under its name and the older one."""
    offered = functions(bridge)
    methods = {name: staticmethod(function) for name, function in offered.items()}
    epicenter = type("Epicenter", (), {"__module__": "epicenter", **methods})
    for name in ("epicenter", "Epicenter"):
        module = ModuleType(name)
        vars(module).update(
            offered, Epicenter=epicenter, CallbackError=CallbackError, ApprovalRequired=ApprovalRequired
        )
        sys.modules[name] = module


def _rank(level: str) -> int:
    return LEVELS.index(level)


def _check_registration(kind: Any, function: Any) -> None:
    if not isinstance(kind, type):
        raise TypeError(f"the first argument must be a class, not {kind!r:.80}")
    if not callable(function):
        raise TypeError("the second argument must be a function")
