"""The model of the rehearsal: it does what most models do, so that a run does it for the second time."""

from typing import Any

from epicenter import Epicenter  # the zygote publishes it

count = 0
values = {"list": [1, 2.5], "text": "a"}


def step(by: int = 1) -> int:
    """Change a variable, and record it."""
    global count  # noqa: PLW0603 - a model's variables are its globals
    count += by
    Epicenter.record("count", count)
    return count


def show() -> dict[str, Any]:
    """Print, and return something nested."""
    print(count)  # noqa: T201 - what a model prints is part of the rehearsal
    return values


def fail() -> None:
    """Raise, knowing who asks.

    Raises:
        ValueError: always.
    """
    raise ValueError(Epicenter.actor())
