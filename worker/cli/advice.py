"""What to write instead, where a context file has a value of another kind than the property wants."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

_QUOTED: Final = re.compile(r"'([^']*)'")
_INDEX: Final = re.compile(r"\[(\d+)\]\.?")
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?")


def value_at(raw: Any, path: str) -> Any:
    """What stands at a path as problems name it (``operations.step``, ``dependencies[0]``); None where nothing does.

    A name may have dots in it: the longest one that is there is taken.
    """
    value = raw
    while path:
        index = _INDEX.match(path)
        if index is not None and isinstance(value, list):
            place = int(index[1])
            value, path = value[place] if place < len(value) else None, path[index.end() :]
        elif isinstance(value, Mapping):
            names = [name for name in value if path == name or path.startswith((f"{name}.", f"{name}["))]
            name = max(names, key=len, default=path)
            value, path = value.get(name), path[len(name) :].removeprefix(".")
        else:
            return None
    return value


def advice_for(value: Any, reason: str) -> str:
    """What to write instead of ``value``, as far as the reason of its refusal tells; else empty."""
    if reason.startswith("Input should be '"):
        return _one_of(value, _QUOTED.findall(reason))
    if "valid number" in reason:
        quoted = isinstance(value, str) and _NUMBER.fullmatch(value)
        return f"write {value} without quotation marks" if quoted else "write a number, for example 5"
    if "valid boolean" in reason:
        return "write true or false, without quotation marks"
    if "valid list" in reason:
        return "write a list: [ ... ]"
    if "valid dictionary" in reason:
        return "write an object: { ... }"
    return 'write a text: "..."' if "valid string" in reason else ""


def _one_of(value: Any, words: list[str]) -> str:
    lowered = {word.lower(): word for word in words}
    alike = get_close_matches(str(value).lower(), lowered, n=1)
    return f"did you mean {lowered[alike[0]]}?" if alike else f"write {words[0]}, for example"
