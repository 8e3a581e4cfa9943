import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cli.ctx2 import ContextFile, lines_of
from worker.cli.findings import Severity

TEXT = """{
  "version": "V2",
  "operations": {
    "step": {
      "timeoutSeconds": 5 }, "a.b": {}
  },
  "dependencies": [
    {"pypi": {"package": "x"}},

    {"apt": {"package": "y: {[,]}"}}
  ],
  "empty": [], "last": "\\"}"
}"""


def file(tmp_path: Path, text: str) -> ContextFile:
    path = tmp_path / "model.ctx2"
    path.write_text(text)
    return ContextFile(path)


def test_each_property_and_element_has_its_line() -> None:
    assert lines_of(TEXT) == {
        "version": 2,
        "operations": 3,
        "operations.step": 4,
        "operations.step.timeoutSeconds": 5,
        "operations.a.b": 5,
        "dependencies": 7,
        "dependencies[0]": 8,
        "dependencies[0].pypi": 8,
        "dependencies[0].pypi.package": 8,
        "dependencies[1]": 10,
        "dependencies[1].apt": 10,
        "dependencies[1].apt.package": 10,
        "empty": 12,
        "last": 12,
    }


def test_an_external_function_is_told_to_have_no_answers_in_a_check(tmp_path: Path) -> None:
    text = '{"externalFunctions": {\n"a": {"scores": {}}}}'
    (finding,) = file(tmp_path, text).findings()
    assert (finding.severity, finding.code, finding.line) == (Severity.WARNING, "NOT_ANSWERED", 2)


def paths(value: Any, path: str = "") -> set[str]:
    if isinstance(value, dict):
        own = {f"{path}.{key}".lstrip("."): inner for key, inner in value.items()}
    elif isinstance(value, list):
        own = {f"{path}[{index}]": inner for index, inner in enumerate(value)}
    else:
        return set()
    return set(own).union(*(paths(inner, inside) for inside, inner in own.items()))


KEYS = st.text("abc", min_size=1, max_size=3)
TEXTS = st.text('ab"\\{}[]:,\n', max_size=8)
VALUES = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
)


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.sampled_from((None, 1)))
def test_no_json_has_a_property_without_a_line(raw: dict[str, Any], indent: int | None) -> None:
    lines = lines_of(json.dumps(raw, indent=indent))
    assert set(lines) == paths(raw)


def test_the_line_of_what_is_not_there_is_that_of_what_is_around_it(tmp_path: Path) -> None:
    context = file(tmp_path, TEXT)
    assert context.line("dependencies[1].apt.version") == 10
    assert context.line("dependencies[7]") == 7
    assert context.line("nowhere") is None


@pytest.mark.parametrize(
    ("raw", "path", "meant"),
    (
        ({"operation": {}}, "operation", "operations"),
        ({"minimumloglevel": "INFO"}, "minimumloglevel", "minimumLogLevel"),
        ({"defaults": {"operation": {}}}, "defaults.operation", "operations"),
        (
            {"events": {"onRestored": {"timeout_seconds": 1}}},
            "events.onRestored.timeout_seconds",
            "timeoutSeconds",
        ),
        ({"restorations": {"divergance": "warn"}}, "restorations.divergance", "divergence"),
        ({"variables": {"x": {"sav": True}}}, "variables.x.sav", "save"),
        ({"archiv": "all"}, "archiv", "archive"),
        ({"restorations": {"rewind": {"nam": "x"}}}, "restorations.rewind.nam", "name"),
    ),
)
def test_a_misspelled_property_is_a_warning(
    tmp_path: Path, raw: dict[str, Any], path: str, meant: str
) -> None:
    (finding,) = file(tmp_path, json.dumps(raw)).findings()
    assert (finding.severity, finding.subject) == (Severity.WARNING, path)
    assert f"did you mean {meant}?" in finding.advice


def test_properties_that_are_known_or_unlike_all_known_ones_are_left_alone(tmp_path: Path) -> None:
    raw = {
        "$schema": "ctx2.json",
        "control": {},
        "myOwnThing": 1,
        "operations": {"operation": {"inert": True}},
        "defaults": {"variables": {}},
        "restorations": {"divergence": "warn", "modelChanged": "fail"},
    }
    assert list(file(tmp_path, json.dumps(raw)).findings()) == []


def test_a_missing_file_has_no_findings(tmp_path: Path) -> None:
    context = ContextFile(tmp_path / "model.ctx2")
    assert (context.raw, list(context.findings())) == ({}, [])


@pytest.mark.parametrize("text", ("[]", "{", "NaN", '{"a": NaN}', '{"a": ' * 70 + "1" + "}" * 70, "\udcff"))
def test_what_cannot_be_read_is_one_problem(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.ctx2"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    (finding,) = ContextFile(path).findings()
    assert (finding.severity, finding.code) == (Severity.PROBLEM, "INVALID_CONTEXT")


@pytest.mark.parametrize(
    ("raw", "line", "advice"),
    (
        ({"operations": {"step": {"timeoutSeconds": "5"}}}, 4, "write 5 without quotation marks"),
        ({"operations": {"a.b": {"timeoutSeconds": "soon"}}}, 4, "write a number, for example 5"),
        ({"operations": {"step": {"inert": "true"}}}, 4, "write true or false, without quotation marks"),
        ({"operations": ["step"]}, 2, "write an object: { ... }"),
        ({"dependencies": ["numpy"]}, 3, "write an object: { ... }"),
        ({"restorations": {"assembly": {"replay": {}}}}, 3, "write a list: [ ... ]"),
        ({"language": 3}, 2, 'write a text: "..."'),
        ({"minimumLogLevel": "WARNING"}, 2, "did you mean WARN?"),
        ({"restorations": {"divergence": "failing"}}, 3, "did you mean fail?"),
        ({"restorations": {"modelChanged": 1}}, 3, "write fail, for example"),
    ),
)
def test_a_value_of_the_wrong_kind_is_told_with_its_line_and_what_to_write(
    tmp_path: Path, raw: dict[str, Any], line: int, advice: str
) -> None:
    (finding,) = file(tmp_path, json.dumps(raw, indent=1)).findings()
    assert (finding.severity, finding.code) == (Severity.PROBLEM, "INVALID_CONTEXT")
    assert (finding.file, finding.line, finding.advice) == ("model.ctx2", line, advice)


def test_operations_that_runs_are_started_with_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "model.ctx2"
    path.write_text(
        '{"run": {"start": "begn", "prompt": "ask", "result": "report", "private": ["ask", "gone", "_hidden"]}}'
    )

    found = list(ContextFile(path).unknown_names(["begin", "ask", "report"]))

    assert [(one.code, one.message.split(":")[0], one.advice) for one in found] == [
        ("UNKNOWN_OPERATION", "run.start", "did you mean begin?"),
        ("UNKNOWN_OPERATION", "run.private[1]", "remove the entry, or define the operation"),
    ]
