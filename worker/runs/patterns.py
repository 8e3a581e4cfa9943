"""Regular expressions of authors, matched by the supervisor: only such as cannot take long.

Model contexts are hostile text and names come from callers, so a pattern is judged before it is compiled: no
construct that backtracks without a bound, and a bound on what the rest may cost.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

MAX_PATTERN_CHARACTERS: Final = 300
NAME_CHARACTERS: Final = 256
"""Of a name that is matched: the protocol allows no longer ones."""
MAX_COST: Final = 2**16
"""Ways in which a pattern may be tried on one name; about a millisecond."""
_TOKEN: Final = re.compile(
    r"""(?P<escape>\\.) | (?P<set>\[\^?\]?(?:\\.|[^\]\\])*\]) | (?P<special>\(\?(?!:)) | (?P<open>\((?:\?:)?)
      | (?P<close>\)) | (?P<bar>\|) | (?P<repeat>[*+]|\{\d*,?\d*\}) | (?P<maybe>\?) | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(slots=True)
class _Group:
    """An open group: whether there is more than one way through it, and the number of its alternatives."""

    branches: bool = False
    alternatives: int = 1


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern that ``checked`` took."""
    return re.compile(pattern)


def checked(pattern: str) -> str:
    """The pattern itself, if it is one and cannot take long.

    Raises:
        ValueError: why it is not taken.
    """
    if not 1 <= len(pattern) <= MAX_PATTERN_CHARACTERS:
        raise ValueError(f"a pattern has 1 to {MAX_PATTERN_CHARACTERS} characters")
    if _cost(pattern) > MAX_COST:
        raise ValueError("the pattern could take long; anchor it with ^ and use fewer repetitions")
    try:
        compiled(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"no regular expression: {error}") from error
    return pattern


def _cost(pattern: str) -> int:
    """In how many ways the pattern can be tried on a name, at most."""
    groups, cost, closed = [_Group()], 1, _Group()
    for token in _TOKEN.finditer(pattern):
        kind, group = token.lastgroup, groups[-1]
        if kind == "special" or (kind == "escape" and token[0][1].isdigit()):
            raise ValueError(
                f"{token[0]} is not served in patterns: no flags, look-around and back-references"
            )
        if kind == "open":
            groups.append(_Group())
        elif kind == "close" and len(groups) > 1:
            closed = groups.pop()
            groups[-1].branches |= closed.branches
            cost *= closed.alternatives
            continue
        elif kind == "bar":
            group.branches, group.alternatives = True, group.alternatives + 1
        elif kind in ("repeat", "maybe"):
            if kind == "repeat" and closed.branches:
                raise ValueError("a repeated group must not contain repetitions or alternatives")
            group.branches = True
            cost *= NAME_CHARACTERS if kind == "repeat" else 2
        closed = _Group()
    is_anchored = pattern.startswith("^") and groups[0].alternatives == 1
    return cost * groups[0].alternatives * (1 if is_anchored else NAME_CHARACTERS)
