"""The planted bugs can still be planted; that they are noticed is proved by ``python -m tests.fault.planted``."""

import ast
from pathlib import Path

import pytest

from tests.fault.planted import BUGS, ROOT, Bug, Edit, NotPlantableError


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_still_has_its_place_and_its_tests(bug: Bug) -> None:
    for edit in bug.edits:
        planted = edit.applied(ROOT)
        ast.parse(planted)
        assert planted != (ROOT / edit.file).read_text()
    named = [name for name in bug.tests if name.startswith("tests/")]
    assert named
    assert all((ROOT / name).is_file() for name in named)


@pytest.mark.parametrize("text", ("", "one one"), ids=("gone", "twice"))
def test_a_text_that_is_not_there_once_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text(text)
    with pytest.raises(NotPlantableError, match=r"file\.py has"):
        Edit("file.py", "one", "two").applied(tmp_path)
