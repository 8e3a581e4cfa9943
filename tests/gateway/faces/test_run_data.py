"""What is kept of a run's inputs, as ``run_data`` says: all, nothing at all, or more than all."""

from pathlib import Path
from typing import Any

CANARY = "canary-3f9a-of-the-inputs"
OTHER = "canary-77c1-of-the-inputs"
DATA = {"my-param": 7, "secret": CANARY}


def start(runs: Any, **fields: Any) -> dict[str, Any]:
    """A run that has come to rest."""
    body = {"interaction": "scribe.py", "data": DATA, "waitTime": 20, **fields}
    found: dict[str, Any] = runs.result("POST", "", body, code=201)
    return found


def holding(folder: str, text: str) -> list[str]:
    """The files below a folder, write-ahead logs included, that have a text in them."""
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    assert files
    return [path.name for path in files if text.encode() in path.read_bytes()]


def test_inputs_that_shall_not_be_kept_are_in_no_file_and_the_run_comes_back_from_none(
    runs: Any, api: Any, cluster: Any, daemon: Any, gateway: Any
) -> None:
    """Neither data nor what is asked later; results are there while the run is in memory."""
    run = start(runs, config={"run_data": "RESTRICTED"}, id="restricted", name="nothing of it")
    assert (run["status"], run["result"]) == ("completed", {"my-result": "7"})
    key = cluster.result("GET", "/runs/restricted")["runKey"]
    message = {"message": [{"name": "ask", "arguments": [OTHER]}]}
    asked = cluster.result("POST", "/runs/restricted/messages", message, code=201)
    assert asked["result"][0]["result"] == {"heard": OTHER}
    assert runs.result("GET", "/restricted/traces")["traces"] == []

    def nowhere() -> None:
        for text in (CANARY, OTHER, "nothing of it"):
            assert holding(daemon.data, text) == []
            assert text not in daemon.logged()
            assert text not in gateway.log.read_text()

    nowhere()
    api.done("DELETE", f"/run/{key}")
    nowhere()
    for method, path, body in (
        ("POST", f"/run/restore/{key}", {}),
        ("POST", f"/run/rewind/{key}", {"rewindCount": 1}),
        ("POST", f"/run/clone/{key}", {}),
        ("POST", f"/run/operation/{key}", {"name": "add", "arguments": []}),
    ):
        assert api.fault(method, path, body) == (409, "RUN_EPHEMERAL"), path
    copied = runs.ask("POST", "/clone", {"source_run_id": key})
    assert (copied.status_code, copied.json()["error"]) == (409, "RUN_EPHEMERAL")
    nowhere()


def test_a_run_of_such_inputs_that_was_deleted_is_not_there_like_one_that_never_was(
    runs: Any, cluster: Any, api: Any
) -> None:
    start(runs, config={"run_data": "RESTRICTED"}, id="deleted")
    key = cluster.result("GET", "/runs/deleted")["runKey"]
    assert runs.result("DELETE", "/deleted") == {"id": "deleted"}
    assert api.fault("POST", f"/run/restore/{key}", {}) == (404, "RUN_NOT_FOUND")


def test_what_is_looked_for_is_found_where_inputs_are_kept(runs: Any, daemon: Any) -> None:
    text = "canary-a1-of-a-kept-run"
    start(runs, data={**DATA, "secret": text})
    assert holding(daemon.data, text)


def test_a_copy_of_inputs_that_shall_not_be_kept_keeps_none_either(
    runs: Any, cluster: Any, api: Any, daemon: Any
) -> None:
    start(runs, config={"run_data": "RESTRICTED"}, id="original")
    key = cluster.result("GET", "/runs/original")["runKey"]
    kept = {"executionContext": {}, "ephemeral": False}
    assert api.fault("POST", f"/run/clone/{key}", kept) == (409, "RUN_EPHEMERAL")
    copy = runs.result("POST", "/clone", {"source_run_id": "original"})
    assert runs.result("GET", f"/{copy['id']}")["status"] == "completed"
    assert holding(daemon.data, CANARY) == []


def test_to_find_mistakes_what_is_printed_and_changed_is_told_of_each_action(runs: Any, cluster: Any) -> None:
    """Of other runs it is not, unless it is asked for by who creates a run of a cluster."""
    run = start(runs, config={"run_data": "DEBUG"})
    message = {"message": [{"name": "ask", "arguments": ["aloud"]}, {"name": "add", "arguments": [2]}]}
    cluster.result("POST", f"/runs/{run['id']}/messages", message, code=201)
    traces = runs.result("GET", f"/{run['id']}/traces")["traces"]
    assert [(one["name"], one["origin"], one["variables_changed"], one.get("output")) for one in traces] == [
        ("begin", "initial", ["total"], None),
        ("ask", "call", ["words"], "heard aloud"),
        ("add", "call", ["total"], None),
    ]
    silent = start(runs)
    cluster.result("POST", f"/runs/{silent['id']}/messages", message, code=201)
    assert runs.result("GET", f"/{silent['id']}/traces")["traces"] == []
