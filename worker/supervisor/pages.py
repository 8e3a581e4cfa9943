"""Pages of what is kept of a run: its history, its events."""

import json
from typing import Any, Final

from protocol.messages import ReadEvents, ReadHistory
from protocol.profiles import ReadTraces
from worker.log.base import Store
from worker.supervisor.events import event_view
from worker.supervisor.redaction import Redaction
from worker.supervisor.views import entry_view

PAGE_SHARE: Final = 4
"""What entries and events carry fills a reply to a fourth of its limit at most; the rest is room for what stands around
it, and whoever wants more asks again."""


async def history_page(
    store: Store, request: ReadHistory, max_message_bytes: int, head_seq: int, redaction: Redaction
) -> dict[str, Any]:
    """The result of ``read_history``."""
    entries = await store.read(
        request.run_key,
        after_seq=request.after_seq,
        limit=request.limit,
        max_bytes=max_message_bytes // PAGE_SHARE,
    )
    return {"entries": [redaction.entry(entry_view(entry)) for entry in entries], "head_seq": head_seq}


async def events_page(
    store: Store, request: ReadEvents, max_message_bytes: int, redaction: Redaction
) -> dict[str, Any]:
    """The result of ``read_events``."""
    events, head = await store.read_events(
        request.run_key,
        after_event=request.after_event,
        limit=request.limit,
        max_bytes=max_message_bytes // PAGE_SHARE,
    )
    return {"events": [redaction.event(event_view(event)) for event in events], "head_event": head}


async def traces_page(
    store: Store, request: ReadTraces, max_message_bytes: int, head_seq: int
) -> dict[str, Any]:
    """The result of ``read_traces``."""
    traces = await store.read_traces(
        request.run_key,
        after_seq=request.after_seq,
        limit=request.limit,
        max_bytes=max_message_bytes // PAGE_SHARE,
    )
    return {"traces": [json.loads(trace) for trace in traces], "head_seq": head_seq}
