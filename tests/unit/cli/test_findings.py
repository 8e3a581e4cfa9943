import io

import pytest
from rich.console import Console

from worker.cli.findings import Call, Finding, Report, RoundTrip, Severity, show


def report() -> Report:
    return Report(
        "m/model.py",
        operations=[{"name": "step", "signature": "step()", "doc": "[bold]Do\x1b[2J it", "line": 3}],
        variables=[{"name": "x", "type": "int", "value": "1"}],
        round_trip=RoundTrip([Call("step", [])], ["order"], False, ["x"]),
        findings=[Finding(Severity.WARNING, "C", "model.py", 3, "x", "it is so", "did you mean y?")],
    )


def told(report: Report, *, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=terminal, width=100, emoji=False, highlight=False, no_color=True
    )
    show(report, console)
    return out.getvalue()


def test_a_pipe_gets_one_line_for_each_thing() -> None:
    assert told(report(), terminal=False).splitlines() == [
        "operation: step()  [bold]Do\\x1b[2J it",
        "variable: x  int  1",
        "round trip: called step; evicted; restored",
        "round trip: not what they were: x",
        "round trip: not called, as they need arguments: order",
        "warning: model.py:3: it is so. Did you mean y?",
        "m/model.py: fine; 0 problems, 1 warning",
    ]


def test_a_terminal_gets_tables_that_the_model_cannot_draw_in() -> None:
    text = told(report(), terminal=True)
    assert text.count("┏") == 3
    assert "\x1b[2J" not in text
    assert "[bold]Do" in text


@pytest.mark.parametrize(("severity", "ok"), ((Severity.WARNING, True), (Severity.PROBLEM, False)))
def test_only_problems_make_a_model_not_fine(severity: Severity, ok: bool) -> None:
    checked = Report("m", findings=[Finding(severity, "C", "f", None, "", "m", "")])
    assert checked.ok is ok
    assert checked.to_json()["ok"] is ok
    assert checked.to_json()["findings"][0]["severity"] == severity.value


def test_a_round_trip_that_was_not_done_is_no_equality() -> None:
    assert "round trip: not done" in told(Report("m"), terminal=False)
