"""Deliveries of statuses as the worker offers them: targets judged, couriers for both stores, lists, redelivery."""

import asyncio
from typing import Any, Final

from protocol.errors import ErrorCode
from protocol.events import EventKind
from protocol.profiles import ListDeliveries, Redeliver
from worker.channel import pack
from worker.clock import iso, now_us
from worker.errors import LogUnavailableError, RequestError
from worker.log.base import EventListener, StoredEvent, StoredRequest
from worker.log.outbox import DeliveryQuery, Outbox
from worker.runs.backoff import Backoff
from worker.runs.deliveries import Delivery, DeliveryState, shown_target
from worker.settings import Settings
from worker.supervisor.access import StateAccess, stored_answer
from worker.supervisor.carriers import Ask, Carriers
from worker.supervisor.courier import Courier, CourierLimits, DeliveryTallies
from worker.supervisor.flights import Flight
from worker.supervisor.providers import Providers
from worker.supervisor.runtime import StartError
from worker.supervisor.webhook_secrets import SecretsError, read_secrets
from worker.telemetry import Logger

COUNT_SECONDS: Final = 2.0
"""How long counting may take."""


def check_secrets(settings: Settings) -> None:
    """Refuse to start with a file of secrets that cannot be used.

    Raises:
        StartError: naming the setting and the reason.
    """
    try:
        read_secrets(settings.delivery_secrets)
    except SecretsError as error:
        raise StartError(f"setting delivery_secrets: {error}") from error


class Deliveries:
    """All that is to be told of statuses by one worker. ``start`` begins to tell it, ``close`` ends that."""

    def __init__(self, access: StateAccess, providers: Providers, log: Logger) -> None:
        self._access = access
        self._providers = providers
        self._log = log
        self._tallies = DeliveryTallies()
        self._couriers: list[Courier] = []

    @property
    def _outboxes(self) -> tuple[Outbox, Outbox]:
        return self._access.stores.durable.outbox, self._access.stores.ephemeral.outbox

    def heard(self, listener: EventListener) -> EventListener:
        """A listener that looks for what is to be told whenever a status has changed."""

        def listen(event: StoredEvent) -> None:
            if event.kind is EventKind.STATUS:
                self.wake()
            listener(event)

        return listen

    def start(self, ask: Ask) -> None:
        """Tell what an earlier worker left, and from now on what comes."""
        settings = self._access.settings
        carriers = Carriers(settings, self._providers, ask, self._model_of)
        backoff = Backoff(
            settings.delivery_first_seconds, settings.delivery_most_seconds, settings.delivery_total_seconds
        )
        limits = CourierLimits(
            settings.delivery_limit, settings.delivery_target_limit, settings.delivery_timeout_seconds
        )
        for outbox in self._outboxes:
            courier = Courier(
                outbox,
                carriers.carry,
                backoff=backoff,
                limits=limits,
                tallies=self._tallies,
                log=self._log,
            )
            outbox.listen(courier.wake)
            courier.start()
            self._couriers.append(courier)

    async def close(self) -> None:
        """Tell nothing any more; the next worker goes on."""
        await asyncio.gather(*(courier.close() for courier in self._couriers))

    def wake(self) -> None:
        """Something may have been written."""
        for courier in self._couriers:
            courier.wake()

    async def _model_of(self, run_key: str) -> str:
        return (await self._access.stores.get(run_key)).model_file

    async def status(self) -> dict[str, int | None]:
        """What came of attempts since the worker started, and what the outboxes hold, None where that is not known."""
        counts = [await _counts(outbox) for outbox in self._outboxes]
        return {
            "delivered": self._tallies.delivered,
            "retried": self._tallies.retried,
            "dead": self._tallies.dead,
            "under_way": sum(courier.under_way for courier in self._couriers),
            "backlog": sum(one["pending"] for one in counts) if all(counts) else None,
            "dead_letters": sum(one["dead"] for one in counts) if all(counts) else None,
        }

    async def list(self, request: ListDeliveries) -> dict[str, Any]:
        """A page of deliveries, newest first: of one run, or of all runs of a project.

        Raises:
            RequestError: RUN_NOT_FOUND, PERMIT_VIOLATION; an actor whose permits are judged must name a run.
        """
        outbox = self._outboxes[0]
        project = request.project_name
        if request.run_key is not None:
            _, record = await self._access.locate(request, request.run_key)
            outbox, project = self._access.stores.of(record.run_key).outbox, record.project
        else:
            self._judge_overview(request)
        state = None if request.state is None else DeliveryState(request.state)
        found = await outbox.find(DeliveryQuery(project, request.run_key, state, request.first, request.max))
        return {"deliveries": [delivery_view(one) for one in found]}

    def _judge_overview(self, request: ListDeliveries) -> None:
        actor = request.actor
        if (
            actor is None
            or actor.role is None
            or actor.is_system
            or self._access.settings.permits == "ignore"
        ):
            return
        raise RequestError(
            ErrorCode.PERMIT_VIOLATION,
            "the deliveries of all runs are for operators; name the run, as run_key",
            role=actor.role.value,
        )

    async def redeliver(self, flight: Flight, request: Redeliver) -> dict[str, Any]:
        """Send once more what was given up, at once what waits for its next attempt; once per request.

        Raises:
            RequestError: DELIVERY_NOT_FOUND, INVALID_REQUEST for what was delivered.
        """
        for outbox in self._outboxes:
            found = await outbox.get(request.delivery_id)
            if found is None:
                continue
            run_key = found.run_key
            async with self._access.table.gate(run_key):
                stored = self._access.stored(flight, run_key)
                if stored is not None:
                    return stored_answer(stored)
                await self._access.locate(request, run_key)
                return {"result": await self._redelivered(outbox, found, flight)}
        raise _not_found(request.delivery_id)

    async def _redelivered(self, outbox: Outbox, found: Delivery, flight: Flight) -> dict[str, Any]:
        if found.state is DeliveryState.DELIVERED:
            message = (
                f"delivery {found.delivery_id} was delivered at attempt {found.attempt}; it is not sent again"
            )
            raise _invalid("delivery_id", message)
        result = {"delivery_id": found.delivery_id, "state": DeliveryState.PENDING.value}
        stored = StoredRequest(flight.request.request_id, found.run_key, flight.digest, result=pack(result))
        if await outbox.redeliver(found.delivery_id, now_us(), stored) is None:
            raise _not_found(found.delivery_id)
        self.wake()
        return result


async def _counts(outbox: Outbox) -> dict[str, int]:
    """What an outbox holds; a disk that hangs must not hide everything else."""
    try:
        return await asyncio.wait_for(outbox.counts(), COUNT_SECONDS)
    except (LogUnavailableError, TimeoutError):
        return {}


def delivery_view(delivery: Delivery) -> dict[str, Any]:
    """A delivery as lists have it."""
    previous = delivery.previous_status
    return {
        "delivery_id": delivery.delivery_id,
        "run_key": delivery.run_key,
        "sequence": delivery.sequence,
        "status": delivery.status.value,
        "previous_status": None if previous is None else previous.value,
        "state": delivery.state.value,
        "target": shown_target(delivery.target),
        "attempt": delivery.attempt,
        "next_at": None if delivery.next_us is None else iso(delivery.next_us),
        "last_error": delivery.last_error,
        "occurred_at": iso(delivery.occurred_us),
        "settled_at": None if delivery.settled_us is None else iso(delivery.settled_us),
    }


def _invalid(path: str, message: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_REQUEST, message, path=path)


def _not_found(delivery_id: str) -> RequestError:
    return RequestError(
        ErrorCode.DELIVERY_NOT_FOUND, f"there is no delivery {delivery_id!r}", delivery_id=delivery_id
    )
