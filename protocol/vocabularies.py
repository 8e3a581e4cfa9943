"""What the statuses of runs are called: by the worker itself, and by the two other run APIs."""

from collections.abc import Mapping
from typing import Final, Literal

from protocol.entities import RunStatus

Words = Literal["worker", "composable", "inferable"]

STATUS_WORDS: Final[Mapping[Words, Mapping[RunStatus, str]]] = {
    "worker": {status: status.value for status in RunStatus},
    "composable": {
        RunStatus.CREATED: "created",
        RunStatus.STARTING: "processing",
        RunStatus.EXECUTING: "processing",
        RunStatus.PAUSED: "processing",
        RunStatus.READY: "completed",
        RunStatus.FAILED: "failed",
    },
    "inferable": {
        RunStatus.CREATED: "pending",
        RunStatus.STARTING: "running",
        RunStatus.EXECUTING: "running",
        RunStatus.PAUSED: "paused",
        RunStatus.READY: "done",
        RunStatus.FAILED: "failed",
    },
}
"""Several statuses may have one word; between those, who knows the word sees no change."""


def statuses_called(word: str, words: Words) -> tuple[RunStatus, ...]:
    """The statuses that a word means; none for one that the vocabulary does not have."""
    return tuple(status for status, name in STATUS_WORDS[words].items() if name == word)
