"""The outbox that lives as long as its process; for runs that are not kept, and for workers that keep nothing."""

from collections.abc import Callable, Collection
from dataclasses import replace

from worker.log.base import StoredRequest
from worker.log.outbox import DeliveryQuery, DueDeliveries
from worker.runs.deliveries import Delivery, DeliveryState, Settled

PENDING = DeliveryState.PENDING


class MemoryOutbox:
    """Implements ``Outbox``; none of its methods awaits between its checks and its changes."""

    def __init__(
        self,
        refuse_duplicate: Callable[[StoredRequest | None], None],
        store_request: Callable[[StoredRequest | None], None],
    ) -> None:
        self._deliveries: dict[str, Delivery] = {}
        self._by_run: dict[str, list[str]] = {}
        self._refuse_duplicate = refuse_duplicate
        self._store_request = store_request
        self._listener: Callable[[], None] | None = None

    def listen(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called when something is to be told."""
        self._listener = listener

    def add(self, delivery: Delivery) -> None:
        """Add what is to be told, behind whatever of its run is pending."""
        self._deliveries[delivery.delivery_id] = delivery
        self._by_run.setdefault(delivery.run_key, []).append(delivery.delivery_id)
        self._move_on(delivery.run_key, delivery.occurred_us)
        if self._listener is not None:
            self._listener()

    def removed(self, run_key: str) -> None:
        """Forget what is to be told of a run."""
        for delivery_id in self._by_run.pop(run_key, ()):
            del self._deliveries[delivery_id]

    async def due(
        self, at_us: int, *, limit: int, without_runs: Collection[str], without_targets: Collection[str]
    ) -> DueDeliveries:
        """What may be sent, and when the next may."""
        timed = [(one.next_us, one) for one in self._deliveries.values() if one.next_us is not None]
        found = [
            one
            for next_us, one in sorted(timed, key=lambda item: item[0])
            if next_us <= at_us and one.run_key not in without_runs and one.target_key not in without_targets
        ]
        later = [next_us for next_us, _ in timed if next_us > at_us]
        return DueDeliveries(tuple(found[:limit]), min(later, default=None))

    async def settle(self, settled: Settled) -> None:
        """Note what an attempt came to."""
        old = self._deliveries.get(settled.delivery_id)
        if old is None or old.state is not PENDING or old.round != settled.round:
            return
        self._deliveries[old.delivery_id] = replace(
            old,
            state=settled.state,
            attempt=settled.attempt,
            last_error=settled.error,
            next_us=settled.next_us,
            settled_us=settled.at_us,
            body=None if settled.state is DeliveryState.DELIVERED else old.body,
        )
        self._move_on(old.run_key, settled.at_us)

    async def get(self, delivery_id: str) -> Delivery | None:
        """One delivery."""
        return self._deliveries.get(delivery_id)

    async def find(self, query: DeliveryQuery) -> list[Delivery]:
        """A page of deliveries without their bodies, newest first."""
        found = [
            replace(one, body=None)
            for one in self._deliveries.values()
            if (one.project == query.project if query.run_key is None else one.run_key == query.run_key)
            and query.state in (None, one.state)
        ]
        found.sort(key=lambda one: (one.occurred_us, one.sequence), reverse=True)
        return found[query.first : query.first + query.count]

    async def redeliver(
        self, delivery_id: str, at_us: int, request: StoredRequest | None = None
    ) -> Delivery | None:
        """Send again what was given up."""
        old = self._deliveries.get(delivery_id)
        if old is None:
            return None
        self._refuse_duplicate(request)
        self._store_request(request)
        if old.state is not DeliveryState.DELIVERED:
            is_dead = old.state is DeliveryState.DEAD
            self._deliveries[delivery_id] = replace(
                old,
                state=PENDING,
                attempt=0 if is_dead else old.attempt,
                round=old.round + is_dead,
                next_us=at_us,
                settled_us=None,
            )
            self._move_on(old.run_key, at_us)
        return self._deliveries[delivery_id]

    async def counts(self) -> dict[str, int]:
        """How many are pending and given up."""
        states = [one.state for one in self._deliveries.values()]
        return {state.value: states.count(state) for state in (PENDING, DeliveryState.DEAD)}

    def _move_on(self, run_key: str, at_us: int) -> None:
        """Of what is pending of a run, the first has a time and no other."""
        of_run = (self._deliveries[delivery_id] for delivery_id in self._by_run[run_key])
        pending = sorted((one for one in of_run if one.state is PENDING), key=_by_sequence)
        for place, one in enumerate(pending):
            next_us = None if place else one.next_us if one.next_us is not None else at_us
            self._deliveries[one.delivery_id] = replace(one, next_us=next_us)


def _by_sequence(delivery: Delivery) -> int:
    return delivery.sequence
