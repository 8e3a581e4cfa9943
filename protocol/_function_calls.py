"""What providers of external functions can say; one function per request type, as in ``protocol._calls``."""

from collections.abc import Sequence
from typing import Any, Unpack

from protocol._call import Call, Fields, Options, as_is, call, nothing
from protocol.functions import FunctionFailure, FunctionService


def serve_functions(
    services: Sequence[FunctionService | Fields],
    *,
    concurrency: int | None = None,
    lease_seconds: float | None = None,
    **options: Unpack[Options],
) -> Call[dict[str, Any]]:
    """Say what this connection answers; a client does not hear the calls: use ``protocol.provider``."""
    return call(
        "serve_functions",
        as_is,
        options,
        services=services,
        concurrency=concurrency,
        lease_seconds=lease_seconds,
    )


def answer_function(
    call_id: str,
    result: Any = None,
    *,
    error: FunctionFailure | Fields | None = None,
    **options: Unpack[Options],
) -> Call[None]:
    """Answer a call of an external function that this connection was given."""
    return call("answer_function", nothing, options, call_id=call_id, result=result, error=error)
