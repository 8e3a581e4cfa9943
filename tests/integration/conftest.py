"""What the tests of the daemon share: a model, a daemon of the module and a peer of it."""

import itertools
import uuid
from collections.abc import Callable
from typing import Any

import pytest

COUNTER_MODEL = '''
import json
import os
import time

from epicenter import Epicenter

counter = 0
secret = 5
log = []
label = "none"


def add(n=1):
    """One step: recorded, counted, listed."""
    global counter
    counter += n
    log.append(n)
    Epicenter.record("counter", counter)
    Epicenter.record("log", log)
    return counter


def peek():
    """Inert by the context."""
    return counter


def fail(message="no"):
    """Changes state before it raises."""
    global counter
    counter += 100
    raise ValueError(message)


def nap(seconds):
    """Wait, then do one step."""
    time.sleep(seconds)
    return add(1)


def hang():
    """Longer than its limit of a second."""
    global counter
    counter += 1000
    time.sleep(3600)


def die():
    """End the process from within."""
    os._exit(3)


def worker_context():
    return json.loads(os.environ["EPICENTER_WORKER_CONTEXT"])


def actor():
    return Epicenter.actor()


def odd():
    return {"list": [1.0, float("nan")], "big": float("inf")}


Epicenter.record("counter", counter)
Epicenter.record("log", log)
'''

COUNTER_CONTEXT = """{
  "version": "V2",
  "language": "python3",
  "modelVersion": 3,
  "operations": {
    "peek": {"inert": true},
    "worker_context": {"inert": true},
    "hang": {"timeoutSeconds": 1}
  },
  "restorations": {"assembly": [{"replay": {}}], "rewind": {"name": "add"}}
}"""


@pytest.fixture(scope="module")
def counter_model(model_root: Any) -> str:
    """The model_file of a small model that counts."""
    name: str = model_root.add("counter", COUNTER_MODEL, COUNTER_CONTEXT)
    return name


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any, counter_model: str) -> Any:
    """The daemon of this module."""
    return make_daemon(model_root.path)


@pytest.fixture(scope="module")
def peer(daemon: Any, connect: Callable[..., Any]) -> Any:
    """A peer of the module's daemon."""
    return connect(daemon.endpoint)


@pytest.fixture
def fresh_id() -> Callable[[], str]:
    """New request ids."""
    numbers = itertools.count(1)
    prefix = uuid.uuid4().hex
    return lambda: f"{prefix}-{next(numbers)}"
