"""Which fields of a profile an answer has: ``a b`` these and the key, ``-a`` all but this, ``+a`` a large one too."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.runs.fields import ALIASES, refusal

KEY: Final = "run_key"
SHOWN: Final = (
    *(
        KEY,
        "run_id",
        "project",
        "name",
        "tags",
        "parent",
        "status",
        "status_seq",
        "finish_reason",
        "error",
        "config",
    ),
    *(
        "interaction",
        "environment",
        "model",
        "result_mode",
        "result_errors",
        "interactive",
        "reasoning_traces",
    ),
    *(
        "call_summarization",
        "attached_functions",
        "on_status_change",
        "source",
        "evaluation",
        "ttl_seconds",
        "test",
    ),
    *(
        "created_by",
        "updated_by",
        "execution_seconds",
        "resource_use",
        "created_at",
        "updated_at",
        "live",
        "seq",
    ),
    "metadata",
)
HIDDEN: Final = ("parameters", "result", "result_schema", "context")
"""Large ones, which are left out unless they are named."""
_SELECT: Final = "select"


@dataclass(frozen=True, slots=True)
class Selection:
    """The names of the fields that are shown."""

    names: frozenset[str] = frozenset(SHOWN)

    @property
    def is_large(self) -> bool:
        """Whether a large one is among them."""
        return not self.names.isdisjoint(HIDDEN)

    def of(self, view: Mapping[str, Any]) -> dict[str, Any]:
        """What is shown of a profile."""
        return {name: value for name, value in view.items() if name in self.names}


def parse_selection(text: str | None) -> Selection:
    """The fields that a text names, with spaces between them; without one all that are not large.

    Raises:
        RequestError: INVALID_FILTER.
    """
    signs: dict[str, str] = {}
    for word in (text or "").split():
        sign = word[0] if word[0] in "+-" else ""
        name = _known(word.removeprefix(sign), word)
        if name in signs:
            raise refusal(_SELECT, word, "a field that was not named before")
        if sign == "+" and name not in HIDDEN:
            raise refusal(_SELECT, word, f"+ before one of {', '.join(HIDDEN)}; all others are shown anyway")
        signs[name] = sign
    kinds = {sign for name, sign in signs.items() if (name, sign) != (KEY, "-")}
    if len(kinds) > 1:
        raise refusal(
            _SELECT, text or "", f"either names, or names behind -, or behind +; only -{KEY} with others"
        )
    named = frozenset(name for name, sign in signs.items() if not sign)
    without = frozenset(name for name, sign in signs.items() if sign == "-")
    added = frozenset(name for name, sign in signs.items() if sign == "+")
    return Selection(((named | {KEY}) if named else frozenset(SHOWN) | added) - without)


def _known(given: str, word: str) -> str:
    name = ALIASES.get(given, given)
    if name not in (*SHOWN, *HIDDEN):
        raise refusal(_SELECT, word, f"one of {', '.join((*SHOWN, *HIDDEN))}")
    return name
