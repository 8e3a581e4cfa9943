"""Full text as searches see it: the words of a run in one line, so that a phrase is found as a part of the line.

A word is a sequence of letters and digits, its case folded. What is not plain ASCII is written in hexadecimal
behind ``_``, so that whatever splits a line at its spaces finds the very words that this module made.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

MAX_WORDS: Final = 4096
"""Words of a run that are looked at; the name, the tags and the error come first."""
MAX_LETTERS: Final = 64
"""Letters of a word; what follows them is left out, of the word that is asked for too."""
BREAK: Final = "_"
"""Stands between two texts, so that no phrase reaches from one into the next."""

_WORD: Final = re.compile(r"[^\W_]+")


def words_in(text: str) -> list[str]:
    """The words of a text, in order."""
    return [_spelt(found[0].casefold()[:MAX_LETTERS]) for found in _WORD.finditer(text)]


def phrase(words: Iterable[str]) -> str:
    """What occurs in a line of words exactly where these words follow each other."""
    return f" {' '.join(words)} "


def line_of(texts: Iterable[str]) -> str:
    """The line of words of several texts."""
    words: list[str] = []
    for text in texts:
        words += [*words_in(text), BREAK]
        if len(words) > MAX_WORDS:
            break
    return phrase(words[:MAX_WORDS])


def texts_of(value: Any) -> Iterator[str]:
    """The texts within a JSON value, in order; keys are not among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from texts_of(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from texts_of(part)


def _spelt(word: str) -> str:
    return word if word.isascii() else f"_{word.encode().hex()}"
