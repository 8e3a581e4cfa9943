"""Model and execution contexts: what is understood, what is kept, what is refused and how."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from protocol.errors import ErrorCode
from worker.errors import RequestError
from worker.runs.contexts import (
    SHOWN_CHARACTERS,
    context_problems,
    execution_context,
    model_context,
    part_kind,
)
from worker.runs.overrides import overlay

Judge = Callable[[str, Mapping[str, Any]], object]


def refusal(judge: Judge, raw: Mapping[str, Any]) -> RequestError:
    """The error that a context is refused with."""
    with pytest.raises(RequestError) as raised:
        judge("model.ctx2", raw)
    error = raised.value
    assert error.code is ErrorCode.INVALID_CONTEXT
    assert error.information["source"] == "model.ctx2"
    assert error.message.startswith(f"model.ctx2: {error.information['path']}")
    return error


def nested(path: str, value: Any) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    return {head: nested(rest, value) if rest else value}


def test_an_empty_context_has_the_defaults() -> None:
    context = model_context("model.ctx2", {})
    assert (context.version, context.minimumLogLevel, context.redirectStandardOut) == ("V2", "INFO", True)
    assert context.restorations.assembly is None
    assert context.restorations.rewind.name is None
    assert set(context.operation("step").model_dump().values()) == {None}
    assert context.approvers("step") is None
    assert (context.run.result, context.run.private, context.deciders) == (None, [], ())


def test_an_operation_has_the_defaults_where_it_does_not_say_otherwise() -> None:
    operations = {
        "quick": {"timeoutSeconds": 1, "approval": False},
        "asked": {"approval": ["sales", "Facilitator"]},
    }
    defaults = {"operations": {"timeoutSeconds": 9, "approval": True, "argumentsSchema": {"maxItems": 1}}}
    raw = {"operations": operations, "defaults": defaults, "approvalRole": "reviewer"}
    context = model_context("model.ctx2", raw)

    assert context.operation("quick").timeoutSeconds == 1
    assert context.operation("asked").timeoutSeconds == 9
    assert context.operation("quick").argumentsSchema == {"maxItems": 1}
    assert [context.approvers(name) for name in ("quick", "asked", "other")] == [
        None,
        ("sales", "FACILITATOR"),
        ("REVIEWER",),
    ]


def test_an_inert_operation_cannot_be_approved() -> None:
    raw = {"operations": {"peek": {"inert": True, "approval": True}}}
    assert refusal(model_context, raw).information["path"] == "operations.peek.approval"


@pytest.mark.parametrize(
    ("part", "expected"),
    (
        ({"replay": {}}, ("replay", {})),
        ({"objectType": "replay"}, ("replay", {})),
        ({"snapshot": {"variables": ["x"]}}, ("snapshot", {"variables": ["x"]})),
        ({"objectType": "snapshot", "variables": ["x"]}, ("snapshot", {"variables": ["x"]})),
        ({"replay": None}, ("", {"replay": None})),
        ({"replay": {}, "snapshot": {}}, ("", {"replay": {}, "snapshot": {}})),
        ({}, ("", {})),
    ),
)
def test_a_polymorphic_value_is_read_in_both_encodings(
    part: dict[str, Any], expected: tuple[str, dict[str, Any]]
) -> None:
    assert part_kind(part) == expected


@pytest.mark.parametrize("part", ({"replay": {}}, {"objectType": "replay"}, {"replay": {"operations": []}}))
def test_a_replay_is_served_in_both_encodings(part: dict[str, Any]) -> None:
    context = model_context("model.ctx2", {"restorations": {"assembly": [part], "log": "temporal"}})
    assert context.restorations.assembly == [part]


@pytest.mark.parametrize("version", ("V2", "v2", "V1", "v1"))
def test_the_version_is_read_in_any_case(version: str) -> None:
    assert model_context("model.ctx2", {"version": version}).version == version.upper()


@pytest.mark.parametrize("level", ("TRACE", "debug", "Info", "warn", "ERROR", "fatal", "off"))
def test_the_log_level_is_read_in_any_case(level: str) -> None:
    assert model_context("model.ctx2", {"minimumLogLevel": level}).minimumLogLevel == level.upper()


@pytest.mark.parametrize(
    "language", ("python3", "PYTHON_3", "python", "Python3", "python 3", "python-3", "PYTHON3", "Python")
)
def test_python_is_known_in_all_its_spellings(language: str) -> None:
    assert model_context("model.ctx2", {"language": language}).language == language


@pytest.mark.parametrize("language", ("JAVASCRIPT_20", "julia", "python2", "", "3", "jython", "_"))
def test_another_language_is_refused_by_name(language: str) -> None:
    error = refusal(model_context, {"language": language})
    assert error.information["path"] == "language"
    assert repr(language) in error.message


def test_what_is_unknown_is_kept() -> None:
    context = model_context(
        "model.ctx2",
        {
            "future": {"a": 1},
            "restorations": {"rewind": {"future": 2}},
            "operations": {"step": {"future": 3}},
        },
    )
    kept = context.model_dump(exclude_unset=True)
    assert kept["future"] == {"a": 1}
    assert kept["restorations"]["rewind"]["future"] == 2
    assert kept["operations"]["step"]["future"] == 3


@pytest.mark.parametrize(
    ("raw", "path", "words"),
    (
        ({"version": "V3"}, "version", "V3 is not known"),
        ({"restorations": {"assembly": []}}, "restorations.assembly", "restore nothing"),
        (
            {"restorations": {"assembly": [{"replay": {}}, {"objectType": "replay"}]}},
            "restorations.assembly[1]",
            "nothing to apply",
        ),
        (
            {"restorations": {"assembly": [{"snapshot": {"variables": "x"}}]}},
            "restorations.assembly[0].snapshot.variables",
            "a list of 1 to",
        ),
        (
            {"restorations": {"assembly": [{"dream": {}}]}},
            "restorations.assembly[0]",
            "'dream' is not a known",
        ),
        ({"restorations": {"assembly": [{}]}}, "restorations.assembly[0]", "{} is not a known"),
        (
            {"restorations": {"assembly": [{"replay": {"operations": [{"operationType": "exclude"}]}}]}},
            "restorations.assembly[0].replay.operations[0]",
            "a filter has exactly operationType, targetKey, targetType",
        ),
        (
            {"restorations": {"rewind": {"arguments": {"by": 1}}}},
            "restorations.rewind.arguments.by",
            "by position",
        ),
        (
            {"protections": {"guards": [{"mystery": {}}]}},
            "protections.guards[0]",
            "'mystery' is not a known guard",
        ),
        ({"mappedFiles": {"a": "../b"}}, "mappedFiles.a", "without '..'"),
        ({"mappedFiles": {"/a": "b"}}, "mappedFiles./a", "without '..'"),
        ({"variables": {"x": {"dialect": "time_series"}}}, "variables.x.dialect", "POINT_IN_TIME"),
        ({"defaults": {"variables": {"dialect": "X"}}}, "defaults.variables.dialect", "POINT_IN_TIME"),
        ({"externalFunctions": {"leaderboard": {}}}, "externalFunctions.leaderboard", "one kind is needed"),
        ({"externalFunctions": {"": {"scores": {}}}}, "externalFunctions.", "1 to 256 characters"),
        ({"externalFunctions": {"a": {"wire": {}}}}, "externalFunctions.a", "route is missing"),
        ({"externalFunctions": {"a": {"wire": {"route": {}}}}}, "externalFunctions.a", "the service must be"),
        (
            {"externalFunctions": {"a": {"wire": {"route": {"service": "s", "version": True}}}}},
            "externalFunctions.a",
            "route.version",
        ),
        ({"externalFunctions": {"a": {"x" * 129: {}}}}, "externalFunctions.a", "the service must be"),
        (
            {"externalFunctions": {"a": {"b": {"c": "x" * 70_000}}}},
            "externalFunctions.a",
            "allowed are 65536",
        ),
        (
            {"externalFunctions": {f"f{n}": {"b": {}} for n in range(257)}},
            "externalFunctions",
            "allowed are 256",
        ),
        ({"dependencies": [{"pypi": {"package": "x"}}, {"apt": {}}]}, "dependencies[1]", "apt dependencies"),
        ({"dependencies": [{"objectType": "shell", "script": ""}]}, "dependencies[0]", "shell dependencies"),
    ),
)
def test_what_is_known_and_not_served_is_refused_by_name(raw: dict[str, Any], path: str, words: str) -> None:
    error = refusal(model_context, raw)
    assert error.information["path"] == path
    assert words in error.message


@pytest.mark.parametrize(
    "raw",
    (
        {"protections": {"guards": []}},
        {"externalFunctions": {}},
        {"mappedFiles": {"data/a b.csv": "data/c.csv"}},
        {"dependencies": []},
        {"variables": {"x": {"save": True}}},
        {"enableStateCache": True, "startDebugger": False},
        {"restorations": {"log": "temporal"}},
    ),
)
def test_what_changes_nothing_is_taken(raw: dict[str, Any]) -> None:
    assert model_context("model.ctx2", raw).model_dump(exclude_unset=True) == raw


@pytest.mark.parametrize(
    ("path", "value"),
    (
        ("version", 2),
        ("language", 3),
        ("modelVersion", "1"),
        ("workerImage", 1),
        ("dependencies", {}),
        ("variables.x", True),
        ("operations", []),
        ("operations.step.timeoutSeconds", "5"),
        ("operations.step.timeoutSeconds", 0),
        ("operations.step.timeoutSeconds", -1),
        ("operations.step.timeoutSeconds", 86_401),
        ("operations.step.inert", 1),
        ("events.onInitialized.timeoutSeconds", True),
        ("defaults.operations.timeoutSeconds", "soon"),
        ("defaults.events", 5),
        ("restorations.assembly", {}),
        ("restorations.rewind", "step"),
        ("restorations.rewind.name", ""),
        ("restorations.rewind.arguments", "a"),
        ("restorations.rewind.destructible", "yes"),
        ("restorations.log", 1),
        ("protections.guards", {}),
        ("redirectStandardOut", "true"),
        ("inceptionGracePeriodSeconds", 0),
        ("minimumLogLevel", "LOUD"),
        ("minimumLogLevel", 3),
    ),
)
def test_a_wrong_type_or_value_is_refused_with_its_path(path: str, value: Any) -> None:
    assert refusal(model_context, nested(path, value)).information["path"] == path


def test_a_wrong_element_is_refused_with_its_index() -> None:
    error = refusal(model_context, {"dependencies": [{"pypi": {}}, "numpy"]})
    assert error.information["path"] == "dependencies[1]"


def test_a_refusal_repeats_only_so_much_of_what_it_was_given() -> None:
    error = refusal(model_context, {"operations": {"x" * 100_000: 5}})
    assert len(error.message) < 3 * SHOWN_CHARACTERS
    error = refusal(model_context, {"language": "x" * 100_000})
    assert len(error.message) < 3 * SHOWN_CHARACTERS


@pytest.mark.parametrize(
    ("base", "override", "merged"),
    (
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1, "b": 2}, {"a": 3}, {"a": 3, "b": 2}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}),
        ({"a": {"x": {"u": 1}}}, {"a": {"x": {"v": 2}}}, {"a": {"x": {"u": 1, "v": 2}}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"x": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": {"x": 1}}, {"a": {}}, {"a": {"x": 1}}),
        ({"a": 1}, {"a": None}, {"a": None}),
    ),
)
def test_maps_are_overlaid_key_by_key_and_all_else_is_replaced(
    base: dict[str, Any], override: dict[str, Any], merged: dict[str, Any]
) -> None:
    before = repr((base, override))
    assert overlay(base, override) == merged
    assert repr((base, override)) == before


@pytest.mark.parametrize(
    ("own", "default", "expected"),
    (
        ({}, {}, (None, None)),
        ({}, {"timeoutSeconds": 5, "inert": True}, (5, True)),
        ({"timeoutSeconds": 9}, {"timeoutSeconds": 5}, (9, None)),
        ({"inert": False}, {"inert": True}, (None, False)),
        ({"inert": True}, {"inert": False}, (None, True)),
        ({"inert": None}, {"inert": True}, (None, True)),
    ),
)
def test_an_operation_has_its_own_options_before_the_defaults(
    own: dict[str, Any], default: dict[str, Any], expected: tuple[float | None, bool | None]
) -> None:
    context = model_context("model.ctx2", {"operations": {"step": own}, "defaults": {"operations": default}})
    options = context.operation("step")
    assert (options.timeoutSeconds, options.inert) == expected
    other = context.operation("other")
    assert (other.timeoutSeconds, other.inert) == (default.get("timeoutSeconds"), default.get("inert"))


def test_packages_are_named_in_both_encodings() -> None:
    numpy = {"pypi": {"package": "numpy", "version": "2.1"}}
    raw = {"dependencies": [numpy, {"objectType": "pypi", "package": "pandas"}]}
    context = model_context("model.ctx2", raw)
    assert [str(one) for one in context.requirements] == ["numpy==2.1", "pandas"]


def test_an_event_has_its_own_limit_or_the_default_one() -> None:
    raw = {"events": {"onRestored": {"timeoutSeconds": 2}}, "defaults": {"events": {"timeoutSeconds": 9}}}
    context = model_context("model.ctx2", raw)
    assert context.event_timeout_seconds("onRestored") == 2
    assert context.event_timeout_seconds("onCloned") == 9
    assert model_context("model.ctx2", {}).event_timeout_seconds("onCloned") is None


@pytest.mark.parametrize("version", ("V1", "v1"))
def test_an_execution_context_gives_presets(version: str) -> None:
    raw = {"version": version, "presets": {"creator": '"x"', "size": [1]}, "tool": {"stella": {}}}
    context = execution_context("execution_context", raw)
    assert context.presets == {"creator": '"x"', "size": [1]}
    assert context.model_dump()["tool"] == {"stella": {}}


def test_an_empty_execution_context_is_one() -> None:
    assert execution_context("execution_context", {}).presets == {}


@pytest.mark.parametrize(
    ("raw", "path"),
    (
        ({"version": "V2"}, "version"),
        ({"version": 1}, "version"),
        ({"presets": []}, "presets"),
        ({"presets": {"a b": 1}}, "presets.a b"),
        ({"presets": {"": 1}}, "presets."),
        ({"presets": {"1a": 1}}, "presets.1a"),
        ({"mappedFiles": {"a": "../b"}}, "mappedFiles.a"),
        ({"mappedFiles": {"a": 1}}, "mappedFiles.a"),
    ),
)
def test_an_execution_context_is_refused_with_the_path(raw: dict[str, Any], path: str) -> None:
    assert refusal(execution_context, raw).information["path"] == path


def test_all_problems_of_a_context_are_told_at_once() -> None:
    wrong_types = {"operations": {"step": {"timeoutSeconds": "x"}}, "modelVersion": "1"}
    assert [path for path, _ in context_problems(wrong_types)] == [
        "modelVersion",
        "operations.step.timeoutSeconds",
    ]
    unserved = {"version": "V9", "language": "julia", "mappedFiles": {"a": "./b"}}
    assert [path for path, _ in context_problems(unserved)] == [
        "version",
        "language",
        "mappedFiles.a",
    ]
    assert context_problems({"version": "v2", "unknown": 1}) == []


@pytest.mark.parametrize(
    ("marked", "arguments", "fits"),
    (
        (None, [1], True),
        ([1], [1], True),
        ([1], [1, 2], False),
        ({}, [], True),
        ({"1": {"a": 2}}, [1, {"a": 2}, 3], True),
        ({"0": 1, "1": 3}, [1, 2], False),
        ({"1": None}, [1], False),
    ),
)
def test_a_marker_fits_calls_by_their_arguments(marked: Any, arguments: list[Any], fits: bool) -> None:
    context = model_context("model.ctx2", {"restorations": {"rewind": {"arguments": marked}}})
    assert context.restorations.rewind.fits(arguments) is fits
