"""What a caller asks of a model: an action is one of execute, get, set.

The canonical bytes of an action (``encode_action``) are what the run process performs and what the log
keeps: the same action always has the same bytes.
"""

from typing import Annotated, Any, Literal

import msgpack
from pydantic import BaseModel, ConfigDict, Field

NAME_BYTES = 256


class _Action(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, Field(min_length=1, max_length=NAME_BYTES)]


class Execute(_Action):
    """Call the operation ``name`` with positional ``arguments`` (JSON values)."""

    kind: Literal["execute"] = "execute"
    arguments: list[Any] = Field(default_factory=list)


class Get(_Action):
    """Read the variable ``name``; a dotted or indexed reference reaches inside."""

    kind: Literal["get"] = "get"


class Set(_Action):
    """Assign ``value`` (a JSON value) to the variable ``name``."""

    kind: Literal["set"] = "set"
    value: Any


Action = Annotated[Execute | Get | Set, Field(discriminator="kind")]


def encode_action(action: Execute | Get | Set) -> bytes:
    """The canonical msgpack bytes: kind, name, then arguments or value."""
    if isinstance(action, Execute):
        return encode_execute(action.name, action.arguments)
    body: dict[str, Any] = {"kind": action.kind, "name": action.name}
    if isinstance(action, Set):
        body["value"] = action.value
    packed: bytes = msgpack.packb(body, use_bin_type=True)
    return packed


def encode_execute(name: str, arguments: list[Any]) -> bytes:
    """The canonical bytes of an ``Execute`` whose parts were judged already."""
    packed: bytes = msgpack.packb(
        {"kind": "execute", "name": name, "arguments": arguments}, use_bin_type=True
    )
    return packed
