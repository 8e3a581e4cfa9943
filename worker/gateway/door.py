"""What every HTTP request passes: how many at once, from which page, and a line in the access log."""

import time
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from protocol.entities import Role
from worker.gateway.endpoints import Endpoint
from worker.gateway.faults import Fault, busy
from worker.gateway.meters import Bound, Meters
from worker.gateway.settings import GatewaySettings
from worker.settings import is_loopback
from worker.telemetry import Logger

_VISIT: Final = "model_worker.visit"
_QUIET: Final = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked by machines every few seconds: nothing to log."""


@dataclass(slots=True)
class Visit:
    """What is told of one request when it is over."""

    began: float = field(default_factory=time.perf_counter)
    facts: dict[str, Any] = field(default_factory=dict)
    status: int = 0
    request_id: str | None = None
    endpoint: Endpoint | None = None
    root: str = ""
    """What the endpoint's path is below, where other endpoints have the same path below something else."""

    def note(self, request_id: str, role: Role, **facts: str | None) -> None:
        """What the request turned out to be; facts that are None are left out."""
        self.request_id = request_id
        self.facts = {"request_id": request_id, "role": role.value}
        self.facts |= {name: fact for name, fact in facts.items() if fact is not None}

    def note_run(self, run_key: str) -> None:
        """Which run the request turned out to be about."""
        self.facts["run_key"] = run_key

    def told(self, path: str) -> dict[str, Any]:
        """What its lines in the log tell of it; the path where it has no endpoint."""
        if self.endpoint is None:
            return {"path": path[:200], **self.facts}
        return {"endpoint": self.endpoint.name, **self.facts}


def visit_of(scope: Scope) -> Visit:
    """The visit that a request belongs to."""
    visit: Visit = scope[_VISIT]
    return visit


class Door:
    """The outermost part of the application. Paths go in undecoded, so that an escaped slash separates nothing."""

    def __init__(self, app: ASGIApp, settings: GatewaySettings, meters: Meters, log: Logger) -> None:
        self._app = app
        self._settings = settings
        self._meters = meters
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the application's start and end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = Visit()
        inner = {**scope, "path": scope["raw_path"].decode("latin-1"), _VISIT: visit}

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                if visit.request_id is not None:
                    MutableHeaders(scope=message)["X-Request-Id"] = visit.request_id
            await send(message)

        self._meters.under_way += 1
        try:
            refusal = self._refusal(inner)
            await (self._app if refusal is None else refusal.response())(inner, receive, sending)
        except Exception:  # noqa: BLE001 - the request boundary: 500 was answered, the others go on
            self._meters.bugs += 1
            self._log.exception("internal error", **visit.told(inner["path"]))
        finally:
            self._meters.under_way -= 1
            self._tell(inner, visit)

    def _refusal(self, scope: Scope) -> Fault | None:
        if self._meters.under_way > self._settings.max_requests:
            self._meters.turned_away[Bound.REQUESTS] += 1
            return busy("GATEWAY_BUSY", f"max_requests ({self._settings.max_requests}) are being served")
        host = Headers(scope=scope).get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if self._settings.auth == "development" and not is_loopback(name.strip("[]")):
            # A page whose own name was made to point here could otherwise ask as an author.
            return Fault(421, "MISDIRECTED", f"host {host!r}: with auth = development ask a loopback address")
        return None

    def _tell(self, scope: Scope, visit: Visit) -> None:
        seconds = time.perf_counter() - visit.began
        endpoint, method = visit.endpoint, scope["method"]
        if endpoint is None:
            self._meters.answered("", method, visit.status, None)
        else:
            measured = None if endpoint.is_stream else seconds
            self._meters.answered(visit.root + endpoint.path, method, visit.status, measured)
        if self._settings.access_log and scope["path"] not in _QUIET:
            milliseconds = round(1000 * seconds, 2)
            facts = visit.told(scope["path"])
            self._log.info("request", method=method, status=visit.status, milliseconds=milliseconds, **facts)
