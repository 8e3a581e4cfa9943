"""Rings when the worker tells of runs: one subscription to its event socket, for all streams of this gateway.

Only that something happened to a run is taken from the socket, which shows everything to everybody. What happened
is asked for by each stream with the actor of its caller, so that permits and guards are judged by the worker.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from protocol.subscription import Subscription

_IDLE_SECONDS: Final = 60.0


class Listener(Protocol):
    """Who wants to know of runs."""

    def heard(self, run_key: str) -> None:
        """Something happened to a run; returns at once."""


class Bell:
    """Tells listeners of the runs they wait for; what is lost on the way, they find out by asking now and then."""

    def __init__(
        self, endpoint: str, *, server_key: bytes = b"", public_key: bytes = b"", secret_key: bytes = b""
    ) -> None:
        """Subscribe, in the running loop; an empty endpoint never rings.

        The CURVE keys are the worker's public one and the gateway's own pair.

        Raises:
            ValueError: the endpoint or the keys are none.

        """
        keys = (server_key, public_key, secret_key) if server_key else None
        self._subscription = Subscription(endpoint, "run/", keys=keys)
        self._of_run: dict[str, set[Listener]] = {}
        self._of_all: set[Listener] = set()

    async def watch(self) -> None:
        """Listen until cancelled."""
        while True:
            for topic, _ in self._subscription.take():
                self._ring(topic.split(b"/")[1].decode("ascii", "replace"))
            await self._subscription.wait(_IDLE_SECONDS)

    def close(self) -> None:
        """Give the socket back, when nobody listens any more."""
        self._subscription.close()

    @contextmanager
    def telling(self, listener: Listener, run_key: str | None) -> Iterator[None]:
        """Within it ``listener`` hears of a run, or with None of all."""
        listeners = self._of_all if run_key is None else self._of_run.setdefault(run_key, set())
        listeners.add(listener)
        try:
            yield
        finally:
            listeners.discard(listener)
            if run_key is not None and not listeners:
                self._of_run.pop(run_key, None)

    def _ring(self, run_key: str) -> None:
        for listener in (*self._of_run.get(run_key, ()), *self._of_all):
            listener.heard(run_key)
