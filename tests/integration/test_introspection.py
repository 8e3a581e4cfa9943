"""What introspection tells of a model, and what it leaves alone: every run, the log, the worker itself."""

from collections.abc import Callable
from typing import Any

import pytest

TOLD_MODEL = '''
import math
import random
from dataclasses import dataclass
from functools import partial

from epicenter import Epicenter

team = "nobody"
drawn = random.random()
nothing = float("nan")
_private = 1
SIZES = {"small": 1}


@dataclass
class Part:
    count: int = 0


part = Part()


def step(weeks, rate=0.5, *more, label="x", **options):
    """End weeks.

        Indented.
    """


def odd(thing=object(), big="x" * 5000, sizes=(1, 2), limit=math.inf):
    global team
    team = "called"


def needs(*, named):
    pass


def _hidden():
    pass


half = partial(step, 1)
Epicenter.record("team", team)
'''

HOSTILE_MODEL = """
class Meta(type):
    @property
    def __name__(cls):
        raise ValueError


class Sly(metaclass=Meta):
    def __getattribute__(self, name):
        raise SystemExit

    def __repr__(self):
        raise KeyboardInterrupt


sly = Sly()


def liar(x=sly):
    pass


liar.__signature__ = sly


def mute(x=sly):
    pass


mute.__doc__ = sly


class Text(str):
    def __len__(self):
        raise ValueError


def decorated(x):
    pass


decorated.__wrapped__ = decorated
globals()["n" * 300] = 1
globals()["\\ud800"] = 1
globals()[7] = 1
globals()[Text("sub")] = 1
plain = 1
"""


@pytest.fixture(scope="module")
def told_model(model_root: Any) -> str:
    name: str = model_root.add("told", TOLD_MODEL)
    return name


def by_name(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {entry.pop("name"): entry for entry in entries}


def test_functions_are_told_with_what_can_be_given_to_them(peer: Any, told_model: str) -> None:
    told = peer.result("introspect_model", model_file=told_model)

    assert told.keys() == {"language", "functions", "variables"}
    assert told["language"] == "PYTHON_3"
    assert [function["name"] for function in told["functions"]] == ["step", "odd", "needs", "half"]
    functions = by_name(told["functions"])
    assert functions["step"] == {
        "arguments": [
            {"name": "weeks", "required": True, "default": None},
            {"name": "rate", "required": False, "default": 0.5},
            {"name": "*more", "required": False, "default": None},
        ],
        "doc": "End weeks.\n\nIndented.",
    }
    assert functions["odd"]["arguments"] == [
        {"name": "thing", "required": False, "default": None},
        {"name": "big", "required": False, "default": None},
        {"name": "sizes", "required": False, "default": [1, 2]},
        {"name": "limit", "required": False, "default": None},
    ]
    assert functions["needs"]["arguments"] == [{"name": "named", "required": True, "default": None}]
    assert functions["half"]["arguments"][0] == {"name": "rate", "required": False, "default": 0.5}
    assert functions["half"]["doc"] == functions["step"]["doc"]


def test_variables_are_told_with_their_types(peer: Any, told_model: str) -> None:
    variables = by_name(peer.result("introspect_model", model_file=told_model)["variables"])

    types = {name: entry["type"] for name, entry in variables.items()}
    assert types == {
        "team": "str",
        "drawn": "float",
        "nothing": "float",
        "SIZES": "dict",
        "part": "Part",
        "forio_random_seed": "int",
    }
    assert all(entry["readable"] and entry["writable"] for entry in variables.values())


def test_introspection_leaves_no_run_and_no_process(
    peer: Any, daemon: Any, told_model: str, wait_until: Callable[..., None]
) -> None:
    peer.result("introspect_model", model_file=told_model)
    before = {process.pid for process in daemon.descendants()}
    runs = peer.result("worker_status")["runs"]

    peer.result("introspect_model", model_file=told_model)

    assert {process.pid for process in daemon.descendants()} <= before
    assert peer.result("worker_status")["runs"] == runs


def test_a_run_is_told_from_its_presets_and_stays_out_of_memory(peer: Any, model_root: Any) -> None:
    source = "def f():\n    pass\n\nbase = size if 'size' in globals() else None\n"
    model_file = model_root.add("preset", source)
    execution = {"presets": {"size": [1, 2]}}
    run = peer.result("create_run", model_file=model_file, execution_context=execution)
    peer.result("evict_run", run_key=run["run_key"])

    told = peer.result("introspect_run", run_key=run["run_key"])

    assert {"name": "base", "type": "list", "readable": True, "writable": True} in told["variables"]
    assert {"name": "size", "type": "list", "readable": True, "writable": True} in told["variables"]
    after = peer.result("get_run", run_key=run["run_key"])
    assert (after["live"], after["seq"]) == (False, 1)


def test_a_live_run_is_told_without_being_touched(peer: Any, counter_model: str) -> None:
    run_key = peer.result("create_run", model_file=counter_model)["run_key"]
    peer.result("call_operation", run_key=run_key, name="add")
    before = peer.result("get_run", run_key=run_key)

    functions = by_name(peer.result("introspect_run", run_key=run_key)["functions"])

    assert functions["add"]["arguments"] == [{"name": "n", "required": False, "default": 1}]
    assert peer.result("get_run", run_key=run_key) == before
    assert peer.result("read_variables", run_key=run_key, names=["counter"]) == {"counter": 1}


def test_what_a_hostile_model_puts_in_the_way_costs_only_its_own_entry(peer: Any, model_root: Any) -> None:
    told = peer.result("introspect_model", model_file=model_root.add("sly", HOSTILE_MODEL))

    functions = by_name(told["functions"])
    assert functions["liar"] == {"arguments": None, "doc": None}
    assert functions["mute"] == {
        "arguments": [{"name": "x", "required": False, "default": None}],
        "doc": None,
    }
    assert "decorated" in functions
    variables = by_name(told["variables"])
    assert variables["plain"]["type"] == "int"
    assert variables.keys() <= {"plain", "sly", "forio_random_seed"}


def test_more_than_can_be_told_is_cut_with_a_warning(peer: Any, model_root: Any) -> None:
    source = "for number in range(1500):\n    globals()[f'v{number}'] = number\n"
    reply = peer.ask("introspect_model", model_file=model_root.add("wide", source))

    assert len(reply["result"]["variables"]) == 1000
    assert reply["warnings"] == [{"code": "TRUNCATED", "path": "variables"}]


@pytest.mark.parametrize(
    ("source", "code"),
    (
        ("def broken(:\n", "MODEL_LOAD_FAILED"),
        ("raise RuntimeError('no')\n", "MODEL_LOAD_FAILED"),
        ("import os\nos._exit(3)\n", "PROCESS_EXITED"),
        ("x = bytearray(4 << 30)\n", "LIMIT_EXCEEDED"),
        ("import inspect\n\ndef f():\n    pass\n\ninspect.Signature.parameters = None\n", None),
    ),
)
def test_a_model_that_cannot_be_loaded_is_the_answer(
    peer: Any, model_root: Any, source: str, code: str | None
) -> None:
    reply = peer.ask("introspect_model", model_file=model_root.add(f"bad{len(source)}", source))

    assert reply.get("error", {}).get("code") == code
    assert peer.result("ping")


def test_a_model_that_does_not_tell_in_time_is_ended(
    make_daemon: Any, model_root: Any, connect: Callable[..., Any]
) -> None:
    source = """
    class Endless:
        def __call__(self):
            pass

        @property
        def __dict__(self):
            while True:
                pass

    endless = Endless()
    """
    model_file = model_root.add("endless", source)
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_OPERATION_TIMEOUT_SECONDS": "1"})
    peer = connect(daemon.endpoint)

    error = peer.error("introspect_model", model_file=model_file)

    assert (error["code"], error["information"]["limit_seconds"]) == ("OPERATION_TIMEOUT", 1.0)
    assert peer.result("worker_status")["runs"]["live"] == 0


def test_missing_models_and_runs_are_refused(peer: Any) -> None:
    assert peer.error("introspect_model", model_file="none/model.py")["code"] == "MODEL_NOT_FOUND"
    assert peer.error("introspect_model", model_file="../model.py")["code"] == "INVALID_REQUEST"
    assert peer.error("introspect_run", run_key="0" * 36)["code"] == "RUN_NOT_FOUND"


def test_a_drain_does_not_wait_for_introspections(
    make_daemon: Any, model_root: Any, connect: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    model_file = model_root.add("asleep", "import time\ntime.sleep(25)\n")
    daemon = make_daemon(model_root.path)
    peer, other = connect(daemon.endpoint), connect(daemon.endpoint)
    peer.send("introspect_model", model_file=model_file)
    wait_until(lambda: len(daemon.descendants()) > 1, 20)

    other.result("drain", grace_seconds=20)

    assert peer.receive(10)["error"]["code"] == "DRAINING"
    assert daemon.process.wait(10) == 0


FORGER = """
import os
import struct

import msgpack

from epicenter import Epicenter


def forge(value):
    body = msgpack.packb(["outcome", 1, "completed", msgpack.packb(value), {{}}, []])
    os.write(3, struct.pack(">I", len(body)) + body)


class Liar:
    def __call__(self):
        pass

    @property
    def __dict__(self):
        forge({value})


{when}
"""


@pytest.mark.parametrize(
    ("value", "when"),
    (
        ("{'functions': [], 'variables': []}", "forge({'functions': [], 'variables': []})"),
        ("{'functions': 1, 'variables': []}", "liar = Liar()"),
        ("{'functions': [], 'variables': [{'name': 1}]}", "liar = Liar()"),
        ("{'functions': [], 'variables': [], 'more': 1}", "liar = Liar()"),
        ("[]", "liar = Liar()"),
        ("float('nan')", "liar = Liar()"),
    ),
)
def test_a_process_that_forges_its_answer_is_ended(
    peer: Any, model_root: Any, value: str, when: str, request: pytest.FixtureRequest
) -> None:
    source = FORGER.format(value=value, when=when)
    name = f"forger{request.node.callspec.indices['value']}"

    error = peer.error("introspect_model", model_file=model_root.add(name, source))

    assert error["code"] == "PROCESS_EXITED"
    assert "broke its channel" in error["message"]
    assert peer.result("ping")
