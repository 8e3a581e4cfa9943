"""What a model's author writes against: the package epicenter, its events, and what becomes of values."""

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from protocol.client import Client
from protocol.entities import Ritual
from protocol.errors import ErrorCode, ProtocolError

README = Path(__file__).parents[2] / "README.md"

FAREWELL = """
import os
import time

from epicenter import Epicenter

visits = []
patience = 0


def visit(name):
    visits.append(name)
    Epicenter.record("visits", visits)
    return len(visits)


def wait_at_the_end(seconds):
    global patience
    patience = seconds


def die():
    os._exit(3)


def pid():
    return os.getpid()


def leave():
    print("leaving with", visits)
    visits.append("left")
    Epicenter.record("visits", visits)
    time.sleep(patience)
    raise ValueError("gone")


Epicenter.subscribe("onTerminating", leave)
"""

INERT = '{"operations": {"pid": {"inert": true}}}'

# Left: a row of the table in the README. Right: an expression, and what it becomes.
VALUES: dict[str, list[tuple[str, Any]]] = {
    "None, bool, str, int (-2^63 ... 2^64-1), finite float": [
        ("[None, True, 'a', 2**64 - 1, 0.5]", [None, True, "a", 2**64 - 1, 0.5])
    ],
    "NaN, +-Infinity, also as Decimal or numpy scalar": [
        ("[float('nan'), Decimal('Infinity'), np.float64('nan')]", [None, None, None])
    ],
    "list, tuple (named ones too), deque, array.array, range, dict views": [
        (
            "(1, Point(1, 2), deque([1]), array('d', [0.5]), range(2), {'a': 1}.items())",
            [1, [1, 2], [1], [0.5], [0, 1], [["a", 1]]],
        )
    ],
    "set, frozenset": [("[{3, 1, 2}, frozenset('ba')]", [[1, 2, 3], ["a", "b"]])],
    "dict and other mappings": [
        ("[Counter('aa'), MappingProxyType({'a': (1,)}), OrderedDict(a=1)]", [{"a": 2}, {"a": [1]}, {"a": 1}])
    ],
    "map keys: int, float, bool, None, Enum": [
        (
            "{1: 0, 1.5: 0, False: 0, None: 0, Color.RED: 0}",
            dict.fromkeys(("1", "1.5", "false", "null", "red"), 0),
        )
    ],
    "map keys: date, datetime, time, Decimal, Fraction, UUID, path": [
        (
            "{date(2026, 1, 2): 0, Decimal('0.10'): 0, PurePath('/a'): 0}",
            {"2026-01-02": 0, "0.10": 0, "/a": 0},
        )
    ],
    "datetime, date, time": [
        (
            "[datetime(2026, 1, 2, 3, tzinfo=UTC), date(2026, 1, 2), time(1, 2)]",
            ["2026-01-02T03:00:00+00:00", "2026-01-02", "01:02:00"],
        )
    ],
    "timedelta": [("timedelta(minutes=1, milliseconds=5)", 60.005)],
    "Decimal, Fraction": [("[Decimal('0.10'), Fraction(1, 3)]", ["0.10", "1/3"])],
    "UUID, path": [("[UUID(int=1), PurePath('/a')]", ["00000000-0000-0000-0000-000000000001", "/a"])],
    "Enum": [("[Color.RED, Level.LOW, Access.READ | Access.WRITE]", ["red", 1, 3])],
    "dataclass instance, SimpleNamespace": [
        ("[Company('A', (1,)), SimpleNamespace(a=Color.RED)]", [{"name": "A", "parts": [1]}, {"a": "red"}])
    ],
    "numpy scalar, array": [
        ("[np.int64(1), np.float32(0.5), np.bool_(True), np.str_('a')]", [1, 0.5, True, "a"]),
        (
            "[np.arange(4).reshape(2, 2), np.array(3), np.array(['a']), np.array([1, None])]",
            [[[0, 1], [2, 3]], 3, ["a"], [1, None]],
        ),
        ("np.array([(1, 'x')], dtype=[('n', 'i4'), ('s', 'U1')])", [{"n": 1, "s": "x"}]),
    ],
    "numpy datetime64 / timedelta64": [
        (
            "[np.datetime64('2026-01-02'), np.timedelta64(90, 's'), np.datetime64('NaT')]",
            ["2026-01-02", 90.0, None],
        )
    ],
    "pandas Series": [
        ("[pd.Series([1, 2]), pd.Series([1.5], index=['a'])]", [[1, 2], {"a": 1.5}]),
    ],
    "pandas DataFrame": [
        ("pd.DataFrame({'n': [1, 2], 's': ['a', None]}, index=[7, 8])", {"n": [1, 2], "s": ["a", None]})
    ],
    "pandas Index, Categorical and other arrays": [
        ("[pd.Index([1]), pd.Categorical(['a']), pd.array([1, None])]", [[1], ["a"], [1, None]])
    ],
    "what is missing in a Series or a column": [
        (
            "[pd.Series(['a', None]), pd.Series([pd.NaT]), pd.Series([0.5, None])]",
            [["a", None], [None], [0.5, None]],
        )
    ],
    "pandas Timestamp, Timedelta / Period, Interval": [
        (
            "[pd.Timestamp('2026-01-02'), pd.Timedelta('90s'), pd.Period('2026-01'), pd.Interval(0, 1)]",
            ["2026-01-02T00:00:00", 90.0, "2026-01", "(0, 1]"],
        )
    ],
    "an instance of a class with a custom encoder": [("Order(3)", {"amount": 3})],
}
CASES = [case for cases in VALUES.values() for case in cases]

ZOO = """
from array import array
from collections import Counter, OrderedDict, deque, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from fractions import Fraction
from pathlib import PurePath
from types import MappingProxyType, SimpleNamespace
from uuid import UUID
import json

import numpy as np
import pandas as pd
from epicenter import Epicenter

Point = namedtuple("Point", "x y")
Color = Enum("Color", {"RED": "red"})
Level = IntEnum("Level", "LOW")
Access = Flag("Access", "READ WRITE")
kept = None


@dataclass
class Company:
    name: str
    parts: tuple


class Order:
    def __init__(self, amount):
        self.amount = amount


Epicenter.register_custom_encoder(Order, lambda order: json.dumps({"amount": order.amount}))


def keep(expressions):
    global kept
    kept = [eval(expression) for expression in expressions]
    Epicenter.record("kept", kept)
    return kept
"""

OFFERED = """
import sys
import epicenter
import epicenter as older
from epicenter import CallbackError, Epicenter

received = []
Epicenter.subscribe("told", lambda *values: received.append(values) or len(received))


def offered():
    names = sorted(name for name in vars(Epicenter) if not name.startswith("_"))
    return names, getattr(epicenter, "__file__", None), older.record is Epicenter.record


def tell(value):
    return Epicenter.publish("told", value), received


def ask():
    return Epicenter.callback("leaderboard", [{"score": 1}])
"""


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any) -> Any:
    model_root.add("farewell", FAREWELL, INERT)
    model_root.add("hasty", FAREWELL, '{"events": {"onTerminating": {"timeoutSeconds": 0.2}}}')
    model_root.add("patient", FAREWELL, '{"events": {"onTerminating": {"timeoutSeconds": 6}}}')
    model_root.add("zoo", ZOO)
    model_root.add("offered", OFFERED)
    return make_daemon(model_root.path, env={"MODEL_WORKER_LOG_MODEL_OUTPUT": "true"})


@pytest.fixture(scope="module")
def client(daemon: Any) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


@pytest.fixture
def printed(daemon: Any, wait_until: Callable[..., None]) -> Callable[..., list[str]]:
    """``printed(run_key, until=word)``: what the model of a run printed or logged, once the word is there."""

    def printed(run_key: str, until: str = "") -> list[str]:
        def texts() -> list[str]:
            lines = [json.loads(line) for line in daemon.logged().splitlines() if line.startswith("{")]
            return [
                line["text"]
                for line in lines
                if line["event"] == "model output" and line["run_key"] == run_key
            ]

        wait_until(lambda: any(until in text for text in texts()) or not until)
        return texts()

    return printed


# The package


def test_a_run_has_the_hosts_own_package(client: Client) -> None:
    run = client.create_run("offered/model.py")
    names, file, is_same = client.call_operation(run.run_key, "offered")
    assert names == [
        "actor",
        "callback",
        "log",
        "publish",
        "record",
        "register_custom_decoder",
        "register_custom_encoder",
        "require_approval",
        "run",
        "scribble",
        "subscribe",
    ]
    assert (file, is_same) == (None, True)


def test_publish_calls_the_handler_of_the_model(client: Client) -> None:
    run = client.create_run("offered/model.py")
    assert client.call_operation(run.run_key, "tell", ["a"]) == [1, [["a"]]]


def test_a_callback_that_the_context_does_not_know_is_told(
    client: Client, printed: Callable[..., list[str]]
) -> None:
    run = client.create_run("offered/model.py")
    assert client.call_operation(run.run_key, "ask") is None
    told = printed(run.run_key, until="callback")
    assert told[-1] == "callback 'leaderboard': externalFunctions has no such name, nothing was called"


# onTerminating


def test_a_run_that_is_evicted_is_told(client: Client, printed: Callable[..., list[str]]) -> None:
    run = client.create_run("farewell/model.py")
    client.call_operation(run.run_key, "visit", ["Ada"])
    client.evict_run(run.run_key)
    told = printed(run.run_key, until="ValueError: gone")
    assert told[0] == "leaving with ['Ada']"
    assert "record 'visits' in onTerminating is not kept" in told[1]
    assert told[2].startswith("onTerminating raised ValueError: gone")


def test_what_the_handler_did_is_in_no_history_and_no_archive(client: Client) -> None:
    run = client.create_run("farewell/model.py")
    client.call_operation(run.run_key, "visit", ["Ada"])
    client.evict_run(run.run_key)
    assert client.read_variables(run.run_key, ["visits"]) == {"visits": ["Ada"]}
    assert client.call_operation(run.run_key, "visit", ["Bo"]) == 2
    assert client.read_variables(run.run_key, ["visits"], ritual=Ritual.REVIVE) == {"visits": ["Ada", "Bo"]}


def test_a_ritual_that_ends_the_run_tells_it_too(client: Client, printed: Callable[..., list[str]]) -> None:
    run = client.create_run("farewell/model.py")
    assert client.call_operation(run.run_key, "visit", ["Ada"], ritual=Ritual.EXORCISE) == 1
    assert printed(run.run_key, until="leaving")[0] == "leaving with ['Ada']"
    assert client.get_run(run.run_key).live is False


def test_a_handler_that_does_not_end_is_ended(client: Client, printed: Callable[..., list[str]]) -> None:
    run = client.create_run("hasty/model.py")
    client.call_operation(run.run_key, "visit", ["Ada"])
    client.call_operation(run.run_key, "wait_at_the_end", [3600])
    client.evict_run(run.run_key)
    assert client.get_run(run.run_key).live is False
    told = printed(run.run_key, until="not kept")
    assert not any("gone" in text for text in told)
    assert client.call_operation(run.run_key, "visit", ["Bo"]) == 2


def test_a_run_whose_process_is_lost_is_told_nothing(
    client: Client, printed: Callable[..., list[str]]
) -> None:
    run = client.create_run("farewell/model.py")
    client.call_operation(run.run_key, "visit", ["Ada"])
    with pytest.raises(ProtocolError) as caught:
        client.call_operation(run.run_key, "die")
    assert caught.value.code is ErrorCode.PROCESS_EXITED
    assert client.call_operation(run.run_key, "visit", ["Bo"]) == 2
    assert printed(run.run_key) == []


def test_a_frozen_process_is_not_waited_for(client: Client) -> None:
    run = client.create_run("farewell/model.py")
    client.call_operation(run.run_key, "visit", ["Ada"])
    process = psutil.Process(client.call_operation(run.run_key, "pid"))
    process.send_signal(signal.SIGSTOP)
    client.evict_run(run.run_key)
    assert not process.is_running()
    assert client.call_operation(run.run_key, "visit", ["Bo"]) == 2


def test_more_time_than_others_can_wait_is_refused(client: Client) -> None:
    with pytest.raises(ProtocolError) as caught:
        client.create_run("patient/model.py")
    assert caught.value.code is ErrorCode.INVALID_CONTEXT
    assert "events.onTerminating.timeoutSeconds" in caught.value.message


def test_a_drain_tells_the_runs_in_memory(daemon: Any, make_daemon: Any, model_root: Any) -> None:
    drained = make_daemon(model_root.path, env={"MODEL_WORKER_LOG_MODEL_OUTPUT": "true"})
    with drained.client() as client:
        client.call_operation(client.create_run("farewell/model.py").run_key, "visit", ["Ada"])
    assert drained.stop() == 0
    assert "leaving with ['Ada']" in drained.logged()


# Values


def table_rows() -> list[str]:
    table = README.read_text().partition("<!-- values:begin -->")[2].partition("<!-- values:end -->")[0]
    return [re.split(r" \| ", line.strip("| "))[0] for line in table.strip().splitlines()[2:]]


def test_every_row_of_the_table_is_tried() -> None:
    assert table_rows() == list(VALUES)


def test_a_value_is_the_same_as_result_variable_record_and_after_a_restore(client: Client) -> None:
    run = client.create_run("zoo/model.py")
    expressions = [expression for expression, _ in CASES]
    expected = [value for _, value in CASES]

    result = client.call_operation(run.run_key, "keep", [expressions])
    for expression, value, told in zip(expressions, expected, result, strict=True):
        assert told == value, expression
    assert client.read_variables(run.run_key, ["kept"]) == {"kept": expected}
    client.evict_run(run.run_key)
    assert client.read_variables(run.run_key, ["kept"]) == {"kept": expected}
    assert client.get_run(run.run_key).live is False
    assert client.read_variables(run.run_key, ["kept"], ritual=Ritual.REVIVE) == {"kept": expected}
