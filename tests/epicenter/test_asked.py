"""What users of Epicenter asked for: the table in the architecture's page says the truth about its tests."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "worker" / "README.md"
TEST = re.compile(r"`(tests/[^`]+)`")


def rows() -> list[list[str]]:
    table = PAGE.read_text().partition("<!-- asked:begin -->")[2].partition("<!-- asked:end -->")[0]
    return [line.strip("| ").split(" | ") for line in table.strip().splitlines()[2:]]


def test_every_item_is_answered_once_and_every_test_that_is_named_exists(
    find_test: Callable[[str], bool],
) -> None:
    assert [int(row[0]) for row in rows()] == [*range(1, 32)]
    for number, _, answer, shown in rows():
        assert answer, number
        tests = TEST.findall(shown)
        assert tests, number
        assert [test for test in tests if not find_test(test)] == [], number


def test_what_a_failed_operation_changed_can_be_taken_back(stage: Any) -> None:
    run_key = stage.run(1)
    before = stage.read(run_key, "price", "secret")
    assert stage.code("call_operation", run_key=run_key, name="fail") == "OPERATION_FAILED"
    failed = stage.history(run_key)[-1]
    assert failed["outcome"]["status"] == "error"
    assert stage.read(run_key, "secret") == before["secret"] + 1
    stage.result("rewind_run", run_key=run_key, to_seq=failed["seq"] - 1)
    assert stage.read(run_key, "price", "secret") == before


def test_evicted_runs_come_back_with_the_new_model(stage: Any) -> None:
    model_file = stage.model(
        "deployed", "def version():\n    return 1\n", '{"restorations": {"divergence": "warn"}}'
    )
    keys = [stage.run(model=model_file) for _ in range(3)]
    stage.model("deployed", "def version():\n    return 2\n")
    ask = {"run_keys": keys, "name": "version"}
    versions = [stage.result("call_operation", run_key=key, name="version") for key in keys]
    assert versions == [1, 1, 1], "a process goes on with what it loaded"
    stage.result("evict_run", run_keys=keys)
    assert [answer["result"] for answer in stage.result("call_operation", **ask).values()] == [2, 2, 2]
    reply = stage.ask("restore_run", run_key=keys[0])
    assert "MODEL_CHANGED" in [warning["code"] for warning in reply["warnings"]]
