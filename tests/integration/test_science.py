"""Scientific models run unchanged behind the strict sandbox, from a zygote that has loaded what they import."""

import math
from collections.abc import Iterator
from typing import Any

import pytest

from protocol.client import Client
from protocol.errors import ErrorCode, ProtocolError

MODEL = '''
"""What analysts write: nothing in it knows about a sandbox."""

import asyncio
import csv
import decimal
import fractions
import os
import sqlite3
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from scipy import integrate, linalg, optimize, stats

HERE = Path(__file__).parent
prices = pd.read_csv(HERE / "prices.csv", parse_dates=["day"])
matrix = np.arange(6, dtype=float).reshape(2, 3)
returns = None


def rolling(window):
    global returns
    returns = prices["price"].pct_change()
    return prices["price"].rolling(window).mean()


def frame():
    table = pd.DataFrame({"n": [1, 2, 3], "x": [0.5, float("nan"), 2.5], "s": ["a", None, "c"], "k": ["p", "q", "r"]})
    return {"table": table, "sum": table.n.sum(), "series": table.set_index("k").n, "index": table.index}


def grouped():
    return prices.assign(half=prices.day.dt.month > 1).groupby("half").price.agg(["mean", "max"])


def linear():
    a = np.array([[4.0, 1.0], [1.0, 3.0]])
    values, _ = np.linalg.eigh(a)
    q, r = linalg.qr(a)
    return {
        "solved": np.linalg.solve(a, [1.0, 2.0]),
        "eigen": values,
        "qr": np.allclose(q @ r, a),
        "svd": linalg.svdvals(a),
        "big": float(np.linalg.slogdet(np.eye(300) * 2)[1]),
    }


def optimal():
    found = optimize.minimize(lambda x: (x[0] - 1) ** 2 + (x[1] + 2) ** 2, [0.0, 0.0], method="BFGS")
    root = optimize.brentq(lambda x: x**3 - 8, 0, 10)
    plan = optimize.linprog([-1, -2], A_ub=[[1, 1]], b_ub=[4], bounds=[(0, None), (0, 3)])
    return {"x": np.round(found.x, 4), "success": found.success, "root": root, "plan": plan.x}


def statistic():
    sample = stats.norm.rvs(size=500, loc=10, scale=2)
    fit = stats.linregress(np.arange(50), 3.0 * np.arange(50) + 1)
    area, _ = integrate.quad(np.sin, 0, np.pi)
    return {"mean": sample.mean(), "slope": fit.slope, "p": stats.ttest_1samp(sample, 10).pvalue, "area": area}


def scratch(rows):
    """A CSV file through a temporary folder, and back."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "out.csv")
        pd.DataFrame({"n": range(rows)}).to_csv(path, index=False)
        with open(path, newline="") as file:
            total = sum(int(row["n"]) for row in csv.DictReader(file))
    with tempfile.NamedTemporaryFile("w+") as file:
        np.savetxt(file, matrix)
        file.seek(0)
        again = np.loadtxt(file)
    return {"total": total, "same": bool((again == matrix).all()), "gone": not os.path.exists(path)}


def threads():
    done = []
    workers = [threading.Thread(target=lambda n=n: done.append(n * n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with ThreadPoolExecutor(4) as pool:
        return [sorted(done), list(pool.map(lambda n: n + 1, range(4)))]


def database():
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table t (n integer, s text)")
        connection.executemany("insert into t values (?, ?)", [(n, str(n)) for n in range(10)])
        return connection.execute("select sum(n), max(s) from t").fetchone()


def coroutine():
    async def twice(n):
        await asyncio.sleep(0.01)
        return 2 * n

    async def main():
        return await asyncio.gather(*(twice(n) for n in range(3)))

    return asyncio.run(main())


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: float


def kinds():
    """One value of each kind that the documentation names."""
    return {
        "float32": np.float32(1.5),
        "int64": np.int64(7),
        "bool": np.bool_(True),
        "nan": float("nan"),
        "array": matrix,
        "datetime64": np.datetime64("2024-03-01T12:00"),
        "timedelta64": np.timedelta64(90, "s"),
        "timestamp": pd.Timestamp("2024-03-01 12:00"),
        "timedelta": timedelta(minutes=1.5),
        "nat": pd.NaT,
        "period": pd.Period("2024-03", "M"),
        "category": pd.Categorical(["a", "b", "a"]),
        "decimal": decimal.Decimal("0.10"),
        "fraction": fractions.Fraction(1, 3),
        "berlin": datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")),
        "date": date(2024, 2, 29),
        "set": {3, 1, 2},
        "tuple": (1, "two"),
        "enum": Colour.RED,
        "point": Point(1, 2.5),
        "keys": {1: "one", 2.5: "float", False: "false", None: "none"},
    }


def wrong():
    return {"inner": [1, {"deep": object()}]}


def preloaded():
    import sys

    return {name: name in sys.modules for name in ("numpy", "pandas", "scipy.optimize")}
'''
CONTEXT = '{"version": "V2", "defaults": {"operations": {"timeoutSeconds": 60}}}'


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any) -> Any:
    model_root.add("science", MODEL, CONTEXT)
    rows = [f"2024-01-{day:02d},{100 + day}" for day in range(1, 21)]
    (model_root.path / "science/prices.csv").write_text("\n".join(["day,price", *rows]) + "\n")
    return make_daemon(model_root.path)


@pytest.fixture(scope="module")
def client(daemon: Any) -> Iterator[Client]:
    with daemon.client(60) as client:
        yield client


@pytest.fixture(scope="module")
def run_key(client: Client) -> str:
    run = client.create_run("science/model.py")
    assert run.sandbox == "strict"
    return run.run_key


def test_the_zygote_has_loaded_what_the_model_imports(client: Client, run_key: str) -> None:
    zygotes = client.worker_status()["zygotes"]
    loaded = [set(zygote["preloaded"]) for zygote in zygotes if zygote["runs"]]
    assert any(
        {"numpy", "pandas"} <= names and any(name.startswith("scipy") for name in names) for names in loaded
    )
    assert all(name.split(".")[0] in ("numpy", "pandas", "scipy") for names in loaded for name in names)
    assert all(client.call_operation(run_key, "preloaded").values())


def test_series_and_frames(client: Client, run_key: str) -> None:
    means = client.call_operation(run_key, "rolling", [5])
    assert means[:4] == [None] * 4
    assert means[4:6] == [103.0, 104.0]
    assert client.call_operation(run_key, "frame") == {
        "table": {"n": [1, 2, 3], "x": [0.5, None, 2.5], "s": ["a", None, "c"], "k": ["p", "q", "r"]},
        "sum": 6,
        "series": {"p": 1, "q": 2, "r": 3},
        "index": [0, 1, 2],
    }
    assert client.call_operation(run_key, "grouped") == {"mean": [110.5], "max": [120]}


def test_linear_algebra(client: Client, run_key: str) -> None:
    answer = client.call_operation(run_key, "linear")
    assert answer["solved"] == pytest.approx([1 / 11, 7 / 11])
    assert answer["eigen"] == pytest.approx([(7 - 5**0.5) / 2, (7 + 5**0.5) / 2])
    assert answer["qr"] is True
    assert answer["big"] == pytest.approx(300 * math.log(2))


def test_optimisation(client: Client, run_key: str) -> None:
    answer = client.call_operation(run_key, "optimal")
    assert answer == {"x": [1.0, -2.0], "success": True, "root": pytest.approx(2.0), "plan": [1.0, 3.0]}


def test_statistics_draw_from_the_run_seed(client: Client, run_key: str) -> None:
    answer = client.call_operation(run_key, "statistic")
    assert answer["mean"] == pytest.approx(10, abs=0.6)
    assert answer["slope"] == pytest.approx(3.0)
    assert answer["area"] == pytest.approx(2.0)


def test_temporary_files_live_in_the_scratch(client: Client, run_key: str) -> None:
    assert client.call_operation(run_key, "scratch", [1000]) == {"total": 499500, "same": True, "gone": True}


def test_threads_coroutines_and_a_database_in_memory(client: Client, run_key: str) -> None:
    assert client.call_operation(run_key, "threads") == [[0, 1, 4, 9], [1, 2, 3, 4]]
    assert client.call_operation(run_key, "coroutine") == [0, 2, 4]
    assert client.call_operation(run_key, "database") == [45, "9"]


def test_every_documented_kind_of_value_arrives_as_documented(client: Client, run_key: str) -> None:
    reply = client.request("call_operation", run_key=run_key, name="kinds", arguments=[])
    assert reply.result == {
        "float32": 1.5,
        "int64": 7,
        "bool": True,
        "nan": None,
        "array": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]],
        "datetime64": "2024-03-01T12:00",
        "timedelta64": 90.0,
        "timestamp": "2024-03-01T12:00:00",
        "timedelta": 90.0,
        "nat": None,
        "period": "2024-03",
        "category": ["a", "b", "a"],
        "decimal": "0.10",
        "fraction": "1/3",
        "berlin": "2024-07-01T12:00:00+02:00",
        "date": "2024-02-29",
        "set": [1, 2, 3],
        "tuple": [1, "two"],
        "enum": "red",
        "point": {"x": 1, "y": 2.5},
        "keys": {"1": "one", "2.5": "float", "false": "false", "null": "none"},
    }
    assert reply.warnings == [{"code": "NON_FINITE", "path": "result.nan"}]


def test_what_has_no_json_form_is_refused_with_its_path(client: Client, run_key: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        client.call_operation(run_key, "wrong")
    assert caught.value.code is ErrorCode.UNENCODABLE_VALUE
    assert caught.value.information["path"] == "result.inner[1].deep"


def test_variables_of_library_types_are_read_and_written(client: Client, run_key: str) -> None:
    values = client.read_variables(run_key, ["matrix", "returns", "prices"])
    assert values["matrix"] == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert values["returns"][0] is None
    assert values["prices"]["day"][0] == "2024-01-01T00:00:00"
    assert client.write_variables(run_key, {"matrix[1][2]": 50}) == {"matrix[1][2]": 50.0}


def test_all_of_it_replays_equal(client: Client, run_key: str) -> None:
    live = client.read_variables(run_key, ["matrix", "returns", "prices"])
    client.evict_run(run_key)
    reply = client.request(
        "read_variables", run_key=run_key, names=["matrix", "returns", "prices"], ritual="REVIVE"
    )
    assert reply.result == live
    assert [warning for warning in reply.warnings if warning["code"] != "NON_FINITE"] == []
