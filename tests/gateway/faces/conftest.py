"""What the tests of the two further APIs share: a model that takes data and prompts, and clients of both."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.gateway.documents import Judge
from tests.scribe import scribe

AUTHOR = "dev"
SCRIBE = scribe('''

def begin(data):
    """Takes the data of a run."""
    global total
    total = data["my-param"]
    Epicenter.record("total", total)
    return {"my-result": str(total)}


def weigh():
    return "x" * 60_000


def nothing():
    return None
''')
CONTEXT = """{
  "version": "V2",
  "run": {"start": "begin", "prompt": "ask",
          "input": {"type": "object", "required": ["my-param"], "properties": {"my-param": {"type": "integer"}}}},
  "restorations": {"rewind": {"name": "add"}}
}"""


class Face:
    """Asks one of the two APIs, whose answers are always JSON, and as its document says."""

    def __init__(self, url: str, base: str) -> None:
        self.judge = Judge(url)
        self.client = httpx.Client(timeout=60, event_hooks={"response": [self.judge]})
        self.base = url + base

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = AUTHOR,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> httpx.Response:
        """The answer, whatever it is."""
        sent = {} if token is None else {"Authorization": f"Bearer {token}"}
        if body is not None:
            sent["Content-Type"] = "application/json"
        return self.client.request(
            method,
            self.base + path,
            content=None if body is None else json.dumps(body).encode(),
            params=query or None,
            headers={**sent, **(headers or {})},
        )

    def result(self, method: str, path: str, body: Any = None, *, code: int = 200, **more: Any) -> Any:
        """What comes with ``code``."""
        response = self.ask(method, path, body, **more)
        assert response.status_code == code, response.text
        return response.json() if response.content else None


@pytest.fixture(scope="module")
def models(model_root: Any) -> Any:
    """One model file at the top of the root, and one beside it."""
    path = model_root.path
    (path / "scribe.py").write_text(SCRIBE)
    (path / "scribe.ctx2").write_text(CONTEXT)
    (path / "broken.py").write_text("raise RuntimeError('not today')\n")
    (path / "plain.py").write_text(
        "depth = 3\n\n\ndef dig(n=1):\n    global depth\n    depth += n\n    return depth\n"
    )
    return path


@pytest.fixture(scope="module")
def connect(gateway: Any) -> Iterator[Callable[[str], Face]]:
    """``connect(base)``: a client of the module's gateway; all are closed with the module."""
    made: list[Face] = []

    def make(base: str) -> Face:
        made.append(Face(gateway.url, base))
        return made[-1]

    yield make
    for one in made:
        one.client.close()


@pytest.fixture(scope="module")
def runs(connect: Callable[[str], Face]) -> Face:
    """The Composable API."""
    return connect("/api/v1/runs")


@pytest.fixture(scope="module")
def cluster(connect: Callable[[str], Face]) -> Face:
    """The API of clusters."""
    return connect("/clusters/demo")
