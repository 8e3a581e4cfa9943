import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.cli.source import Source, examine, from_json, to_json

Examine = Callable[[str], Source]


@pytest.fixture
def look(tmp_path: Path) -> Examine:
    """``look(source)``: what is told of a model file."""

    def run(source: str) -> Source:
        path = tmp_path / "model.py"
        path.write_text(textwrap.dedent(source))
        return examine(path)

    return run


@pytest.mark.parametrize(
    ("source", "lines"),
    (
        ("import time\nx = time.monotonic()", [2]),
        ("import time as t\nx: float = t.perf_counter_ns()", [2]),
        ("from time import monotonic as now\nx = [now()]", [2]),
        ("import time\ndef f():\n    return time.process_time()", [3]),
        ("import time\ndef f():\n    a = time.monotonic()\n    b = a + 1\n    return b", [3]),
        ("import time\ndef f():\n    global x\n    x = time.monotonic()", [4]),
        ("import time\ndef f(log):\n    log.append(time.monotonic())", [3]),
        ("import time\ndef f(o):\n    o.x = time.monotonic()", [3]),
        ("import numpy as np\ndef f():\n    x = np.datetime64('now')", [3]),
        ("from numpy import datetime64\nx = datetime64('today')", [2]),
        ("x = id(object())", [1]),
        ("def f(o, seen):\n    seen[id(o)] = True", [2]),
        ("def f(o):\n    return hash(o)", [2]),
        ("class A:\n    pass\nx = {A(), A()}", [3]),
        ("class A:\n    pass\na = A()\nx = set([a])", [4]),
        ("class A:\n    pass\nx = set()\ndef f():\n    x.add(A())", [5]),
        ("class A:\n    pass\nx = {A() for _ in range(3)}", [3]),
    ),
)
def test_what_cannot_be_replayed_is_found_with_its_line(look: Examine, source: str, lines: list[int]) -> None:
    assert [oddity.line for oddity in look(source).oddities] == lines


@pytest.mark.parametrize(
    "source",
    (
        "import time\nx = time.time()",
        "import time\ndef f():\n    a = time.monotonic()\n    print(time.monotonic() - a)",
        "import numpy as np\nx = np.datetime64('2026-01-01')",
        "def id(x):\n    return 1\nx = id(2)",
        "x = hash('text')\ny = hash((1, 'a', str(x)))",
        "def f(o):\n    hash(o)",
        "class A:\n    def __hash__(self):\n        return 1\nx = {A()}",
        "import enum\nclass A(enum.Enum):\n    B = 1\nx = {A('B')}",
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass A:\n    b: int\nx = {A(1)}",
        "class A:\n    pass\nx = group()\nx.add(A())",
        "x = {1, 'a', (1, 2)}",
    ),
)
def test_what_can_be_replayed_is_left_alone(look: Examine, source: str) -> None:
    assert look(source).oddities == []


def test_globals_changed_by_functions_are_told_where_they_are(look: Examine) -> None:
    source = """
    count, rows, table, local = 0, [], {}, 1
    class Box:
        pass
    box = Box()

    def f(rows_of_others, table=None):
        global count
        count = 1
        rows.append(1)
        table["x"] = 1
        local = 2
        local += 1

    def g():
        box.inside.value = 3
        def inner():
            rows.clear()
    """
    assert look(source).changed == {"count": 9, "rows": 10, "box": 16}


def test_literal_records_are_told_and_others_are_mentioned(look: Examine) -> None:
    literal = look("from epicenter import Epicenter as E\nE.record('a', 1)\nE.record(name='b.c', value=2)")
    others = look("from epicenter import Epicenter\nfor n in 'ab':\n    Epicenter.record(n, 1)")
    foreign = look("class R:\n    pass\nR().record('a')\nrecorder.record('b')")

    assert (literal.recorded, literal.records_others) == (["a", "b.c"], False)
    assert (others.recorded, others.records_others) == ([], True)
    assert (foreign.recorded, foreign.records_others) == ([], False)


def test_other_files_of_the_folder_are_looked_at_and_broken_ones_passed_over(
    tmp_path: Path, look: Examine
) -> None:
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim" / "clock.py").write_text("import time\nstart = time.monotonic()\n")
    (tmp_path / "broken.py").write_text("def (:\n")

    assert [(oddity.file, oddity.line) for oddity in look("x = 1").oddities] == [("sim/clock.py", 2)]


@pytest.mark.parametrize(
    ("source", "line"), (("x = 1\nif:\n", 2), ("x = '\0'", None), (f"x = {'(' * 3000}1{')' * 3000}", None))
)
def test_what_is_no_python_is_told(look: Examine, source: str, line: int | None) -> None:
    error = look(source).error
    assert error is not None
    assert line is None or error[0] == line


def test_what_is_told_survives_its_way_through_a_pipe(look: Examine) -> None:
    source = look("import time\nx = time.monotonic()\ndef f():\n    global x\n    x = 1\n")
    assert from_json(to_json(source)) == source
    broken = look("if:\n")
    assert from_json(to_json(broken)) == broken
