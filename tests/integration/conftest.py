"""What the tests of the daemon share: a model, a daemon of the module, a peer that speaks bare frames."""

import itertools
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest
import zmq

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


class Peer:
    """A DEALER that speaks the wire contract without the project's client."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str, kind: int) -> None:
        self.socket: zmq.Socket[bytes] = context.socket(kind)
        self.socket.set(zmq.LINGER, 0)
        self.socket.connect(endpoint)

    def send(self, type_: str, **fields: Any) -> str:
        """Send a request; returns its request_id."""
        body = {"version": 1, "type": type_, "request_id": uuid.uuid4().hex, **fields}
        self.socket.send_multipart([b"", msgpack.packb(body)])
        return str(body["request_id"])

    def receive(self, within: float = 30.0) -> dict[str, Any]:
        """The next reply."""
        assert self.socket.poll(int(within * 1000)), f"no reply within {within} s"
        delimiter, body = self.socket.recv_multipart()
        assert delimiter == b""
        reply: dict[str, Any] = msgpack.unpackb(body)
        assert reply["version"] == 1
        return reply

    def receive_call(self, within: float = 30.0) -> dict[str, Any]:
        """The next call of an external function; no reply may come before it."""
        call = self.receive(within)
        assert call["type"] == "function_call"
        return call

    def ask(self, type_: str, **fields: Any) -> dict[str, Any]:
        """Send a request and give its reply, an error too."""
        request_id = self.send(type_, **fields)
        reply = self.receive()
        assert reply["request_id"] == request_id
        return reply

    def result(self, type_: str, **fields: Any) -> Any:
        """The result of a request that must succeed."""
        reply = self.ask(type_, **fields)
        assert reply["ok"], reply["error"]
        return reply["result"]

    def error(self, type_: str, **fields: Any) -> dict[str, Any]:
        """The error of a request that must fail."""
        reply = self.ask(type_, **fields)
        assert not reply["ok"], reply
        error: dict[str, Any] = reply["error"]
        return error

    def send_body(self, body: Any) -> None:
        """Send one value as a body, whatever it is; bytes as they are."""
        self.socket.send_multipart([b"", body if isinstance(body, bytes) else msgpack.packb(body)])


@pytest.fixture(scope="module")
def connect() -> Iterator[Callable[..., Peer]]:
    """``connect(endpoint)``: a new peer; all are closed with the module."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    peers: list[Peer] = []

    def make(endpoint: str, kind: int = zmq.DEALER) -> Peer:
        peers.append(Peer(context, endpoint, kind))
        return peers[-1]

    yield make
    for peer in peers:
        peer.socket.close(linger=0)
    context.term()


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
def peer(daemon: Any, connect: Callable[..., Peer]) -> Peer:
    """A peer of the module's daemon."""
    return connect(daemon.endpoint)


@pytest.fixture
def fresh_id() -> Callable[[], str]:
    """New request ids."""
    numbers = itertools.count(1)
    prefix = uuid.uuid4().hex
    return lambda: f"{prefix}-{next(numbers)}"
