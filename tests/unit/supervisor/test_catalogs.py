"""The model roots of projects: which must be there, and which project is served."""

from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ErrorCode
from worker.errors import RequestError
from worker.settings import Settings
from worker.supervisor.catalogs import Catalogs, served_roots
from worker.supervisor.runtime import StartError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.py").write_text("x = 1\n")
    return tmp_path


def settings(models_dir: Path, **projects: Any) -> Settings:
    named = {name.replace("_", "/"): {"models_dir": folder} for name, folder in projects.items()}
    return Settings.load(models_dir=models_dir, projects=named)


def test_each_project_has_its_root_and_two_may_have_the_same(root: Path) -> None:
    catalogs = Catalogs(settings(root / "m", a_b=root, a_c=root))
    assert catalogs.roots == {"": root / "m", "a/b": root, "a/c": root}
    assert catalogs.of("a/b").find("m/model.py").place == catalogs.of("a/c").find("m/model.py").place
    assert catalogs.of("").find("model.py").folder == root / "m"
    with pytest.raises(RequestError) as raised:
        catalogs.of("").find("m/model.py")
    assert raised.value.code is ErrorCode.MODEL_NOT_FOUND


def test_a_project_that_is_not_served_is_not_found(root: Path) -> None:
    catalogs = Catalogs(settings(root, a_b=root))
    assert "a/b" in catalogs
    assert "a/c" not in catalogs
    with pytest.raises(RequestError, match="does not serve the project a/c") as raised:
        catalogs.of("a/c")
    assert (raised.value.code, raised.value.information) == (ErrorCode.PROJECT_NOT_FOUND, {"project": "a/c"})


def test_the_default_root_must_be_there_unless_there_are_projects(root: Path) -> None:
    with pytest.raises(StartError, match="none is no folder; name one with --models"):
        served_roots(settings(root / "none"))
    catalogs = Catalogs(settings(root / "none", a_b=root))
    assert list(catalogs.roots) == ["a/b"]
    with pytest.raises(RequestError, match="no default project; name a project"):
        catalogs.of("")


def test_the_root_of_a_project_must_be_there(root: Path) -> None:
    with pytest.raises(StartError, match="none of project a/b is no folder"):
        served_roots(settings(root, a_b=root / "none"))
