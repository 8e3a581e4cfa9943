"""Events of runs as the messages of Epicenter's RUN channel, and the ids by which a stream of them is resumed."""

import base64
import binascii
import re
import zlib
from collections.abc import Mapping
from typing import Any, Final

import msgpack

from worker.gateway.faults import Fault
from worker.gateway.views import run_view

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_CARRIED: Final = re.compile(r"actions\[\d+\]\.(arguments|value)")
"""What of a state event a message has; of the rest nothing can be left out."""
_TAIL: Final = 8
"""Bytes of a run key that tell it from others of its scope; all of them are random."""


def message_of(event: Mapping[str, Any], scope: Mapping[str, Any]) -> dict[str, Any] | None:
    """The message that Epicenter sends of an event; None: it sends none."""
    found = _content(event)
    if found is None:
        return None
    type_, user_key, content = found
    boundary, key = scope["scope_boundary"], scope["scope_key"]
    sender = {"type": "USER", "key": user_key} if user_key else {"type": "RUN", "key": event["run_key"]}
    return {
        "date": event["at"],
        "type": type_,
        "address": {"boundary": boundary, "category": "RUN", "key": key},
        "sender": sender,
        "content": content,
    }


def _content(event: Mapping[str, Any]) -> tuple[str, str | None, dict[str, Any]] | None:
    """Type, user who did it where that is told, and content."""
    run_key = event["run_key"]
    match event["kind"]:
        case "created":
            run = event["run"]
            content = {"objectType": "run", "runKey": run_key, "ignition": "created", "run": run_view(run)}
            return "RUN", (run.get("user") or {}).get("user_key"), content
        case "metadata":
            content = {"objectType": "meta", "runKey": run_key, "result": event["metadata"]}
            left_out = [path.replace("metadata.", "result.", 1) for path in event.get("omitted", ())]
            return "META", None, content | ({"omitted": left_out} if left_out else {})
        case "state":
            actions = [_action(one) for one in event["actions"]]
            content = {"objectType": "state", "runKey": run_key, "actions": actions}
            for why in ("guarded", "omitted"):
                paths = [path for path in event.get(why, ()) if _CARRIED.fullmatch(path)]
                if paths:
                    content[why] = paths
            return "STATE", (event.get("actor") or {}).get("user_key"), content
        case "rewound":
            return "STATE", None, {"objectType": "state", "runKey": run_key, "actions": []}
        case _:
            return None


def _action(action: Mapping[str, Any]) -> dict[str, Any]:
    """What was done, not what came of it: readers ask for that."""
    given = {name: action[name] for name in ("name", "arguments", "value") if name in action}
    return {"objectType": action["kind"], **given}


def number_of(text: str) -> int:
    """The event number that an id of a run's stream is.

    Raises:
        Fault: 400 INVALID_EVENT_ID.
    """
    if _NUMBER.fullmatch(text) is None:
        raise invalid_id(text, "it is the number of an event, as the stream sent it")
    return int(text)


def positions_id(place: str, positions: Mapping[str, int]) -> str:
    """The id of a place in a scope's stream: for every run the number of the last event given."""
    tails = {bytes.fromhex(key)[-_TAIL:]: number for key, number in positions.items() if number}
    packed: bytes = msgpack.packb(tails)
    return base64.urlsafe_b64encode(_sum(place, packed) + packed).decode().rstrip("=")


class Positions:
    """Where the reader of a scope's stream was, by its id."""

    def __init__(self, place: str, text: str) -> None:
        """Read an id of the stream of ``place``.

        Raises:
            Fault: 400 INVALID_EVENT_ID.
        """
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        packed = raw[4:]
        if not packed or raw[:4] != _sum(place, packed):
            raise invalid_id(text, "it is none that the stream of this scope sent")
        self._tails: dict[bytes, int] = msgpack.unpackb(packed, strict_map_key=False)

    def of(self, run_key: str) -> int:
        """The last event given of a run; 0: none."""
        return self._tails.get(bytes.fromhex(run_key)[-_TAIL:], 0)


def _sum(place: str, packed: bytes) -> bytes:
    return zlib.crc32(packed, zlib.crc32(place.encode())).to_bytes(4, "big")


def invalid_id(text: str, why: str) -> Fault:
    """A stream cannot go on behind this id."""
    message = f"Last-Event-ID {text[:100]!r}: {why}; leave it out to begin now"
    return Fault(400, "INVALID_EVENT_ID", message, {"retryable": False})
