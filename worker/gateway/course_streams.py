"""Streams of single runs that end with them, for browsers and programs, as Server-Sent Events."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from pydantic_core import to_json
from sse_starlette import ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from protocol.entities import Role
from worker.gateway import answers_composable as answers
from worker.gateway.answers import Trace
from worker.gateway.channels import Channels, Stream, with_token
from worker.gateway.composable import FACE, profile_of
from worker.gateway.composable_bodies import StreamQuery
from worker.gateway.course_feeds import EXTRAS, CourseFeed
from worker.gateway.desk import Desk
from worker.gateway.endpoints import Ask, Endpoint, EventStream, NoContent
from worker.gateway.faults import Fault, incomprehensible

_RECONNECT_MILLISECONDS: Final = 1000
_TOLD: Final = EventStream(
    {
        "chunk": Any,
        "close": answers.Ended,
        "fault": answers.Fault,
        "message": Any,
        "status": answers.Ended,
        "trace": Trace,
        "variable": answers.Variable,
    }
)


async def _answered_as_stream(_ask: Ask) -> NoContent:
    raise AssertionError("streams are served by their own route")


STREAM: Final = Endpoint("composableStream", "GET", "/runs/{id}/stream", Role.PARTICIPANT, "Results of a run's actions as they come, until it is over", _answered_as_stream, None, StreamQuery, _TOLD, (200, 204))  # fmt: skip


def serving(desk: Desk, channels: Channels) -> Callable[[Request], Awaitable[Response]]:
    """A handler of requests to ``STREAM``."""

    async def serve(request: Request) -> Response:
        ask = await desk.admit(with_token(request), STREAM, FACE)
        query: StreamQuery = ask.query
        extras = frozenset(name for name in (query.events or "").split(",") if name)
        if "gap" in extras:
            raise incomprehensible(
                "events: gap is never told, as a stream that is resumed by an id has none; leave it out",
                path="events",
            )
        if not extras <= EXTRAS:
            raise incomprehensible(f"events: there are {', '.join(sorted(EXTRAS))}", path="events")
        profile = await profile_of(ask)
        feed = CourseFeed(
            ask,
            channels.bell,
            channels.turns,
            run_key=profile["run_key"],
            words="composable",
            follow=query.follow == "true",
            is_closed=profile["finish_reason"] == "closed",
            extras=extras,
        )
        with contextlib.ExitStack() as place:
            place.enter_context(channels.place())
            if not await feed.open(request.headers.get("last-event-id", query.since)):
                return Response(status_code=204)  # tells an EventSource that reconnects to stop
            unnamed = query.event_names == "message"
            events = _events(feed, unnamed=unnamed)
            return Stream(events, desk.settings, place.pop_all(), ask.caller.expires_at)

    return serve


async def _events(feed: CourseFeed, *, unnamed: bool) -> AsyncIterator[ServerSentEvent]:
    """What the feed tells; ``unnamed``: chunks without an event name, as EventSource's plain listeners hear."""
    yield ServerSentEvent(id=feed.position, retry=_RECONNECT_MILLISECONDS)
    try:
        async with contextlib.aclosing(feed.items()) as items:
            async for told in items:
                name = None if unnamed and told.name == "chunk" else told.name
                yield ServerSentEvent(to_json(told.data).decode(), id=told.id, event=name)
    except Fault as fault:
        yield ServerSentEvent(bytes(FACE.render(fault).body).decode(), event="fault")
