"""Results of single actions, byte for byte and in parts, and what actions took and changed: in both further APIs."""

import base64
import re
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

from worker.gateway.composable_bodies import TracesQuery
from worker.gateway.endpoints import Ask
from worker.gateway.faults import Fault
from worker.gateway.views import camel

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
HEADERS: Final = ("range", "if-range")
"""What a request for a result can say of the part that it means."""


async def result(ask: Ask, run_key: str) -> Response:
    """The JSON text of what an action came to: all of it, or the part that ``Range`` asks for.

    Raises:
        Fault: 404 for an action that is not there, 416 for a part that is not.
    """
    seq = ask.path["seq"]
    if not seq.isascii() or not seq.isdecimal() or not 0 < len(seq) < 18 or int(seq) < 1:
        raise _no_action(seq)
    head = await _page(ask, run_key, seq, 0, 1)
    total, tag = head["total_bytes"], f'"{head["sha256"]}"'
    first, end = 0, total
    asked = ask.given.get("range")
    found = None if asked is None or ask.given.get("if-range", tag) != tag else _RANGE.fullmatch(asked)
    if found is not None and _means_something(found[1], found[2]):
        first, end = _part(found[1], found[2], total)
    else:
        found = None
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": tag,
        "Content-Length": str(end - first),
        "X-Outcome": head["status"],
    }
    if found is not None:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{total}"
    status = 200 if found is None else 206
    return StreamingResponse(_bytes(ask, run_key, seq, first, end), status, headers, "application/json")


def _means_something(begin: str, last: str) -> bool:
    """Whether it names a part at all; what does not is taken for nothing, as HTTP asks."""
    return bool(begin or last) and not (begin and last and int(last) < int(begin))


def _part(begin: str, last: str, total: int) -> tuple[int, int]:
    """The first byte, and the one behind the last."""
    first = int(begin) if begin else max(0, total - int(last))
    end = min(int(last) + 1, total) if begin and last else total
    if first >= end:
        raise Fault(
            416,
            "RANGE_NOT_SATISFIABLE",
            f"Range: the result has {total} bytes",
            headers={"Content-Range": f"bytes */{total}"},
        )
    return first, end


async def _bytes(ask: Ask, run_key: str, seq: str, first: int, end: int) -> AsyncIterator[bytes]:
    while first < end:
        page = await _page(ask, run_key, seq, first, end - first)
        yield base64.b64decode(page["data"])
        first += page["length"]


async def _page(ask: Ask, run_key: str, seq: str, offset: int, length: int) -> dict[str, Any]:
    try:
        page: dict[str, Any] = await ask.result(
            "read_result", run_key=run_key, seq=int(seq), offset=offset, length=min(length, _MOST_BYTES)
        )
    except Fault as fault:
        if fault.information.get("path") == "seq":
            raise _no_action(seq) from fault
        raise
    return page


_MOST_BYTES: Final = 8 << 20


def _no_action(seq: str) -> Fault:
    return Fault(404, "ACTION_NOT_FOUND", f"action {seq[:40]}: the run has no such action")


async def traces(ask: Ask, run_key: str) -> dict[str, Any]:
    """What each action took and changed, as the worker has it."""
    query: TracesQuery = ask.query
    page: dict[str, Any] = await ask.result(
        "read_traces", run_key=run_key, after_seq=query.after_seq, limit=query.limit
    )
    return page


def camel_traces(page: dict[str, Any]) -> dict[str, Any]:
    """The same for an API whose names are in camel case."""
    return {"traces": [_camel_trace(one) for one in page["traces"]], "headSeq": page["head_seq"]}


def _camel_trace(trace: dict[str, Any]) -> dict[str, Any]:
    view = camel(trace)
    return {**view, "actor": camel(view["actor"])} if "actor" in view else view
