"""The names under which guards know a variable: what a reference says, and what it reaches into.

A reference is a global's name and steps into its value, which can be spelled in several ways: ``a.b``,
``a["b"]``, ``a[1,2]``, ``a[1][2]``. A guard on any spelling of the reference, or of something that holds it,
holds the reference.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

MAX_DEPTH: Final = 16
"""Steps that are looked at; what lies deeper is known by its full text and by what holds it."""
_PART: Final = re.compile(
    r"""(?:^|\.)(?P<part>[^.\[\]]+) | \["(?P<key>[^"]*)"\] | \['(?P<quoted>[^']*)'\]
      | \[\s*(?P<indices>-?\d{1,18}(?:\s*,\s*-?\d{1,18})*)\s*\]""",
    re.VERBOSE,
)
_INTEGER: Final = re.compile(r"-?\d{1,18}")


@lru_cache(maxsize=4096)
def names_of(reference: str) -> tuple[str, ...]:
    """All names of a reference, itself first."""
    names = {reference: None}
    parts = _parts(reference)
    for end in range(1, len(parts) + 1):
        names |= dict.fromkeys(_spelled(parts[:end]))
    return tuple(names)


def _parts(reference: str) -> list[str | int]:
    parts: list[str | int] = []
    for found in _PART.finditer(reference):
        if found["indices"] is not None:
            parts.extend(int(index) for index in found["indices"].split(","))
        else:
            text = next(text for text in (found["part"], found["key"], found["quoted"]) if text is not None)
            parts.append(int(text) if parts and _INTEGER.fullmatch(text) else text)
        if len(parts) >= MAX_DEPTH:
            break
    return parts[:MAX_DEPTH]


def _spelled(parts: list[str | int]) -> Iterator[str]:
    root, *steps = [str(part) for part in parts]
    yield ".".join([root, *steps])
    yield root + "".join(f"[{step}]" if isinstance(step, int) else f'["{step}"]' for step in parts[1:])
    split = root + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in parts[1:])
    yield split
    yield split.replace("][", ",")
