"""Who asks over the request socket, as far as the worker has to know him."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Route = tuple[bytes, ...]
"""The frames that lead back to a connection; another connection of the same program has others."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The connection that a request came by.

    ``answer`` sends the reply. ``push`` sends a message that nobody asked for, and says whether the connection
    took it; a ProtocolError says that it cannot be sent to anybody.
    """

    route: Route
    answer: Callable[[dict[str, Any]], None]
    push: Callable[[dict[str, Any]], bool]
