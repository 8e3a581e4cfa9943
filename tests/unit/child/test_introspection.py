from functools import partial
from typing import Any

import pytest

from worker.child.introspection import DEFAULT_BYTES, DOC_BYTES, MAX_ARGUMENTS, MAX_ENTRIES, introspect


def told(namespace: dict[Any, Any], warnings: list[dict[str, str]] | None = None) -> dict[str, Any]:
    return introspect(namespace, lambda _, value: callable(value), warnings if warnings is not None else [])


def test_arguments_that_cannot_be_given_by_position_are_told_only_if_required() -> None:
    def step(a: int, /, b: int = 2, *rest: int, must: int, may: int = 1, **more: int) -> None:
        """Do."""

    (function,) = told({"step": step})["functions"]

    assert [argument["name"] for argument in function["arguments"]] == ["a", "b", "*rest", "must"]
    assert [argument["required"] for argument in function["arguments"]] == [True, False, False, True]


@pytest.mark.parametrize(
    ("default", "shown"),
    (
        (1, 1),
        ((1, "a"), [1, "a"]),
        (float("nan"), None),
        (object(), None),
        (b"x", None),
        ("x" * DEFAULT_BYTES, None),
    ),
)
def test_a_default_is_shown_if_it_is_a_short_json_value(default: Any, shown: Any) -> None:
    def step(a: Any = default) -> None: ...

    assert told({"step": step})["functions"][0]["arguments"] == [
        {"name": "a", "required": False, "default": shown}
    ]


def test_documentation_is_cleaned_and_cut() -> None:
    def long() -> None: ...

    def short() -> None:
        """One.

        Two.
        """

    long.__doc__ = "ä" * DOC_BYTES
    functions = {
        entry["name"]: entry["doc"]
        for entry in told({"long": long, "short": short, "part": partial(short), "len": len})["functions"]
    }
    assert functions["short"] == functions["part"] == "One.\n\nTwo."
    assert len(functions["long"].encode()) <= DOC_BYTES


def test_names_that_cannot_be_asked_for_are_left_out() -> None:
    namespace = {"x" * 257: 1, "\ud800": 1, 5: 1, "": 1, "good": 1, "_hidden": 1}
    assert [entry["name"] for entry in told(namespace)["variables"]] == ["good"]


def test_what_is_too_much_is_cut_with_a_warning() -> None:
    code = f"def wide({', '.join(f'a{number}' for number in range(100))}): pass"
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    warnings: list[dict[str, str]] = []

    found = told({"wide": namespace["wide"], **{f"v{n}": n for n in range(MAX_ENTRIES + 1)}}, warnings)

    assert len(found["functions"][0]["arguments"]) == MAX_ARGUMENTS
    assert len(found["variables"]) == MAX_ENTRIES
    assert warnings == [{"code": "TRUNCATED", "path": "variables"}]
