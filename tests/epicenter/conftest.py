"""What the tests of Epicenter's contract share: a model, a daemon of the module, and who plays."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]

# One of everything that the reference speaks of: a variable that is recorded (price), one that is not (secret),
# one with parts (world), a placeholder for a preset (motto), a step, and calls that fail or read only.
MODEL = '''
import json
import os
import time

from epicenter import Epicenter

price = 0
secret = 5
motto = "none"
world = {"team": {"size": 3}, "grid": [[1, 2], [3, 4]], "tags": ["a", "b"]}
seen = []
loaded_with = motto


def step(by=1):
    """One step."""
    global price
    price += by
    Epicenter.record("price", price)
    return price


def look(*names):
    return {name: globals()[name] for name in names}


def fail(message="no", code=7):
    global secret
    secret += 1
    raise ValueError(message, code)


def nap(seconds):
    time.sleep(seconds)
    return step()


def who():
    return Epicenter.actor()


def given():
    return json.loads(os.environ["EPICENTER_WORKER_CONTEXT"])


for event in ("onInitialized", "onRestored", "onRewound", "onCloned"):
    Epicenter.subscribe(event, lambda event=event: seen.append(event))
Epicenter.record("price", price)
'''
CONTEXT = """{
  "version": "V2",
  "language": "python3",
  "modelVersion": 3,
  "operations": {"look": {"inert": true}, "given": {"inert": true}},
  "restorations": {"assembly": [{"replay": {}}], "rewind": {"name": "step"}}
}"""


@dataclass
class Stage:
    """A daemon, its peer and its models; short words for what every case does."""

    peer: Any
    models: Any
    model_file: str

    def ask(self, type_: str, **fields: Any) -> dict[str, Any]:
        """The whole reply, an error too."""
        reply: dict[str, Any] = self.peer.ask(type_, **fields)
        return reply

    def result(self, type_: str, **fields: Any) -> Any:
        """The result of a request that must succeed."""
        return self.peer.result(type_, **fields)

    def code(self, type_: str, **fields: Any) -> str:
        """The error code of a request that must fail."""
        code: str = self.peer.error(type_, **fields)["code"]
        return code

    def run(self, *steps: Any, model: str | None = None, **fields: Any) -> str:
        """A new run with steps done: a number is a step by so much, a map is written; each is a request."""
        run_key: str = self.result("create_run", model_file=model or self.model_file, **fields)["run_key"]
        self.play(run_key, *steps)
        return run_key

    def play(self, run_key: str, *steps: Any) -> None:
        """Steps as for ``run``."""
        for step in steps:
            if isinstance(step, dict):
                self.result("write_variables", run_key=run_key, values=step)
            else:
                self.result("call_operation", run_key=run_key, name="step", arguments=[step])

    def evict(self, run_key: str) -> str:
        """Take a run out of memory; its key."""
        assert self.result("evict_run", run_key=run_key) is None
        return run_key

    def read(self, run_key: str, *names: str, ritual: str = "REVIVE") -> Any:
        """Values by name; of one name the value itself."""
        values = self.result("read_variables", run_key=run_key, names=list(names), ritual=ritual)
        return values[names[0]] if len(names) == 1 else values

    def archived(self, run_key: str, name: str) -> Any:
        """A value without a process."""
        return self.read(run_key, name, ritual="NONE")

    def view(self, run_key: str) -> dict[str, Any]:
        """The Run."""
        view: dict[str, Any] = self.result("get_run", run_key=run_key)
        return view

    def history(self, run_key: str) -> list[dict[str, Any]]:
        """All entries."""
        entries: list[dict[str, Any]] = self.result("read_history", run_key=run_key)["entries"]
        return entries

    def model(self, name: str, source: str, ctx2: str | None = None, **files: str) -> str:
        """A further model; its model_file."""
        model_file: str = self.models.add(name, source, ctx2, **files)
        return model_file


@pytest.fixture(scope="module")
def stage(make_daemon: Any, model_root: Any, connect: Callable[..., Any]) -> Stage:
    """The stage of this module."""
    model_file = model_root.add("play", MODEL, CONTEXT)
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_EXTRA_EVENTS": "output"})
    return Stage(connect(daemon.endpoint), model_root, model_file)


@pytest.fixture(scope="session")
def find_test() -> Callable[[str], bool]:
    """``find_test("tests/part/test_file.py::test_name")``: whether there is such a test."""
    names: dict[str, set[str]] = {}

    def find(test: str) -> bool:
        file, _, name = test.partition("::")
        if file not in names:
            path = REPOSITORY / file
            tree = ast.parse(path.read_text()) if path.is_file() else ast.Module([], [])
            names[file] = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        return name.startswith("test_") and name in names[file]

    return find
