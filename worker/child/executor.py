"""Performs actions on a loaded model, and reads its variables.

An operation is a function of the root module whose name has no leading underscore, and which the model's
folder defines; functions imported from elsewhere are operations only if the root module's ``__all__`` names
them. Partials made in the root module are operations.

An action ends with an outcome, whatever the model's code raises, ``SystemExit`` included; the exception is
MemoryError, which leaves a process that can hardly go on: it is raised to the caller.
"""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from types import ModuleType
from typing import Any, Final, NamedTuple

import msgpack

from worker.child.archivist import Archivist
from worker.child.conversions import MAX_WARNINGS
from worker.child.determinism import Clock, Randomness
from worker.child.encoding import PLAIN, Encoder, json_text
from worker.child.epicenter import Bridge
from worker.child.failures import (
    MESSAGE_BYTES,
    RefusedError,
    attempt,
    bounded,
    describe,
    error_text,
    raised_by_call,
    signature,
    type_name,
)
from worker.child.introspection import introspect
from worker.child.isolation import BUILTINS
from worker.child.references import Variables, close_matches, is_function
from worker.child.run_view import ApprovalRequired

__builtins__ = BUILTINS

COMPLETED: Final = "completed"
ERROR: Final = "error"
PENDING_APPROVAL: Final = "PENDING_APPROVAL"
UNRECORDED: Final = ("UNKNOWN_OPERATION", "UNKNOWN_VARIABLE", PENDING_APPROVAL)
"""Outcomes that leave no trace in the history, nor in the archive."""
NOT_JSON: Final = "NOT_JSON"
"""Warning of a result that JSON has no value for, but only something like it."""
REASON_BYTES: Final = 1000
NIL: Final = b"\xc0"
_unpack: Final = msgpack.unpackb
_modules: Final = sys.modules


class Outcome(NamedTuple):
    """How an action ended: packed result, or packed error map with its code and exception type."""

    status: str
    value: bytes
    code: str = ""
    type: str = ""


_NOTHING: Final = Outcome(COMPLETED, NIL)


class Executor:
    """Applies actions to one module; ``folder`` is where its own code lives.

    ``attached``: names with a leading underscore that are operations of this run all the same. ``judged``: results
    are judged by schemas, so it is told where they hold what JSON has not.
    """

    def __init__(
        self,
        *,
        module: ModuleType,
        folder: str,
        encoder: Encoder,
        bridge: Bridge,
        clock: Clock,
        randomness: Randomness,
        archivist: Archivist | None = None,
        attached: Iterable[str] = (),
        judged: bool = False,
    ) -> None:
        self._namespace = vars(module)
        self._folder = folder
        self._encoder = encoder
        self._bridge = bridge
        self._told = bridge.told
        self._callbacks = bridge.callbacks
        self._move_clock = clock.move
        self._randomness = randomness
        self._archivist = archivist
        self._attached = frozenset(attached)
        self._is_judged = judged
        self._is_replayed = False
        self._variables = Variables(self._namespace)
        self._operations: dict[str, Callable[..., Any]] = {}

    def perform(
        self, at_us: int, actor: bytes | None, action: bytes, seq: int, *, inert: bool, replayed: bool = False
    ) -> Outcome:
        """Perform an action at a time for an actor; ``seq``: of the entry that records it, 0 if none does.

        After an inert one, and after a get, the random states are what they were before: only recorded
        actions draw from the streams.

        Raises:
            MemoryError: the model ran out of memory.
        """
        self._move_clock(at_us)
        self._told.actor_bytes = actor
        self._told.seq = seq
        self._is_replayed = replayed
        request = _unpack(action, raw=False, strict_map_key=False)
        if request["kind"] == "get":
            return self._undrawn(request)
        self._callbacks.is_open = True
        outcome = self._undrawn(request) if inert else self._apply(request)
        self._callbacks.is_open = False
        if self._archivist is not None and not inert and not replayed and outcome.code not in UNRECORDED:
            self._archivist.collect()
        return outcome

    def _undrawn(self, request: dict[str, Any]) -> Outcome:
        state = self._randomness.save()
        outcome = self._apply(request)
        self._randomness.restore(state)
        return outcome

    def read(self, names: list[str], *, ignorable: bool) -> Outcome:
        """Read several variables; a missing one is null if ``ignorable``, else an error that lists all."""
        self._told.nobody_asks()
        state = self._randomness.save()
        outcome = self._read(names, ignorable=ignorable)
        self._randomness.restore(state)
        return outcome

    def assign(self, at_us: int, name: str, packed: bytes) -> dict[str, str] | None:
        """Give a variable its archived value at a time; what did not work, or None.

        Raises:
            MemoryError: the model ran out of memory.
        """
        self._move_clock(at_us)
        self._told.nobody_asks()
        value = _unpack(packed, raw=False, strict_map_key=False)
        decoded, error = attempt(self._set, name, value, "restore")
        if error is None:
            return None if decoded else {"code": "NOT_DECODED", "path": name}
        if issubclass(type(error), MemoryError):
            raise error
        if isinstance(error, RefusedError) and error.code == "UNKNOWN_VARIABLE":
            return {"code": error.code, "path": name}
        told = {"type": bounded(type_name(error), 256), "message": bounded(error_text(error), 256)}
        return {"code": "NOT_ASSIGNED", "path": name, **told}

    def introspect(self) -> Outcome:
        """What the model offers: ``{functions, variables}``."""
        found = introspect(self._namespace, self._is_operation, self._encoder.warnings)
        value, error = attempt(self._encoder.carry, found, "introspection")
        return Outcome(COMPLETED, value) if error is None else self._failed(error, "introspection")

    def fire(self, event: str, at_us: int) -> BaseException | None:
        """Call the handler of an event at a time, if there is one; what it raised."""
        self._move_clock(at_us)
        return attempt(self._bridge.publish, event)[1]

    def _apply(self, request: dict[str, Any]) -> Outcome:
        name = request["name"]
        if request["kind"] == "execute":
            root = "result"
            value, error = attempt(self._execute, name, request["arguments"])
        else:
            root = name
            value, error = attempt(self._get_or_set, request)
        if error is None:
            return self._encoded(value, name, root)
        if type(error) is ApprovalRequired and self._may_ask(request["kind"]):
            return self._asks(error, name)
        return self._failed(error, name)

    def _may_ask(self, kind: str) -> bool:
        """Whether the action at hand may wait for approval: it is an entry to be, and was not approved before."""
        return kind == "execute" and self._told.seq > 0 and not self._told.is_approved

    def _asks(self, error: ApprovalRequired, name: str) -> Outcome:
        reason = bounded(error_text(error), REASON_BYTES)
        message = f"{name} waits for approval" + (f": {reason}" if reason else "")
        return self.refusal(RefusedError(PENDING_APPROVAL, message, reason=reason))

    def _execute(self, name: str, arguments: list[Any]) -> Any:
        function: Any = self._namespace.get(name)
        if name not in self._operations or function is not self._operations[name]:
            function = self._find_operation(name, function)
        return function(*arguments)

    def _get_or_set(self, request: dict[str, Any]) -> Any:
        name = request["name"]
        if request["kind"] == "get":
            return self._variables.get(name)
        self._set(name, request["value"])
        return self._variables.get(name)

    def _set(self, name: str, value: Any, mode: str = "set") -> bool:
        """Assign to a variable; False if it held an object, and no decoder made one of the value."""
        is_plain = True
        if mode == "restore" or self._bridge.has_decoders:
            current = self._variables.get(name) if mode == "restore" else self._variables.peek(name)
            decoder = self._bridge.decoder_for(current)
            if decoder is not None:
                decoder(name, current, json_text(value), mode)
                return True
            is_plain = type(current) in PLAIN
        self._variables.set(name, value)
        return is_plain

    def _find_operation(self, name: str, function: Any) -> Callable[..., Any]:
        if not self._is_operation(name, function):
            names = [key for key, value in list(self._namespace.items()) if self._is_operation(key, value)]
            matches = close_matches(name, names)
            hint = f"; did you mean {' or '.join(matches)}?" if matches else ""
            message = f"the model has no operation {name!r}{hint}"
            raise RefusedError("UNKNOWN_OPERATION", message, name=name, suggestions=matches)
        if not name.startswith("_") or name in self._attached:
            self._operations[name] = function
        operation: Callable[..., Any] = function
        return operation

    def _is_operation(self, name: str, value: Any) -> bool:
        if not is_function(value):
            return False
        if name.startswith("_") and name not in self._attached and not self._is_replayed:
            return False
        if issubclass(type(value), partial) or name in (self._namespace.get("__all__") or ()):
            return True
        module = getattr(value, "__module__", None)
        if module == self._namespace["__name__"]:
            return True
        file = getattr(_modules.get(module) if type(module) is str else None, "__file__", None)
        return type(file) is str and file.startswith(f"{self._folder}/")

    def _read(self, names: list[str], *, ignorable: bool) -> Outcome:
        values: dict[str, Any] = {}
        missing: dict[str, RefusedError] = {}
        for name in names:
            value, error = attempt(self._read_one, name)
            if error is None:
                values[name] = value
            elif isinstance(error, RefusedError) and error.code == "UNKNOWN_VARIABLE":
                missing[name] = error
                values[name] = None
            else:
                return self._failed(error, name, encoding=True)
        if missing and not ignorable:
            return self._missing(missing)
        value, error = attempt(self._encoder.carry, values, "variables")
        return Outcome(COMPLETED, value) if error is None else self._failed(error, "variables", encoding=True)

    def _read_one(self, name: str) -> Any:
        return self._encoder.convert(self._variables.get(name), name)

    def _missing(self, missing: dict[str, RefusedError]) -> Outcome:
        first = next(iter(missing.values()))
        message = first.message if len(missing) == 1 else f"no variables {', '.join(map(repr, missing))}"
        information = {"names": list(missing), "suggestions": first.information.get("suggestions", [])}
        return self.refusal(RefusedError("UNKNOWN_VARIABLE", message, **information))

    def _encoded(self, value: Any, name: str, root: str) -> Outcome:
        if value is None:
            return _NOTHING
        packed, error = attempt(self._encoder.encode, value, root)
        if error is not None:
            return self._failed(error, name, encoding=True)
        if self._is_judged and self._encoder.is_altered:
            warnings = self._encoder.warnings
            warnings[MAX_WARNINGS - 1 :] = [{"code": NOT_JSON, "path": root}]
        return Outcome(COMPLETED, packed)

    def _failed(self, error: BaseException, name: str, *, encoding: bool = False) -> Outcome:
        kind = type(error)
        if issubclass(kind, MemoryError):
            raise error
        if issubclass(kind, RefusedError):
            return self.refusal(error)
        information = describe(error, self._folder)
        text = information["message"]
        if encoding:
            message = f"{name}: its encoding raised {information['type']}: {text}"
            return self.refusal(RefusedError("UNENCODABLE_VALUE", message, path=name, **information))
        if kind is TypeError and raised_by_call(error, _EXECUTE):
            shown = signature(name, self._namespace.get(name) or type_name)
            text = information["message"] = f"{text}; it is called as {shown}" if shown else text
        message = f"{name} raised {information['type']}: {text}"
        return self.refusal(RefusedError("OPERATION_FAILED", message, **information))

    def refusal(self, error: Any) -> Outcome:
        """The outcome for an error of ours."""
        message = bounded(error.message, MESSAGE_BYTES)
        body = {"code": error.code, "message": message, "information": error.information}
        packed, failure = attempt(self._encoder.pack, body)
        if failure is not None:
            packed = self._encoder.pack({**body, "information": {"type": error_text(failure)}})
        return Outcome(ERROR, packed, error.code, error.information.get("type", ""))


_EXECUTE: Final = vars(Executor)["_execute"].__code__
