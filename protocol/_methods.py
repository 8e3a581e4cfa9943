"""How what can be asked becomes a method of a client, with the signature and the text of the request."""

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, get_args

from protocol._call import OPTION_NAMES, Call
from protocol.messages import Reply

P = ParamSpec("P")
T = TypeVar("T")


class Blocking(Protocol):
    """A client that waits for a reply."""

    def perform(self, call: Call[Any]) -> Reply:
        """Send one call and wait for its reply."""


class Awaited(Protocol):
    """A client whose replies are awaited."""

    async def perform(self, call: Call[Any]) -> Reply:
        """Send one call and wait for its reply."""


def _describe(method: Callable[..., Any], build: Callable[..., Any]) -> None:
    """Make ``help()`` show the request's own parameters and text."""
    functools.update_wrapper(method, build)
    signature = inspect.signature(build)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    *named, options = signature.parameters.values()
    fields = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for kind in get_args(options.annotation)
        for name, annotation in kind.__annotations__.items()
        if name not in OPTION_NAMES
    ]
    vars(method)["__signature__"] = signature.replace(
        parameters=[own, *named, *fields, options], return_annotation=inspect.Signature.empty
    )


def blocking(build: Callable[P, Call[T]]) -> Callable[Concatenate[Blocking, P], T]:
    """A method that asks, waits, and returns what ``build`` makes of the result."""

    def method(client: Blocking, /, *args: P.args, **kwargs: P.kwargs) -> T:
        call = build(*args, **kwargs)
        return call.decode(client.perform(call).result)

    _describe(method, build)
    return method


def awaitable(build: Callable[P, Call[T]]) -> Callable[Concatenate[Awaited, P], Coroutine[Any, Any, T]]:
    """``blocking``, to be awaited."""

    async def method(client: Awaited, /, *args: P.args, **kwargs: P.kwargs) -> T:
        call = build(*args, **kwargs)
        return call.decode((await client.perform(call)).result)

    _describe(method, build)
    return method
