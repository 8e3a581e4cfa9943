"""Logs on stderr: for machines and for terminals; never in the way of what they tell about."""

import io
import json
import os
import sys
from collections.abc import Callable
from typing import TextIO

import pytest

from worker.telemetry import KNOWN_TRACES, Traces, make_logger


def test_a_line_for_machines_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    log = make_logger("info", "json").bind(run_key="k")
    log.info("released", reason="line\nfeed \x1b[2J", seq=5)
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert told.pop("timestamp").endswith("Z")
    assert told == {
        "event": "released",
        "level": "info",
        "run_key": "k",
        "reason": "line\nfeed \x1b[2J",
        "seq": 5,
    }


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    log = make_logger("warning", "json")
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.critical("d")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["c", "d"]


def test_what_is_no_terminal_gets_json(capsys: pytest.CaptureFixture[str]) -> None:
    make_logger("info", "auto").info("a")
    assert json.loads(capsys.readouterr().err)["event"] == "a"


def test_no_text_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    make_logger("info", "console").info("model", text="\x1b]0;title\x07\u202ex", plain="äb")
    shown = capsys.readouterr().err
    assert "\\x1b]0;title\\x07\\u202ex" in shown
    assert "\x1b]0;" not in shown
    assert "\u202e" not in shown
    assert "äb" in shown


@pytest.mark.parametrize("log_format", ("json", "console"))
def test_a_bug_is_logged_with_its_traceback(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    log = make_logger("info", "json" if log_format == "json" else "console")
    try:
        int("oops")
    except ValueError:
        log.exception("bug while serving")
    shown = capsys.readouterr().err
    assert "bug while serving" in shown
    assert "ValueError" in shown
    assert "test_telemetry.py" in shown
    assert "oops" not in shown.replace('int("oops")', "").replace('int(\\"oops\\")', ""), (
        "the source may show"
    )


def test_what_an_exception_says_is_written_at_debug_only(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "1234 5678"
    for level in ("info", "debug"):
        try:
            try:
                int(secret)
            except ValueError as error:
                raise KeyError(secret) from error
        except KeyError:
            make_logger(level, "json").exception("bug")
    quiet, full = (json.loads(line)["exception"] for line in capsys.readouterr().err.splitlines())
    assert "ValueError" in quiet
    assert quiet.endswith("KeyError")
    assert secret not in quiet
    assert "KeyError: '1234 5678'" in full


def _full() -> TextIO:
    return open("/dev/full", "w", encoding="utf-8")  # noqa: PTH123 - the test closes it


def _closed() -> TextIO:
    stream = io.StringIO()
    stream.close()
    return stream


def _broken_pipe() -> TextIO:
    read_end, write_end = os.pipe()
    os.close(read_end)
    return os.fdopen(write_end, "w")


@pytest.mark.parametrize("make_stream", (_full, _closed, _broken_pipe))
def test_a_log_that_cannot_be_written_is_lost_silently(
    make_stream: Callable[[], TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = make_stream()
    monkeypatch.setattr(sys, "stderr", stream)
    log = make_logger("info", "json")
    log.info("a")
    log.error("b")
    monkeypatch.undo()
    try:
        stream.close()
    except OSError:
        return  # what was buffered cannot be written either
    assert stream.closed


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_line_with_a_request_names_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    traces = Traces()
    log = make_logger("info", "json", traces)
    traces.note("known", TRACE)
    traces.note("none", None)
    traces.note("words", "00-my secret-01")
    for request_id in ("known", "none", "words", None):
        log.info("step", request_id=request_id)
    log.bind(request_id="known").info("step")
    log.info("step")
    told = [json.loads(line).get("traceparent") for line in capsys.readouterr().err.splitlines()]
    assert told == [TRACE, None, None, None, TRACE, None]


def test_only_the_last_traces_are_known() -> None:
    traces = Traces()
    for number in range(KNOWN_TRACES + 1):
        traces.note(str(number), TRACE)
    traces.note("1", "00-2-2-00")  # again, so it is newer than "2"
    traces.note("last", TRACE)
    known = [traces(None, "info", {"request_id": name}).get("traceparent") for name in ("0", "1", "2", "3")]
    assert known == [None, "00-2-2-00", None, TRACE]
