"""The gateway as an ASGI application: ``make_app`` puts its parts together and says what is where."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp

from worker.gateway import (
    clusters,
    composable,
    course_streams,
    routes_own,
    routes_runs,
    routes_state,
    routes_worlds,
)
from worker.gateway.bell import Bell
from worker.gateway.channels import Channels
from worker.gateway.desk import Desk
from worker.gateway.door import Door
from worker.gateway.endpoints import Endpoint
from worker.gateway.faces import EPICENTER, Face
from worker.gateway.faults import Fault, answer
from worker.gateway.link import Link
from worker.gateway.meters import Meters
from worker.gateway.page_files import page_routes
from worker.gateway.pages import document_routes
from worker.gateway.readers import make_reader
from worker.gateway.settings import GatewaySettings
from worker.telemetry import Logger

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *routes_state.ENDPOINTS,
    *routes_worlds.ENDPOINTS,
    *routes_own.ENDPOINTS,
    *routes_runs.ENDPOINTS,
    *routes_runs.LAST,
)
"""In the order in which they are tried: words before keys."""

PROJECT: Final = EPICENTER.root
FACES: Final[tuple[tuple[Face, Sequence[Endpoint]], ...]] = (
    (composable.FACE, composable.ENDPOINTS),
    (clusters.FACE, clusters.ENDPOINTS),
)
"""Further APIs, which show the same runs."""
PROXY: Final = "/proxy/{proxy_account}/{proxy_project}"
_LOOPBACK_ORIGIN: Final = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "Last-Event-ID",
    "X-Forio-Confirmation",
    "X-Interaction-Tag",
    "X-Project-Id",
    "traceparent",
)


def make_app(settings: GatewaySettings, link: Link, bell: Bell, meters: Meters, log: Logger) -> ASGIApp:
    """The application. While it runs it watches the worker and its events, and counts in ``meters``.

    Raises:
        KeyFolderError: the keys of tokens cannot be read.
    """
    desk = Desk(settings, link, make_reader(settings))
    channels = Channels(settings, bell, meters)
    # A trailing slash is another path: no redirect.
    project = Router([*channels.routes(desk), *project_routes(desk)], redirect_slashes=False)
    app = Starlette(
        routes=[
            # In front, as it is what is asked.
            Mount(PROJECT, project),
            *root_routes(desk, channels),
            Mount(PROXY + PROJECT, project),
            *(_mounted(face, rows, desk, channels) for face, rows in FACES),
        ],
        middleware=[_cors(settings)],
        exception_handlers={Fault: _fault, HTTPException: _of_starlette, Exception: _internal},
        lifespan=_watching(link.watch, bell.watch),
    )
    app.router.redirect_slashes = False
    return Door(app, settings, meters, log)


def root_routes(desk: Desk, channels: Channels) -> list[BaseRoute]:
    """What is the gateway's own, beside the API: add routes here (a page, assets, metrics)."""

    async def livez(_request: Request) -> Response:
        return answer({"live": True})

    async def readyz(_request: Request) -> Response:
        ready = desk.link.ready
        return answer({"ready": ready, "worker": desk.link.reachable}, 200 if ready else 503)

    return [
        Route("/livez", livez),
        Route("/readyz", readyz),
        *page_routes(),
        *document_routes((*ENDPOINTS, *channels.endpoints)),
        *document_routes((*composable.ENDPOINTS, course_streams.STREAM), composable.FACE, "/api/v1"),
        *document_routes(clusters.ENDPOINTS, clusters.FACE, "/clusters"),
    ]


def project_routes(desk: Desk) -> list[BaseRoute]:
    """What is below ``/api/v3/{account}/{project}``, in the order in which it is tried.

    Most are rows of ``ENDPOINTS``. What does not answer one question once, as a stream, is a ``Route`` put in front of
    them, whose function begins with ``ask = await desk.admit(request, endpoint)`` and asks by ``ask.reply``.
    """
    served = [Route(one.path, desk.serving(one), methods=[one.method], name=one.name) for one in ENDPOINTS]
    # What is asked most is tried first.
    most = len(routes_state.ENDPOINTS)
    return [
        *served[:most],
        *routes_worlds.UNSERVED_FIRST,
        *served[most:],
        *routes_worlds.UNSERVED_LAST,
    ]


def _mounted(face: Face, endpoints: Sequence[Endpoint], desk: Desk, channels: Channels) -> Mount:
    """A further API, whose faults look as its clients expect them."""
    routes: list[BaseRoute] = [
        Route(one.path, desk.serving(one, face), methods=[one.method], name=one.name) for one in endpoints
    ]
    if face is composable.FACE:
        stream = course_streams.serving(desk, channels)
        routes.insert(0, Route(course_streams.STREAM.path, stream, methods=["GET"]))

    async def other(request: Request, error: Exception) -> Response:
        return face.render(_starlette_fault(request, error))

    app = Starlette(routes=routes, exception_handlers={Fault: face.answer, HTTPException: other})
    app.router.redirect_slashes = False
    return Mount(face.root, app)


def _cors(settings: GatewaySettings) -> Middleware:
    return Middleware(
        CORSMiddleware,
        allow_origins=settings.allow_origins,
        allow_origin_regex=_LOOPBACK_ORIGIN if settings.auth == "development" else None,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=list(_HEADERS),
        expose_headers=[
            "Retry-After",
            "X-Request-Id",
            "X-Served-From",
            "X-Facets-Truncated",
            "X-Total-Count",
            "X-Warnings",
        ],
    )


def _watching(*watches: Callable[[], Coroutine[Any, Any, None]]) -> Any:
    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(watch()) for watch in watches]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return lifespan


async def _fault(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Fault)  # noqa: S101 - Starlette hands over what it was registered for
    return error.response()


async def _of_starlette(request: Request, error: Exception) -> Response:
    return _starlette_fault(request, error).response()


def _starlette_fault(request: Request, error: Exception) -> Fault:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    if error.status_code == 405:
        text = f"{request.method} is not for {request.url.path}"
        return Fault(405, "METHOD_NOT_ALLOWED", text, headers=error.headers)
    if error.status_code == 404:
        return Fault(404, "NO_SUCH_ENDPOINT", f"there is nothing at {request.url.path}")
    return Fault(error.status_code, "HTTP_ERROR", error.detail, headers=error.headers)


async def _internal(_request: Request, _error: Exception) -> Response:
    return Fault(500, "INTERNAL_ERROR", "a bug in the gateway; its log tells more").response()
