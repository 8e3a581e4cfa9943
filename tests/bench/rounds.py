"""Timing: a subject and its floor measured in turn, so that both see the same machine."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Row:
    """One line of the report. ``value`` in ``unit``; ``ratio`` to the floor it is held against, where it has one.

    ``goal`` is met when ``met``; None where the row has no goal.
    """

    name: str
    value: float
    unit: str
    floor: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    detail: dict[str, Any] = field(default_factory=dict)


def seconds(action: Callable[[], Any]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def p50(action: Callable[[], Any], calls: int) -> float:
    """The median of many calls, in seconds."""
    return statistics.median(seconds(action) for _ in range(calls))


def interleaved(actions: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Each measurement once per round, in turn; the median of each over the rounds."""
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, measure in actions.items():
            taken[name].append(measure())
    return {name: statistics.median(values) for name, values in taken.items()}
