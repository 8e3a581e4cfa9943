"""Statuses of runs in the words of an API, and back."""

from collections.abc import Iterable
from typing import Final

from protocol.entities import RunStatus
from protocol.vocabularies import STATUS_WORDS, Words, statuses_called
from worker.gateway.faults import incomprehensible

OVER: Final = frozenset({RunStatus.READY, RunStatus.FAILED})
"""Nothing is outstanding; a follow-up may begin anew."""


def word_of(status: str, words: Words) -> str:
    """What an API calls a status of the worker's."""
    return STATUS_WORDS[words][RunStatus(status)]


def statuses_of(words: Words, asked: Iterable[str], path: str) -> list[str]:
    """The worker's statuses that words of an API mean, each once.

    Raises:
        Fault: 400, naming what there is instead.
    """
    found: dict[str, None] = {}
    for word in asked:
        meant = statuses_called(word, words)
        if not meant:
            known = ", ".join(dict.fromkeys(STATUS_WORDS[words].values()))
            raise incomprehensible(f"{path}: {word!r} is no status; there are {known}", path=path)
        found |= dict.fromkeys(status.value for status in meant)
    return list(found)
