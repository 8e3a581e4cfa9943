"""A real worker, a real gateway in front of it, and a client that knows HTTP and nothing of either."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.documents import Judge

REPOSITORY = Path(__file__).parents[2]
AUTHOR = "dev"

MODEL = '''
import time

from epicenter import Epicenter

count = 0
hidden = 5
guarded = 1
log = []


def add(n=1):
    """One step."""
    global count
    count += n
    log.append(n)
    Epicenter.record("count", count)
    Epicenter.record("log", log)
    return count


def fail(message="no"):
    raise ValueError(message)


def nap(seconds):
    time.sleep(seconds)


def hang():
    time.sleep(3600)


def whim():
    """Another result in each process."""
    return time.perf_counter()


def odd():
    return [float("nan"), 1.5]


def actor():
    return Epicenter.actor()


Epicenter.record("count", count)
Epicenter.record("log", log)
'''
CONTEXT = """{
  "version": "V2", "modelVersion": 3,
  "operations": {"hang": {"timeoutSeconds": 0.5}, "actor": {"inert": true}},
  "restorations": {"rewind": {"name": "add"}},
  "protections": {"guards": [{"privilege": {
    "regex": "^guarded$", "domain": "variable", "grant": "disallow",
    "read": "USER", "write": "USER", "execute": "USER"}}]}
}"""


@dataclass
class Gateway:
    """One ``model-worker gateway``."""

    endpoint: str
    log: Path
    env: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ("--listen", "127.0.0.1:0")
    process: subprocess.Popen[str] | None = None
    url: str = ""

    def start(self) -> "Gateway":
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "worker.cli.main",
                    "gateway",
                    "--endpoint",
                    self.endpoint,
                    *self.arguments,
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), **self.env},
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready http://"), f"{line!r}: {self.log.read_text()}"
        self.url = line.split()[1]
        return self

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def close(self) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(30)
            if self.process.stdout is not None:
                self.process.stdout.close()


class Api:
    """Asks a gateway as Epicenter's client does. ``token``: who asks; None is nobody.

    Every answer is held to the document of its API.
    """

    def __init__(self, url: str, place: str = "acme/demo") -> None:
        self.judge = Judge(url)
        self.root = httpx.Client(base_url=url, timeout=60, event_hooks={"response": [self.judge]})
        self.base = f"/api/v3/{place}"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = AUTHOR,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> httpx.Response:
        """The answer, whatever it is; it must be one that the client can read."""
        sent = {"Content-type": "application/json; charset=UTF-8"} if body is not None else {}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        response = self.root.request(
            method,
            self.base + path,
            content=content,
            params=query or None,
            headers={**sent, **(headers or {})},
        )
        assert response.status_code == 204 or "application/json" in response.headers["content-type"]
        return response

    def result(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """What comes with 200."""
        response = self.ask(method, path, body, **more)
        assert response.status_code == 200, response.text
        return response.json()

    def fault(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, str]:
        """Status and code of what must fail, its shape judged."""
        response = self.ask(method, path, body, **more)
        found = response.json()
        assert response.status_code >= 400, found
        assert found["status"] == response.status_code
        assert isinstance(found["message"], str)
        return response.status_code, found["information"]["code"]

    def done(self, method: str, path: str, **more: Any) -> None:
        """What answers with nothing."""
        response = self.ask(method, path, **more)
        assert (response.status_code, response.content) == (204, b"")

    def create(self, scope_key: str = "everybody", **fields: Any) -> str:
        """A new run of the module's model; its key."""
        token = fields.pop("token", AUTHOR)
        body = {
            "modelFile": "counter.py",
            "scope": {"scopeBoundary": "GROUP", "scopeKey": scope_key},
            "morphology": "MANY",
            "modelContext": {},
            "executionContext": {},
            **fields,
        }
        return str(self.result("POST", "/run", body, token=token)["runKey"])


@pytest.fixture(scope="module")
def models(model_root: Any) -> Path:
    """A model root as Epicenter's: the model file is at its top."""
    path: Path = model_root.path
    (path / "counter.py").write_text(MODEL)
    (path / "counter.ctx2").write_text(CONTEXT)
    (path / "broken.py").write_text("raise RuntimeError('not today')\n")
    model_root.add("deep", "depth = 3\n")
    return path


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, models: Path) -> Any:
    """The worker of this module."""
    return make_daemon(models)


@pytest.fixture(scope="module")
def make_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Gateway]]:
    """``make_gateway(endpoint, env=…, arguments=…)``: a started gateway; all are ended with the module."""
    started: list[Gateway] = []

    def make(endpoint: str, **more: Any) -> Gateway:
        started.append(Gateway(endpoint, tmp_path_factory.mktemp("gateway") / "log", **more))
        return started[-1].start()

    try:
        yield make
    finally:
        for one in started:
            one.close()


@pytest.fixture(scope="module")
def gateway(make_gateway: Callable[..., Gateway], daemon: Any) -> Gateway:
    """The gateway of this module."""
    return make_gateway(daemon.endpoint)


@pytest.fixture(scope="module")
def connect_api() -> Iterator[Callable[..., Api]]:
    """``connect_api(url, place)``: a client; all are closed with the module."""
    with contextlib.ExitStack() as stack:

        def connect(url: str, place: str = "acme/demo") -> Api:
            api = Api(url, place)
            stack.enter_context(api.root)
            return api

        yield connect


@pytest.fixture(scope="module")
def api(gateway: Gateway, connect_api: Callable[..., Api]) -> Api:
    """A client of the module's gateway."""
    return connect_api(gateway.url)


@pytest.fixture(scope="module")
def start_pair(make_gateway: Callable[..., Gateway]) -> Callable[..., Gateway]:
    """``start_pair(daemon, **settings)``: a gateway that hears the events of its worker."""

    def start(daemon: Any, **env: str) -> Gateway:
        return make_gateway(
            daemon.endpoint,
            arguments=("--listen", "127.0.0.1:0", "--events", daemon.events),
            env={f"MODEL_WORKER_GATEWAY_{name.upper()}": value for name, value in env.items()},
        )

    return start
