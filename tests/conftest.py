"""Real daemons for tests: a process, its sockets, its data folder, its models; and peers that speak bare frames.

Whole folders are shared out by file among one process more than there are cores, because most tests wait for a daemon
most of the time; files that are named run in this process. A test marked ``alone`` runs while no other does: the
attacks of ``tests/hostile``, some of which must be over within fractions of a second while others burn what they are
given, beside a bystander; a flood of strangers, and stampedes of a thousand runs, which leave nothing to anybody else. All
others bear company: what they count and judge is their own daemon's, found by its process id or its folder.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgpack
import psutil
import pytest
import zmq

from protocol.client import Client
from tests.company import Company

# Hundreds of workers are started, and each would compile the whole project anew where nothing compiled is kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

REPOSITORY = Path(__file__).parents[1]
START_SECONDS = 60.0
STOP_SECONDS = 60.0


def eventually(predicate: Callable[[], bool], within: float = 20.0) -> None:
    """Wait until the predicate holds; the only polling there is, for what sends no message."""
    deadline = time.monotonic() + within
    while not predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {predicate}")
        time.sleep(0.01)


def has_ended(process: psutil.Process) -> bool:
    """Whether a process runs no more; that its new parent has reaped it is not asked for."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@dataclass
class Daemon:
    """One ``model-worker serve`` that may be killed, stopped and started again on its data folder."""

    models: Path
    data: str
    socket_folder: Path
    env: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    command: tuple[str, ...] = (sys.executable, "-m", "worker.cli.main")
    endpoint: str = ""
    events: str = ""
    log: Path = Path()
    process: subprocess.Popen[str] | None = None
    starts: int = 0
    bind: tuple[str, ...] = ()
    """Endpoints instead of an ipc socket of its own; the first that it gets is ``endpoint``."""
    publish: str = ""

    def start(self) -> "Daemon":
        self._close_pipe()
        self.starts += 1
        self.endpoint = f"ipc://{self.socket_folder}/s{self.starts}"
        self.log = self.socket_folder / f"log{self.starts}"
        arguments = ["serve", "--models", str(self.models), "--data", self.data]
        for endpoint in self.bind or (self.endpoint,):
            arguments += ["--bind", endpoint]
        self.events = self.publish or f"ipc://{self.socket_folder}/e{self.starts}"
        arguments += ["--events", self.events]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*self.command, *arguments, *self.arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), **self.env},
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if self.bind and line.startswith("ready "):
            self.endpoint = line.split()[1]
            return self
        assert line == f"ready {self.endpoint}\n", f"{line!r}: {self.log.read_text()}"
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def client(self, timeout_seconds: float = 30.0) -> Client:
        return Client(self.endpoint, timeout_seconds=timeout_seconds)

    def logged(self) -> str:
        return self.log.read_text()

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    def survivors(self, of: list[psutil.Process]) -> list[psutil.Process]:
        """Those of its former processes that still run."""
        return [process for process in of if not has_ended(process)]

    def kill(self) -> None:
        """SIGKILL, and wait until nothing of it is left."""
        assert self.process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            children = self.descendants()
            self.process.kill()
            self.process.wait(STOP_SECONDS)
            eventually(lambda: all(has_ended(child) for child in children), STOP_SECONDS)

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self._close_pipe()

    def _close_pipe(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()


@dataclass
class ModelRoot:
    """A folder of models written by a test."""

    path: Path

    def add(self, name: str, source: str, ctx2: str | None = None, **files: str) -> str:
        """Write NAME/model.py (and model.ctx2, and further files); returns its model_file."""
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.py").write_text(textwrap.dedent(source))
        if ctx2 is not None:
            (folder / "model.ctx2").write_text(ctx2)
        for file, text in files.items():
            (folder / f"{file}.py").write_text(textwrap.dedent(text))
        return f"{name}/model.py"


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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cycles", type=int, default=300, help="cycles of create, call, evict that must leave nothing over"
    )
    parser.addoption(
        "--screenshots", help="folder for pictures of the gateway's page; else one of the tests' own"
    )
    parser.addoption(
        "--epicenter-client",
        type=Path,
        help="a bundle for Node of Epicenter's own JavaScript client, to drive it against a gateway",
    )


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process more than there are cores for whole folders; none besides this one for files, or to look on."""
    named = [config.invocation_params.dir / argument.partition("::")[0] for argument in config.args]
    if config.getoption("capture") == "no" or not all(path.is_dir() for path in named):
        return 0
    return len(os.sched_getaffinity(0)) + 1


COMPANY = pytest.StashKey[Company]()


def _is_alone(item: pytest.Item | None) -> bool:
    return item is not None and item.get_closest_marker("alone") is not None


def pytest_configure(config: pytest.Config) -> None:
    """Meet the other processes of this test run, if it has any: xdist gives each a folder in one of them all."""
    if hasattr(config, "workerinput"):
        config.stash[COMPANY] = Company(Path(config.option.basetemp).parent)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Run a test in the company that it bears; how long it waits for that does not count for its time limit."""
    company = item.config.stash.get(COMPANY, None)
    if company is None:
        return (yield)
    company.join(alone=_is_alone(item))
    try:
        return (yield)
    finally:
        if not (_is_alone(item) and _is_alone(nextitem)):
            company.leave()


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """``wait_until(predicate, within=seconds)``."""
    return eventually


@pytest.fixture(scope="module")
def model_root(tmp_path_factory: pytest.TempPathFactory) -> ModelRoot:
    """A model root of this test module, readable by everybody."""
    path = tmp_path_factory.mktemp("models")
    path.chmod(0o755)
    return ModelRoot(path)


@pytest.fixture(scope="module")
def make_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Daemon]]:
    """``make_daemon(models, data=…, sockets=…, env=…, arguments=…)``: a started daemon; all are ended with the module."""
    daemons: list[Daemon] = []

    def make(
        models: Path,
        *,
        data: str | None = None,
        sockets: Path | None = None,
        env: dict[str, str] | None = None,
        arguments: tuple[str, ...] = (),
        command: tuple[str, ...] = (sys.executable, "-m", "worker.cli.main"),
        bind: tuple[str, ...] = (),
        publish: str = "",
    ) -> Daemon:
        # Socket paths are limited to about 100 bytes, so not below a long folder.
        sockets = sockets or tmp_path_factory.mktemp("d")
        daemon = Daemon(
            models=models,
            data=data if data is not None else str(tmp_path_factory.mktemp("data") / "data"),
            socket_folder=sockets,
            env=env or {},
            arguments=arguments,
            command=command,
            bind=bind,
            publish=publish,
        )
        daemons.append(daemon)
        return daemon.start()

    try:
        yield make
    finally:
        for daemon in daemons:
            daemon.close()


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


@dataclass
class Received:
    """One POST: headers by lower-case name, the body as it came, and what it says."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def payload(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told


@dataclass
class Receiver:
    """A web server that keeps what it is told, and answers as ``status_of`` says; 204 unless that is set."""

    url: str
    received: list[Received] = field(default_factory=list)
    status_of: Callable[[Received], int] = lambda _: 204

    def told(self, run_id: str) -> list[dict[str, Any]]:
        """What it was told of one run, attempts that it refused included, in order."""
        return [one.payload for one in self.received if one.payload["runId"] == run_id]


@pytest.fixture(scope="module")
def make_receiver() -> Iterator[Callable[[], Receiver]]:
    """``make_receiver()``: a web server on this machine; all are ended with the module."""
    with contextlib.ExitStack() as servers:

        def make() -> Receiver:
            class Handler(BaseHTTPRequestHandler):
                def do_POST(self) -> None:
                    length = int(self.headers["content-length"])
                    body = self.rfile.read(length)
                    if len(body) < length:  # who sent it was killed
                        return
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    one = Received(self.path, headers, body)
                    receiver.received.append(one)
                    self.send_response(receiver.status_of(one))
                    self.send_header("content-length", "0")
                    self.end_headers()

                def log_message(self, *_: object) -> None:
                    """Nothing: what is told is kept."""

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
            thread = threading.Thread(
                target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
            )
            thread.start()
            servers.callback(server.server_close)
            servers.callback(server.shutdown)
            return receiver

        yield make
