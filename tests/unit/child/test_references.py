from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from worker.child.failures import RefusedError
from worker.child.references import Variables, parse


@pytest.mark.parametrize(
    ("text", "steps"),
    (
        ("a", []),
        ("a.b", [("part", "b")]),
        ("a.2.c d", [("part", "2"), ("part", "c d")]),
        ("a[0]", [("indices", (0,))]),
        ("a[-1, 2]", [("indices", (-1, 2))]),
        ('a["x.y[0]"].b', [("key", "x.y[0]"), ("part", "b")]),
        ("a['']", [("key", "")]),
    ),
)
def test_a_reference_has_a_root_and_steps(text: str, steps: list[Any]) -> None:
    reference = parse(text)
    assert reference is not None
    assert reference.root == "a"
    assert [step[:2] for step in reference.steps] == steps


@pytest.mark.parametrize(
    "text", ("", ".a", "a.", "a..b", "a[", "a[]", "a[1", "a[x]", "a]", "a[1]b", "a[" + "9" * 400 + "]")
)
def test_what_is_no_reference_is_none(text: str) -> None:
    assert parse(text) is None


def test_attributes_come_before_keys_and_methods_do_not_count() -> None:
    variables = Variables({"d": {"items": 1, "pop": 2}, "s": SimpleNamespace(items=3)})
    assert variables.get("d.items") == 1
    assert variables.get("s.items") == 3
    with pytest.raises(RefusedError):
        variables.get("d.keys")


def test_arrays_are_indexed_and_set_in_place() -> None:
    matrix = np.arange(4).reshape(2, 2)
    variables = Variables({"m": matrix})
    variables.set("m[1,0]", 9)
    variables.set("m[0][1]", 8)
    assert variables.get("m[1,0]") == 9
    assert matrix.tolist() == [[0, 8], [9, 3]]
    with pytest.raises(RefusedError):
        variables.get("m[5,5]")


def test_chained_indices_set_lists_inside_lists() -> None:
    rows = [[1, 2], [3, 4]]
    Variables({"rows": rows}).set("rows[1,0]", 5)
    assert rows == [[1, 2], [5, 4]]


def test_many_references_are_not_all_remembered() -> None:
    variables = Variables({"d": {str(number): number for number in range(5000)}})
    assert [variables.get(f"d.{number}") for number in range(5000)] == list(range(5000))
