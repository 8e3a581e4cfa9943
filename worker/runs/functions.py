"""External functions of a model context: what a model may call, and which service answers.

A value is polymorphic. Kind ``wire`` names its service in ``route``; any other kind is answered by the service of
the kind's own name. Who calls is told the whole value: what it means is the provider's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.channel import CALLBACK_NAME_CHARACTERS, pack

WIRE: Final = "wire"
MAX_FUNCTIONS: Final = 256
SERVICE_CHARACTERS: Final = 128
OPTIONS_BYTES: Final = 64 * 1024
"""Of one value as msgpack; it travels with every call."""


@dataclass(frozen=True, slots=True)
class ExternalFunction:
    """Where calls go: to a provider of ``service``, in ``version`` where given. ``options``: the whole value."""

    service: str
    version: str | None
    options: dict[str, Any]


def function_of(kind: str, options: dict[str, Any]) -> ExternalFunction:
    """One external function.

    Raises:
        ValueError: it does not say who answers, or is too large; the message says what to write.
    """
    if not kind:
        raise ValueError(
            'one kind is needed, as in {"wire": {"route": {"service": "scores"}}} or {"scores": {}}'
        )
    size = len(pack(options))
    if size > OPTIONS_BYTES:
        raise ValueError(f"{size} bytes, allowed are {OPTIONS_BYTES}")
    if kind != WIRE:
        return ExternalFunction(_service(kind), None, options)
    route = options.get("route")
    if not isinstance(route, Mapping):
        raise ValueError(  # noqa: TRY004 - a fault of the context, told as all others
            'route is missing: {"route": {"service": "scores", "version": "1"}}'
        )
    return ExternalFunction(_service(route.get("service")), _version(route.get("version")), options)


def function_name(name: str) -> str:
    """A name that a model can call.

    Raises:
        ValueError: it has no characters, or too many.
    """
    if not 0 < len(name) <= CALLBACK_NAME_CHARACTERS:
        raise ValueError(f"a name has 1 to {CALLBACK_NAME_CHARACTERS} characters")
    return name


def _service(value: Any) -> str:
    if isinstance(value, str) and 0 < len(value) <= SERVICE_CHARACTERS:
        return value
    raise ValueError(f"the service must be a text of 1 to {SERVICE_CHARACTERS} characters")


def _version(value: Any) -> str | None:
    """A version as text; a number counts as it is written."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and 0 < len(value) <= SERVICE_CHARACTERS:
        return value
    raise ValueError(f"route.version must be a number, or a text of 1 to {SERVICE_CHARACTERS} characters")
