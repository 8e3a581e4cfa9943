"""A provider of external functions, for asyncio.

A handler is an async function that takes a ``FunctionCall`` and gives the result::

    async with FunctionProvider("tcp://127.0.0.1:5670", {"leaderboard": best_scores}):
        await asyncio.Event().wait()
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, Self

from protocol._exchange import ClientSettings
from protocol._link import Link, curve_keys
from protocol.codec import MAX_MESSAGE_BYTES, decode_from_worker, encode
from protocol.errors import ProtocolError
from protocol.functions import FunctionCall
from protocol.messages import VERSION, Reply

Handler = Callable[[FunctionCall], Awaitable[Any]]
"""Gives the result, a JSON value, or raises: a FunctionError says what the model gets."""
RENEWALS_PER_LEASE: Final = 3
LAST_WORDS_SECONDS: Final = 1.0
MESSAGE_CHARACTERS: Final = 2048


class FunctionError(Exception):
    """What the model gets instead of a result: a CallbackError of this message and code."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class FunctionProvider:
    """Answers calls from when its block is entered until it is left; registers again whenever it has to.

    A handler is cancelled when nobody waits for its answer any more. ``refusal`` is the worker's answer to the last
    registration, where that was refused.
    """

    def __init__(
        self,
        endpoint: str,
        handlers: Mapping[str | tuple[str, str], Handler],
        *,
        concurrency: int = 16,
        lease_seconds: float = 15.0,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        server_key: bytes | None = None,
        public_key: bytes | None = None,
        secret_key: bytes | None = None,
    ) -> None:
        """``handlers``: by service, which means all its versions, or by service and version.

        ``concurrency``: calls that this provider is given at once. ``lease_seconds``: how long the worker believes
        that it is there without a word from it.

        Raises:
            ValueError: the endpoint or a key makes no sense.
        """
        self._handlers: dict[tuple[str, str | None], Handler] = {
            key if isinstance(key, tuple) else (key, None): handler for key, handler in handlers.items()
        }
        self._concurrency = concurrency
        self._lease_seconds = lease_seconds
        self._max_message_bytes = max_message_bytes
        settings = ClientSettings(endpoint, max_message_bytes=max_message_bytes)
        self._link = Link(settings, None, curve_keys(server_key, public_key, secret_key))
        self._unsent: dict[str, bytes] = {}
        self._unanswered: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._registration = ""
        self._is_leaving = self._is_closed = False
        self._renewal: asyncio.TimerHandle | None = None
        self.refusal: ProtocolError | None = None

    async def __aenter__(self) -> Self:
        """Register; waits until a worker is there.

        Raises:
            ProtocolError: the worker refuses.
        """
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._is_taken = False
        self._loop.add_reader(self._link.fd, self._pump)
        self._register()
        try:
            while not self._is_taken and self.refusal is None:
                await self._next_news()
        finally:
            if not self._is_taken:
                self._close()
        if self.refusal is not None:
            raise self.refusal
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take no new calls, answer those there are, and go."""
        self._is_leaving = True
        self._register()
        try:
            if self._tasks:
                await asyncio.wait(self._tasks)
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                while self._unanswered:
                    await self._next_news()
        except TimeoutError:
            pass  # the worker is gone; what it was not told it finds out by the lease
        finally:
            self._close()

    def _close(self) -> None:
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        if self._renewal is not None:
            self._renewal.cancel()
        self._loop.remove_reader(self._link.fd)
        self._link.close()

    async def _next_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    # What is said

    def _register(self) -> None:
        if self._is_closed:
            return
        self._unsent.pop(self._registration, None)
        self._unanswered.discard(self._registration)
        services = [] if self._is_leaving else list(self._handlers)
        listed = [
            {"service": service} if version is None else {"service": service, "version": version}
            for service, version in services
        ]
        self._registration = self._say(
            "serve_functions",
            services=listed,
            concurrency=self._concurrency,
            lease_seconds=float(self._lease_seconds),
        )
        if self._renewal is not None:
            self._renewal.cancel()
        self._renewal = self._loop.call_later(self._lease_seconds / RENEWALS_PER_LEASE, self._register)

    def _say(self, type_: str, **fields: Any) -> str:
        request_id = uuid.uuid4().hex
        message = {"version": VERSION, "type": type_, "request_id": request_id, **fields}
        self._unsent[request_id] = encode(message, max_bytes=self._max_message_bytes)
        self._unanswered.add(request_id)
        self._pump()
        return request_id

    def _pump(self) -> None:
        """Move everything that can be moved: only then does the descriptor report the next thing."""
        while not self._is_closed:
            readable, connected = self._link.events()
            if self._link.take_lost():
                self._start_anew()
            if readable:
                self._receive()
            elif connected and self._unsent:
                request_id, body = next(iter(self._unsent.items()))
                if self._link.send(body):
                    del self._unsent[request_id]
            else:
                return

    def _start_anew(self) -> None:
        """The next connection is another one to the worker: what belonged to the last is of no use."""
        self._unsent.clear()
        self._unanswered.clear()
        self._loop.call_soon(self._register)

    # What is heard

    def _receive(self) -> None:
        while (body := self._link.receive_body()) is not None:
            if isinstance(body, str):
                continue
            try:
                message = decode_from_worker(body, max_bytes=self._max_message_bytes)
            except ProtocolError:
                continue  # nothing of this protocol
            if isinstance(message, FunctionCall):
                self._begin(message)
            else:
                self._hear(message)

    def _hear(self, reply: Reply) -> None:
        self._unanswered.discard(reply.request_id or "")
        if reply.request_id == self._registration:
            self.refusal = None if reply.ok else ProtocolError.from_wire(reply.error or {})
            self._is_taken = self._is_taken or reply.ok
        self._news.set()

    def _begin(self, call: FunctionCall) -> None:
        service, version = call.service, call.service_version
        handler = self._handlers.get((service, version)) or self._handlers.get((service, None))
        if handler is None:
            # A context may leave the version to the provider.
            handler = next((one for (name, _), one in self._handlers.items() if name == service), None)
        if handler is None:
            self._say(
                "answer_function", call_id=call.call_id, error={"message": f"{service!r} is not served"}
            )
            return
        task = self._loop.create_task(_limited(handler, call))
        self._tasks.add(task)
        task.add_done_callback(partial(self._answer, call))

    def _answer(self, call: FunctionCall, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        try:
            if error is None:
                self._say("answer_function", call_id=call.call_id, result=task.result())
                return
            failure = _failure(error)
        except ProtocolError as unencodable:
            failure = {"message": unencodable.message[:MESSAGE_CHARACTERS], "code": str(unencodable.code)}
        self._say("answer_function", call_id=call.call_id, error=failure)


async def _limited(handler: Handler, call: FunctionCall) -> Any:
    async with asyncio.timeout(call.deadline_seconds):
        return await handler(call)


def _failure(error: BaseException) -> dict[str, str]:
    if not isinstance(error, FunctionError):
        return {"message": f"{type(error).__name__}: {error}"[:MESSAGE_CHARACTERS]}
    message = str(error)[:MESSAGE_CHARACTERS]
    return {"message": message} if error.code is None else {"message": message, "code": error.code}
