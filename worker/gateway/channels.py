"""Push: what happens to runs as Server-Sent Events, in the words of Epicenter's RUN channel."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

from pydantic import Field
from pydantic_core import to_json
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from protocol.entities import Role
from worker.gateway import answers_epicenter as answers
from worker.gateway.bell import Bell
from worker.gateway.bodies import Query
from worker.gateway.desk import Desk
from worker.gateway.endpoints import Ask, Endpoint, EventStream
from worker.gateway.faults import Fault, busy, incomprehensible
from worker.gateway.feeds import Feed, RunFeed, ScopeFeed
from worker.gateway.meters import Bound, Meters
from worker.gateway.settings import GatewaySettings

READS_AT_ONCE: Final = 16
"""Of all streams together: many that are resumed at the same moment leave the worker room for others."""

_RECONNECT_MILLISECONDS: Final = 1000
_TOLD: Final = EventStream({"message": answers.Message, "fault": answers.Fault})


class ChannelQuery(Query):
    """Where a stream begins, and who asks: for readers that cannot send headers."""

    last_event_id: str | None = None
    access_token: str | None = Field(None, alias="access_token")


class Channels:
    """All streams of this gateway. ``bell`` tells them when to ask the worker."""

    def __init__(self, settings: GatewaySettings, bell: Bell, meters: Meters) -> None:
        self._settings = settings
        self.bell = bell
        self.meters = meters
        self.turns = asyncio.Semaphore(READS_AT_ONCE)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where streams are."""
        return (
            Endpoint("runChannel", "GET", "/run/{runKey}/channel", Role.PARTICIPANT, "What happens to a run, as Server-Sent Events", self._of_run, None, ChannelQuery, _TOLD, is_own=True),
            Endpoint("scopeChannel", "GET", "/channel/{boundary}/{scopeKey}/run", Role.PARTICIPANT, "What happens to the runs of a scope, as Server-Sent Events", self._of_scope, None, ChannelQuery, _TOLD, is_own=True),
        )  # fmt: skip

    def routes(self, desk: Desk) -> list[BaseRoute]:
        """The routes of streams; they stand before those of keys."""
        return [
            Route(one.path, self._serving(desk, one), methods=[one.method], name=one.name)
            for one in self.endpoints
        ]

    async def _of_run(self, ask: Ask) -> Feed:
        return RunFeed(ask, self.bell, self.turns)

    async def _of_scope(self, ask: Ask) -> Feed:
        return ScopeFeed(ask, self.bell, self.turns, self._settings.max_channel_runs)

    def _serving(self, desk: Desk, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            ask = await desk.admit(with_token(request), endpoint)
            # A browser that reconnects says where in the header, and repeats the address as it was.
            last_id = request.headers.get("last-event-id", ask.query.last_event_id)
            with contextlib.ExitStack() as place:
                place.enter_context(self.place())
                feed: Feed = await endpoint.handler(ask)
                begin = await feed.open(last_id)
                events = self._events(feed, begin)
                return Stream(events, self._settings, place.pop_all(), ask.caller.expires_at)

        return serve

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Room for one stream, while it is open. Raises: ``Fault`` 503."""
        if self.meters.channels >= self._settings.max_channels:
            self.meters.turned_away[Bound.CHANNELS] += 1
            raise busy("GATEWAY_BUSY", f"max_channels ({self._settings.max_channels}) are open")
        self.meters.channels += 1
        try:
            yield
        finally:
            self.meters.channels -= 1

    async def _events(self, feed: Feed, begin: str) -> AsyncIterator[ServerSentEvent]:
        """The id of the beginning, then what comes; with a fault the stream is over."""
        yield ServerSentEvent(id=begin, retry=_RECONNECT_MILLISECONDS)
        try:
            async with contextlib.aclosing(feed.items()) as items:
                async for id_, message in items:
                    self.meters.channel_messages += message is not None
                    yield ServerSentEvent(None if message is None else to_json(message).decode(), id=id_)
        except Fault as fault:
            yield ServerSentEvent(to_json(fault.body()).decode(), event="fault")


class Stream(EventSourceResponse):
    """A stream that gives its place back, however it ends, and ends when its time is over, or that of its token is.

    ``expires_at``: when the token is good no more, in seconds since 1970; None: it stays good.
    """

    def __init__(
        self,
        events: AsyncIterator[ServerSentEvent],
        settings: GatewaySettings,
        place: contextlib.ExitStack,
        expires_at: float | None,
    ) -> None:
        super().__init__(
            events,
            ping=settings.channel_heartbeat_seconds,
            ping_message_factory=lambda: ServerSentEvent(comment="heartbeat"),
        )
        left = settings.channel_seconds if expires_at is None else max(0.0, expires_at - time.time())
        self._seconds = min(settings.channel_seconds, left)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until it is over."""
        with self._place:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await super().__call__(scope, receive, send)
            if self.active and scope["method"] != "HEAD":
                # Its time was over, or the gateway ends: told as an end, not as a connection that broke.
                await send({"type": "http.response.body", "body": b"", "more_body": False})


def with_token(request: Request) -> Request:
    """The request with the token of its query as if it had come in the header."""
    token = request.query_params.get("access_token")
    if token is None:
        return request
    if "authorization" in request.headers:
        raise incomprehensible("access_token: there is an Authorization header, too", path="access_token")
    headers = [*request.scope["headers"], (b"authorization", f"Bearer {token}".encode())]
    return Request({**request.scope, "headers": headers}, request.receive)
