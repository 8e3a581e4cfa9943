"""What a gateway does and did, as plain numbers; who shows them reads them."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from worker.metering import Histogram

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "other"


class Bound(StrEnum):
    """What turned somebody away: the settings of these names, and the size of a head."""

    REQUESTS = "max_requests"
    CONNECTIONS = "max_connections"
    CHANNELS = "max_channels"
    HEAD_SECONDS = "head_seconds"
    HEAD_BYTES = "head_bytes"
    UNREAD_SECONDS = "unread_seconds"


@dataclass(slots=True)
class Meters:
    """Of one gateway; bumped on its loop.

    ``requests``: by path of the endpoint ("": none of the API), method and class of the status. ``durations``: of those
    that have an endpoint and are no streams, by its path. ``asked``: replies of the worker by type of the request and
    code ("OK": no error); ``ask_durations`` by type. ``turned_away``: by the bound. ``bugs``: answers with 500 that
    somebody must look after. ``worker_losses``: how often the worker stopped answering pings.
    """

    requests: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    durations: dict[str, Histogram] = field(default_factory=dict)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    ask_durations: dict[str, Histogram] = field(default_factory=dict)
    turned_away: Counter[Bound] = field(default_factory=Counter)
    under_way: int = 0
    connections: int = 0
    channels: int = 0
    channel_messages: int = 0
    worker_losses: int = 0
    bugs: int = 0

    def answered(self, path: str, method: str, status: int, seconds: float | None) -> None:
        """One request is over; ``seconds`` None: how long it took tells nothing. No status: nothing was sent."""
        told = f"{status // 100}xx" if status else "none"
        self.requests[path, method if method in METHODS else OTHER, told] += 1
        if seconds is not None:
            _of(self.durations, path).observe(seconds)

    def worker_answered(self, type_: str, code: str, seconds: float) -> None:
        """The worker answered one request, or did not in time."""
        self.asked[type_, code] += 1
        _of(self.ask_durations, type_).observe(seconds)


def _of(histograms: dict[str, Histogram], word: str) -> Histogram:
    found = histograms.get(word)
    if found is None:
        found = histograms[word] = Histogram()
    return found
