"""The events of a run as one stream: what the event socket says, and ``read_events`` for what it left out.

``async for`` gives every event once and in order, from whichever number on, also when the subscriber is slow or
the worker is killed and started anew::

    async with AsyncClient() as worker, RunEvents(worker, run_key, after_event=17) as events:
        async for event in events:
            ...
"""

from collections import deque
from typing import Any, Final, Self

import zmq

from protocol.client import AsyncClient
from protocol.errors import ProtocolError
from protocol.events import Event, decode_event, topic
from protocol.subscription import Subscription

PAGE_EVENTS: Final = 1000


class RunEvents:
    """Events of one run, for one task. It never ends by itself.

    ``event`` is the number of the last event given; as ``after_event`` it resumes the stream elsewhere. An error
    of ``read_events`` is raised where the next event was asked for; ask again to go on. What the socket says is
    not judged by guards, whoever the client's actor is.
    """

    def __init__(
        self,
        client: AsyncClient,
        run_key: str,
        *,
        after_event: int = 0,
        endpoint: str | None = None,
        reread_seconds: float = 5.0,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        """Begin behind ``after_event``; nothing is asked or opened before the first event is.

        ``client`` and ``context`` stay the caller's. ``endpoint``: the worker's event socket, which the worker is
        asked for otherwise; where it has none, events come by reading alone. ``reread_seconds``: how long to hear
        nothing before reading again, as it may be the last events that were lost.
        """
        self.run_key = run_key
        self.event = after_event
        self._client = client
        self._endpoint = endpoint
        self._reread_seconds = reread_seconds
        self._context = context
        self._last = after_event
        self._ready: deque[Event] = deque()
        self._behind = True
        self._has_read = False
        self._socket: Subscription | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            ProtocolError: the run is not there or may not be read, or the worker did not answer in time.
            ValueError: the run has no event ``after_event`` yet.

        """
        while not self._ready:
            await self._go_on()
        event = self._ready.popleft()
        self.event = event.event
        return event

    async def _go_on(self) -> None:
        if self._socket is None:
            self._socket = await self._subscribe()
        for _, body in self._socket.take():
            self._hear(body)
        if self._ready:
            return
        if not self._behind:
            self._behind = not await self._socket.wait(self._reread_seconds)
        if self._behind:
            await self._read()

    async def _subscribe(self) -> Subscription:
        """Before the first reading: what happens after it is heard."""
        endpoint = self._endpoint
        if endpoint is None:
            status = await self._client.worker_status()
            endpoint = status["events"]["endpoint"] or ""
        return Subscription(endpoint, topic(self.run_key), self._context)

    def _hear(self, body: bytes) -> None:
        try:
            event = decode_event(body)
        except ProtocolError:
            self._behind = True
            return
        if event.event == self._last + 1:
            self._take(event)
        elif event.event > self._last:
            self._behind = True

    async def _read(self) -> None:
        page: dict[str, Any] = await self._client.read_events(
            self.run_key, after_event=self._last, limit=PAGE_EVENTS
        )
        if not self._has_read and page["head_event"] < self._last:
            raise ValueError(
                f"run {self.run_key} has {page['head_event']} events, none after {self._last} yet"
            )
        self._has_read = True
        for body in page["events"]:
            self._take(Event.model_validate(body))
        self._behind = self._last < page["head_event"]

    def _take(self, event: Event) -> None:
        self._last = event.event
        self._ready.append(event)

    async def close(self) -> None:
        """Give the socket back; idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
