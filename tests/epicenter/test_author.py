"""What a model's author may rely on, fact by fact of the reference, seen over the wire."""

from collections.abc import Callable
from typing import Any

import pytest

TABLE = """
main file in its folder, sub-packages importable
top-level code runs at every load
variables are globals, read and written by name
dotted paths and indices reach inside
underscores, modules, classes and functions are no variables
operations are module-level functions with positional arguments
presets reach submodules through the environment
EPICENTER_WORKER_CONTEXT
record(name, value)
subscribe(name, function)
publish(name, ...)
log(level, message)
callback(name, arguments)
actor()
register_custom_encoder(type, fn)
register_custom_decoder(type, fn)
scribble(level, message)
lifecycle events
introspection
an exception rejects input and is recorded
"""
SOURCE = '''
import json
import math
import os
from collections import namedtuple
from json import dumps as to_text

from epicenter import Epicenter
from sim.state import State, context

loads = 1
state = State()
grid = [[1, 2], [3, 4]]
table = {"a": {"b": [10, 20]}, "1": "one", "two words": 2}
pair = namedtuple("Pair", "left right")(1, [2])
_hidden = 1
scope = "none"
kept = {"n": 1}
heard = []
decoded = []


class Point:
    """Known to a custom encoder and decoder."""

    def __init__(self, x):
        self.x = x


point = Point(1)


def encode_point(value):
    return json.dumps({"py/object": "Point", "x": value.x})


def decode_point(name, variable, value, mode):
    global point
    point = Point(json.loads(value)["x"])
    decoded.append([name, type(variable).__name__, mode])
    return "ignored"


Epicenter.register_custom_encoder(Point, encode_point)
Epicenter.register_custom_decoder(Point, decode_point)


def add(left, right=10, *rest):
    """Adds."""
    return left + right + sum(rest)


def note():
    kept["n"] += 1
    Epicenter.record("kept", {"n": "overwritten"})
    Epicenter.record("kept", kept)
    Epicenter.record("kept.n", kept["n"])
    Epicenter.record("point", point)
    kept["n"] += 100


def hear():
    Epicenter.subscribe("mine", lambda *args, **kwargs: heard.append("first"))
    Epicenter.subscribe("mine", lambda *args, **kwargs: heard.append([list(args), kwargs]))
    Epicenter.subscribe("mine", "not callable")
    Epicenter.publish("mine", 1, key=2)
    return Epicenter.publish("nobody", 1)


def tell():
    Epicenter.log("WARN", "logged")
    Epicenter.scribble("ERROR", "scribbled")
    Epicenter.log("DEBUG", "too quiet")


def actor():
    return Epicenter.actor()


def make_point(x):
    return Point(x)


def environment():
    return json.loads(os.environ["EPICENTER_WORKER_CONTEXT"])


def call_back():
    return Epicenter.callback("nobody", [1])


def submodule():
    return context()


def reject(price):
    global loads
    loads += 1
    raise ValueError(f"{price} is too much")


Epicenter.subscribe("onRestored", lambda: heard.append("restored"))
'''
STATE = """
import json
import os


class State:
    def __init__(self):
        self.money = 5
        self.vars = {"on60Day": [1, 2, 3]}

    def spend(self):
        self.money -= 1


def context():
    return json.loads(os.environ["EPICENTER_WORKER_CONTEXT"])["execution"]["presets"]
"""
CONTEXT = (
    '{"operations": {"actor": {"inert": true}, "environment": {"inert": true}}, "minimumLogLevel": "INFO"}'
)
ACTOR = {
    "pseudonym_key": "p-1",
    "group_key": "g-1",
    "group_mandate": "FACILITATOR",
    "world_key": "w-1",
    "world_role": "Sales",
}


@pytest.fixture(scope="module")
def author(stage: Any) -> str:
    """The model_file of the author's model."""
    name: str = stage.model("author", SOURCE, CONTEXT)
    package = stage.models.path / "author" / "sim"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "state.py").write_text(STATE)
    return name


def check_folder(stage: Any, author: str) -> None:
    assert stage.read(stage.run(model=author), "state.money") == 5


def check_loads(stage: Any, author: str) -> None:
    source = "import itertools\nloads = []\nloads.append(len(loads) + 1)\n\ndef more():\n    loads.append('more')\n"
    run_key = stage.run(model=stage.model("loading", source))
    stage.result("call_operation", run_key=run_key, name="more")
    for key in (stage.evict(run_key), stage.result("clone_run", run_key=run_key)["run_key"]):
        assert stage.read(key, "loads") == [1, "more"], "each process began with the body, and once"


def check_variables(stage: Any, author: str) -> None:
    run_key = stage.run(model=author)
    values = {"scope": {"any": ["json", None]}, "grid": 7}
    assert stage.result("write_variables", run_key=run_key, values=values) == values
    assert stage.read(run_key, *values) == values
    for names in (["no_such"], ["scope", "no_such"]):
        assert stage.code("read_variables", run_key=run_key, names=names) == "UNKNOWN_VARIABLE"
    error = stage.ask("write_variables", run_key=run_key, values={"scoop": 1})["error"]
    assert (error["code"], error["information"]["suggestions"]) == ("UNKNOWN_VARIABLE", ["scope"])


PATHS: dict[str, Any] = {
    "state.money": 5,
    "state.vars.on60Day": [1, 2, 3],
    "state.vars.on60Day[2]": 3,
    "state.vars.on60Day.2": 3,
    "state.vars.on60Day[-1]": 3,
    "grid[1]": [3, 4],
    "grid[1,0]": 3,
    "grid[1, 0]": 3,
    "grid[1][0]": 3,
    "table.a.b[1]": 20,
    'table["two words"]': 2,
    "table['a']['b'][0]": 10,
    "table.1": "one",
    "pair.left": 1,
    "pair[1][0]": 2,
}


def check_paths(stage: Any, author: str) -> None:
    run_key = stage.run(model=author)
    assert stage.read(run_key, *PATHS) == PATHS
    written = {
        path: [9]
        for path in ("state.money", "state.vars.on60Day[1]", "grid[0,1]", 'table["new key"]', "pair.right[0]")
    }
    assert stage.result("write_variables", run_key=run_key, values=written) == written
    for key in (run_key, stage.evict(run_key)):
        assert stage.read(key, *written) == written
    for wrong in (
        "grid[7]",
        "state.nothing",
        "grid[",
        "grid[a]",
        "state.spend",
        ".x",
        "state..money",
        "table.b",
    ):
        assert stage.code("read_variables", run_key=run_key, names=[wrong]) == "UNKNOWN_VARIABLE"


def check_no_variables(stage: Any, author: str) -> None:
    run_key = stage.run(model=author)
    for name in ("_hidden", "math", "os", "Point", "State", "add", "to_text", "__name__", "Epicenter"):
        assert stage.code("read_variables", run_key=run_key, names=[name]) == "UNKNOWN_VARIABLE"
        assert stage.code("write_variables", run_key=run_key, values={name: 1}) == "UNKNOWN_VARIABLE"


def check_operations(stage: Any, author: str) -> None:
    run_key = stage.run(model=author)
    for arguments, result in (([1], 11), ([1, 2], 3), ([1, 2, 3, 4], 10)):
        assert stage.result("call_operation", run_key=run_key, name="add", arguments=arguments) == result
    for name in ("no_such", "grid", "Point", "to_text", "state.spend", "_hidden", "print"):
        assert stage.code("call_operation", run_key=run_key, name=name) == "UNKNOWN_OPERATION"
    error = stage.ask("call_operation", run_key=run_key, name="add")["error"]
    assert (error["code"], error["information"]["type"]) == ("OPERATION_FAILED", "TypeError"), (
        "none are given"
    )


def check_submodules(stage: Any, author: str) -> None:
    run_key = stage.run(model=author, execution_context={"presets": {"scope": {"a": [1]}}})
    assert stage.result("call_operation", run_key=run_key, name="submodule") == {"scope": {"a": [1]}}


def check_environment(stage: Any, author: str) -> None:
    execution = {"version": "V1", "presets": {"scope": 1}}
    run_key = stage.run(
        model=author,
        execution_context=execution,
        model_context={"modelVersion": 4},
        address={"account_short_name": "acme", "project_short_name": "sim"},
    )
    given = stage.result("call_operation", run_key=run_key, name="environment")
    assert set(given) >= {"runKey", "execution", "model", "accountShortName", "projectShortName", "seed"}
    assert (given["runKey"], given["execution"]) == (run_key, execution)
    assert (given["accountShortName"], given["projectShortName"]) == ("acme", "sim")
    assert (given["model"]["modelVersion"], given["model"]["minimumLogLevel"]) == (4, "INFO")
    assert given["seed"] == stage.read(run_key, "forio_random_seed")
    clone = stage.result("clone_run", run_key=run_key)["run_key"]
    assert stage.result("call_operation", run_key=clone, name="environment")["runKey"] == clone


def check_record(stage: Any, author: str) -> None:
    run_key = stage.run(model=author)
    stage.result("call_operation", run_key=run_key, name="note")
    stage.evict(run_key)
    values = stage.read(run_key, "kept", "kept.n", "point", ritual="NONE")
    assert values == {"kept": {"n": 2}, "kept.n": 2, "point": {"py/object": "Point", "x": 1}}


def check_subscribe(stage: Any, author: str) -> None:
    run_key = stage.run(model=author)
    assert stage.result("call_operation", run_key=run_key, name="hear") is None
    assert stage.read(run_key, "heard") == [[[1], {"key": 2}]], (
        "the last handler, called at once, none for others"
    )


def told(stage: Any, author: str) -> list[tuple[str, str]]:
    run_key = stage.run(model=author)
    stage.result("call_operation", run_key=run_key, name="tell")
    stage.read(stage.evict(run_key), "scope")  # a replay tells nothing again
    stage.evict(run_key)
    events = stage.result("read_events", run_key=run_key)["events"]
    lines = [line for event in events if event["kind"] == "output" for line in event["lines"]]
    return [(line["level"], line["text"]) for line in lines]


def check_log(stage: Any, author: str) -> None:
    assert told(stage, author) == [("WARN", "logged"), ("ERROR", "scribbled")]


def check_callback(stage: Any, author: str) -> None:
    run_key = stage.run(model=author)
    assert stage.result("call_operation", run_key=run_key, name="call_back") is None, (
        "an unknown name is ignored"
    )


def check_actor(stage: Any, author: str) -> None:
    run_key = stage.run(model=author)
    ask = {"run_key": run_key, "name": "actor"}
    assert stage.result("call_operation", **ask, actor=ACTOR).items() >= ACTOR.items()
    nobody = stage.result("call_operation", **ask)
    assert {name: nobody[name] for name in ACTOR} == dict.fromkeys(ACTOR), "never None, each may be"


def check_encoder(stage: Any, author: str) -> None:
    run_key = stage.run(model=author)
    shown = {"py/object": "Point", "x": 1}
    assert stage.read(run_key, "point") == shown
    made = stage.result("call_operation", run_key=run_key, name="make_point", arguments=[1])
    assert made == shown


def check_decoder(stage: Any, author: str) -> None:
    snapshot = {"restorations": {"assembly": [{"snapshot": {"variables": ["point"]}}]}}
    run_key = stage.run(model=author)
    written = stage.result("write_variables", run_key=run_key, values={"point": {"x": 6}})
    assert written == {"point": {"py/object": "Point", "x": 6}}
    stage.result("call_operation", run_key=run_key, name="note")
    assert stage.read(run_key, "decoded") == [["point", "Point", "set"]]
    stage.evict(run_key)
    assert stage.read(run_key, "point.x", "decoded") == {"point.x": 6, "decoded": [["point", "Point", "set"]]}
    stage.evict(run_key)
    stage.result("restore_run", run_key=run_key, model_context=snapshot)
    assert stage.read(run_key, "point.x", "decoded") == {
        "point.x": 6,
        "decoded": [["point", "Point", "restore"]],
    }


def check_events(stage: Any, author: str) -> None:
    model_file = stage.model_file  # hears the events, and keeps their names
    run_key = stage.run(1, 1, model=model_file)
    assert stage.read(run_key, "seen") == ["onInitialized"]
    assert stage.read(stage.evict(run_key), "seen") == ["onInitialized", "onRestored"]
    stage.result("rewind_run", run_key=run_key, rewind_count=1)
    assert stage.read(run_key, "seen") == ["onInitialized", "onRewound"]
    clone = stage.result("clone_run", run_key=run_key)["run_key"]
    assert stage.read(clone, "seen") == ["onInitialized", "onCloned"]


def check_introspection(stage: Any, author: str) -> None:
    shown = stage.result("introspect_model", model_file=author)
    assert list(shown) == ["language", "functions", "variables"]
    functions = {function["name"]: function for function in shown["functions"]}
    assert functions["add"] == {
        "name": "add",
        "arguments": [
            {"name": "left", "required": True, "default": None},
            {"name": "right", "required": False, "default": 10},
            {"name": "*rest", "required": False, "default": None},
        ],
        "doc": "Adds.",
    }
    assert not {"Point", "to_text", "_hidden"} & set(functions)
    variables = {variable["name"]: variable for variable in shown["variables"]}
    assert variables["grid"] == {"name": "grid", "type": "list", "readable": True, "writable": True}
    assert not {"_hidden", "math", "Point", "add"} & set(variables)


def check_errors(stage: Any, author: str) -> None:
    run_key = stage.run(model=author)
    error = stage.ask("call_operation", run_key=run_key, name="reject", arguments=[3])["error"]
    assert (error["code"], error["status"], error["retryable"]) == ("OPERATION_FAILED", 422, False)
    information = error["information"]
    assert (information["type"], information["message"]) == ("ValueError", "3 is too much")
    assert "raise ValueError" in information["traceback"]
    assert "worker/child" not in information["traceback"], "the model's own frames"
    entry = stage.history(run_key)[-1]
    assert (entry["name"], entry["outcome"]["status"]) == ("reject", "error")
    for key in (run_key, stage.evict(run_key)):
        assert stage.read(key, "loads") == 2, "what it changed before it raised stays, and comes back"


CASES: dict[str, Callable[[Any, str], None]] = {
    "main file in its folder, sub-packages importable": check_folder,
    "top-level code runs at every load": check_loads,
    "variables are globals, read and written by name": check_variables,
    "dotted paths and indices reach inside": check_paths,
    "underscores, modules, classes and functions are no variables": check_no_variables,
    "operations are module-level functions with positional arguments": check_operations,
    "presets reach submodules through the environment": check_submodules,
    "EPICENTER_WORKER_CONTEXT": check_environment,
    "record(name, value)": check_record,
    "subscribe(name, function)": check_subscribe,
    "publish(name, ...)": check_subscribe,
    "log(level, message)": check_log,
    "callback(name, arguments)": check_callback,
    "actor()": check_actor,
    "register_custom_encoder(type, fn)": check_encoder,
    "register_custom_decoder(type, fn)": check_decoder,
    "scribble(level, message)": check_log,
    "lifecycle events": check_events,
    "introspection": check_introspection,
    "an exception rejects input and is recorded": check_errors,
}


@pytest.mark.parametrize("fact", CASES)
def test_an_author_may_rely_on(stage: Any, author: str, fact: str) -> None:
    CASES[fact](stage, author)


def test_every_fact_has_a_case() -> None:
    assert list(CASES) == TABLE.strip().splitlines()
