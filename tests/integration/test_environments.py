"""Packages that models declare: environments built from wheels in a folder, on real daemons, without a network."""

import base64
import concurrent.futures
import contextlib
import fcntl
import hashlib
import json
import os
import pty
import shutil
import socket
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq

from protocol.errors import ProtocolError
from protocol.events import BUILDING_TOPIC, decode_building
from worker.process.environment import environment_key

SETTINGS = "MODEL_WORKER_"
Start = Callable[..., Any]
Building = tuple[Any, str, Any]
PROBE = """
import os

import {name}
from epicenter import Epicenter


def told():
    return {name}.TOLD


def importer():
    return [{name}.IMPORTED_BY, os.getpid(), os.getppid()]


def who():
    return os.getuid()


def place():
    return {name}.__file__


def deface():
    with open({name}.__file__, "a") as file:
        file.write("# defaced")


def add_file():
    with open(os.path.join(os.path.dirname({name}.__file__), "new.py"), "w") as file:
        file.write("")


def importable(other):
    try:
        __import__(other)
    except ImportError:
        return False
    return True


def count():
    global counted
    counted += {name}.TOLD
    return counted


counted = 0
"""


BACKEND = """
import shutil


def build_wheel(folder, config_settings=None, metadata_directory=None):
    open({marker!r}, "w").close()
    shutil.copy("from_source-1.0-py3-none-any.whl", folder)
    return "from_source-1.0-py3-none-any.whl"
"""


def wheel(folder: Path, name: str, version: str, told: Any, *requires: str, size: int = 0) -> None:
    """Write a wheel of one module that tells ``told`` and who imported it."""
    dist = f"{name}-{version}.dist-info"
    source = f"import os\nTOLD = {told!r}\nIMPORTED_BY = os.getpid()\nBALLAST = {'x' * size!r}\n"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}/__init__.py": source,
        f"{dist}/METADATA": metadata + "".join(f"Requires-Dist: {one}\n" for one in requires),
        f"{dist}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = [f"{path},sha256={_hash(text)},{len(text)}" for path, text in files.items()]
    files[f"{dist}/RECORD"] = "\n".join([*lines, f"{dist}/RECORD,,\n"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


def _hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def needs(*dependencies: tuple[str, str | None], **others: Any) -> str:
    parts = [
        {"pypi": {"package": name} | ({} if version is None else {"version": version})}
        for name, version in dependencies
    ]
    return json.dumps({"version": "V2", "dependencies": parts, **others})


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels."""
    folder = tmp_path_factory.mktemp("links")
    wheel(folder, "tiny", "1.0", 1)
    wheel(folder, "tiny", "2.0", 2)
    wheel(folder, "old_fashioned", "1.0", "old", "tiny<2")
    wheel(folder, "big", "1.0", "big", size=3_000_000)
    wheel(folder, "msgpack", "99.0", "the model's own")
    return folder


@pytest.fixture(scope="module")
def offline(links: Path) -> dict[str, str]:
    """Settings of a worker that takes packages from the folder only."""
    return {
        f"{SETTINGS}PACKAGE_INDEX": "",
        f"{SETTINGS}PACKAGE_LINKS": str(links),
        f"{SETTINGS}ENVIRONMENT_RETRY_SECONDS": "600",
    }


@pytest.fixture(scope="module")
def add_model(model_root: Any) -> Callable[..., str]:
    """``add_model(folder, package, context)``: a model that imports the package."""

    def add(folder: str, package: str, context: str) -> str:
        name: str = model_root.add(folder, PROBE.format(name=package), context)
        return name

    return add


@pytest.fixture(scope="module")
def worker(make_daemon: Any, model_root: Any, offline: dict[str, str]) -> Any:
    """The daemon of this module."""
    return make_daemon(model_root.path, env=offline)


@pytest.fixture(scope="module")
def start(make_daemon: Any, model_root: Any) -> Start:
    """``start(env, data=…)``: another daemon with the models of this module."""

    def make(env: dict[str, str], **others: Any) -> Any:
        return make_daemon(model_root.path, env=env, **others)

    return make


@pytest.fixture
def silent_index() -> Iterator[str]:
    """The URL of a package index that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/simple"


def builds(daemon: Any) -> int:
    return int(daemon.logged().count('"environment building"'))


def installers(daemon: Any) -> list[psutil.Process]:
    """The processes that install packages, by now."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process for process in daemon.descendants() if process.name() == "uv"]
    return []


def environments(client: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.worker_status()["environments"]
    return found


def call(client: Any, run: Any, name: str, *arguments: Any) -> Any:
    return client.call_operation(run.run_key, name, list(arguments))


@pytest.fixture
def building(
    start: Start,
    add_model: Callable[..., str],
    silent_index: str,
    connect: Any,
    wait_until: Callable[..., None],
) -> Building:
    """A daemon that is building an environment and cannot get on, the model, and the peer that waits."""
    model_file = add_model("building", "tiny", needs(("tiny", "1.0")))
    daemon = start({f"{SETTINGS}PACKAGE_INDEX": silent_index})
    peer = connect(daemon.endpoint)
    peer.send("create_run", model_file=model_file)
    with daemon.client() as client:
        wait_until(lambda: [one["state"] for one in environments(client)] == ["building"])
    wait_until(lambda: installers(daemon) != [])
    return daemon, model_file, peer


@pytest.fixture
def ran(links: Path, tmp_path: Path) -> Path:
    """A file that exists when code of the source package ``from-source``, among the links, was run."""
    source = tmp_path / "from_source-1.0"
    source.mkdir()
    wheel(source, "from_source", "1.0", "built")
    backend = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (source / "pyproject.toml").write_text(backend)
    (source / "backend.py").write_text(BACKEND.format(marker=str(tmp_path / "ran")))
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: from-source\nVersion: 1.0\n")
    shutil.make_archive(str(links / "from_source-1.0"), "gztar", tmp_path, source.name)
    return tmp_path / "ran"


# What models get


def test_two_models_have_different_versions_of_a_package_at_once(
    worker: Any, add_model: Callable[..., str]
) -> None:
    first = add_model("first", "tiny", needs(("tiny", "1.0")))
    second = add_model("second", "tiny", needs(("Tiny", ">=2")))
    with worker.client() as client:
        one, other = client.create_run(first), client.create_run(second)
        assert [call(client, one, "told"), call(client, other, "told")] == [1, 2]
        assert call(client, one, "told") == 1


def test_what_a_dependency_needs_comes_along_and_nothing_else_does(
    worker: Any, add_model: Callable[..., str]
) -> None:
    model_file = add_model("along", "old_fashioned", needs(("old-fashioned", None)))
    with worker.client() as client:
        run = client.create_run(model_file)
        assert call(client, run, "told") == "old"
        assert [call(client, run, "importable", name) for name in ("tiny", "json", "pydantic")] == [
            True,
            True,
            False,
        ]


def test_a_package_that_the_run_process_uses_itself_is_the_models_own_to_the_model(
    worker: Any, add_model: Callable[..., str]
) -> None:
    model_file = add_model("twin", "msgpack", needs(("msgpack", "99.0")))
    with worker.client() as client:
        run = client.create_run(model_file)
        assert call(client, run, "told") == "the model's own"


def test_what_the_worker_has_already_is_used_as_it_is(worker: Any, add_model: Callable[..., str]) -> None:
    model_file = add_model("own", "json", needs(("msgpack", ">=1,<99")))
    before = builds(worker)
    with worker.client() as client:
        run = client.create_run(model_file)
        assert call(client, run, "importable", "pydantic")
    assert builds(worker) == before


def test_declared_packages_are_never_imported_outside_the_sandbox(
    worker: Any, add_model: Callable[..., str]
) -> None:
    model_file = add_model("outside", "tiny", needs(("tiny", "1.0")))
    with worker.client() as client:
        importer, process, _ = call(client, client.create_run(model_file), "importer")
    assert importer == process


def test_they_are_imported_ahead_where_the_operator_says_so(
    start: Start, offline: dict[str, str], add_model: Callable[..., str]
) -> None:
    model_file = add_model("ahead", "tiny", needs(("tiny", "1.0")))
    daemon = start({**offline, f"{SETTINGS}PRELOAD_DEPENDENCIES": "true"})
    with daemon.client() as client:
        importer, _, zygote = call(client, client.create_run(model_file), "importer")
    assert importer == zygote


def test_a_run_can_read_its_environment_and_not_write_it(worker: Any, add_model: Callable[..., str]) -> None:
    model_file = add_model("readable", "tiny", needs(("tiny", "1.0")))
    with worker.client() as client:
        run = client.create_run(model_file)
        place = Path(call(client, run, "place"))
        before = place.read_text()
        for deed in ("deface", "add_file"):
            with pytest.raises(ProtocolError, match=r"PermissionError|Read-only file system"):
                call(client, run, deed)
    assert place.read_text() == before
    assert not (place.parent / "new.py").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives runs user ids of their own")
def test_a_run_with_an_environment_below_a_private_folder_keeps_a_user_id_of_its_own(
    worker: Any, add_model: Callable[..., str]
) -> None:
    model_file = add_model("someone", "tiny", needs(("tiny", "1.0")))
    assert Path(worker.data).stat().st_mode & 0o077 == 0
    with worker.client() as client:
        assert call(client, client.create_run(model_file), "who") >= 1_900_000_000


@pytest.mark.parametrize("level", ("process-only", "strict+jail"))
def test_environments_serve_other_levels_of_the_sandbox_too(
    level: str, start: Start, offline: dict[str, str], add_model: Callable[..., str]
) -> None:
    model_file = add_model("levels", "tiny", needs(("tiny", "2.0")))
    daemon = start({**offline, f"{SETTINGS}SANDBOX": level}, data=":memory:")
    with daemon.client() as client:
        assert call(client, client.create_run(model_file), "told") == 2


def test_introspection_uses_the_environment(worker: Any, add_model: Callable[..., str]) -> None:
    model_file = add_model("introspected", "tiny", needs(("tiny", "1.0")))
    with worker.client() as client:
        assert "told" in [one["name"] for one in client.introspect_model(model_file)["functions"]]


# Built once


def test_many_requests_at_once_need_one_build(
    start: Start, offline: dict[str, str], add_model: Callable[..., str]
) -> None:
    model_file = add_model("crowd", "old_fashioned", needs(("old-fashioned", "1.0")))
    daemon = start(offline)

    def create(_: int) -> str:
        with daemon.client() as client:
            return str(call(client, client.create_run(model_file), "told"))

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert list(pool.map(create, range(20))) == ["old"] * 20
    assert builds(daemon) == 1


def test_it_is_there_after_a_restart_and_the_run_comes_back(
    start: Start, offline: dict[str, str], add_model: Callable[..., str]
) -> None:
    model_file = add_model("restart", "tiny", needs(("tiny", ">=1")))
    daemon = start(offline)
    with daemon.client() as client:
        run = client.create_run(model_file)
        assert [call(client, run, "count"), call(client, run, "count")] == [2, 4]
    daemon.kill()
    daemon.start()
    with daemon.client() as client:
        assert call(client, run, "count") == 6
    assert builds(daemon) == 0


def test_workers_that_share_a_folder_share_what_is_in_it(
    start: Start, offline: dict[str, str], add_model: Callable[..., str], tmp_path: Path
) -> None:
    model_file = add_model("shared", "tiny", needs(("tiny", "1.0")))
    env = {**offline, f"{SETTINGS}ENVIRONMENTS_DIR": str(tmp_path / "shared")}
    daemons = [start(env) for _ in range(2)]

    def create(daemon: Any) -> Any:
        with daemon.client() as client:
            return call(client, client.create_run(model_file), "told")

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert list(pool.map(create, daemons)) == [1, 1]
    assert sum(builds(daemon) for daemon in daemons) == 1


# Built anew


def test_an_environment_that_was_deleted_gets_the_versions_it_had(
    start: Start, add_model: Callable[..., str], tmp_path: Path
) -> None:
    wheel(tmp_path, "moving", "1.0", 1)
    model_file = add_model("moved", "moving", needs(("moving", None), restorations={"divergence": "warn"}))
    env = {f"{SETTINGS}PACKAGE_INDEX": "", f"{SETTINGS}PACKAGE_LINKS": str(tmp_path)}
    daemon = start(env)
    with daemon.client() as client:
        run = client.create_run(model_file)
        assert call(client, run, "count") == 1
        (built,) = environments(client)
        assert (built["state"], built["packages"], built["requirements"]) == ("used", 1, ["moving"])
        wheel(tmp_path, "moving", "2.0", 2)
        folder = Path(daemon.data, "environments", built["environment"])
        shutil.rmtree(folder)

        client.evict_run(run.run_key)

        assert call(client, run, "count") == 2
        assert call(client, client.create_run(model_file), "told") == 1
        assert builds(daemon) == 2

        client.evict_run(run.run_key)
        shutil.rmtree(folder)
        folder.with_suffix(".json").unlink()
        reply = client.request("restore_run", run_key=run.run_key)
        (warning,) = [one for one in reply.warnings if one["code"] == "ENVIRONMENT_CHANGED"]
        assert warning["packages"] == {"moving": ["1.0", "2.0"]}
        assert '"packages changed"' in daemon.logged()
        client.evict_run(run.run_key)
        with pytest.raises(ProtocolError, match="packages were changed") as raised:
            client.restore_run(run.run_key, model_context={"restorations": {"modelChanged": "fail"}})
        assert raised.value.code == "REPLAY_DIVERGED"


def test_a_worker_that_is_killed_while_it_builds_leaves_nothing_that_is_used(
    building: Building, offline: dict[str, str]
) -> None:
    daemon, model_file, _ = building
    folder = Path(daemon.data, "environments")

    daemon.kill()

    assert list(folder.glob("*.building")) != []
    daemon.env = offline
    daemon.start()
    assert list(folder.glob("*.building")) == []
    with daemon.client() as client:
        assert call(client, client.create_run(model_file), "told") == 1


def test_a_worker_that_is_told_to_stop_while_it_builds_stops(building: Building) -> None:
    daemon, _, peer = building
    processes = daemon.descendants()

    assert daemon.stop() == 0

    assert peer.receive()["error"]["code"] == "DRAINING"
    assert daemon.survivors(processes) == []
    assert list(Path(daemon.data, "environments").glob("*.building")) == []


# While it is built


def test_who_cannot_wait_is_told_what_takes_so_long_and_others_are_served(
    start: Start, counter_model: str, add_model: Callable[..., str], silent_index: str
) -> None:
    model_file = add_model("waiting", "tiny", needs(("tiny", "1.0")))
    env = {f"{SETTINGS}PACKAGE_INDEX": silent_index, f"{SETTINGS}BOOT_LIMIT": "1"}
    daemon = start(env)
    with daemon.client() as client:
        with pytest.raises(ProtocolError, match="is being built, which goes on; ask again") as raised:
            client.create_run(model_file, deadline_seconds=0.2)
        information = raised.value.information
        assert information["applied"] == "no"
        assert client.create_run(counter_model).live
        assert [one["state"] for one in environments(client)] == ["building"]
    assert builds(daemon) == 1


def test_who_asks_again_with_the_same_id_gets_the_run_when_it_is_built(
    start: Start, offline: dict[str, str], add_model: Callable[..., str], connect: Any, tmp_path: Path
) -> None:
    model_file = add_model("again", "tiny", needs(("tiny", "1.0")))
    daemon = start({**offline, f"{SETTINGS}ENVIRONMENTS_DIR": str(tmp_path)})
    peer = connect(daemon.endpoint)
    fields = {"model_file": model_file, "request_id": "the-same"}
    # As another worker would that builds the same environment.
    with (tmp_path / f"{environment_key(['tiny==1.0'], 'wheels')}.busy").open("w") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        error = peer.error("create_run", **fields, deadline_seconds=0.2)
        assert (error["code"], error["information"]["applied"]) == ("DEADLINE_EXCEEDED", "no")
        peer.send("create_run", **fields)
        peer.ask("ping")
    assert peer.receive()["result"]["live"]


def test_those_who_wait_are_told_how_it_gets_on(
    start: Start, add_model: Callable[..., str], silent_index: str, connect: Any
) -> None:
    model_file = add_model("progress", "tiny", needs(("tiny", "1.0")))
    daemon = start({f"{SETTINGS}PACKAGE_INDEX": silent_index})
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.linger = 0
        subscriber.connect(daemon.events)
        subscriber.subscribe(BUILDING_TOPIC)
        request_id = connect(daemon.endpoint).send("create_run", model_file=model_file)
        assert subscriber.poll(30_000)
        topic, body = subscriber.recv_multipart()
        told = decode_building(body)
    assert topic.decode() == f"{BUILDING_TOPIC}{told.environment}"
    assert told.request_ids == [request_id]
    assert told.size_bytes > 0
    assert told.seconds > 0


def test_a_request_on_a_terminal_shows_that_an_environment_is_built(building: Building) -> None:
    daemon, model_file, _ = building
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "worker.cli.main", "call", "create_run"]
    command += [json.dumps({"model_file": model_file}), "--endpoint", daemon.endpoint]
    with os.fdopen(master, "rb", buffering=0) as terminal:
        asking = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        shown = b""
        while b"building the environment" not in shown:
            shown += terminal.read(4096)
        asking.kill()
        asking.wait()


# Failures


@pytest.mark.parametrize(
    ("dependencies", "words"),
    (
        ((("no-such-thing", None),), "there is no such package where this worker looks"),
        ((("tiny", "7"),), "unsatisfiable"),
        ((("old-fashioned", None), ("tiny", "2.0")), "no versions go together"),
        ((("from-source", None),), 'dependency_sources = "any"'),
    ),
)
def test_what_cannot_be_built_says_why_and_what_to_do(
    dependencies: tuple[tuple[str, str | None], ...],
    words: str,
    worker: Any,
    add_model: Callable[..., str],
    ran: Path,
) -> None:
    model_file = add_model("failing", "tiny", needs(*dependencies))
    before, refused = builds(worker), ""
    with worker.client() as client:
        for _ in range(2):
            with pytest.raises(ProtocolError, match="no environment with") as raised:
                client.create_run(model_file)
            assert raised.value.code == "MODEL_LOAD_FAILED"
            assert words in raised.value.message
            assert raised.value.information["retry_after_seconds"] == 600
            refused = raised.value.information["environment"]
        failed = [one for one in environments(client) if one["state"] == "failed"]
        assert refused in [one["environment"] for one in failed]
    assert builds(worker) == before + 1
    assert not ran.exists()


def test_sources_are_built_where_the_operator_says_so(
    start: Start, offline: dict[str, str], add_model: Callable[..., str], ran: Path
) -> None:
    model_file = add_model("source", "from_source", needs(("from-source", "1.0")))
    daemon = start({**offline, f"{SETTINGS}DEPENDENCY_SOURCES": "any"})
    with daemon.client() as client:
        assert call(client, client.create_run(model_file), "told") == "built"
    assert ran.exists()


def test_a_failure_is_not_for_ever(
    start: Start,
    offline: dict[str, str],
    add_model: Callable[..., str],
    tmp_path: Path,
    wait_until: Callable[..., None],
) -> None:
    model_file = add_model("late", "late", needs(("late", None)))
    retry = {f"{SETTINGS}PACKAGE_LINKS": str(tmp_path), f"{SETTINGS}ENVIRONMENT_RETRY_SECONDS": "0.1"}
    daemon = start({**offline, **retry})
    with daemon.client() as client:
        with pytest.raises(ProtocolError, match="no environment with late"):
            client.create_run(model_file)
        wheel(tmp_path, "late", "1.0", "here")

        def comes() -> bool:
            try:
                return bool(call(client, client.create_run(model_file), "told") == "here")
            except ProtocolError as error:
                assert "no environment with late" in str(error)  # noqa: PT017 - the only failure that may be waited out
                return False

        wait_until(comes)


@pytest.mark.parametrize(
    ("package", "bound"),
    (("tiny", ("environment_build_seconds", "0.2")), ("big", ("environment_bytes", "1000000"))),
)
def test_a_build_is_bounded(
    package: str, bound: tuple[str, str], start: Start, offline: dict[str, str], add_model: Callable[..., str]
) -> None:
    setting, value = bound
    model_file = add_model("bounded", package, needs((package, None)))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple" if package == "tiny" else ""
        bounds = {f"{SETTINGS}{setting.upper()}": value, f"{SETTINGS}PACKAGE_INDEX": index}
        daemon = start({**offline, **bounds})
        with daemon.client() as client, pytest.raises(ProtocolError, match=setting):
            client.create_run(model_file)
    assert list(Path(daemon.data, "environments").glob("*.building")) == []


def test_where_only_installed_packages_are_served_others_are_refused(
    start: Start, offline: dict[str, str], add_model: Callable[..., str]
) -> None:
    model_file = add_model("refused", "tiny", needs(("tiny", "1.0")))
    daemon = start({**offline, f"{SETTINGS}DEPENDENCY_SOURCES": "installed"})
    with (
        daemon.client() as client,
        pytest.raises(ProtocolError, match=r"tiny==1\.0.*not installed") as raised,
    ):
        client.create_run(model_file)
    assert raised.value.code == "INVALID_CONTEXT"


# Named environments


@pytest.fixture(scope="module")
def named(make_daemon: Any, model_root: Any, links: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A daemon with two named environments: a list, and a virtual environment with the package tiny in it."""
    folder = tmp_path_factory.mktemp("named")
    venv.create(folder / "venv", symlinks=True)
    site = next((folder / "venv").glob("lib/python*/site-packages"))
    with zipfile.ZipFile(links / "tiny-1.0-py3-none-any.whl") as archive:
        archive.extractall(site)
    config = folder / "worker.toml"
    config.write_text(
        f'package_index = ""\npackage_links = ["{links}"]\n[environments.listed]\nrequirements = ["tiny>=2"]\n'
        f'[environments.fixed]\npython = "{folder}/venv/bin/python"\n'
    )
    return make_daemon(model_root.path, arguments=("--config", str(config)))


@pytest.mark.parametrize(("image", "told"), (("listed", 2), ("fixed", 1)))
def test_a_named_environment_is_imported_ahead(
    image: str, told: int, named: Any, add_model: Callable[..., str]
) -> None:
    model_file = add_model("named", "tiny", json.dumps({"workerImage": image}))
    with named.client() as client:
        run = client.create_run(model_file)
        assert call(client, run, "told") == told
        importer, _, zygote = call(client, run, "importer")
        assert importer == zygote
        assert not call(client, run, "importable", "pydantic")
        assert image in [one.get("name") for one in environments(client)]


def test_dependencies_come_on_top_of_a_list_and_are_looked_for_in_an_interpreter(
    named: Any, add_model: Callable[..., str]
) -> None:
    with named.client() as client:
        on_top = add_model("on_top", "msgpack", needs(("msgpack", "99.0"), workerImage="listed"))
        run = client.create_run(on_top)
        assert call(client, run, "importable", "tiny")
        inside = add_model("inside", "tiny", needs(("tiny", "<2"), workerImage="fixed"))
        assert call(client, client.create_run(inside), "told") == 1
        outside = add_model("not_inside", "tiny", needs(("tiny", "2.0"), workerImage="fixed"))
        with pytest.raises(
            ProtocolError, match=r"tiny==2\.0 is not in environment 'fixed'; version 1\.0"
        ) as raised:
            client.create_run(outside)
    assert raised.value.information["path"] == "dependencies"


def test_a_name_that_nobody_configured_is_refused_with_those_there_are(
    named: Any, add_model: Callable[..., str]
) -> None:
    model_file = add_model("unknown", "json", json.dumps({"workerImage": "science"}))
    with named.client() as client, pytest.raises(ProtocolError, match="known are: fixed, listed") as raised:
        client.create_run(model_file)
    assert raised.value.information["path"] == "workerImage"


@pytest.mark.parametrize(
    ("environment", "words"),
    (
        ('python = "/nonexistent/python"', "no interpreter that can be started"),
        ('requirements = ["tiny @ https://example.com/x"]', "URLs, extras and markers are not served"),
        ('requirements = ["--index-url=https://example.com"]', "is no requirement"),
        ("", "either python"),
    ),
)
def test_a_worker_does_not_start_with_a_named_environment_that_cannot_be_used(
    environment: str, words: str, tmp_path: Path, model_root: Any
) -> None:
    config = tmp_path / "worker.toml"
    config.write_text(f"[environments.broken]\n{environment}\n")
    command = [sys.executable, "-m", "worker.cli.main", "serve", "--config", str(config)]
    command += ["--models", str(model_root.path), "--data", ":memory:", "--events", ""]
    command += ["--bind", f"ipc://{tmp_path}/s"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert words in ended.stderr
    assert "environments.broken" in ended.stderr


def test_an_interpreter_of_another_version_is_refused_at_the_start(tmp_path: Path, model_root: Any) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho \'["cpython-39", "cpython-39-linux", "/a", "/a"]\'\n')
    python.chmod(0o755)
    config = tmp_path / "worker.toml"
    config.write_text(f'[environments.old]\npython = "{python}"\n')
    command = [sys.executable, "-m", "worker.cli.main", "serve", "--config", str(config)]
    command += ["--models", str(model_root.path), "--data", ":memory:", "--bind", f"ipc://{tmp_path}/s"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "environments.old.python" in ended.stderr
    assert "the worker runs on" in ended.stderr


# Checked


def checked(folder: Path, links: Path) -> dict[str, Any]:
    """The report of ``model-worker check`` on a model, with the wheels in a folder."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        f"{SETTINGS}PACKAGE_INDEX": "",
        f"{SETTINGS}PACKAGE_LINKS": str(links),
    }
    command = [sys.executable, "-m", "worker.cli.main", "check", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, env=environment)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_check_uses_the_same_environments(
    add_model: Callable[..., str], model_root: Any, links: Path
) -> None:
    add_model("checked", "tiny", needs(("tiny", "1.0")))
    report = checked(model_root.path / "checked", links)
    assert "told" in [one["name"] for one in report["operations"]]
    assert "MODEL_LOAD_FAILED" not in [one["code"] for one in report["findings"]]


def test_check_tells_where_what_cannot_be_built_was_asked_for(
    add_model: Callable[..., str], model_root: Any, links: Path
) -> None:
    add_model("unchecked", "tiny", '{\n"version": "V2",\n' + needs(("no-such-thing", None))[1:])
    (finding,) = checked(model_root.path / "unchecked", links)["findings"]
    assert (finding["code"], finding["file"], finding["line"]) == ("MODEL_LOAD_FAILED", "model.ctx2", 3)
