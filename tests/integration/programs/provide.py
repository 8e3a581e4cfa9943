"""A provider of external functions in a process of its own, for tests: says what it was asked on standard output.

The first argument is the endpoint, the second a JSON map of settings (``services``, ``lease_seconds``,
``concurrency``). The function's ``name`` says what it does.
"""

import asyncio
import json
import os
import sys
from typing import Any

from protocol.functions import FunctionCall
from protocol.provider import FunctionError, FunctionProvider

_counts: dict[str, int] = {}


def tell(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def answer(call: FunctionCall) -> Any:
    tell(call.model_dump(exclude={"version", "type"}))
    _counts[call.name] = count = _counts.get(call.name, 0) + 1
    match call.name:
        case "score":
            return {"count": count, "arguments": call.arguments}
        case "refuse":
            raise FunctionError("not today", "CLOSED")
        case "break":
            raise ValueError("broken")
        case "die":
            os._exit(1)
        case "hang":
            await asyncio.Event().wait()
        case "large":
            return "x" * call.arguments[0]
        case "odd":
            return object()
    return None


async def main() -> None:
    settings = json.loads(sys.argv[2])
    services = settings.pop("services", ["scores", "leaderboard"])
    handlers = {(tuple(item) if isinstance(item, list) else item): answer for item in services}
    async with FunctionProvider(sys.argv[1], handlers, **settings):
        tell({"ready": True})
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
