"""The port for what is to be told of statuses; its rows are written where a status is changed, in that very write."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from worker.runs.deliveries import Delivery, DeliveryState, Settled

if TYPE_CHECKING:
    from worker.log.base import StoredRequest


@dataclass(frozen=True, slots=True)
class DueDeliveries:
    """What may be sent now, and when the next of the others may (microseconds), None without any."""

    found: tuple[Delivery, ...]
    next_us: int | None


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """Which deliveries to list, newest first."""

    project: str
    run_key: str | None = None
    state: DeliveryState | None = None
    first: int = 0
    count: int = 100


class Outbox(Protocol):
    """Deliveries of one store. Of one run, the next may be sent when all before it are delivered or given up."""

    def listen(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called when a new run has something to be told; of other changes its events tell."""

    async def due(
        self, at_us: int, *, limit: int, without_runs: Collection[str], without_targets: Collection[str]
    ) -> DueDeliveries:
        """At most ``limit`` deliveries whose time has come, that time first; at most one of each run."""

    async def settle(self, settled: Settled) -> None:
        """Note what an attempt came to; durable when it returns. Nothing where the delivery is gone."""

    async def get(self, delivery_id: str) -> Delivery | None:
        """One delivery."""

    async def find(self, query: DeliveryQuery) -> list[Delivery]:
        """Deliveries, without their bodies."""

    async def redeliver(
        self, delivery_id: str, at_us: int, request: "StoredRequest | None" = None
    ) -> Delivery | None:
        """Begin a new round of a delivery that was given up; let one that is pending be sent at once.

        Returns it as it then is, None where there is no such delivery; one that was delivered stays what it is. With
        ``request``, that is stored with its result.
        """

    async def counts(self) -> dict[str, int]:
        """How many are ``pending`` and ``dead``."""
