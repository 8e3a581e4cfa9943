"""Guards as they stand in ctx2 files now, for reads without a process."""

import json
from pathlib import Path

import pytest

from worker.errors import RequestError
from worker.supervisor.guarding import guards_in_file
from worker.supervisor.models import ModelCatalog


def written(folder: Path, *regexes: str) -> None:
    parts = [{"input": {"regex": regex}} for regex in regexes]
    (folder / "model.ctx2").write_text(json.dumps({"protections": {"guards": parts}}))


def found(catalog: ModelCatalog) -> list[str]:
    return [guard.regex for guard in guards_in_file(catalog, "m/model.py")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a model without a context."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.py").write_text("x = 1\n")
    return tmp_path / "m"


def test_a_changed_file_is_seen_at_once(folder: Path) -> None:
    catalog = ModelCatalog(folder.parent)
    assert found(catalog) == []
    for regexes in (["a"], ["a", "b"], ["c"]):
        written(folder, *regexes)
        assert found(catalog) == regexes
        assert found(catalog) == regexes
    (folder / "model.ctx2").unlink()
    assert found(catalog) == []


def test_a_file_that_cannot_be_read_holds_everything_and_a_model_that_is_gone_nothing(folder: Path) -> None:
    catalog = ModelCatalog(folder.parent)
    for text in ("{", json.dumps({"protections": {"guards": [{"mystery": {}}]}})):
        (folder / "model.ctx2").write_text(text)
        with pytest.raises(RequestError, match="INVALID_CONTEXT"):
            found(catalog)
    (folder / "model.py").unlink()
    assert found(catalog) == []
