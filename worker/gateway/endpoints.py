"""What an endpoint is, and one request to it as its handler sees it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import BaseModel

from protocol.entities import Role
from protocol.messages import Reply
from worker.gateway.bodies import Query
from worker.gateway.callers import Caller
from worker.gateway.faults import of_run
from worker.gateway.link import Link


class NoContent:
    """An answer without a body: 204."""


@dataclass(frozen=True, slots=True)
class EventStream:
    """An answer that is Server-Sent Events: the types of their data by the names of the events, "message" for those without."""

    messages: Mapping[str, Any]


NO_CONTENT: Final = NoContent()
MAX_WARNING_CHARACTERS: Final = 4000
ADDITIONS: Final = "/model-worker/"
"""Below it is what Epicenter does not have; none of its own paths begins like this."""


@dataclass(slots=True)
class Ask:
    """One HTTP request, judged and read. ``place``: account and project of its path."""

    link: Link
    caller: Caller
    place: tuple[str, str]
    project: str | None
    """What the worker is told; None is its default project."""
    request_id: str
    traceparent: str | None
    path: Mapping[str, str]
    query: Any
    body: Any
    deadline_seconds: float
    client_ip: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    """Headers of the request that an endpoint reads by itself, by their names in lower case."""
    note_run: Callable[[str], None] = lambda _run_key: None
    """Tells the access log which run a request is about, where the path has no key."""
    asked: int = field(default=0)
    status: int = 200
    """Of the answer, where the handler means another."""
    headers: dict[str, str] = field(default_factory=dict)
    """What is told beside the answer: how the last request was served, and what the worker warns of."""

    async def reply(self, type_: str, **fields: Any) -> Reply:
        """Ask the worker. Each request of one HTTP request has an id of its own, the same when it is repeated."""
        request_id = self.request_id if self.asked == 0 else f"{self.request_id}-{self.asked}"
        self.asked += 1
        given = {name: value for name, value in fields.items() if value is not None}
        reply = await self.link.ask(
            type_,
            request_id=request_id,
            deadline_seconds=self.deadline_seconds,
            actor=self.caller.actor,
            traceparent=self.traceparent,
            project=self.project,
            **given,
        )
        if reply.run is not None:
            self.headers["X-Served-From"] = reply.run.served_from
        if reply.warnings:
            self.headers["X-Warnings"] = _as_header(reply.warnings)
        return reply

    async def result(self, type_: str, **fields: Any) -> Any:
        """Ask the worker, for the result alone."""
        return (await self.reply(type_, **fields)).result

    async def per_run(
        self, type_: str, run_keys: list[str], shape: Callable[[Any], Any], **fields: Any
    ) -> dict[str, Any]:
        """Ask of many runs; a map from run key to the shaped result, or to the fault of that run."""
        results = await self.result(type_, run_keys=run_keys, **fields)
        return {
            run_key: shape(one["result"]) if one["ok"] else of_run(one["error"])
            for run_key, one in results.items()
        }

    async def of_one_or_many(self, type_: str, shape: Callable[[Any], Any], **fields: Any) -> Any:
        """Ask of the run in the path, or of those that the query names: one is answered by itself."""
        run_key = self.path.get("runKey")
        if run_key is not None:
            return shape(await self.result(type_, run_key=run_key, **fields))
        return await self.per_run(type_, self.query.run_key, shape, **fields)


def _as_header(warnings: list[dict[str, Any]]) -> str:
    """Warnings as JSON in ASCII: as many as a header may hold, the code alone of one that is too long for it."""
    shown: list[dict[str, Any]] = []
    room = MAX_WARNING_CHARACTERS
    for warning in warnings:
        short = {"code": warning.get("code")}
        chosen = warning if len(json.dumps(warning)) <= room // 2 else short
        room -= len(json.dumps(chosen)) + 2
        if room < 0:
            break
        shown.append(chosen)
    return json.dumps(shown)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the API: where it is, who may ask, what is read and what comes back.

    ``path`` is below what its face begins with, in Starlette's spelling. ``body`` None: none is read.
    ``result`` is what comes back, for the OpenAPI document: a type that pydantic can tell of, ``NoContent`` for 204, or an
    ``EventStream``; ``statuses`` are those that it comes with.
    """

    name: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    role: Role
    summary: str
    handler: Callable[[Ask], Awaitable[Any]]
    body: type[BaseModel] | None = None
    query: type[Query] = Query
    result: Any = Any
    statuses: tuple[int, ...] = (200,)
    seconds: Callable[[Any], float | None] = lambda _body: None
    """How long the caller waits, where the body says so."""
    is_own: bool = False
    """It is an addition, though its path is not that of one."""

    @property
    def is_addition(self) -> bool:
        """Whether it is this project's own: the API of its face has no such endpoint."""
        return self.is_own or self.path.startswith(ADDITIONS)

    @property
    def is_stream(self) -> bool:
        """Whether it answers with messages, for as long as they come."""
        return isinstance(self.result, EventStream)
