"""Projects on one daemon: name spaces of runs, each with models, settings and a limit of its own."""

import asyncio
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.client import AsyncClient, Client
from protocol.errors import ErrorCode, ProtocolError

SUPPLY, DEMAND, SMALL, UNKNOWN = "acme/supply", "acme/demand", "other_1/small-2", "acme/elsewhere"
MODEL = """
import json
import os

from epicenter import Epicenter

place = {place!r}
count = 0


def add(n=1):
    global count
    count += n
    Epicenter.record("count", count)
    return [place, count]


def look(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError as error:
        return type(error).__name__


def listed(path):
    try:
        return os.listdir(path)
    except OSError as error:
        return type(error).__name__


def worker_context():
    return json.loads(os.environ["EPICENTER_WORKER_CONTEXT"])


def wait(seconds):
    import time

    time.sleep(seconds)


Epicenter.record("count", count)
"""
MODEL_FILE = "counter/model.py"


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model root for each project, the default one is ""; all have a model of the same name."""
    found = {}
    for name in ("", SUPPLY, DEMAND, SMALL):
        root = tmp_path_factory.mktemp("root")
        root.chmod(0o755)
        (root / "counter").mkdir()
        (root / MODEL_FILE).write_text(MODEL.format(place=name))
        (root / "counter" / "model.ctx2").write_text('{"operations": {"worker_context": {"inert": true}}}')
        (root / "counter" / "secret.txt").write_text(f"secret of {name}")
        found[name] = root
    return found


def tables(roots: dict[str, Path]) -> str:
    """The projects as the environment gives them."""
    own: dict[str, dict[str, Any]] = {
        SUPPLY: {},
        DEMAND: {"event_runs": "allow_channel", "default_ritual": "REVIVE"},
        SMALL: {"live_run_limit": 2, "session_timeout_seconds": 1},
    }
    return json.dumps({name: {"models_dir": str(roots[name]), **given} for name, given in own.items()})


@pytest.fixture(scope="module")
def daemon(make_daemon: Callable[..., Any], roots: dict[str, Path]) -> Any:
    return make_daemon(roots[""], env={"MODEL_WORKER_PROJECTS": tables(roots)})


def create(peer: Any, project: str = "", **fields: Any) -> dict[str, Any]:
    named = {"project": project} if project else {}
    run: dict[str, Any] = peer.result("create_run", model_file=MODEL_FILE, **named, **fields)
    return run


def call(peer: Any, run_key: str, name: str, *arguments: Any, **fields: Any) -> Any:
    return peer.result("call_operation", run_key=run_key, name=name, arguments=list(arguments), **fields)


@pytest.mark.parametrize("project", ("", SUPPLY, DEMAND))
def test_a_run_is_of_its_project_s_model_and_keeps_its_project(peer: Any, project: str) -> None:
    run = create(peer, project)
    assert run.get("project") == (project or None)
    run_key = run["run_key"]
    assert call(peer, run_key, "add") == [project, 1]
    peer.result("evict_run", run_key=run_key)
    # A request that names a run needs no project: the run has one.
    assert peer.result("get_run", run_key=run_key).get("project") == (project or None)
    assert call(peer, run_key, "add", ritual="REVIVE") == [project, 2]


def test_a_model_of_another_project_is_not_there(peer: Any, roots: dict[str, Path]) -> None:
    shutil.copytree(roots[SUPPLY] / "counter", roots[SUPPLY] / "supply_only")
    assert peer.result("create_run", model_file="supply_only/model.py", project=SUPPLY)["live"]
    for named in ({}, {"project": DEMAND}):
        for kind in ("create_run", "introspect_model"):
            assert peer.error(kind, model_file="supply_only/model.py", **named)["code"] == "MODEL_NOT_FOUND"


def test_introspection_shows_the_project_s_model(peer: Any, roots: dict[str, Path]) -> None:
    folder = roots[DEMAND] / "odd"
    folder.mkdir()
    (folder / "model.py").write_text("def only_in_demand():\n    pass\n")
    told = peer.result("introspect_model", model_file="odd/model.py", project=DEMAND)
    assert [function["name"] for function in told["functions"]] == ["only_in_demand"]
    run = peer.result("create_run", model_file="odd/model.py", project=DEMAND)
    assert peer.result("introspect_run", run_key=run["run_key"]) == told


OF_A_RUN: dict[str, dict[str, Any]] = {
    "get_run": {},
    "restore_run": {},
    "rewind_run": {"to_seq": 1},
    "clone_run": {},
    "migrate_run": {"episode_key": "e"},
    "read_history": {},
    "read_events": {},
    "introspect_run": {},
}
OF_RUNS: dict[str, dict[str, Any]] = {
    "update_run": {"marked": True},
    "evict_run": {},
    "call_operation": {"name": "add"},
    "read_variables": {"names": ["count"]},
    "write_variables": {"values": {"count": 7}},
    "perform_actions": {"actions": [{"kind": "execute", "name": "add"}]},
    "read_metadata": {"names": ["a"], "ignorable": True},
    "update_metadata": {"set": {"a": 1}},
}


@pytest.mark.parametrize("evicted", (False, True), ids=("live", "archived"))
@pytest.mark.parametrize("own", ("", SUPPLY))
def test_a_run_of_another_project_is_as_if_it_were_not_there(peer: Any, own: str, evicted: bool) -> None:
    run_key, nobody = create(peer, own)["run_key"], "f" * 36
    if evicted:
        peer.result("evict_run", run_key=run_key)
    before = peer.result("get_run", run_key=run_key)
    for kind, fields in (OF_A_RUN | OF_RUNS).items():
        error = peer.error(kind, run_key=run_key, project=DEMAND, **fields)
        missing = peer.error(kind, run_key=nobody, project=DEMAND, **fields)
        assert error["code"] == "RUN_NOT_FOUND", kind
        assert json.dumps(error).replace(run_key, nobody) == json.dumps(missing), kind
    for kind, fields in OF_RUNS.items():
        parts = peer.result(kind, run_keys=[run_key, nobody], project=DEMAND, **fields)
        assert [part["error"]["code"] for part in parts.values()] == ["RUN_NOT_FOUND"] * 2, kind
    assert peer.result("get_run", run_key=run_key) == before


def test_a_request_that_names_the_run_s_own_project_is_served(peer: Any) -> None:
    first, second, other = (create(peer, project)["run_key"] for project in (SUPPLY, SUPPLY, DEMAND))
    call(peer, first, "add")
    for kind, fields in (OF_A_RUN | OF_RUNS).items():
        assert peer.ask(kind, run_key=first, project=SUPPLY, **fields)["ok"], kind
    parts = peer.result(
        "call_operation", run_keys=[first, other, second], name="add", arguments=[0], project=SUPPLY
    )
    assert [part["ok"] for part in parts.values()] == [True, False, True]


@pytest.mark.parametrize("kind", ("ping", "worker_status", "query_runs", "create_run", "get_run"))
def test_a_project_that_is_not_served_is_named_and_no_other(peer: Any, daemon: Any, kind: str) -> None:
    fields = {"create_run": {"model_file": MODEL_FILE}, "get_run": {"run_key": "f" * 36}}.get(kind, {})
    error = peer.error(kind, project=UNKNOWN, **fields)
    assert (error["code"], error["status"], error["retryable"]) == ("PROJECT_NOT_FOUND", 404, False)
    assert error["information"] == {"project": UNKNOWN}
    assert UNKNOWN in error["message"]
    assert not any(name in json.dumps(error) for name in (SUPPLY, DEMAND, SMALL))
    told = [json.loads(line) for line in daemon.logged().splitlines() if "project not served" in line]
    assert told[-1]["project"] == UNKNOWN
    assert told[-1]["served"] == sorted(["", SUPPLY, DEMAND, SMALL])


@pytest.mark.parametrize(
    "project",
    (
        "",
        "acme",
        "acme/",
        "/supply",
        "a/b/c",
        "a b/c",
        "ä/b",
        "../x",
        "a/" + "b" * 65,
        "acme/supply\n",
        5,
        ["a/b"],
    ),
)
def test_a_name_that_is_no_project_is_refused(peer: Any, project: Any) -> None:
    error = peer.error("ping", project=project)
    assert (error["code"], error["information"]["path"]) == ("INVALID_REQUEST", "project")


def test_the_worker_is_asked_with_a_project_too_but_not_drained(peer: Any) -> None:
    assert peer.result("ping", project=SUPPLY)["worker_id"]
    error = peer.error("drain", project=SUPPLY)
    assert error["code"] == "INVALID_REQUEST"
    assert "leave project out" in error["message"]


def test_a_query_finds_the_runs_of_one_project(peer: Any) -> None:
    runs = {project: create(peer, project, tracking_key="q")["run_key"] for project in ("", SUPPLY, DEMAND)}
    clone = peer.result("clone_run", run_key=runs[SUPPLY], tracking_key="q")
    assert clone["project"] == SUPPLY
    expected = {"": [runs[""]], SUPPLY: [runs[SUPPLY], clone["run_key"]], DEMAND: [runs[DEMAND]]}
    for project, keys in expected.items():
        named = {"project": project} if project else {}
        for fields in ({}, {"filter": "run.trackingKey=q"}, {"filter": "var.count=0"}):
            page = peer.result("query_runs", sort="-run.created", **named, **fields)
            found = [run["run_key"] for run in page["values"] if run.get("tracking_key") == "q"]
            assert sorted(found) == sorted(keys)
            assert {run.get("project") for run in page["values"]} == {project or None}
            assert page["total_results"] == len(page["values"])


def test_the_address_of_a_run_holds_its_project_and_no_other(peer: Any) -> None:
    mine = {"account_short_name": "acme", "project_short_name": "supply"}
    run = create(peer, SUPPLY)
    assert run["address"] == mine
    context = call(peer, run["run_key"], "worker_context")
    assert (context["accountShortName"], context["projectShortName"]) == ("acme", "supply")
    assert create(peer, SUPPLY, address={"group_name": "g"})["address"] == {**mine, "group_name": "g"}
    assert create(peer, SUPPLY, address=mine)["address"] == mine
    assert create(peer, address={"account_short_name": "x"})["address"] == {"account_short_name": "x"}
    for name in mine:
        error = peer.error("create_run", model_file=MODEL_FILE, project=SUPPLY, address={name: "other"})
        assert (error["code"], error["information"]["path"]) == ("INVALID_REQUEST", f"address.{name}")
        assert f"address.{name}" in error["message"]
    assert peer.result("migrate_run", run_key=run["run_key"], episode_key="e")["project"] == SUPPLY


def test_a_request_id_stands_for_one_project(peer: Any, fresh_id: Callable[[], str]) -> None:
    fields = {"model_file": MODEL_FILE, "request_id": fresh_id()}
    run = peer.result("create_run", project=SUPPLY, **fields)
    assert peer.result("create_run", project=SUPPLY, **fields)["run_key"] == run["run_key"]
    for named in ({}, {"project": DEMAND}):
        assert peer.error("create_run", **named, **fields)["code"] == "REQUEST_ID_REUSED"


def test_a_project_has_its_own_default_ritual(peer: Any, fresh_id: Callable[[], str]) -> None:
    for project, ritual in (("", "REANIMATE"), (SUPPLY, "REANIMATE"), (DEMAND, "REVIVE")):
        run_key = create(peer, project)["run_key"]
        fields = {"run_key": run_key, "name": "add", "request_id": fresh_id()}
        for _ in range(2):
            assert peer.ask("call_operation", **fields)["run"]["ritual"] == ritual
        peer.result("evict_run", run_key=run_key)
        served = peer.ask("read_variables", run_key=run_key, names=["count"])["run"]
        assert (served["ritual"], served["served_from"]) == (
            ritual,
            "restored" if ritual == "REVIVE" else "archive",
        )


def test_a_project_decides_which_of_its_runs_tell(peer: Any) -> None:
    for project, allow, kinds in (
        (SUPPLY, False, ["created"]),
        (DEMAND, False, []),
        (DEMAND, True, ["created"]),
    ):
        run_key = create(peer, project, allow_channel=allow)["run_key"]
        told = peer.result("read_events", run_key=run_key)["events"]
        assert [event["kind"] for event in told] == kinds


def test_a_run_at_rest_leaves_memory_when_its_project_says_so(peer: Any, wait_until: Any) -> None:
    long, short = create(peer)["run_key"], create(peer, SMALL)["run_key"]

    def told() -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = peer.result("read_events", run_key=short)["events"]
        return events

    wait_until(lambda: told()[-1]["kind"] == "evicted")
    assert told()[-1]["reason"] == "session timeout"
    assert peer.result("get_run", run_key=long)["live"]


def test_a_project_at_its_limit_makes_room_among_its_own_runs(
    peer: Any, daemon: Any, wait_until: Callable[..., None]
) -> None:
    outside = create(peer)["run_key"]
    first, second = (create(peer, SMALL, perpetual=True)["run_key"] for _ in range(2))
    call(peer, first, "add")
    third = create(peer, SMALL, perpetual=True)["run_key"]
    live = {key: peer.result("get_run", run_key=key)["live"] for key in (outside, first, second, third)}
    assert live == {outside: True, first: True, second: False, third: True}

    status = peer.result("worker_status")["projects"][SMALL]
    assert (status["live"], status["limit"]) == (2, 2)
    with daemon.client() as one, daemon.client() as two:
        busy = [
            threading.Thread(target=client.call_operation, args=(key, "wait", [3.0]))
            for client, key in ((one, first), (two, third))
        ]
        for thread in busy:
            thread.start()
        keys = (first, third)
        wait_until(lambda: all(peer.result("get_run", run_key=key)["status"] == "executing" for key in keys))
        error = peer.error("restore_run", run_key=second)
        assert create(peer, SUPPLY)["live"]
        for thread in busy:
            thread.join()
    assert error["code"] == "CAPACITY"
    assert error["information"]["limit"] == f"projects.{SMALL}.live_run_limit"
    assert (error["information"]["used"], error["information"]["allowed"]) == (2, 2)
    assert peer.result("restore_run", run_key=second)["live"]
    for key in (first, second, third):
        peer.result("evict_run", run_key=key)
    assert peer.result("worker_status")["projects"][SMALL]["live"] == 0


def test_worker_status_tells_each_project_or_the_one_that_is_named(peer: Any, roots: dict[str, Path]) -> None:
    run_key = create(peer, SUPPLY)["run_key"]
    told = peer.result("worker_status")["projects"]
    assert {name: project["models_dir"] for name, project in told.items()} == {
        name: str(root) for name, root in roots.items()
    }
    assert {name: project["limit"] for name, project in told.items()} == {
        "": 1000,
        SUPPLY: 1000,
        DEMAND: 1000,
        SMALL: 2,
    }
    assert peer.result("worker_status", project=SUPPLY)["projects"] == {SUPPLY: told[SUPPLY]}
    peer.result("evict_run", run_key=run_key)
    assert peer.result("worker_status")["projects"][SUPPLY]["live"] == told[SUPPLY]["live"] - 1


def test_a_model_cannot_read_another_project_s_model_root(peer: Any, roots: dict[str, Path]) -> None:
    run = create(peer, SUPPLY)
    assert run["sandbox"] == "strict"
    for name, root in roots.items():
        secret, listing = str(root / "counter" / "secret.txt"), str(root / "counter")
        mine = name == SUPPLY
        assert call(peer, run["run_key"], "look", secret) == (
            "secret of " + SUPPLY if mine else "PermissionError"
        )
        assert (call(peer, run["run_key"], "listed", listing) != "PermissionError") == mine
        assert call(peer, run["run_key"], "listed", str(root)) == "PermissionError"


def test_a_client_has_a_project_for_all_its_requests(daemon: Any) -> None:
    with Client(daemon.endpoint, project=SUPPLY) as client:
        run = client.create_run(MODEL_FILE)
        assert run.project == SUPPLY
        assert client.create_run(MODEL_FILE, project=DEMAND).project == DEMAND
        with pytest.raises(ProtocolError) as caught:
            client.get_run(run.run_key, project=DEMAND)
        assert caught.value.code is ErrorCode.RUN_NOT_FOUND

    async def main() -> str | None:
        async with AsyncClient(daemon.endpoint, project=DEMAND) as client:
            return (await client.create_run(MODEL_FILE)).project

    assert asyncio.run(main()) == DEMAND


def test_what_is_left_of_a_project_that_is_not_served_any_more(
    make_daemon: Callable[..., Any], connect: Callable[..., Any], roots: dict[str, Path]
) -> None:
    daemon = make_daemon(roots[""], env={"MODEL_WORKER_PROJECTS": tables(roots)})
    peer = connect(daemon.endpoint)
    run_key, default = create(peer, SUPPLY)["run_key"], create(peer)["run_key"]
    call(peer, run_key, "add", 4)
    daemon.kill()

    # No default model root either: the only project left is another one.
    daemon.models = roots[""] / "gone"
    daemon.env = {"MODEL_WORKER_PROJECTS": json.dumps({DEMAND: {"models_dir": str(roots[DEMAND])}})}
    peer = connect(daemon.start().endpoint)
    for key, project in ((run_key, SUPPLY), (default, None)):
        assert peer.result("get_run", run_key=key).get("project") == project
        assert peer.error("restore_run", run_key=key)["code"] == "PROJECT_NOT_FOUND"
        assert peer.error("call_operation", run_key=key, name="add")["code"] == "PROJECT_NOT_FOUND"
        assert peer.error("read_variables", run_key=key, names=["count"])["code"] == "PROJECT_NOT_FOUND"
        # Guards stand with the model, which is gone; who is above all guards needs none.
        assert peer.error("read_history", run_key=key)["code"] == "PROJECT_NOT_FOUND"
        assert peer.result("read_history", run_key=key, actor={"is_system": True})["entries"]
        assert peer.result("read_metadata", run_key=key, names=["a"], ignorable=True) == {"a": None}
    for kind, fields in (("create_run", {"model_file": MODEL_FILE}), ("query_runs", {})):
        error = peer.error(kind, **fields)
        assert error["code"] == "PROJECT_NOT_FOUND"
        assert "no default project; name a project" in error["message"]
    assert create(peer, DEMAND)["live"]
    assert list(peer.result("worker_status")["projects"]) == [DEMAND]
    daemon.kill()

    daemon.models, daemon.env = roots[""], {"MODEL_WORKER_PROJECTS": tables(roots)}
    peer = connect(daemon.start().endpoint)
    assert call(peer, run_key, "add", project=SUPPLY) == [SUPPLY, 5]


def test_models_are_listed_of_the_project_that_is_asked(peer: Any, roots: dict[str, Path]) -> None:
    (roots[SUPPLY] / "supply_list").mkdir()
    (roots[SUPPLY] / "supply_list" / "model.py").write_text("")
    supply = peer.result("list_models", project=SUPPLY)
    assert "supply_list/model.py" in supply["models"]
    assert supply["truncated"] is False
    others = [peer.result("list_models")["models"], peer.result("list_models", project=DEMAND)["models"]]
    assert all("supply_list/model.py" not in found and "counter/model.py" in found for found in others)
    assert peer.error("list_models", project="acme/nowhere")["code"] == "PROJECT_NOT_FOUND"
