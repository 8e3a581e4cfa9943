"""Model contexts and execution contexts, property by property, in the ctx2 file and in requests.

The rows are those of the reference's tables of properties, by their names there.
"""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

MODEL_TABLE = """
version language modelVersion workerImage dependencies mappedFiles control variables operations events defaults restorations
restorations.assembly[] ReplayOperation restorations.rewind restorations.log protections.guards[] externalFunctions enableStateCache
redirectStandardOut startDebugger inceptionGracePeriodSeconds minimumLogLevel
"""
EXECUTION_TABLE = "version presets mappedFiles tool"
SOURCE = """
from epicenter import Epicenter

x = 0
log = []


def step(by=1):
    global x
    x += by
    log.append(by)
    Epicenter.record("x", x)
    return x


def spin():
    while True:
        pass


def say():
    print("printed")
    for level in ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"):
        Epicenter.log(level, level.lower())


Epicenter.record("x", x)
"""
HANGING = SOURCE + "\nEpicenter.subscribe('onRestored', spin)\n"
numbers = itertools.count()


ENVIRONMENTS = "tests/integration/test_environments.py"
ELSEWHERE = {
    "workerImage": (
        f"{ENVIRONMENTS}::test_a_named_environment_is_imported_ahead",
        f"{ENVIRONMENTS}::test_a_name_that_nobody_configured_is_refused_with_those_there_are",
    ),
    "dependencies": (
        f"{ENVIRONMENTS}::test_two_models_have_different_versions_of_a_package_at_once",
        f"{ENVIRONMENTS}::test_what_cannot_be_built_says_why_and_what_to_do",
        "tests/unit/runs/test_contexts.py::test_what_is_known_and_not_served_is_refused_by_name",
    ),
    "externalFunctions": (
        "tests/integration/test_callbacks.py::test_a_call_is_answered_and_the_provider_learns_who_asks",
        "tests/integration/test_callbacks.py::test_other_kinds_are_answered_by_the_service_of_their_name",
    ),
}
"""Properties that need a package index or a provider, and the kinds of dependencies that are refused, are proven there."""


def model(stage: Any, context: Any, source: str = SOURCE) -> str:
    """A model with this context in its file."""
    name: str = stage.model(f"context{next(numbers)}", source, json.dumps(context))
    return name


def accepts(stage: Any, context: dict[str, Any]) -> None:
    """It is taken from the file and from a request."""
    stage.run(model=model(stage, context))
    stage.run(model_context=context)


def refuses(stage: Any, context: dict[str, Any], path: str) -> None:
    """It is refused from the file and from a request, naming the property."""
    for fields in (
        {"model_file": model(stage, context)},
        {"model_file": stage.model_file, "model_context": context},
    ):
        error = stage.ask("create_run", **fields)["error"]
        assert (error["code"], error["information"]["path"]) == ("INVALID_CONTEXT", path)


def ignores(stage: Any, path: str, **contexts: Any) -> str:
    """A run with contexts of a request that has no effect at ``path``: it is taken, and told."""
    reply = stage.ask("create_run", model_file=stage.model_file, **contexts)
    told = [(warning["code"], warning["path"]) for warning in reply["warnings"]]
    assert told == [("PROPERTY_IGNORED", path)]
    run_key: str = reply["result"]["run_key"]
    return run_key


def printed(stage: Any, run_key: str) -> list[tuple[str, str]]:
    """What a run's calls of ``say`` told."""
    stage.result("call_operation", run_key=run_key, name="say")
    stage.evict(run_key)
    events = stage.result("read_events", run_key=run_key)["events"]
    return [
        (line["level"], line["text"])
        for event in events
        if event["kind"] == "output"
        for line in event["lines"]
    ]


def check_version(stage: Any) -> None:
    for version in ("V1", "V2", "v1", "v2"):
        accepts(stage, {"version": version})
    accepts(stage, {})
    refuses(stage, {"version": "V3"}, "version")


def check_language(stage: Any) -> None:
    for language in ("python3", "PYTHON_3", "Python 3", "python-3", "PYTHON3", "python"):
        accepts(stage, {"language": language})
    for language in ("JAVASCRIPT_20", "R", "julia", "3", "", "?!"):
        refuses(stage, {"language": language}, "language")
    assert stage.view(stage.run())["model_language"] == "PYTHON_3"


def check_model_version(stage: Any) -> None:
    assert stage.view(stage.run(model=model(stage, {"modelVersion": 7})))["model_version"] == 7
    assert "model_version" not in stage.view(stage.run(model=model(stage, {})))
    assert stage.view(stage.run(model_context={"modelVersion": 1.5}))["model_version"] == 1.5


READING = """
from pathlib import Path

text = Path(__file__).with_name("prices.txt").read_text()
"""


def reading(stage: Any, name: str, context: dict[str, Any]) -> str:
    """A model that reads a file of its folder, where there is another one."""
    model_file: str = stage.model(name, READING, json.dumps(context))
    for file in ("prices.txt", "low.txt", "high.txt"):
        (stage.models.path / name / file).write_text(file)
    return model_file


def check_mapped_files(stage: Any) -> None:
    low, high = {"prices.txt": "low.txt"}, {"prices.txt": "high.txt"}
    mapped = reading(stage, "mapped", {"mappedFiles": low})
    assert stage.read(stage.run(model=mapped), "text") == "low.txt"
    assert stage.read(stage.run(model=mapped, model_context={"mappedFiles": high}), "text") == "high.txt"
    refuses(stage, {"mappedFiles": {"prices.txt": 1}}, "mappedFiles.prices.txt")


def check_control(stage: Any) -> None:
    ignores(stage, "control", model_context={"control": {"excel": {"autoRecalculate": True}}})


def check_state_cache(stage: Any) -> None:
    ignores(stage, "enableStateCache", model_context={"enableStateCache": True})


def check_debugger(stage: Any) -> None:
    ignores(stage, "startDebugger", model_context={"startDebugger": True})


def check_variables(stage: Any) -> None:
    run_key = ignores(stage, "variables.secret.save", model_context={"variables": {"secret": {"save": True}}})
    stage.evict(run_key)
    unsaved = stage.code("read_variables", run_key=run_key, names=["secret"], ritual="NONE")
    assert unsaved == "UNRECORDED_VARIABLE", "save has no effect for Python"
    ignores(stage, "variables.secret.reportPer", model_context={"variables": {"secret": {"reportPer": 2}}})
    accepts(stage, {"variables": {"x": {"dialect": "POINT_IN_TIME"}}})
    opted = stage.evict(stage.run({"secret": 8}, model_context={"archive": "all"}))
    assert stage.archived(opted, "secret") == 8, "unless all is archived"


def check_operations(stage: Any) -> None:
    context = {"operations": {"step": {"inert": True}, "spin": {"timeoutSeconds": 0.2}}}
    run_key = stage.run(1, model=model(stage, context))
    assert len(stage.history(run_key)) == 1, "what is inert is not put into the history"
    assert stage.code("call_operation", run_key=run_key, name="spin") == "OPERATION_TIMEOUT"
    assert stage.read(run_key, "x") == 0
    refuses(stage, {"operations": {"step": {"timeoutSeconds": 0}}}, "operations.step.timeoutSeconds")


def check_events(stage: Any) -> None:
    model_file = model(stage, {"events": {"onRestored": {"timeoutSeconds": 0.2}}}, HANGING)
    run_key = stage.evict(stage.run(model=model_file))
    assert stage.code("restore_run", run_key=run_key) in ("OPERATION_TIMEOUT", "BOOT_TIMEOUT")
    assert stage.archived(run_key, "x") == 0
    refuses(stage, {"events": {"onRestored": {"timeoutSeconds": "1"}}}, "events.onRestored.timeoutSeconds")


def check_defaults(stage: Any) -> None:
    defaults = {
        "operations": {"inert": True, "timeoutSeconds": 0.2},
        "events": {},
        "variables": {"save": True},
    }
    named = {"step": {"inert": False}, "spin": {"inert": False}}
    run_key = stage.run(1, model=model(stage, {"defaults": defaults, "operations": named}))
    stage.result("call_operation", run_key=run_key, name="say")
    assert [entry["kind"] for entry in stage.history(run_key)] == ["boot", "execute"]
    assert stage.code("call_operation", run_key=run_key, name="spin") == "OPERATION_TIMEOUT"
    hanging = model(stage, {"defaults": {"events": {"timeoutSeconds": 0.2}}}, HANGING)
    run_key = stage.evict(stage.run(model=hanging))
    assert stage.code("restore_run", run_key=run_key) in ("OPERATION_TIMEOUT", "BOOT_TIMEOUT")


def check_restorations(stage: Any) -> None:
    run_key = stage.evict(stage.run(1, {"log": [9]}, model=model(stage, {})))
    assert stage.read(run_key, "x", "log") == {"x": 1, "log": [9]}, "replay is what is done without any"


def check_assembly(stage: Any) -> None:
    snapshots: list[dict[str, Any]] = [{"snapshot": {}}, {"objectType": "snapshot", "variables": ["x"]}]
    for snapshot in snapshots:
        run_key = stage.run(2, model=model(stage, {"restorations": {"assembly": [snapshot]}}))
        stage.evict(run_key)
        assert stage.read(run_key, "x", "log") == {"x": 2, "log": []}, "only what was recorded"
    replays: list[dict[str, Any]] = [{"replay": {}}, {"objectType": "replay", "operations": []}]
    for replay in replays:
        both = [replay, {"snapshot": {"variables": ["x"]}}]
        run_key = stage.run(2, model=model(stage, {"restorations": {"assembly": both}}))
        stage.evict(run_key)
        assert stage.read(run_key, "x", "log") == {"x": 2, "log": [2]}
    unknown: list[dict[str, Any]] = [{"magic": {}}, {"objectType": "magic"}]
    for wrong in unknown:
        refuses(stage, {"restorations": {"assembly": [wrong]}}, "restorations.assembly[0]")


def check_replay_operation(stage: Any) -> None:
    clone = {"operationType": "stop_before", "targetType": "execute", "targetKey": "step"}
    source = stage.run({"secret": 1}, 1, {"secret": 2}, 2)
    for operation, expected in (
        (clone, (0, 1)),
        ({**clone, "operationType": "exclude"}, (0, 2)),
        ({**clone, "operationType": "exclude", "targetType": "set", "targetKey": "secret"}, (3, 5)),
        ({**clone, "operationType": "EXCLUDE", "targetType": "ANY"}, (0, 2)),
    ):
        override = {"restorations": {"assembly": [{"replay": {"operations": [operation]}}]}}
        copy = stage.result("clone_run", run_key=source, model_context=override)["run_key"]
        assert tuple(stage.read(copy, "price", "secret").values()) == expected
    assert stage.read(source, "price", "secret") == {"price": 3, "secret": 2}


def check_rewind(stage: Any) -> None:
    marker = {"name": "step", "arguments": {"0": 2}, "destructible": True}
    run_key = stage.run(1, 2, 3, model=model(stage, {"restorations": {"rewind": marker}}))
    stage.result("rewind_run", run_key=run_key, rewind_count=1)
    assert stage.read(run_key, "log") == [1]
    assert len(stage.history(run_key)) == 2, "the tail is gone"
    without = stage.run(1, model=model(stage, {}))
    assert stage.code("rewind_run", run_key=without, rewind_count=1) == "REWIND_INVALID"


def check_log(stage: Any) -> None:
    run_key = stage.run(model_context={"restorations": {"log": "temporal"}})
    given = stage.result("call_operation", run_key=run_key, name="given")
    assert given["model"]["restorations"]["log"] == "temporal", "kept, shown to the model, and nothing else"


def check_guards(stage: Any) -> None:
    allow = {"regex": "^x$", "domain": "variable", "grant": "allow"}
    kinds: dict[str, dict[str, Any]] = {
        "role": {**allow, "role": "Sales"},
        "privilege": {**allow, "write": "AUTHOR"},
        "input": {"regex": "^x$", "operator": "<", "operand": 0},
        "overwrite": {"regex": "^x$", "initial": 5},
        "relative": {"regex": "^x$", "key": "x", "operator": ">", "value": 5},
    }
    for kind, options in kinds.items():
        for guard in ({kind: options}, {"objectType": kind, **options}):
            run_key = stage.run(model=model(stage, {"protections": {"guards": [guard]}}))
            error = stage.ask("write_variables", run_key=run_key, values={"x": 1})["error"]
            assert (error["code"], error["information"]["guard"]) == ("GUARD_VIOLATION", kind)
            assert stage.read(run_key, "x") == 0
    refuses(stage, {"protections": {"guards": [{"mystery": {}}]}}, "protections.guards[0]")


def check_standard_out(stage: Any) -> None:
    assert ("STDOUT", "printed") in printed(stage, stage.run(model=model(stage, {})))
    silent = printed(stage, stage.run(model=model(stage, {"redirectStandardOut": False})))
    assert ("STDOUT", "printed") not in silent
    assert ("INFO", "info") in silent


def check_inception(stage: Any) -> None:
    hanging = "while True:\n    pass\n"
    model_file = model(stage, {"inceptionGracePeriodSeconds": 0.3}, hanging)
    assert stage.code("create_run", model_file=model_file) == "BOOT_TIMEOUT"


def check_log_level(stage: Any) -> None:
    levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
    for given, told in (("trace", levels), ("Warn", levels[3:]), ("OFF", []), (None, levels[2:])):
        context = {} if given is None else {"minimumLogLevel": given}
        lines = printed(stage, stage.run(model=model(stage, context)))
        assert [level for level, _ in lines if level != "STDOUT"] == told
    refuses(stage, {"minimumLogLevel": "LOUD"}, "minimumLogLevel")


MODEL_CASES: dict[str, Callable[[Any], None]] = {
    "version": check_version,
    "language": check_language,
    "modelVersion": check_model_version,
    "mappedFiles": check_mapped_files,
    "control": check_control,
    "variables": check_variables,
    "operations": check_operations,
    "events": check_events,
    "defaults": check_defaults,
    "restorations": check_restorations,
    "restorations.assembly[]": check_assembly,
    "ReplayOperation": check_replay_operation,
    "restorations.rewind": check_rewind,
    "restorations.log": check_log,
    "protections.guards[]": check_guards,
    "enableStateCache": check_state_cache,
    "redirectStandardOut": check_standard_out,
    "startDebugger": check_debugger,
    "inceptionGracePeriodSeconds": check_inception,
    "minimumLogLevel": check_log_level,
}


@pytest.mark.parametrize("name", MODEL_CASES)
def test_a_property_of_the_model_context(stage: Any, name: str) -> None:
    MODEL_CASES[name](stage)


def test_every_row_has_a_case(find_test: Callable[[str], bool]) -> None:
    assert {*MODEL_CASES, *ELSEWHERE} == set(MODEL_TABLE.split())
    assert [test for tests in ELSEWHERE.values() for test in tests if not find_test(test)] == []
    assert list(EXECUTION_CASES) == EXECUTION_TABLE.split()


# What holds for the context as a whole


def test_a_request_overrides_the_file_in_part_and_for_one_incarnation(stage: Any) -> None:
    context = {"modelVersion": 1, "operations": {"step": {"inert": True}, "say": {"timeoutSeconds": 5}}}
    run_key = stage.run(
        1,
        model=model(stage, context),
        model_context={"operations": {"step": {"inert": False}}, "modelVersion": 2},
    )
    assert (stage.view(run_key)["model_version"], len(stage.history(run_key))) == (2, 2)
    copy = stage.result("clone_run", run_key=run_key)["run_key"]
    for key in (stage.evict(run_key), copy):
        stage.play(key, 1)
        assert stage.read(key, "x") == 2
        assert len(stage.history(key)) == 2, (
            "the override of the creation is forgotten, and step is inert again"
        )


def test_a_model_needs_no_context_file(stage: Any) -> None:
    model_file = stage.model("bare", "x = 1\n")
    assert stage.read(stage.run(model=model_file), "x") == 1


# The execution context


PRESET = """
from math import inf as infinity

seen_at_import = globals().get("motto", "nothing")
motto = "placeholder"
after = motto


def read():
    return motto
"""
ANY_JSON: list[Any] = [
    None,
    True,
    0,
    -1.5,
    "text",
    '"quoted"',
    "",
    [],
    [1, [2, {}]],
    {},
    {"a": {"b": [None]}},
]


def check_execution_version(stage: Any) -> None:
    for version in ("V1", "v1"):
        assert stage.view(stage.run(execution_context={"version": version}))["execution_context"] == {
            "version": version
        }
    error = stage.ask("create_run", model_file=stage.model_file, execution_context={"version": "V9"})["error"]
    assert (error["code"], error["information"]["path"]) == ("INVALID_CONTEXT", "version")


def check_presets(stage: Any) -> None:
    model_file = stage.model("preset", PRESET)
    for value in ANY_JSON:
        context = {"presets": {"motto": value, "fresh": value}}
        run_key = stage.run(model=model_file, execution_context=context)
        assert stage.view(run_key)["execution_context"] == context, "echoed as it came"
        for _ in range(2):
            assert stage.read(run_key, "seen_at_import", "motto", "after", "fresh") == {
                "seen_at_import": value,  # a global before the body runs
                "motto": value,  # and again where the body bound a placeholder
                "after": "placeholder",
                "fresh": value,
            }
            assert stage.result("call_operation", run_key=run_key, name="read", ritual="RESURRECT") == value


def check_mapped_of_execution(stage: Any) -> None:
    mapped = reading(stage, "mapped_by_run", {"mappedFiles": {"prices.txt": "low.txt"}})
    run_key = stage.run(model=mapped, execution_context={"mappedFiles": {"prices.txt": "high.txt"}})
    clone = stage.result("clone_run", run_key=run_key)["run_key"]
    for key in (run_key, stage.evict(run_key), clone):
        assert stage.read(key, "text") == "high.txt"


def check_tool(stage: Any) -> None:
    tool = {"tool": {"stella": {"gameMode": True}}}
    run_key = ignores(stage, "tool", execution_context=tool)
    assert stage.view(run_key)["execution_context"] == tool


EXECUTION_CASES: dict[str, Callable[[Any], None]] = {
    "version": check_execution_version,
    "presets": check_presets,
    "mappedFiles": check_mapped_of_execution,
    "tool": check_tool,
}


@pytest.mark.parametrize("name", EXECUTION_CASES)
def test_a_property_of_the_execution_context(stage: Any, name: str) -> None:
    EXECUTION_CASES[name](stage)


@pytest.mark.parametrize("names", ("no-name", "1st", "a.b", "_hidden", "__builtins__", "class"))
def test_a_preset_that_can_be_no_global_is_refused_by_name(stage: Any, names: str) -> None:
    context = {"presets": {names: 1}}
    error = stage.ask("create_run", model_file=stage.model_file, execution_context=context)["error"]
    assert error["code"] == "INVALID_CONTEXT", error
    assert names in error["message"]


def test_the_seed_is_given_and_the_same_at_every_start(stage: Any) -> None:
    model_file = stage.model("seeded", "import random\ndrawn = [forio_random_seed, random.random()]\n")
    first, second = stage.run(model=model_file), stage.run(model=model_file)
    drawn = stage.read(first, "drawn")
    assert stage.read(second, "drawn") != drawn
    assert stage.read(stage.evict(first), "drawn") == drawn
    assert stage.read(stage.result("clone_run", run_key=first)["run_key"], "drawn") == drawn
