"""Any sequence of requests, over the wire: histories against a model of them, assemblies against each other, filters."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BOUNDED = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)

# Histories: what a worker may keep of a run, in a few lines.


@dataclass(frozen=True)
class Entry:
    """One entry: ``change`` is what it does to price and secret, ``is_step`` whether a rewind counts it."""

    kind: str
    change: tuple[str, Any] = ("", 0)
    is_step: bool = False
    rewound_by: int | None = None


@dataclass
class Told:
    """The history of a run as the reference has it; entry n is at place n - 1."""

    entries: list[Entry] = field(default_factory=lambda: [Entry("boot")])

    @property
    def head(self) -> int:
        return len(self.entries)

    def as_of(self, seq: int) -> "Told":
        """The history when ``seq`` was its head."""
        cut = [
            replace(entry, rewound_by=None) if (entry.rewound_by or 0) > seq else entry
            for entry in self.entries[:seq]
        ]
        return Told(cut)

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = {"price": 0, "secret": 5}
        for entry in self.entries:
            name, value = entry.change
            if entry.rewound_by is None and name:
                state[name] = state[name] + value if entry.kind == "execute" else value
        return state

    def place(self, argument: Any) -> int:
        return argument if isinstance(argument, int) else 1 + round(argument[1] * (self.head - 1))

    def can_return_to(self, seq: int) -> bool:
        return 1 <= seq < self.head and self.entries[seq - 1].rewound_by is None

    def rewind(self, to_seq: int) -> None:
        marker = self.head + 1
        self.entries[to_seq:] = [
            entry if entry.rewound_by else replace(entry, rewound_by=marker)
            for entry in self.entries[to_seq:]
        ]
        self.entries.append(Entry("rewind"))

    def before_steps(self, count: int) -> int | None:
        """Where ``count`` steps back leads; None if there are not so many."""
        steps = [
            place for place, entry in enumerate(self.entries) if entry.is_step and entry.rewound_by is None
        ]
        return steps[-count] if 1 <= count <= len(steps) else None

    def shown(self) -> list[tuple[int, str, int | None]]:
        return [(place, entry.kind, entry.rewound_by) for place, entry in enumerate(self.entries, 1)]


SMALL = st.integers(-2, 14)
PLACES = SMALL | st.floats(0, 1).map(lambda share: ("share", share))
"""A seq, or which share of the history comes before it."""
MOVES = st.one_of(
    st.tuples(st.just("step"), st.integers(-3, 3)),
    st.tuples(st.just("set"), st.integers(0, 9)),
    st.tuples(st.just("fail"), st.none()),
    st.tuples(st.just("back"), st.integers(-1, 4)),
    st.tuples(st.just("to"), PLACES),
    st.tuples(st.just("clone"), PLACES),
    st.tuples(st.just("evict"), st.none()),
    st.tuples(st.just("page"), st.tuples(SMALL | st.just(2**63 - 1), st.integers(0, 5) | st.just(10_001))),
)


def shown(entries: list[dict[str, Any]]) -> list[tuple[int, str, int | None]]:
    return [(entry["seq"], entry["kind"], entry.get("rewound_by")) for entry in entries]


def move(stage: Any, run_key: str, told: Told, what: str, argument: Any) -> None:
    """Make one move with the run and with what is told of it; both must agree on whether it can be made."""
    match what:
        case "step":
            stage.play(run_key, argument)
            told.entries.append(Entry("execute", ("price", argument), is_step=True))
        case "set":
            stage.play(run_key, {"secret": argument})
            told.entries.append(Entry("set", ("secret", argument)))
        case "fail":
            assert stage.code("call_operation", run_key=run_key, name="fail") == "OPERATION_FAILED"
            told.entries.append(Entry("execute", ("secret", 1)))
        case "back":
            go_back(stage, run_key, told, told.before_steps(argument), rewind_count=argument)
        case "to":
            seq = told.place(argument)
            go_back(stage, run_key, told, seq if told.can_return_to(seq) else None, to_seq=seq)
        case "clone":
            copy(stage, run_key, told, told.place(argument))
        case "evict":
            stage.evict(run_key)
        case _:
            page(stage, run_key, told, *argument)


def go_back(stage: Any, run_key: str, told: Told, target: int | None, **fields: Any) -> None:
    reply = stage.ask("rewind_run", run_key=run_key, **fields)
    if target is None:
        assert reply["error"]["code"] == "REWIND_INVALID"
        return
    assert reply["ok"], reply["error"]
    told.rewind(target)


def copy(stage: Any, run_key: str, told: Told, at_seq: int) -> None:
    reply = stage.ask("clone_run", run_key=run_key, at_seq=at_seq)
    if not 1 <= at_seq <= told.head:
        assert (reply["error"]["code"], reply["error"]["information"]["path"]) == (
            "INVALID_REQUEST",
            "at_seq",
        )
        return
    check(stage, reply["result"]["run_key"], told.as_of(at_seq))
    stage.evict(reply["result"]["run_key"])


def page(stage: Any, run_key: str, told: Told, after_seq: int, limit: int) -> None:
    reply = stage.ask("read_history", run_key=run_key, after_seq=after_seq, limit=limit)
    if after_seq < 0 or not 1 <= limit <= 10_000:
        assert reply["error"]["code"] == "INVALID_REQUEST"
        return
    assert reply["result"]["head_seq"] == told.head
    assert shown(reply["result"]["entries"]) == told.shown()[after_seq : after_seq + limit]


def check(stage: Any, run_key: str, told: Told) -> None:
    assert stage.read(run_key, "price", "secret") == told.state()
    assert shown(stage.history(run_key)) == told.shown()
    assert stage.view(run_key)["seq"] == told.head


@settings(BOUNDED, max_examples=40)
@given(moves=st.lists(MOVES, min_size=1, max_size=14), places=st.lists(PLACES, min_size=2, max_size=2))
def test_a_history_is_what_its_model_says(
    stage: Any, moves: list[tuple[str, Any]], places: list[Any]
) -> None:
    run_key, told = stage.run(), Told()
    for what, argument in [("step", 1), ("set", 6), ("step", 2), *moves]:
        move(stage, run_key, told, what, argument)
    check(stage, run_key, told)
    for place in places:
        copy(stage, run_key, told, told.place(place))
    check(stage, stage.evict(run_key), told)
    stage.evict(run_key)


# Assemblies: for a model that records all it holds, each of them restores the same variables.

RECORDING = """
import functools
import json
import random

from epicenter import Epicenter

NAMES = ("total", "log", "table", "drawn", "point")
total = 0
log = []
table = {"a": None}
drawn = []


class Point:
    def __init__(self, x):
        self.x = x


point = Point(0)


def decode(name, variable, text, mode):
    if name == "point":
        globals()["point"] = Point(json.loads(text)["x"])
    else:
        raise ValueError(name)


Epicenter.register_custom_encoder(Point, lambda value: json.dumps({"py/object": "Point", "x": value.x}))
Epicenter.register_custom_decoder(Point, decode)


def recorded(function):
    @functools.wraps(function)
    def call(*arguments):
        try:
            return function(*arguments)
        finally:
            for name in NAMES:
                Epicenter.record(name, globals()[name])

    return call


@recorded
def add(value):
    global total
    log.append(value)
    total = len(log)
    return total


@recorded
def put(key, value):
    table[key] = value
    return len(table)


@recorded
def draw():
    drawn.append(random.random())
    return drawn[-1]


@recorded
def jump(x):
    global point
    point = Point(x)


@recorded
def fail(value):
    log.append([value])
    raise ValueError("after a change")


@recorded
def keep():
    pass


keep()
"""
NAMES = ("total", "log", "table", "drawn", "point")
ASSEMBLIES: list[list[dict[str, Any]]] = [
    [{"replay": {}}],
    [{"snapshot": {}}],
    [{"snapshot": {"variables": list(NAMES)}}],
    [{"replay": {}}, {"snapshot": {}}],
    [{"objectType": "replay"}, {"objectType": "snapshot", "variables": ["point", "table"]}],
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["a", "b", "c d"])


def call(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*arguments).map(
        lambda given: {"kind": "execute", "name": name, "arguments": list(given)}
    )


def assign(name: str, value: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return value.map(lambda given: {"kind": "set", "name": name, "value": given})


ACTIONS = st.one_of(
    call("add", VALUES),
    call("put", KEYS, VALUES),
    call("draw"),
    call("jump", st.integers(-9, 9)),
    call("fail", VALUES),
    assign("total", VALUES),
    assign("log", st.lists(VALUES, max_size=3)),
    assign("table", st.dictionaries(KEYS, VALUES, max_size=2)),
    assign('table["c d"]', VALUES),
    assign("point", st.integers(-9, 9).map(lambda x: {"x": x})),
)


@pytest.fixture(scope="module")
def recording(stage: Any) -> str:
    """The model_file of a model that records all it holds after every operation."""
    name: str = stage.model("recording", RECORDING)
    return name


@settings(BOUNDED, max_examples=20)
@given(requests=st.lists(st.lists(ACTIONS, min_size=1, max_size=4), min_size=1, max_size=5))
def test_every_assembly_restores_the_same_variables(
    stage: Any, recording: str, requests: list[list[dict[str, Any]]]
) -> None:
    run_key = stage.run(model=recording)
    for actions in requests:
        reply = stage.ask("perform_actions", run_key=run_key, actions=actions)
        fails = any(action["name"] == "fail" for action in actions)
        assert reply["ok"] is not fails, reply
    # What was set from outside is recorded by the next operation.
    stage.result("call_operation", run_key=run_key, name="keep")
    values = stage.read(run_key, *NAMES)
    history = stage.history(run_key)

    for assembly in ASSEMBLIES:
        stage.evict(run_key)
        reply = stage.ask(
            "restore_run", run_key=run_key, model_context={"restorations": {"assembly": assembly}}
        )
        assert reply["ok"], reply["error"]
        assert reply.get("warnings", []) == []
        assert stage.read(run_key, *NAMES) == values, assembly
    stage.evict(run_key)
    assert stage.read(run_key, *NAMES, ritual="NONE") == values
    assert stage.history(run_key) == history


# Filters and sorts as nobody would write them, through the wire.

TOKENS = """
run. var. meta. price secret created hidden = != >= |= ~= *= !~= true 1 " ( ) [ ] { } ; | * null 2026-01-01 # @
"""
TEXTS = (
    st.text(max_size=60)
    | st.text(alphabet='runvarmeta.xy=!<>|~*;()[]{}"\\ 1-+T:Z', max_size=60)
    | st.binary(max_size=40).map(lambda data: data.decode("latin-1"))
    | st.lists(st.sampled_from(TOKENS.split()), max_size=12).map("".join)
)


@settings(BOUNDED, max_examples=300)
@given(filters=TEXTS, sort=TEXTS)
def test_any_filter_and_sort_is_answered_or_refused_with_its_place(
    stage: Any, filters: str, sort: str
) -> None:
    for fields in ({"filter": filters}, {"sort": sort}, {"filter": filters, "sort": sort}):
        reply = stage.ask("query_runs", max=1, **fields)
        if reply["ok"]:
            found = reply["result"]
            assert found["total_results"] >= len(found["values"])
            continue
        error = reply["error"]
        assert (error["code"], error["status"]) == ("INVALID_FILTER", 400)
        information = error["information"]
        assert information["field"] in fields
        assert 0 <= information["position"] <= len(fields[information["field"]])
