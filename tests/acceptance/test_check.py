"""``model-worker check``: what is told of good and broken models, and with which exit status."""

import json
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

REPOSITORY = Path(__file__).parents[2]
COUNTER = """
from epicenter import Epicenter

count = 0


def step(by=1):
    '''One step.

    And more.
    '''
    global count
    count += by
    Epicenter.record("count", count)
    return count
"""


@dataclass
class Checked:
    """How a check ended, and its report."""

    status: int
    report: dict[str, Any]

    def finding(self, code: str, subject: str | None = None) -> dict[str, Any]:
        """The only finding of a code (and a subject)."""
        findings: list[dict[str, Any]] = [
            finding
            for finding in self.report["findings"]
            if finding["code"] == code and subject in (None, finding["subject"])
        ]
        assert len(findings) == 1, self.report["findings"]
        return findings[0]

    @property
    def codes(self) -> set[str]:
        return {finding["code"] for finding in self.report["findings"]}


@pytest.fixture
def check(command: Callable[..., Any], open_folder: Path) -> Callable[..., Checked]:
    """``check(source, ctx2=…, script=…)``: the JSON report on a model written for the test."""
    folder = open_folder / "written"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()

    def run(source: str, ctx2: str | None = None, script: str | None = None) -> Checked:
        (folder / "model.py").write_text(textwrap.dedent(source))
        for name, text in (("model.ctx2", ctx2), ("check.json", script)):
            if text is not None:
                (folder / name).write_text(text)
        done = command("check", str(folder), "--json")
        assert done.err == ""
        return Checked(done.status, json.loads(done.out))

    return run


@pytest.mark.parametrize("name", ("epidemic", "market", "savings"))
def test_the_example_models_pass(command: Callable[..., Any], name: str) -> None:
    done = command("check", str(REPOSITORY / "models" / name), "--json")

    report = json.loads(done.out)
    assert (done.status, report["ok"], report["findings"]) == (0, True, [])
    assert report["round_trip"]["equal"] is True
    assert len(report["round_trip"]["calls"]) >= 3
    assert all(call["error"] is None for call in report["round_trip"]["calls"])
    assert report["unrecorded"] == []


def test_operations_and_variables_are_listed(check: Callable[..., Checked]) -> None:
    checked = check(COUNTER)

    assert checked.status == 0
    assert checked.report["operations"] == [
        {"name": "step", "signature": "step(by=1)", "doc": "One step.", "line": 7}
    ]
    assert checked.report["variables"] == [{"name": "count", "type": "int", "value": "0"}]
    assert checked.report["round_trip"] == {
        "calls": [{"name": "step", "arguments": [], "error": None}],
        "not_called": [],
        "equal": True,
        "differing": [],
    }


def test_a_syntax_error_is_told_with_its_line(check: Callable[..., Checked]) -> None:
    checked = check("x = 1\ndef broken(:\n    pass\n")

    finding = checked.finding("MODEL_LOAD_FAILED")
    assert (checked.status, finding["file"], finding["line"]) == (1, "model.py", 2)
    assert "SyntaxError" in finding["message"]


def test_an_exception_at_import_is_told_where_it_was_raised(check: Callable[..., Checked]) -> None:
    checked = check("def load():\n    return {}['missing']\n\n\ntable = load()\n")

    finding = checked.finding("MODEL_LOAD_FAILED")
    assert (checked.status, finding["file"], finding["line"]) == (1, "model.py", 2)
    assert "KeyError" in finding["message"]


def test_every_mistake_in_the_context_is_told_with_its_line(check: Callable[..., Checked]) -> None:
    ctx2 = """{
      "version": "V2",
      "operations": {
        "step": {"timeoutSeconds": "soon"}
      },
      "inceptionGracePeriodSeconds": -1
    }"""
    checked = check(COUNTER, ctx2)

    found = {(finding["subject"], finding["line"]) for finding in checked.report["findings"]}
    assert found == {("operations.step.timeoutSeconds", 4), ("inceptionGracePeriodSeconds", 6)}
    assert (checked.status, checked.codes) == (1, {"INVALID_CONTEXT"})


def test_a_context_that_is_no_json_is_told_with_its_line(check: Callable[..., Checked]) -> None:
    checked = check(COUNTER, '{\n  "version": "V2",\n}')

    finding = checked.finding("INVALID_CONTEXT")
    assert (checked.status, finding["file"], finding["line"]) == (1, "model.ctx2", 3)


def test_a_context_that_only_the_worker_can_judge_is_told_with_its_line(
    check: Callable[..., Checked],
) -> None:
    checked = check(COUNTER, '{\n  "workerImage": "science"\n}')

    finding = checked.finding("INVALID_CONTEXT")
    assert (checked.status, finding["file"], finding["line"]) == (1, "model.ctx2", 2)
    assert "there is no environment 'science'" in finding["message"]


def test_schemas_that_nothing_could_be_judged_by_are_problems_with_path_and_reason(
    check: Callable[..., Checked],
) -> None:
    """A worker tells of each with the first value only; those that are right are not mentioned."""
    checked = check(
        COUNTER,
        ctx2="""{"version": "V2",
            "defaults": {"operations": {"resultSchema": {"$ref": "#/$defs/none"}}},
            "operations": {"step": {
                "argumentsSchema": {"type": "array", "items": {"type": "whole"}},
                "resultSchema": {"type": "integer"}}},
            "run": {
                "input": {"pattern": "(", "$schema": "https://json-schema.org/draft/2020-12/schema"}}
        }""",
    )

    assert checked.status == 1
    assert checked.codes == {"INVALID_SCHEMA"}
    for subject, line, words in (
        ("defaults.operations.resultSchema", 2, ("#/$defs/none",)),
        ("operations.step.argumentsSchema", 4, ("/items/type", "whole")),
        ("run.input", 7, ("/pattern", "(")),
    ):
        finding = checked.finding("INVALID_SCHEMA", subject)
        assert (finding["severity"], finding["file"], finding["line"]) == ("problem", "model.ctx2", line)
        assert all(word in finding["message"] for word in (subject, *words)), finding


def test_misspelled_properties_and_operations_are_warnings_with_a_suggestion(
    check: Callable[..., Checked],
) -> None:
    checked = check(COUNTER, '{\n  "operations": {\n    "stpe": {"timeoutSecond": 5}\n  }\n}')

    unknown = checked.finding("UNKNOWN_PROPERTY")
    assert (unknown["subject"], unknown["line"]) == ("operations.stpe.timeoutSecond", 3)
    assert "timeoutSeconds" in unknown["advice"]
    assert "did you mean step?" in checked.finding("UNKNOWN_OPERATION")["advice"]
    assert checked.status == 0


def test_a_rewind_marker_that_is_no_operation_is_a_problem(check: Callable[..., Checked]) -> None:
    checked = check(COUNTER, '{"restorations": {"rewind": {"name": "advance"}}}')

    assert checked.finding("UNKNOWN_OPERATION")["severity"] == "problem"
    assert checked.status == 1


def test_a_variable_that_a_restore_changes_is_named(check: Callable[..., Checked]) -> None:
    source = f"{COUNTER}\nimport time\nstarted = time.monotonic()\nsteady = time.time()\n"
    checked = check(source)

    finding = checked.finding("NOT_RESTORED")
    assert (finding["subject"], finding["line"]) == ("started", 18)
    assert checked.report["round_trip"]["differing"] == ["started"]
    assert checked.report["round_trip"]["equal"] is False
    clock = checked.finding("REAL_CLOCK")
    assert (clock["severity"], clock["file"], clock["line"]) == ("warning", "model.py", 18)
    assert checked.status == 1


def test_an_operation_that_does_not_repeat_its_result_is_named(check: Callable[..., Checked]) -> None:
    checked = check("class Thing:\n    pass\n\nthing = _t = Thing\n\ndef where():\n    return id(Thing())\n")

    assert checked.finding("REPLAY_DIVERGED")["subject"] == "where"
    assert checked.finding("REPLAY_DIVERGED")["line"] == 6
    assert checked.finding("ADDRESS")["line"] == 7
    assert checked.status == 1


def test_what_only_another_worker_would_order_otherwise_is_found(check: Callable[..., Checked]) -> None:
    source = """
    class Thing:
        def __init__(self, number):
            self.number = number

    things = {Thing(number) for number in range(200)}
    order = [thing.number for thing in things]
    """
    checked = check(source)

    assert checked.finding("SET_OF_OBJECTS")["line"] == 6
    assert "order" in checked.report["round_trip"]["differing"]


def test_an_inert_operation_that_changes_state_is_suspected(check: Callable[..., Checked]) -> None:
    checked = check(COUNTER, '{"operations": {"step": {"inert": true}}}')

    assert "declared inert: step" in checked.finding("NOT_RESTORED", "count")["advice"]


def test_globals_that_are_changed_but_never_recorded_are_listed(check: Callable[..., Checked]) -> None:
    source = """
    from epicenter import Epicenter

    count = 0
    log = []
    seen = {}
    LIMIT = 5
    _private = 0


    def step():
        global count, _private
        count += 1
        _private += 1
        log.append(count)
        Epicenter.record("count", count)


    def look(name):
        seen[name] = True
    """
    checked = check(source)

    assert checked.report["unrecorded"] == ["log", "seen"]
    assert checked.finding("UNRECORDED_VARIABLE", "log")["line"] == 15
    assert checked.finding("UNRECORDED_VARIABLE", "seen")["line"] == 20
    assert checked.report["round_trip"]["not_called"] == ["look"]
    assert checked.status == 0


def test_the_script_is_called_instead_with_arguments_and_actors(check: Callable[..., Checked]) -> None:
    source = """
    from epicenter import Epicenter

    told = []


    def tell(what, twice=False):
        told.append([what, Epicenter.actor()["world_role"]])
        Epicenter.record("told", told)


    def never():
        raise RuntimeError
    """
    script = '[{"name": "tell", "arguments": ["hello", true], "actor": {"world_role": "Chief"}}]'
    checked = check(source, script=script)

    assert (checked.status, checked.codes) == (0, set())
    assert checked.report["round_trip"]["calls"] == [
        {"name": "tell", "arguments": ["hello", True], "error": None}
    ]


def test_a_call_that_raises_is_a_problem_only_if_the_author_asked_for_it(
    check: Callable[..., Checked],
) -> None:
    source = "def fail():\n    raise ValueError('no')\n"

    blind, asked = check(source), check(source, script='[{"name": "fail"}]')

    assert (blind.status, blind.finding("OPERATION_FAILED")["line"]) == (0, 2)
    assert (asked.status, asked.finding("OPERATION_FAILED")["line"]) == (1, 2)


@pytest.mark.parametrize("script", ("{}", "[{}]", '[{"name": "step", "argument": [1]}]', "[1,\n]"))
def test_a_script_that_makes_no_sense_is_a_problem(check: Callable[..., Checked], script: str) -> None:
    checked = check(COUNTER, script=script)

    assert (checked.status, checked.finding("INVALID_SCRIPT")["file"]) == (1, "check.json")


def test_an_operation_that_ends_its_process_does_not_end_the_check(check: Callable[..., Checked]) -> None:
    checked = check(f"import os\n{COUNTER}\n\ndef die():\n    os._exit(3)\n")

    assert checked.finding("PROCESS_EXITED")["subject"] == "die"
    assert checked.report["round_trip"]["equal"] is True
    assert checked.status == 1


def test_a_variable_without_an_encoding_is_a_warning_and_the_others_are_compared(
    check: Callable[..., Checked],
) -> None:
    checked = check(f"{COUNTER}\nraw = b'bytes'\n")

    assert checked.finding("UNENCODABLE_VALUE")["subject"] == "raw"
    assert {row["name"]: row["value"] for row in checked.report["variables"]} == {
        "count": "0",
        "raw": "(cannot be read)",
    }
    assert (checked.status, checked.report["round_trip"]["equal"]) == (0, True)


def test_a_model_that_crashes_the_compiler_crashes_nothing_else(check: Callable[..., Checked]) -> None:
    checked = check(f"x = {'(' * 5000}{')' * 5000}\n")

    assert checked.status == 1
    assert "MODEL_LOAD_FAILED" in checked.codes or "PROCESS_EXITED" in checked.codes


def test_a_person_gets_lines_and_nothing_is_left_behind(
    command: Callable[..., Any], open_folder: Path, tmp_path: Path
) -> None:
    folder = open_folder / "plain"
    folder.mkdir()
    (folder / "other.py").write_text(f"{COUNTER}\nmood = '\x1b[31m[red]'\n")
    empty = open_folder / "t"
    empty.mkdir()

    done = command("check", str(folder / "other.py"), TMPDIR=str(empty))

    assert (done.status, done.err) == (0, "")
    assert "\x1b" not in done.out
    assert "operation: step(by=1)  One step." in done.out.splitlines()
    assert "round trip: every variable is what it was" in done.out.splitlines()
    assert done.out.splitlines()[-1].endswith("other.py: fine; 0 problems, 0 warnings")
    assert list(empty.iterdir()) == []
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [line for line in commands if any(str(empty) in word for word in line)]


@pytest.mark.parametrize("what", ("none", "none.py", "text.txt", ""))
def test_what_is_no_model_is_a_usage_error(command: Callable[..., Any], tmp_path: Path, what: str) -> None:
    (tmp_path / "text.txt").write_text("x")

    done = command("check", str(tmp_path / what), "--json")

    assert (done.status, done.out) == (2, "")
    assert "is no model file" in done.err


def test_without_a_model_the_usage_is_told(command: Callable[..., Any]) -> None:
    assert command("check").status == 2


def test_an_object_that_a_snapshot_flattens_is_a_problem(check: Callable[..., Checked]) -> None:
    source = """
    from epicenter import Epicenter

    names = set()


    def step():
        names.add("a")
        Epicenter.record("names", names)
    """
    checked = check(source, ctx2=json.dumps({"restorations": {"assembly": [{"snapshot": {}}]}}))
    finding = checked.finding("NOT_DECODED", "names")
    assert (checked.status, finding["severity"], finding["line"]) == (1, "problem", 4)


def test_guards_do_not_keep_the_author_out(check: Callable[..., Checked]) -> None:
    source = """
    from epicenter import Epicenter

    count = 0


    def step():
        global count
        count += 1
        Epicenter.record("count", count)
        return count
    """
    context = """{"protections": {"guards": [
        {"privilege": {"regex": "^count$", "domain": "variable", "grant": "allow", "read": "AUTHOR"}},
        {"role": {"regex": "^step$", "domain": "operation", "grant": "allow", "role": "Chief"}}
    ]}}"""
    checked = check(source, context)

    assert (checked.status, checked.codes) == (0, set())
    assert checked.report["round_trip"]["equal"] is True
