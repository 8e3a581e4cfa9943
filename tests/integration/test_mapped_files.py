"""Alternative files by scenario: what a run finds where its model opens a file of the model folder."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.client import Client
from protocol.entities import Ritual
from protocol.errors import ErrorCode, ProtocolError

MODEL = """
import json
import os
import sqlite3
from pathlib import Path

import rates

folder = Path(__file__).parent
title = (folder / "data" / "title.txt").read_text()
other = (folder / "other.txt").read_text()
rate = rates.RATE
step_count = 0


def step():
    global step_count
    step_count += 1
    return (folder / "data" / "title.txt").read_text()


def by_c_library():
    return sqlite3.connect(f"file:{folder}/base.db?mode=ro", uri=True).execute("select name from t").fetchall()


def try_to_write():
    (folder / "other.txt").write_text("changed")


def told():
    context = json.loads(os.environ["EPICENTER_WORKER_CONTEXT"])
    return context["model"].get("mappedFiles"), context["execution"].get("mappedFiles")
"""
VARIABLES = ["title", "other", "rate"]
LEVELS = ("strict", "strict+jail")


@pytest.fixture(scope="module")
def model_file(model_root: Any) -> str:
    name: str = model_root.add(
        "mapped",
        MODEL,
        '{"mappedFiles": {"other.txt": "other_b.txt"}}',
        rates="RATE = 1",
        rates_high="RATE = 9",
    )
    folder: Path = model_root.path / "mapped"
    (folder / "data").mkdir()
    for file, text in {
        "data/title.txt": "plain",
        "data/title_b.txt": "b",
        "other.txt": "other",
        "other_b.txt": "other b",
        "other_c.txt": "other c",
    }.items():
        (folder / file).write_text(text)
    for file in ("base.db", "base_b.db"):
        _database(folder / file)
    (folder / "link.txt").symlink_to("/etc/hostname")
    (folder / "elsewhere").symlink_to("/etc")
    return name


def _database(path: Path) -> None:
    with sqlite3.connect(path) as base:
        base.execute("create table t (name text)")
        base.execute("insert into t values (?)", (path.name,))
    base.close()


@pytest.fixture(scope="module", params=LEVELS)
def worker(request: pytest.FixtureRequest, make_daemon: Any, model_root: Any, model_file: str) -> Any:
    return make_daemon(model_root.path, env={"MODEL_WORKER_SANDBOX": request.param})


@pytest.fixture
def client(worker: Any) -> Any:
    with worker.client() as client:
        yield client


def values(client: Client, run_key: str) -> list[Any]:
    return list(client.read_variables(run_key, VARIABLES, ritual=Ritual.REVIVE).values())


def test_a_file_of_the_model_context_stands_where_the_model_opens_another(
    client: Client, model_file: str
) -> None:
    assert values(client, client.create_run(model_file).run_key) == ["plain", "other b", 1]


def test_the_execution_context_wins_name_by_name(client: Client, model_file: str) -> None:
    execution = {"mappedFiles": {"data/title.txt": "data/title_b.txt", "other.txt": "other_c.txt"}}
    run = client.create_run(model_file, execution_context=execution)
    assert values(client, run.run_key) == ["b", "other c", 1]
    other = client.create_run(model_file, execution_context={"mappedFiles": {"data/title.txt": "other.txt"}})
    assert values(client, other.run_key) == ["other", "other b", 1]
    assert client.call_operation(run.run_key, "told") == [
        {"other.txt": "other_b.txt"},
        execution["mappedFiles"],
    ]


def test_the_mapping_of_a_run_is_kept_by_restores_and_clones(client: Client, model_file: str) -> None:
    execution = {"mappedFiles": {"data/title.txt": "data/title_b.txt"}}
    run = client.create_run(model_file, execution_context=execution)
    assert client.call_operation(run.run_key, "step") == "b"
    client.evict_run(run.run_key)
    assert client.call_operation(run.run_key, "step") == "b"
    assert values(client, client.clone_run(run.run_key).run_key)[0] == "b"


def test_an_imported_module_and_what_a_c_library_opens_are_mapped_too(
    client: Client, model_file: str
) -> None:
    execution = {"mappedFiles": {"rates.py": "rates_high.py", "base.db": "base_b.db"}}
    run = client.create_run(model_file, execution_context=execution)
    assert values(client, run.run_key)[2] == 9
    assert client.call_operation(run.run_key, "by_c_library") == [["base_b.db"]]


def test_the_model_file_itself_can_be_mapped_and_introspected(client: Client, model_file: str) -> None:
    execution = {"mappedFiles": {"model.py": "rates_high.py"}}
    run = client.create_run(model_file, execution_context=execution)
    assert client.read_variables(run.run_key, ["RATE"]) == {"RATE": 9}
    told = client.introspect_run(run.run_key)
    assert "RATE" in [variable["name"] for variable in told["variables"]]


def test_two_files_can_stand_for_each_other(client: Client, model_file: str) -> None:
    execution = {"mappedFiles": {"data/title.txt": "other.txt", "other.txt": "data/title.txt"}}
    run = client.create_run(model_file, execution_context=execution)
    assert values(client, run.run_key) == ["other", "plain", 1]


def test_other_runs_and_the_folder_itself_see_nothing_of_a_mapping(
    client: Client, model_file: str, model_root: Any
) -> None:
    execution = {"mappedFiles": {"data/title.txt": "data/title_b.txt"}}
    client.create_run(model_file, execution_context=execution)
    assert values(client, client.create_run(model_file).run_key)[0] == "plain"
    assert (model_root.path / "mapped" / "data" / "title.txt").read_text() == "plain"


def test_a_mapped_file_cannot_be_written(client: Client, model_file: str, model_root: Any) -> None:
    run = client.create_run(model_file)
    with pytest.raises(ProtocolError) as caught:
        client.call_operation(run.run_key, "try_to_write")
    assert caught.value.information["type"] in ("PermissionError", "OSError")
    assert (model_root.path / "mapped" / "other_b.txt").read_text() == "other b"


@pytest.mark.parametrize(
    "case",
    (
        ("data/title.txt", "../other/model.py", "without '..'"),
        ("../x", "other.txt", "without '..'"),
        ("data/title.txt", "/etc/hostname", "below the model folder"),
        ("data/title.txt", "data//title_b.txt", "below the model folder"),
        ("data/title.txt", "gone.txt", "gone.txt is no regular file"),
        ("data/title.txt", "link.txt", "without links"),
        ("data/title.txt", "elsewhere/hostname", "without links"),
        ("data/title.txt", "data", "no regular file"),
        ("nowhere.txt", "other.txt", "put one there"),
        ("link.txt", "other.txt", "no regular file"),
        ("model.ctx2", "other.txt", "send model_context"),
    ),
)
@pytest.mark.parametrize("context", ("model_context", "execution_context"))
def test_what_cannot_be_mapped_is_refused_by_name(
    client: Client, model_file: str, context: str, case: tuple[str, str, str]
) -> None:
    name, file, words = case
    with pytest.raises(ProtocolError, match=words.replace(".", r"\.")) as caught:
        client.create_run(model_file, **{context: {"mappedFiles": {name: file}}})  # type: ignore[arg-type]
    assert caught.value.code is ErrorCode.INVALID_CONTEXT
    assert caught.value.information == {"source": context, "path": f"mappedFiles.{name}"}


def test_as_many_files_as_are_allowed_can_be_mapped_and_no_more(
    client: Client, model_file: str, model_root: Any
) -> None:
    folder: Path = model_root.path / "mapped" / "many"
    folder.mkdir(exist_ok=True)
    for number in range(64):
        (folder / f"{number}.txt").write_text(str(number))
    files = {f"many/{number}.txt": f"many/{(number + 1) % 64}.txt" for number in range(63)}
    source = {"execution_context": {"mappedFiles": {**files, "data/title.txt": "many/7.txt"}}}
    # The model context maps one of its own.
    with pytest.raises(ProtocolError, match="65 files") as caught:
        client.create_run(model_file, **source)  # type: ignore[arg-type]
    assert caught.value.information == {"source": "execution_context", "path": "mappedFiles"}
    del source["execution_context"]["mappedFiles"]["many/0.txt"]
    assert values(client, client.create_run(model_file, **source).run_key)[0] == "7"  # type: ignore[arg-type]


def test_a_file_that_is_gone_refuses_the_restore_and_loses_nothing(
    client: Client, model_file: str, model_root: Any
) -> None:
    alternative: Path = model_root.path / "mapped" / "short_lived.txt"
    alternative.write_text("short")
    run = client.create_run(
        model_file, execution_context={"mappedFiles": {"data/title.txt": "short_lived.txt"}}
    )
    client.call_operation(run.run_key, "step")
    client.evict_run(run.run_key)
    alternative.unlink()
    with pytest.raises(ProtocolError, match=r"short_lived\.txt is no regular file"):
        client.call_operation(run.run_key, "step")
    alternative.write_text("short")
    assert client.read_variables(run.run_key, ["step_count"], ritual=Ritual.REVIVE) == {"step_count": 1}


@pytest.mark.parametrize("level", ("strict-noquota", "process-only"))
def test_a_level_without_mounts_refuses_mappings_and_says_why(
    make_daemon: Callable[..., Any], model_root: Any, model_file: str, level: str
) -> None:
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_SANDBOX": level})
    with daemon.client() as client, pytest.raises(ProtocolError, match=f"no mounts .* {level}") as caught:
        client.create_run(model_file)
    assert caught.value.code is ErrorCode.INVALID_CONTEXT
    assert caught.value.information["source"] == "mapped/model.ctx2"
    daemon.close()
