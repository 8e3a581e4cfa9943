"""Results of many runs in one reply: what one run comes to must not cost the others their answers."""

from typing import Any, Final

from protocol.errors import ErrorCode
from worker.channel import pack
from worker.errors import RequestError

_OVERHEAD_BYTES: Final = 1024
"""Of a reply, or of the error that stands in a result's place."""


class Fitting:
    """The room of one reply, which results take in the order in which they come."""

    def __init__(self, max_message_bytes: int, runs: int) -> None:
        self._allowed = max_message_bytes - (runs + 1) * _OVERHEAD_BYTES
        self._used = 0

    def fit(self, result: dict[str, Any]) -> dict[str, Any]:
        """A result, or the error that stands in its place where there is no room for it."""
        size = len(pack(result))
        if size <= _OVERHEAD_BYTES or self._used + size <= self._allowed:
            self._used += max(0, size - _OVERHEAD_BYTES)
            return result
        error = RequestError(
            ErrorCode.RESULT_TOO_LARGE,
            "what this run came to does not fit the reply beside the other runs: what was asked of it is done; "
            "read_result gives what an action returned, and what was only read can be read of this run alone",
            size=size,
            allowed=max(0, self._allowed - self._used),
        )
        return {"ok": False, "error": error.to_wire()}
