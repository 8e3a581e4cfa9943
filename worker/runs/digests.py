"""What is told of a result that is too large to be told whole: its structure, and some of both its ends.

Deterministic: the same result has the same digest, everywhere.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

SUMMARY_LIMIT: Final = 10_000
"""Characters of JSON text that a result may have to be returned as it is, of a run that wants digests."""
MOST_JSON_PER_BYTE: Final = 6
"""Characters of JSON text per byte of msgpack, at most: a control character in a text is written as an escape."""
DIGEST_CHARACTERS: Final = 2000
"""Of the JSON text of a digest, at most."""

_DEPTHS: Final = (3, 2, 1, 0)
_MEMBERS: Final = {3: 24, 2: 8, 1: 4}
"""How many members of an object or array are told of, by how many levels are still to come."""
_ENDS: Final = {3: 200, 2: 80, 1: 40, 0: 16}
"""How many characters of either end of a text."""
_KEY_CHARACTERS: Final = 64


def json_text(value: Any) -> str:
    """The JSON text of a value: without spaces, characters beyond ASCII as they are; always the same."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class Room:
    """What the JSON text of a result may have to be returned as it is: bytes of UTF-8, and characters if not None."""

    size_bytes: int
    characters: int | None = None

    def has_surely(self, size_bytes: int) -> bool:
        """Whether the JSON text of a value of so many bytes of msgpack cannot exceed it."""
        least = self.size_bytes if self.characters is None else min(self.size_bytes, self.characters)
        return size_bytes * MOST_JSON_PER_BYTE <= least

    def has(self, text: str, encoded: bytes) -> bool:
        """Whether a JSON text does not exceed it."""
        return len(encoded) <= self.size_bytes and (self.characters is None or len(text) <= self.characters)


def digested(value: Any, ref: dict[str, Any], room: Room) -> Any:
    """The value, or where there is no room for its JSON text, what is returned instead.

    That is ``{summary, originalResultSize, summarySize, truncated: true, ref}``, sizes in bytes of JSON text (UTF-8).
    """
    text = json_text(value)
    encoded = text.encode()
    if room.has(text, encoded):
        return value
    summary = digest(value)
    return {
        "summary": summary,
        "originalResultSize": len(encoded),
        "summarySize": len(json_text(summary).encode()),
        "truncated": True,
        "ref": ref,
    }


def digest(value: Any) -> dict[str, Any]:
    """Type and length of a value, and its keys, head and tail, as deep as there is room for."""
    described: dict[str, Any] = {}
    for depth in _DEPTHS:
        described = _described(value, depth)
        if len(json_text(described)) <= DIGEST_CHARACTERS:
            break
    return described


def _described(value: Any, depth: int) -> dict[str, Any]:
    match value:
        case str():
            return {"type": "string", "length": len(value), **_text_ends(value, _ENDS[depth])}
        case list():
            return {"type": "array", "length": len(value), **_array_ends(value, depth)}
        case dict():
            return {"type": "object", "length": len(value), **_members(value, depth)}
        case None:
            return {"type": "null"}
        case bool():
            return {"type": "boolean", "value": value}
        case _:
            return {"type": "number", "value": value}


def _text_ends(text: str, room: int) -> dict[str, str]:
    return {"head": text} if len(text) <= 2 * room else {"head": text[:room], "tail": text[-room:]}


def _array_ends(items: list[Any], depth: int) -> dict[str, Any]:
    if depth == 0:
        return {}
    room = _MEMBERS[depth] // 2
    if len(items) <= 2 * room:
        return {"head": [_short(item, depth - 1) for item in items]}
    ends = {"head": items[:room], "tail": items[-room:]}
    return {name: [_short(item, depth - 1) for item in end] for name, end in ends.items()}


def _members(value: dict[str, Any], depth: int) -> dict[str, Any]:
    if depth == 0:
        return {}
    told = list(value)[: _MEMBERS[depth]]
    members = {_cut(key): _short(value[key], depth - 1) for key in told}
    return {"members": members, **({"more": len(value) - len(told)} if len(told) < len(value) else {})}


def _short(value: Any, depth: int) -> Any:
    """Numbers, flags and short texts as they are; what is larger described."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and len(value) <= _ENDS[depth]:
        return value
    return _described(value, depth)


def _cut(key: str) -> str:
    return key if len(key) <= _KEY_CHARACTERS else key[:_KEY_CHARACTERS] + "…"
