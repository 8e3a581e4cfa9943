"""Providers of external functions: who serves what, and which call is whose.

A provider is a connection to the request socket that said what it serves. As ROUTER does not tell when a connection
is gone, it has to say so again within its lease; who did not, or cannot be sent to any more, is forgotten, and its
calls end with an error. A call goes to the provider that has the fewest, and waits, in the order of asking, where
all have as many as they take.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from protocol.errors import ErrorCode, ProtocolError
from protocol.messages import AnswerFunction, ServeFunctions
from worker.channel import ANSWERED, REFUSED, pack
from worker.errors import CapacityError, RequestError
from worker.supervisor.peers import Peer, Route

MAX_PROVIDERS: Final = 1000
SHORTEST_DEADLINE_SECONDS: Final = 0.001
NO_PROVIDER: Final = "NO_PROVIDER"
PROVIDER_LOST: Final = "PROVIDER_LOST"
FAILED: Final = "FUNCTION_FAILED"
"""The code of an error that its provider gave none."""


def refusal(code: str, message: str) -> bytes:
    """An error as a model gets it."""
    return pack({"code": code, "message": message})


@dataclass(slots=True, eq=False)
class PendingCall:
    """One call of an external function; ``done`` is told status and packed value of its answer, at most once.

    ``body`` is the message to the provider but for its deadline, ``ends_at`` that deadline in the loop's time. An
    answer has at most ``room`` bytes.
    """

    call_id: str
    service: str
    version: str | None
    body: dict[str, Any]
    room: int
    ends_at: float
    done: Callable[[str, bytes], None]


@dataclass(slots=True, eq=False)
class _Provider:
    peer: Peer
    services: frozenset[tuple[str, str | None]] = frozenset()
    concurrency: int = 1
    lease: asyncio.TimerHandle | None = None
    last_used: int = 0
    calls: dict[str, PendingCall] = field(default_factory=dict)

    def serves(self, call: PendingCall) -> bool:
        if call.version is None:
            return any(service == call.service for service, _ in self.services)
        return (call.service, call.version) in self.services or (call.service, None) in self.services

    @property
    def is_full(self) -> bool:
        return len(self.calls) >= self.concurrency


class Providers:
    """All providers of one worker, and the calls that are with them or wait for them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._providers: dict[Route, _Provider] = {}
        self._holders: dict[PendingCall, _Provider] = {}
        self._waiting: dict[PendingCall, None] = {}
        self._turn = 0

    def status(self) -> dict[str, Any]:
        """How many providers each service has, and calls that are with one or wait."""
        services: dict[str, int] = {}
        for provider in self._providers.values():
            for name in {service for service, _ in provider.services}:
                services[name] = services.get(name, 0) + 1
        return {"services": services, "calls": len(self._holders), "waiting": len(self._waiting)}

    # What providers say

    def serve(self, request: ServeFunctions, peer: Peer) -> dict[str, Any]:
        """What a connection serves from now on, until its lease ends; the result of the request.

        Who serves nothing any more gets no new calls, and may answer those it has.

        Raises:
            CapacityError: there are too many providers.
        """
        provider = self._providers.get(peer.route)
        if provider is None:
            used = len(self._providers)
            if used >= MAX_PROVIDERS:
                message = f"{used} connections serve functions already"
                raise CapacityError(message, limit="providers", used=used, allowed=MAX_PROVIDERS)
            provider = self._providers[peer.route] = _Provider(peer)
        elif provider.lease is not None:
            provider.lease.cancel()
        provider.services = frozenset((item.service, item.version) for item in request.services)
        provider.concurrency = request.concurrency
        provider.lease = self._loop.call_later(request.lease_seconds, self._expired, provider)
        self._tidy(provider)
        return {"lease_seconds": request.lease_seconds}

    def answer(self, request: AnswerFunction, peer: Peer) -> None:
        """Take the answer to a call.

        Raises:
            RequestError: CALL_NOT_FOUND; RESULT_TOO_LARGE, and the call has ended with that error.
        """
        provider = self._providers.get(peer.route)
        call = None if provider is None else provider.calls.get(request.call_id)
        if provider is None or call is None:
            raise RequestError(
                ErrorCode.CALL_NOT_FOUND,
                f"this connection has no call {request.call_id!r} to answer: it was answered, its operation has "
                "ended, or it was given to another connection",
                call_id=request.call_id,
            )
        self._let_go(call, provider)
        status, value = _answer_of(request)
        size = len(value)
        is_too_large = status == ANSWERED and size > call.room
        if is_too_large:
            status, value = REFUSED, too_large(size, call.room)
        call.done(status, value)
        self._tidy(provider)
        if is_too_large:
            message = _too_large(size, call.room)
            raise RequestError(ErrorCode.RESULT_TOO_LARGE, message, size=size, allowed=call.room)

    # What runs ask

    def ask(self, call: PendingCall) -> None:
        """Have a call answered; ``done`` may be called before this returns."""
        free = [one for one in self._providers.values() if one.serves(call) and not one.is_full]
        while free:
            provider = min(free, key=lambda one: (len(one.calls), one.last_used))
            if self._hand(call, provider):
                return
            free.remove(provider)
        if any(one.serves(call) for one in self._providers.values()):
            self._waiting[call] = None
        else:
            call.done(REFUSED, refusal(NO_PROVIDER, f"nobody serves {_described(call)}; nothing was done"))

    def abandon(self, call: PendingCall) -> None:
        """Nobody waits for the answer any more; one that still comes is refused."""
        self._waiting.pop(call, None)
        provider = self._holders.get(call)
        if provider is not None:
            self._let_go(call, provider)
            self._tidy(provider)

    def _hand(self, call: PendingCall, provider: _Provider) -> bool:
        """Give a call to a provider; False where that is gone."""
        left = max(call.ends_at - self._loop.time(), SHORTEST_DEADLINE_SECONDS)
        try:
            taken = provider.peer.push({**call.body, "deadline_seconds": left})
        except ProtocolError as error:
            call.done(REFUSED, refusal(str(error.code), f"{error.message}; nothing was done"))
            return True
        if not taken:
            self._forget(provider, "its connection is gone")
            return False
        self._turn += 1
        provider.last_used = self._turn
        provider.calls[call.call_id] = call
        self._holders[call] = provider
        return True

    def _let_go(self, call: PendingCall, provider: _Provider) -> None:
        del self._holders[call]
        del provider.calls[call.call_id]

    def _tidy(self, provider: _Provider) -> None:
        """Give a provider what waits for it; forget one that serves nothing and has nothing to answer."""
        if self._providers.get(provider.peer.route) is not provider:
            return
        if not provider.services:
            if not provider.calls:
                self._forget(provider, "it ended")
            return
        for call in [call for call in self._waiting if provider.serves(call)]:
            if provider.is_full:
                return
            self._ask_again(call)

    def _ask_again(self, call: PendingCall) -> None:
        if call in self._waiting:  # or it was given away meanwhile
            del self._waiting[call]
            self.ask(call)

    def _expired(self, provider: _Provider) -> None:
        self._forget(provider, "it did not renew its lease")

    def _forget(self, provider: _Provider, reason: str) -> None:
        if self._providers.pop(provider.peer.route, None) is None:
            return
        if provider.lease is not None:
            provider.lease.cancel()
        lost = list(provider.calls.values())
        for call in lost:
            self._let_go(call, provider)
            message = f"the provider of {_described(call)} was lost ({reason}); it may have acted"
            call.done(REFUSED, refusal(PROVIDER_LOST, message))
        for call in [call for call in self._waiting if provider.serves(call)]:
            self._ask_again(call)


def _answer_of(request: AnswerFunction) -> tuple[str, bytes]:
    error = request.error
    if error is not None:
        return REFUSED, refusal(error.code or FAILED, error.message)
    return ANSWERED, pack(request.result)


def _described(call: PendingCall) -> str:
    version = "" if call.version is None else f" in version {call.version!r}"
    return f"service {call.service!r}{version}"


def too_large(size: int, room: int) -> bytes:
    """What a model is told of an answer for which there is no room."""
    return refusal(str(ErrorCode.RESULT_TOO_LARGE), _too_large(size, room))


def _too_large(size: int, room: int) -> str:
    return f"a result of {size} bytes, allowed are {room} (callback_bytes, less what the action used)"
