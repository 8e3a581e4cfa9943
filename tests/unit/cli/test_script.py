from pathlib import Path
from typing import Any

import pytest

from worker.cli.roundtrip import Scripted
from worker.cli.script import ScriptError, default_script, read_script, signature


def function(name: str, *arguments: tuple[str, bool, Any]) -> dict[str, Any]:
    told = [{"name": name, "required": required, "default": default} for name, required, default in arguments]
    return {"name": name, "arguments": told, "doc": None}


STEP = function("step", ("weeks", False, 1), ("*more", False, None))
ORDER = function("order", ("quantity", True, None), ("role", False, "Factory"))
SILENT = {"name": "silent", "arguments": None, "doc": None}


@pytest.mark.parametrize(
    ("told", "text"),
    ((STEP, "step(weeks=1, *more)"), (ORDER, 'order(quantity, role="Factory")'), (SILENT, "silent(…)")),
)
def test_a_signature_reads_as_the_call(told: dict[str, Any], text: str) -> None:
    assert signature(told) == text


def test_without_a_script_only_what_needs_no_arguments_is_called() -> None:
    assert default_script([STEP, ORDER, SILENT]) == ([Scripted("step")], ["order", "silent"])


def test_a_script_is_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "check.json"
    assert read_script(path) is None
    path.write_text('[{"name": "b", "arguments": [1]}, {"name": "a", "actor": {"role": "USER"}}]')
    assert read_script(path) == [
        Scripted("b", [1], None, asked=True),
        Scripted("a", [], {"role": "USER"}, asked=True),
    ]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    (
        ("[\n{]", 2, "not JSON"),
        ("{}", None, "all of it"),
        ('[{"name": 1}]', None, "0.name"),
        ('[{"name": "a", "argument": []}]', None, "0.argument"),
    ),
)
def test_a_script_that_is_none_says_where(tmp_path: Path, text: str, line: int | None, reason: str) -> None:
    path = tmp_path / "check.json"
    path.write_text(text)
    with pytest.raises(ScriptError, match=reason) as caught:
        read_script(path)
    assert caught.value.line == line
