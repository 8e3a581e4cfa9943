"""Metadata edits: set, push, pop, in this order, on the values of the moment."""

from typing import Any

import pytest

from protocol.entities import PopMetadata
from protocol.errors import ErrorCode
from worker.errors import RequestError
from worker.runs.metadata import metadata_edit

FIRST, LAST, ALL = (
    PopMetadata(object_type="first"),
    PopMetadata(object_type="last"),
    PopMetadata(object_type="all"),
)


def equal_to(value: Any) -> PopMetadata:
    return PopMetadata(object_type="all", value=value)


@pytest.mark.parametrize(
    ("current", "assign", "push", "pop", "changed"),
    (
        ({"a": 1}, {"b": 2}, {}, {}, {"b": 2}),
        ({"a": 1}, {"a": None}, {}, {}, {"a": None}),
        ({"a": [1]}, {}, {"a": 2}, {}, {"a": [1, 2]}),
        ({"a": [1]}, {}, {"a": [2]}, {}, {"a": [1, [2]]}),
        ({}, {}, {"a": 1}, {}, {"a": [1]}),
        ({"a": [1, 2, 3]}, {}, {}, {"a": FIRST}, {"a": [2, 3]}),
        ({"a": [1, 2, 3]}, {}, {}, {"a": LAST}, {"a": [1, 2]}),
        ({"a": [1, 2, 3]}, {}, {}, {"a": ALL}, {"a": []}),
        ({"a": [1, 2, 1]}, {}, {}, {"a": equal_to(1)}, {"a": [2]}),
        ({"a": [1, True, None]}, {}, {}, {"a": equal_to(True)}, {"a": [1, None]}),
        ({"a": [1, True, None]}, {}, {}, {"a": equal_to(None)}, {"a": [1, True]}),
        ({"a": [{"x": 1}, {"x": 2}]}, {}, {}, {"a": equal_to({"x": 1})}, {"a": [{"x": 2}]}),
        ({"a": []}, {}, {}, {"a": FIRST}, {"a": []}),
        ({}, {}, {}, {"a": LAST}, {"a": []}),
        ({"a": 5}, {"a": [1]}, {"a": 2}, {}, {"a": [1, 2]}),
        ({"a": [1]}, {}, {"a": 2}, {"a": FIRST}, {"a": [2]}),
        ({"a": 5}, {"a": [1, 2]}, {"a": 3}, {"a": LAST}, {"a": [1, 2]}),
    ),
)
def test_an_edit_gives_the_changed_names_and_alters_nothing_itself(
    current: dict[str, Any],
    assign: dict[str, Any],
    push: dict[str, Any],
    pop: dict[str, PopMetadata],
    changed: dict[str, Any],
) -> None:
    before = repr((current, assign, push))
    assert metadata_edit(assign, push, pop)(current) == changed
    assert repr((current, assign, push)) == before


@pytest.mark.parametrize(
    ("push", "pop", "path"),
    (({"a": 1}, {}, "push.a"), ({}, {"a": FIRST}, "pop.a"), ({}, {"a": ALL}, "pop.a")),
)
@pytest.mark.parametrize("value", ("text", 5, {"x": 1}, None))
def test_what_is_no_list_is_neither_pushed_to_nor_popped_from(
    value: Any, push: dict[str, Any], pop: dict[str, PopMetadata], path: str
) -> None:
    with pytest.raises(RequestError) as raised:
        metadata_edit({}, push, pop)({"a": value})
    assert raised.value.code is ErrorCode.INVALID_REQUEST
    assert raised.value.information == {"path": path}
    assert type(value).__name__ in raised.value.message
