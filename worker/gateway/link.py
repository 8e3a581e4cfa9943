"""The way to the worker: one client for all requests, and a watch on whether anybody is there."""

import asyncio
import math
import time
from collections.abc import Mapping
from typing import Any, Final

from protocol.client import AsyncClient
from protocol.errors import ErrorCode, ProtocolError
from protocol.messages import Reply
from worker.gateway.faults import Fault, of_worker, unreachable
from worker.gateway.meters import Meters
from worker.telemetry import Logger

RETRIED: Final = frozenset({ErrorCode.FENCED, ErrorCode.OUTCOME_UNKNOWN})
"""What the gateway asks again by itself. That a worker is full, or drains, is for the caller to know at once."""

GRACE_SECONDS: Final = 2.0
"""How much longer than its deadline a request waits, for the worker's own answer to that."""

_GIVEN_UP: Final = "GIVEN_UP"
_SILENCE: Final = frozenset({_GIVEN_UP, ErrorCode.DEADLINE_EXCEEDED.value})
"""Ends of a request behind which there may be no worker."""

_PING_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 3.0
_PINGS_PER_STATUS: Final = 10


class Link:
    """Asks the worker, and knows by pings whether it answers. The client stays its maker's."""

    def __init__(self, client: AsyncClient, meters: Meters, log: Logger) -> None:
        self._client = client
        self._meters = meters
        self._log = log
        self._known = asyncio.Event()
        self._reachable = False
        self._status: dict[str, Any] = {}
        self._under_way: set[str] = set()
        self._heard_at = -math.inf
        """When the worker last answered anything; a ping that is late behind much else is no sign that it is gone."""

    @property
    def reachable(self) -> bool:
        """Whether the last ping was answered."""
        return self._is_reachable()

    def _is_reachable(self) -> bool:
        return self._reachable

    @property
    def connection_losses(self) -> int:
        """How often the connection to the worker ended."""
        return self._client.connection_losses

    @property
    def repetitions(self) -> int:
        """How often a request was sent to the worker again."""
        return self._client.repetitions

    @property
    def ready(self) -> bool:
        """Whether the worker answers and takes new runs."""
        return self._reachable and not self._status.get("draining")

    async def projects(self) -> frozenset[str]:
        """The named projects that the worker serves, as of the last ten seconds.

        Raises:
            Fault: 503, the worker was never reached.
        """
        await self._known.wait()
        if not self._status:
            raise unreachable(self._client.endpoint)
        served = self._status.get("projects")
        return frozenset(served) - {""} if isinstance(served, Mapping) else frozenset()

    async def watch(self) -> None:
        """Ping the worker until cancelled."""
        pings = 0
        while True:
            was = self._reachable
            type_ = "ping" if was and pings % _PINGS_PER_STATUS else "worker_status"
            pings = pings + 1 if was else 1
            asked_at = time.perf_counter()
            try:
                reply = await self._client.request(type_, timeout_seconds=_PATIENCE_SECONDS)
            except ProtocolError as error:
                self._reachable = self._heard_at > asked_at
                lost = was and not self._reachable
                self._meters.worker_losses += lost
                if lost or not self._known.is_set():
                    self._log.warning("worker unreachable", endpoint=self._client.endpoint, code=error.code)
            else:
                self._reachable = True
                if type_ == "worker_status":
                    self._status = reply.result
                if not was:
                    self._log.info("worker reached", endpoint=self._client.endpoint)
            self._known.set()
            await asyncio.sleep(_PING_SECONDS)

    async def ask(self, type_: str, *, request_id: str, deadline_seconds: float, **fields: Any) -> Reply:
        """One request and its reply.

        Raises:
            Fault: the worker's error; 503 where it does not answer; 409 REQUEST_IN_PROGRESS while a request with
                this id is under way here.
        """
        await self._known.wait()
        if not self._reachable:
            raise unreachable(self._client.endpoint)
        if request_id in self._under_way:
            raise Fault(
                409,
                "REQUEST_IN_PROGRESS",
                "a request with this Idempotency-Key is under way; ask again for its outcome",
                {"retryable": True},
                {"Retry-After": "1"},
            )
        self._under_way.add(request_id)
        began, code = time.perf_counter(), "OK"
        try:
            return await self._client.request(
                type_,
                request_id=request_id,
                deadline_seconds=deadline_seconds,
                timeout_seconds=deadline_seconds + GRACE_SECONDS,
                **fields,
            )
        except ProtocolError as error:
            code = error.code.value
            if error.code is ErrorCode.DEADLINE_EXCEEDED and not self._is_reachable():
                fault = unreachable(self._client.endpoint)
                fault.information |= {"applied": error.information.get("applied", "unknown")}
                raise fault from error
            raise of_worker(error) from error
        except asyncio.CancelledError:
            code = _GIVEN_UP
            raise
        finally:
            now = time.perf_counter()
            self._meters.worker_answered(type_, code, now - began)
            if code not in _SILENCE:
                self._heard_at = now
            self._under_way.discard(request_id)
