"""What the tests of profiles share: a model that takes data and prompts, a daemon of the module and a peer of it."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.scribe import scribe as scribe_with

SCRIBE = scribe_with('''

def begin(data):
    """Takes the data of a run."""
    global total
    total = data["start"]
    Epicenter.record("total", total)
    return total


def nap(seconds):
    time.sleep(seconds)
    return add(1)


def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return add(1)


def hang():
    time.sleep(3600)


def die():
    os._exit(3)


def pid():
    return os.getpid()
''')
SCRIBE_CONTEXT = """{
  "version": "V2",
  "modelVersion": 2,
  "operations": {"hang": {"timeoutSeconds": 1}, "pid": {"inert": true}},
  "run": {
    "start": "begin",
    "prompt": "ask",
    "input": {"type": "object", "properties": {"start": {"type": "integer"}}, "required": ["start"]}
  },
  "restorations": {"rewind": {"name": "add"}}
}"""
PLAIN = """
from epicenter import Epicenter

x = 1
y = 2


def double():
    global x
    x *= 2
    return x


def broken():
    raise ValueError("no")
"""
RESULT_CONTEXT = '{"version": "V2", "run": {"result": "double"}}'
BROKEN = "raise ValueError('it does not load')\n"
SLEEPY = """
import time

time.sleep(3600)
"""


@pytest.fixture(scope="module")
def scribe(model_root: Any) -> str:
    """The model_file of a model that takes data and prompts."""
    name: str = model_root.add("scribe", SCRIBE, SCRIBE_CONTEXT)
    return name


@pytest.fixture(scope="module")
def plain(model_root: Any) -> str:
    """The model_file of a model that declares nothing of runs."""
    name: str = model_root.add("plain", PLAIN)
    return name


@pytest.fixture(scope="module")
def doubling(model_root: Any) -> str:
    """The model_file of a model that declares which operation gives the result."""
    name: str = model_root.add("doubling", PLAIN, RESULT_CONTEXT)
    return name


@pytest.fixture(scope="module")
def broken(model_root: Any) -> str:
    """The model_file of a model that does not load."""
    name: str = model_root.add("broken", BROKEN)
    return name


@pytest.fixture(scope="module")
def sleepy(model_root: Any) -> str:
    """The model_file of a model that never finishes loading."""
    name: str = model_root.add("sleepy", SLEEPY, '{"inceptionGracePeriodSeconds": 1}')
    return name


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any) -> Any:
    """The daemon of this module."""
    return make_daemon(model_root.path)


@pytest.fixture(scope="module")
def peer(daemon: Any, connect: Callable[..., Any]) -> Any:
    """A peer of the module's daemon."""
    return connect(daemon.endpoint)


@pytest.fixture
def fresh_id() -> Callable[[], str]:
    """New request ids."""
    return lambda: uuid.uuid4().hex
