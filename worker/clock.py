"""Time, as the worker writes it down: microseconds since 1970, UTC, as one integer."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def now_us() -> int:
    """Wall-clock time now."""
    return time.time_ns() // 1000


def iso(at_us: int) -> str:
    """ISO-8601 with milliseconds and ``Z``, as replies carry times."""
    moment = _EPOCH + timedelta(microseconds=at_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
