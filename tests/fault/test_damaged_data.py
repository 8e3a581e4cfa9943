"""Data that cannot be used: refused at the start with the path and what to do, and survived while running."""

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE_BYTES = 4096
INDEX_LEAF = 10
MODEL = """
from epicenter import Epicenter

kept = 0


def keep(size):
    global kept
    kept += 1
    Epicenter.record("text", "x" * size)
    Epicenter.record("kept", kept)
    return kept
"""


@pytest.fixture(scope="module")
def model(model_root: Any) -> str:
    name: str = model_root.add("keeper", MODEL)
    return name


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any, model: str) -> Any:
    return make_daemon(model_root.path)


@pytest.fixture(scope="module")
def stopped(daemon: Any, model: str) -> Path:
    """The data folder of a worker that served, and was stopped in order."""
    with daemon.client() as client:
        for _ in range(12):
            run_key = client.create_run(model).run_key
            client.call_operation(run_key, "keep", [30_000])
    assert daemon.stop() == 0
    return Path(daemon.data)


@pytest.fixture
def folder(stopped: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be spoilt."""
    return Path(shutil.copytree(stopped, tmp_path / "data"))


def refusal(
    models: Path, data: Path, *, enter: tuple[str, ...] = (), env: dict[str, str] | None = None
) -> str:
    """What ``serve`` says when it refuses a data folder: one line on stderr, nothing on stdout, status 1."""
    endpoint = f"ipc://{data.parent}/s"
    command = [
        *enter,
        sys.executable,
        "-m",
        "worker.cli.main",
        "serve",
        "--models",
        str(models),
        "--data",
        str(data),
    ]
    refused = subprocess.run(
        [*command, "--bind", endpoint, "--events", ""],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (refused.returncode, refused.stdout) == (1, ""), refused
    # The log may have a line before it: that the database is being looked through.
    *log, refusal = refused.stderr.splitlines()
    assert refusal.startswith("model-worker: "), refused.stderr
    assert [json.loads(line)["event"] for line in log] in ([], ["checking database after an unclean end"])
    return refusal


def spoil(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_page(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1000)


def garble_header(path: Path) -> None:
    spoil(path, 0, os.urandom(100))


def garble_page(path: Path) -> None:
    spoil(path, path.stat().st_size // PAGE_BYTES // 2 * PAGE_BYTES, os.urandom(PAGE_BYTES))


def garble_schema(path: Path) -> None:
    spoil(path, 100, os.urandom(PAGE_BYTES - 100))


def zero_all(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


DAMAGE = {
    "truncated": truncate,
    "cut in a page": cut_page,
    "garbage for a header": garble_header,
    "a garbled page in the middle": garble_page,
    "a garbled schema": garble_schema,
    "zeros": zero_all,
}


@pytest.mark.parametrize(
    ("damage", "end"),
    (
        *((damage, "stopped") for damage in DAMAGE),
        ("truncated", "killed"),
        ("a garbled page in the middle", "killed"),
    ),
)
def test_a_damaged_database_is_refused_with_its_path_and_what_to_do(
    damage: str, end: str, folder: Path, model_root: Any
) -> None:
    path = folder / "worker.db"
    DAMAGE[damage](path)
    if end == "killed":
        (folder / "worker.lock").write_text("pid 1, started 2026-01-01T00:00:00.000Z\n")
    before = path.read_bytes()

    message = refusal(model_root.path, folder)

    assert str(path) in message
    assert "restore the folder from a backup" in message
    assert "move it away to begin with an empty one" in message
    assert path.read_bytes() == before, "what may still be saved is not touched"


def test_a_folder_that_is_mended_as_the_message_says_is_served_again(
    stopped: Path, folder: Path, model_root: Any, make_daemon: Any
) -> None:
    garble_page(folder / "worker.db")
    refusal(model_root.path, folder)
    (folder / "worker.db").write_bytes((stopped / "worker.db").read_bytes())

    daemon = make_daemon(model_root.path, data=str(folder))

    with daemon.client() as client:
        assert client.worker_status()["runs"]["stored"] == 12
    assert daemon.stop() == 0


def test_databases_of_others_and_of_newer_workers_are_refused(folder: Path, model_root: Any) -> None:
    path = folder / "worker.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    message = refusal(model_root.path, folder)
    assert str(path) in message
    assert "schema version 99" in message
    assert "start the newer worker" in message

    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (x)")
    message = refusal(model_root.path, folder)
    assert str(path) in message
    assert "another program" in message
    assert "choose another data folder" in message


def test_paths_that_are_no_data_folder_are_refused(tmp_path: Path, model_root: Any) -> None:
    (tmp_path / "file").touch()
    for data in (tmp_path / "file", tmp_path / "file" / "below"):
        message = refusal(model_root.path, data)
        assert str(data) in message
        assert "choose another" in message
    (tmp_path / "taken" / "worker.db").mkdir(parents=True)
    assert str(tmp_path / "taken" / "worker.db") in refusal(model_root.path, tmp_path / "taken")


@pytest.mark.parametrize("name", ("worker.db", "worker.lock"))
def test_a_file_that_may_not_be_opened_is_named(
    name: str, folder: Path, model_root: Any, disk_faults: Any, disk_calls: Any
) -> None:
    disk_faults.arm(disk_calls.OPEN, errno.EACCES, match=name)
    message = refusal(model_root.path, folder, env=disk_faults.env)
    disk_faults.disarm()

    assert str(folder / name) in message
    assert "check" in message


@pytest.mark.parametrize("state", ("read-only", "full"))
def test_a_disk_that_cannot_be_written_is_refused_at_the_start(
    state: str, small_disk: Any, model_root: Any, stopped: Path
) -> None:
    data = small_disk.outside / "data"
    data.mkdir()
    (data / "worker.db").write_bytes((stopped / "worker.db").read_bytes())
    if state == "full":
        small_disk.fill()
    else:
        small_disk.remount("ro")

    inside = Path(small_disk.path) / "data"
    message = refusal(model_root.path, inside, enter=small_disk.enter)

    assert str(inside) in message
    assert "disk" in message
    if state == "full":
        small_disk.free()


def test_damage_met_while_running_fails_those_who_need_the_page_and_nobody_else(
    make_daemon: Any, model_root: Any, model: str, one_shot: Callable[[str], Any]
) -> None:
    daemon = make_daemon(model_root.path)
    client = one_shot(daemon.endpoint)
    hurt, whole = sorted(client.result("create_run", model_file=model)["run_key"] for _ in range(2))
    for run_key in (hurt, whole) * 60:
        client.result("call_operation", run_key=run_key, name="keep", arguments=[1])
    assert daemon.stop() == 0
    path = Path(daemon.data) / "worker.db"
    daemon.start()
    client = one_shot(daemon.endpoint)
    garble_pages_of(path, hurt, but_not=whole)

    for type_, fields in (
        ("read_history", {}),
        ("restore_run", {}),
        ("call_operation", {"name": "keep", "arguments": [1]}),
    ):
        error = client.refusal(type_, run_key=hurt, **fields)
        assert error["code"] == "LOG_UNAVAILABLE", (type_, error)
        assert str(path) in error["message"]
        assert "backup" in error["message"]

    assert client.result("call_operation", run_key=whole, name="keep", arguments=[10]) == 61
    assert client.result("read_history", run_key=whole)["head_seq"] == 62
    log = client.result("worker_status")["log"]
    assert "outage" not in log
    assert "SQLITE_CORRUPT" in log["read_failures"]["message"]
    assert daemon.stop() == 0
    assert "damaged" in refusal(model_root.path, Path(daemon.data)), "the next start looks through it"


def garble_pages_of(path: Path, run_key: str, *, but_not: str) -> None:
    """Overwrite the head of every leaf page of a tree that holds rows of one run and of no other."""
    content = path.read_bytes()
    found = 0
    for at in range(PAGE_BYTES, len(content), PAGE_BYTES):
        page = content[at : at + PAGE_BYTES]
        mine = page.count(run_key.encode()) > 3
        if page[0] == INDEX_LEAF and mine and but_not.encode() not in page:
            spoil(path, at, bytes([255] * 8))
            found += 1
    assert found > 3
