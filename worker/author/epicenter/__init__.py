"""The package ``epicenter`` on an author's own machine: ``python model.py`` works there as it does in a run.

A run process of the worker brings its own module of this name, with the same functions; this one stands in for it
where no worker is, and tells editors and type checkers what there is. It does what can be done without a worker
and says on standard error what a worker would do:

| function | here | in a run |
|---|---|---|
| record | tells the value, keeps a copy (``recorded()``) | keeps the value, encoded, for the archive |
| subscribe, publish | one handler per event; publish calls it | the same; the worker publishes the life-cycle events |
| log, scribble | tells level and message, whatever the level | a log line, if the level reaches minimumLogLevel |
| actor | a participant, ``local`` | who asks |
| run | an empty context, a call that nobody approved | the run's context, and the call at hand |
| require_approval | raises ApprovalRequired, as run().approved is False | the same, and the call waits for approval |
| callback | raises CallbackError | asks the function's provider, and gives its result |
| register_custom_encoder | shows in what ``record`` tells | encodes results, variables and records |
| register_custom_decoder | kept, never called | assigns variables that are set |

Values are not judged here (``model-worker check`` does), life-cycle events are published by nobody but you, and
``forio_random_seed`` and ``EPICENTER_WORKER_CONTEXT`` are not there.
"""

import copy
import json
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypedDict, TypeVar

__all__ = [
    "Actor",
    "ApprovalRequired",
    "CallbackError",
    "Epicenter",
    "Run",
    "actor",
    "callback",
    "log",
    "publish",
    "record",
    "recorded",
    "register_custom_decoder",
    "register_custom_encoder",
    "require_approval",
    "run",
    "scribble",
    "subscribe",
]

Level = Literal["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
Mode = Literal["set", "restore"]
T = TypeVar("T")

LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
RECORD_NAME_CHARACTERS: Final = 256


class Actor(TypedDict):
    """Who asks; the keys are always there."""

    pseudonym_key: str | None
    group_key: str | None
    group_mandate: Literal["FACILITATOR", "REVIEWER", "LEADER", "PARTICIPANT"] | None
    world_key: str | None
    world_role: str | None


class Run(NamedTuple):
    """A run, and the call at hand; all of it is frozen, lists are tuples.

    ``context``: what the run was started with. ``auth``: who asks, as recorded, None while nobody does. ``approved``:
    whether somebody approved the call. ``action_id``: the number of the entry that will record it, as text, None where
    none will. A replayed action sees what it saw when it was recorded.
    """

    context: Mapping[str, Any]
    auth: Mapping[str, Any] | None
    approved: bool
    run_key: str
    action_id: str | None


class ApprovalRequired(BaseException):
    """Raised by an operation that must not go on unless somebody approves it; ``reason`` is shown to who decides.

    What the operation did so far is taken back, and the call waits; it is made anew when it is approved. It is no
    Exception, so that no handler of the model's own errors takes it for one.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class CallbackError(RuntimeError):
    """An external function gave no result; ``code`` says why, in the words of the worker or of who answered."""

    def __init__(self, message: str, code: str = "NOT_POSSIBLE") -> None:
        super().__init__(message)
        self.code = code


_records: Final[dict[str, Any]] = {}
_handlers: Final[dict[str, Callable[..., Any]]] = {}
_encoders: Final[dict[type, Callable[[Any], str]]] = {}
_decoders: Final[dict[type, Callable[[str, Any, str, Mode], object]]] = {}


def record(name: str, value: object) -> None:
    """Keep a value for the archive under a name; of several calls in one action the last counts.

    Raises:
        ValueError: no name, or too long a name.
        TypeError: a custom encoder did not return JSON text.
    """
    _check_name(name)
    _records[name] = copy.deepcopy(value)
    _tell("record", f"{name} = {_shown(value)}")


def recorded() -> dict[str, Any]:
    """A copy of what was recorded so far, by name; only here, a run process has no such function."""
    return copy.deepcopy(_records)


def subscribe(name: str, function: Callable[..., object]) -> None:
    """Set the handler of an event; a later one replaces it, what cannot be called is ignored."""
    if callable(function):
        _handlers[name] = function


def publish(name: str, /, *arguments: Any, **options: Any) -> Any:
    """Call the handler of an event and give what it returns; None without one."""
    handler = _handlers.get(name)
    return None if handler is None else handler(*arguments, **options)


def log(level: Level | str, message: object) -> None:
    """Write a log line; a level that is not known is INFO."""
    name = str(level).upper()
    _tell(name if name in LEVELS else "INFO", str(message))


scribble = log


def callback(name: str, arguments: object = None) -> Any:
    """Call an external function.

    Raises:
        CallbackError: always here; in a run, where nobody answers, or with an error.
    """
    raise CallbackError(
        f"callback {name!r} ({_shown(arguments)}): nobody is asked here; in a run the provider that the context's "
        "externalFunctions name is"
    )


def actor() -> Actor:
    """Who asks."""
    return {
        "pseudonym_key": "local",
        "group_key": None,
        "group_mandate": "PARTICIPANT",
        "world_key": None,
        "world_role": None,
    }


def run() -> Run:
    """The run, and the call at hand."""
    return Run(
        context=MappingProxyType({}),
        auth=MappingProxyType(dict(actor())),
        approved=False,
        run_key="local",
        action_id=None,
    )


def require_approval(reason: str = "") -> None:
    """Go on only if the call at hand was approved.

    Raises:
        ApprovalRequired: it was not; here always.
    """
    if not run().approved:
        raise ApprovalRequired(reason)


def register_custom_encoder(kind: type[T], function: Callable[[T], str]) -> None:
    """Let ``function(value)``, which returns JSON text, encode values of a class.

    Raises:
        TypeError: the first argument is no class, or the second cannot be called.
    """
    _check_registration(kind, function)
    _encoders[kind] = function


def register_custom_decoder(kind: type[T], function: Callable[[str, T, str, Mode], object]) -> None:
    """Let ``function(name, variable, json_text, mode)`` assign to variables that hold values of a class.

    Raises:
        TypeError: the first argument is no class, or the second cannot be called.
    """
    _check_registration(kind, function)
    _decoders[kind] = function


class Epicenter:
    """The functions of this module, as ``from epicenter import Epicenter`` gives them."""

    record = staticmethod(record)
    subscribe = staticmethod(subscribe)
    publish = staticmethod(publish)
    log = staticmethod(log)
    scribble = staticmethod(scribble)
    callback = staticmethod(callback)
    actor = staticmethod(actor)
    run = staticmethod(run)
    require_approval = staticmethod(require_approval)
    register_custom_encoder = staticmethod(register_custom_encoder)
    register_custom_decoder = staticmethod(register_custom_decoder)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= RECORD_NAME_CHARACTERS:
        raise ValueError(f"record: the name must be a string of 1 to {RECORD_NAME_CHARACTERS} characters")


def _check_registration(kind: object, function: object) -> None:
    if not isinstance(kind, type):
        raise TypeError(f"the first argument must be a class, not {kind!r:.80}")
    if not callable(function):
        raise TypeError("the second argument must be a function")


def _shown(value: object) -> str:
    """The value as its custom encoder tells it, else as Python does."""
    encoder = next((_encoders[base] for base in type(value).__mro__ if base in _encoders), None)
    if encoder is None:
        return repr(value)
    text = encoder(value)
    try:
        json.loads(text)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"the custom encoder of {type(value).__name__} returned no JSON text: {error}"
        ) from None
    return text


def _tell(what: str, text: str) -> None:
    sys.stderr.write(f"epicenter {what}: {text}\n")
