import sys
from pathlib import Path

import pytest

from worker.child.failures import attempt, bounded, describe, type_name
from worker.child.loader import read_source


def raised_in(folder: Path, source: str) -> BaseException:
    path = folder / "model.py"
    path.write_text(source)
    _, error = attempt(exec, compile(source, str(path), "exec"), {})
    assert error is not None
    return error


def test_only_frames_of_the_folder_are_shown(tmp_path: Path) -> None:
    error = raised_in(tmp_path, "import json\ndef f():\n    json.loads('{')\nf()\n")
    described = describe(error, str(tmp_path))
    assert described["type"] == "JSONDecodeError"
    assert described["traceback"].splitlines() == [
        "model.py:4 in <module>: f()",
        "model.py:3 in f: json.loads('{')",
    ]


def test_long_tracebacks_keep_both_ends(tmp_path: Path) -> None:
    error = raised_in(tmp_path, "def f(n):\n    return f(n - 1) if n else 1 / 0\nf(200)\n")
    lines = describe(error, str(tmp_path))["traceback"].splitlines()
    assert len(lines) == 40
    assert lines[0].startswith("model.py:3 in <module>")
    assert lines[-1].startswith("model.py:2 in f")


def test_a_vanished_source_leaves_the_place(tmp_path: Path) -> None:
    error = raised_in(tmp_path, "1 / 0\n")
    (tmp_path / "model.py").unlink()
    assert describe(error, str(tmp_path))["traceback"] == "model.py:1 in <module>"


@pytest.mark.parametrize(
    ("text", "size", "expected"), (("abc", 3, "abc"), ("abcdef", 5, "ab..."), ("\ud800", 9, "\\ud800"))
)
def test_text_is_cut_and_escaped(text: str, size: int, expected: str) -> None:
    assert bounded(text, size) == expected


def test_a_class_cannot_lie_about_its_name() -> None:
    class Meta(type):
        @property
        def __name__(cls) -> str:  # type: ignore[override]  # what a hostile model does
            raise SystemExit

    class Liar(metaclass=Meta):
        pass

    assert type_name(Liar()) == "Liar"


def test_trace_functions_are_removed() -> None:
    before = sys.gettrace(), sys.getprofile()
    try:
        attempt(sys.setprofile, lambda *_: None)
        assert sys.getprofile() is None
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])


def test_a_source_is_read_whole(tmp_path: Path) -> None:
    data = b"#" * 3_000_000
    (tmp_path / "big.py").write_bytes(data)
    assert read_source(str(tmp_path / "big.py")) == data
