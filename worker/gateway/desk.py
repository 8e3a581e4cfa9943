"""Where a request is judged and read before its handler gets it, and answered afterwards."""

import asyncio
import hashlib
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from worker.gateway.bodies import Query
from worker.gateway.callers import Caller, Reader, bearer
from worker.gateway.door import visit_of
from worker.gateway.endpoints import NO_CONTENT, Ask, Endpoint
from worker.gateway.faces import EPICENTER, Face
from worker.gateway.faults import Fault, answer, incomprehensible, unreadable
from worker.gateway.link import Link
from worker.gateway.settings import GatewaySettings

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{0,70})?")
_LONGEST_KEY: Final = 255


class Desk:
    """Turns HTTP requests into what handlers are asked. ``link`` is the way to the worker."""

    def __init__(self, settings: GatewaySettings, link: Link, reader: Reader) -> None:
        self.settings = settings
        self.link = link
        self._reader = reader

    def serving(self, endpoint: Endpoint, face: Face = EPICENTER) -> Callable[[Request], Awaitable[Response]]:
        """A handler of HTTP requests to one endpoint."""

        async def serve(request: Request) -> Response:
            ask = await self.admit(request, endpoint, face)
            result = await endpoint.handler(ask)
            if isinstance(result, Response):
                result.headers.update(ask.headers)
                return result
            if result is NO_CONTENT:
                return Response(status_code=204, headers=ask.headers)
            return answer(result, ask.status, ask.headers)

        return serve

    async def admit(self, request: Request, endpoint: Endpoint, face: Face = EPICENTER) -> Ask:
        """Judge who asks and read what is asked.

        Raises:
            Fault: 401, 400, 404, 408, 413, 415 or 503; nothing happened.
        """
        visit = visit_of(request.scope)
        visit.endpoint, visit.root = endpoint, "" if face is EPICENTER else face.root
        path = {name: unquote(part) for name, part in request.path_params.items()}
        caller = self.caller(request)
        account, project = face.place(path, request.headers, caller)
        if not (_NAME.fullmatch(account) and _NAME.fullmatch(project)):
            raise Fault(
                404, "PROJECT_NOT_FOUND", "account and project are 1 to 64 letters, digits, _ and - each"
            )
        caller.enter(f"{account}/{project}")
        caller.require(endpoint.role)
        query = _query(request, endpoint.query)
        body = await self._body(request, endpoint.body)
        request_id = _request_id(request, caller, (account, project, endpoint.name))
        traceparent = _traceparent(request)
        visit.note(request_id, caller.role, run_key=path.get("runKey"), traceparent=traceparent)
        return Ask(
            link=self.link,
            caller=caller,
            place=(account, project),
            project=await self.project(account, project),
            request_id=request_id,
            traceparent=traceparent,
            path=path,
            query=query,
            body=body,
            client_ip="" if request.client is None else request.client.host,
            given={name: request.headers[name] for name in face.headers if name in request.headers},
            note_run=visit.note_run,
            deadline_seconds=query.timeout or endpoint.seconds(body) or self.settings.request_seconds,
        )

    def caller(self, request: Request) -> Caller:
        """Who sent a request; ANONYMOUS without a token.

        Raises:
            Fault: 401.
        """
        return self._reader.read(bearer(request.headers.get("authorization")))

    async def project(self, account: str, project: str) -> str | None:
        """What the worker is told: where it serves named projects the name, else nothing: all names are the default's.

        Raises:
            Fault: 503, nobody knows as the worker was never reached.
        """
        return f"{account}/{project}" if await self.link.projects() else None

    async def _body(self, request: Request, model: type[BaseModel] | None) -> Any:
        if model is None:
            if request.headers.get("content-length", "0") != "0":
                raise incomprehensible("body: none is read here")
            return None
        raw = await self._raw(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if raw and kind != "application/json":
            raise Fault(
                415, "UNSUPPORTED_MEDIA_TYPE", f"content-type: {kind or 'none'}; send application/json"
            )
        try:
            value = from_json(raw, allow_inf_nan=False) if raw else {}
        except ValueError as error:
            raise incomprehensible(f"body: is no JSON: {error}") from error
        try:
            return model.model_validate(value)
        except ValidationError as error:
            raise unreadable(error, "body") from error

    async def _raw(self, request: Request) -> bytes:
        limit = self.settings.max_body_bytes
        body = bytearray()
        try:
            async with asyncio.timeout(self.settings.body_seconds):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > limit:
                        raise Fault(
                            413,
                            "MESSAGE_TOO_LARGE",
                            f"body: more than max_body_bytes ({limit})",
                            {"allowed": limit},
                            {"Connection": "close"},
                        )
        except TimeoutError as error:
            seconds = self.settings.body_seconds
            raise Fault(
                408,
                "REQUEST_TIMEOUT",
                f"body: not complete within body_seconds ({seconds:g} s)",
                headers={"Connection": "close"},
            ) from error
        except ClientDisconnect as error:
            raise incomprehensible("body: ended early") from error
        return bytes(body)


def _query(request: Request, model: type[Query]) -> Query:
    given: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in model.lists:
            given.setdefault(name, []).append(value)
        elif name in given:
            raise incomprehensible(f"query: {name}: is given twice", path=name)
        else:
            given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise unreadable(error, "query") from error


def _request_id(request: Request, caller: Caller, place: tuple[str, ...]) -> str:
    """Of an Idempotency-Key one that only the same caller gets for the same endpoint, else a new one."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return uuid.uuid4().hex
    if not 0 < len(key) <= _LONGEST_KEY:
        raise incomprehensible(f"Idempotency-Key: 1 to {_LONGEST_KEY} characters", path="Idempotency-Key")
    parts = "\0".join((*place, *caller.identity, key))
    return hashlib.sha256(parts.encode()).hexdigest()[:40]


def _traceparent(request: Request) -> str | None:
    """The trace of the caller; what is none is left out, as W3C asks."""
    header = request.headers.get("traceparent")
    return header if header is not None and _TRACEPARENT.fullmatch(header) else None
