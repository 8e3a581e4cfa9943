"""Run keys and what makes two requests the same."""

import hashlib
import json
from typing import Any, Final

_NOT_IDENTITY: Final = {"version", "request_id", "deadline_seconds", "traceparent", "wait_seconds"}
DIGEST_BYTES: Final = 16
_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def run_key(at_us: int, entropy: bytes) -> str:
    """A new key: 16 hex digits of milliseconds since 1970, then 20 of ``entropy`` (at least 10 bytes).

    Keys sort by creation time.
    """
    return f"{at_us // 1000:016x}{entropy[:10].hex()}"


def request_digest(fields: dict[str, Any]) -> bytes:
    """16 bytes that tell whether a repeated request_id names the same request.

    ``fields``: the request as a map of JSON values; how long a caller waits and how it is traced are not part
    of it. Nor is the order of keys: a client whose maps have none may send them in another one next time.
    """
    meaning = {key: value for key, value in fields.items() if key not in _NOT_IDENTITY}
    return hashlib.blake2b(_CANONICAL.encode(meaning).encode(), digest_size=DIGEST_BYTES).digest()
