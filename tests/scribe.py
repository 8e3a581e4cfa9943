"""A model that takes data and prompts, for tests of runs that are started."""

from typing import Final

_HEAD: Final = '''
import os
import time

from epicenter import Epicenter

total = 0
words = []


def ask(prompt):
    """Takes a prompt."""
    words.append(prompt)
    Epicenter.record("words", words)
    print("heard", prompt)
    return {"heard": prompt}


def add(n=1):
    global total
    total += n
    Epicenter.record("total", total)
    return total


def fail(message="no"):
    global total
    total += 100
    raise ValueError(message)
'''
_END: Final = """

Epicenter.record("total", total)
Epicenter.record("words", words)
"""


def scribe(operations: str) -> str:
    """The source of the model with ``operations`` besides, one of which is ``begin`` and takes its data."""
    return f"{_HEAD}{operations}{_END}"
