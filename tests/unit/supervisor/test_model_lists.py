"""Which files are told to whoever looks for a model, and how much is looked at for that."""

import asyncio
import os
from pathlib import Path

import pytest

from protocol.errors import ErrorCode
from protocol.offers import Models
from worker.errors import RequestError
from worker.supervisor.model_lists import MOST_MODELS, list_models
from worker.supervisor.models import ModelCatalog


def listed(root: Path) -> Models:
    return asyncio.run(ModelCatalog(root).listed())


def put(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("{}")


def test_models_are_told_in_order_wherever_they_stand(tmp_path: Path) -> None:
    put(
        tmp_path,
        "b/model.py",
        "a/deep/er/model.py",
        "a.py",
        "a/model.py",
        "a0/model.py",
        "c/play.py",
        "c/play.ctx2",
    )
    found = listed(tmp_path)
    assert found.models == sorted(found.models)
    assert found == Models(
        models=["a.py", "a/deep/er/model.py", "a/model.py", "a0/model.py", "b/model.py", "c/play.py"],
        truncated=False,
    )
    for path in found.models:
        assert ModelCatalog(tmp_path).find(path).name == path


def test_modules_of_a_model_hidden_files_and_others_than_python_are_left_out(tmp_path: Path) -> None:
    put(tmp_path, "a/model.py", "a/tools.py", "a/sim/play.py", "a/model.ctx2", "a/notes.txt", "top.txt")
    put(
        tmp_path,
        ".hidden/model.py",
        "a/.model.py",
        "__pycache__/model.py",
        "a/__init__.py",
        "a/_own/model.py",
    )
    assert listed(tmp_path).models == ["a/model.py"]


def test_an_empty_root_has_no_models(tmp_path: Path) -> None:
    assert listed(tmp_path) == Models(models=[], truncated=False)


def test_links_are_told_where_a_run_can_be_made_of_them(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    put(root, "a/model.py")
    put(outside, "model.py")
    (root / "inner.py").symlink_to("a/model.py")
    (root / "outer.py").symlink_to(outside / "model.py")
    (root / "broken.py").symlink_to("nowhere.py")
    (root / "loop").symlink_to(root)
    (root / "away").symlink_to(outside)
    assert listed(root).models == ["a/model.py", "inner.py"]


def test_what_is_no_regular_file_and_what_cannot_be_asked_for_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, "a/model.py", "b\nc/model.py", "/".join(["d" * 200] * 6) + "/model.py")
    (tmp_path / "folder.py").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    assert listed(tmp_path).models == ["a/model.py"]


def test_more_models_than_are_told_are_cut_and_said_so(tmp_path: Path) -> None:
    most = MOST_MODELS
    put(tmp_path, *(f"m{number:04}/model.py" for number in range(most)))
    assert listed(tmp_path).truncated is False
    put(tmp_path, "a/model.py")
    found = listed(tmp_path)
    assert (len(found.models), found.models[0], found.truncated) == (most, "a/model.py", True)
    assert found.models[-1] == f"m{most - 2:04}/model.py"


def test_a_root_with_more_files_than_are_looked_at_says_so(tmp_path: Path) -> None:
    def look() -> Models:
        return list_models(tmp_path, lambda _path: True, most_entries=5)

    put(tmp_path, "a/model.py", "z/model.py")
    assert look() == Models(models=["a/model.py", "z/model.py"], truncated=False)
    put(tmp_path, "b/1", "b/2", "b/3")
    assert look() == Models(models=["a/model.py"], truncated=True)


def test_a_root_that_is_gone_is_said(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    catalog = ModelCatalog(root)
    root.rmdir()
    with pytest.raises(RequestError, match="model root is gone") as told:
        asyncio.run(catalog.listed())
    assert told.value.code is ErrorCode.MODEL_NOT_FOUND
