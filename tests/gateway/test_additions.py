"""What the gateway has beside Epicenter's API: all runs of a project, histories, events, ways back to any entry."""

from typing import Any

import pytest

PLAYER = "dev:PARTICIPANT:ada"
OTHER = "dev:PARTICIPANT:eve"
MISSING = "0" * 36
OWN = "/model-worker"


def add(api: Any, run_key: str, *numbers: int, **more: Any) -> None:
    for number in numbers:
        api.result("POST", f"/run/operation/{run_key}", {"name": "add", "arguments": [number]}, **more)


def count_of(api: Any, run_key: str) -> int:
    found: int = api.result("POST", f"/run/variable/{run_key}", {"include": "count"})[0]
    return found


def entries_of(api: Any, run_key: str, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.result("GET", f"{OWN}/history/{run_key}", **query)["entries"]
    return found


def test_all_runs_are_listed_whatever_their_model_and_scope(api: Any, connect_api: Any) -> None:
    run_keys = [
        api.create("list-a", trackingKey="listed"),
        api.create("list-b", trackingKey="listed", modelFile="deep/model.py"),
    ]
    add(api, run_keys[0], 5)
    page = api.result(
        "GET", f"{OWN}/runs", filter="run.trackingKey=listed", sort="+run.created", var="count;log"
    )
    assert [run["runKey"] for run in page["values"]] == run_keys
    assert (page["firstResult"], page["maxResults"], page["totalResults"]) == (0, 100, 2)
    assert [run["variables"] for run in page["values"]] == [[5, [5]], [None, None]]
    second = api.result(
        "GET", f"{OWN}/runs", filter="run.trackingKey=listed", sort="+run.created", first=1, max=1
    )
    assert [run["runKey"] for run in second["values"]] == run_keys[1:]
    assert api.fault("GET", f"{OWN}/runs", includeEpisodes="true")[0] == 400
    assert api.fault("GET", f"{OWN}/runs", filter="nonsense") == (400, "INVALID_FILTER")


def test_models_are_offered_to_who_may_start_a_run(api: Any) -> None:
    found = api.result("GET", f"{OWN}/models", token=PLAYER)
    assert found == {"models": ["broken.py", "counter.py", "deep/model.py"], "truncated": False}
    assert api.fault("GET", f"{OWN}/models", token=None) == (401, "AUTHORIZATION_FAILURE")
    for model_file in found["models"][1:]:
        assert api.create(modelFile=model_file)


def test_a_history_tells_every_entry_with_its_outcome(api: Any) -> None:
    run_key = api.create()
    add(api, run_key, 2, token="dev:AUTHOR:ann")
    api.result("PATCH", f"/run/variable/{run_key}", {"hidden": {"my_key": 1}})
    assert api.fault("POST", f"/run/operation/{run_key}", {"name": "fail", "arguments": ["why"]})[0] == 422
    found = api.result("GET", f"{OWN}/history/{run_key}")
    boot, done, put, failed = found["entries"]
    assert found["headSeq"] == 4
    assert (boot["seq"], boot["kind"], boot["modelFile"]) == (1, "boot", "counter.py")
    assert (done["name"], done["arguments"], done["outcome"]) == (
        "add",
        [2],
        {"status": "completed", "result": 2},
    )
    assert (done["actor"]["userKey"], done["actor"]["role"]) == ("ann", "AUTHOR")
    assert (put["kind"], put["name"], put["value"]) == ("set", "hidden", {"my_key": 1})
    assert (failed["outcome"]["status"], failed["outcome"]["error"]["information"]["message"]) == (
        "error",
        "why",
    )
    assert entries_of(api, run_key, afterSeq=1, limit=2) == [done, put]
    assert api.fault("GET", f"{OWN}/history/{run_key}", limit=0) == (400, "INCOMPREHENSIBLE_REQUEST")
    assert api.fault("GET", f"{OWN}/history/{MISSING}") == (404, "RUN_NOT_FOUND")


def test_events_tell_the_recorded_variables_that_each_step_changed(api: Any) -> None:
    run_key = api.create()
    add(api, run_key, 2, 3)
    found = api.result("GET", f"{OWN}/events/{run_key}")
    created, *states = found["events"]
    assert (created["kind"], created["run"]["runKey"], created["event"]) == ("created", run_key, 1)
    told = [(event["kind"], event["seq"], event["variables"]["count"]) for event in states]
    assert told == [("state", 2, 2), ("state", 3, 5)]
    assert found["headEvent"] == 3
    later = api.result("GET", f"{OWN}/events/{run_key}", afterEvent=1, limit=1)
    assert [event["event"] for event in later["events"]] == [2]
    assert api.fault("GET", f"{OWN}/events/{run_key}", afterEvent=-1) == (400, "INCOMPREHENSIBLE_REQUEST")


def test_a_run_goes_back_to_any_entry(api: Any) -> None:
    run_key = api.create()
    add(api, run_key, 1, 10, 100)
    run = api.result("POST", f"{OWN}/rewind/{run_key}", {"toSeq": 2})
    assert (run["runKey"], run["seq"], count_of(api, run_key)) == (run_key, 5, 1)
    assert [entry.get("rewoundBy") for entry in entries_of(api, run_key)] == [None, None, 5, 5, None]
    assert api.fault("POST", f"{OWN}/rewind/{run_key}", {"toSeq": 3}) == (400, "REWIND_INVALID")
    assert api.fault("POST", f"{OWN}/rewind/{run_key}", {"rewindCount": 1}) == (
        400,
        "INCOMPREHENSIBLE_REQUEST",
    )


def test_a_run_is_copied_as_it_was_at_any_entry_also_one_that_was_taken_back(api: Any) -> None:
    run_key = api.create()
    add(api, run_key, 1, 10)
    api.result("POST", f"{OWN}/rewind/{run_key}", {"toSeq": 1})
    copy = api.result("POST", f"{OWN}/clone/{run_key}", {"atSeq": 3, "trackingKey": "copy"})
    assert (copy["clonedFrom"], copy["trackingKey"], count_of(api, copy["runKey"])) == (run_key, "copy", 11)
    assert count_of(api, run_key) == 0
    assert api.fault("POST", f"{OWN}/clone/{run_key}", {}) == (400, "INCOMPREHENSIBLE_REQUEST")


def test_a_way_back_that_is_asked_for_again_is_gone_once(api: Any) -> None:
    run_key = api.create()
    add(api, run_key, 1, 10)
    headers = {"Idempotency-Key": "back"}
    first = api.result("POST", f"{OWN}/rewind/{run_key}", {"toSeq": 2}, headers=headers)
    add(api, run_key, 5)
    assert api.result("POST", f"{OWN}/rewind/{run_key}", {"toSeq": 2}, headers=headers) == first
    assert count_of(api, run_key) == 6


@pytest.mark.parametrize(
    ("token", "told"),
    (
        ("dev", {"role": "AUTHOR", "userKey": "dev"}),
        (
            "dev:LEADER:ada:Sales:w",
            {"role": "LEADER", "userKey": "ada", "worldRole": "Sales", "worldKey": "w"},
        ),
        (None, {"role": "ANONYMOUS"}),
    ),
)
def test_a_caller_learns_who_the_token_says_it_is(api: Any, token: str | None, told: dict[str, str]) -> None:
    assert api.result("GET", f"{OWN}/caller", token=token) == told


@pytest.mark.parametrize(
    ("method", "path", "body"),
    (
        ("GET", "history", None),
        ("GET", "events", None),
        ("POST", "rewind", {"toSeq": 1}),
        ("POST", "clone", {"atSeq": 1}),
    ),
)
def test_locks_hold_on_every_way(api: Any, method: str, path: str, body: Any) -> None:
    run_key = api.create(token=PLAYER)
    add(api, run_key, 1, token=PLAYER)
    place = f"{OWN}/{path}/{run_key}"
    assert api.fault(method, place, body, token=OTHER) == (403, "PERMIT_VIOLATION")
    assert api.fault(method, place, body, token=None) == (401, "AUTHORIZATION_FAILURE")
    assert api.ask(method, place, body, token=PLAYER).status_code == 200


def test_a_list_shows_a_player_only_runs_that_may_be_read(api: Any) -> None:
    own = api.create("locks", token=PLAYER)
    api.create("locks", token=OTHER)
    page = api.result("GET", f"{OWN}/runs", filter="run.scopeKey=locks", token=PLAYER)
    assert [run["runKey"] for run in page["values"]] == [own]


def test_the_document_and_its_page_tell_additions_from_what_epicenter_has(api: Any) -> None:
    document = api.root.get("/openapi.json").json()
    tagged = {
        path: operation["tags"] for path, one in document["paths"].items() for operation in one.values()
    }
    own, other = tagged.pop(f"{OWN}/history/{{runKey}}"), tagged["/run/{runKey}"]
    assert own != other
    assert {tag["name"] for tag in document["tags"]} == {*own, *other}
    added = {path for path, tags in tagged.items() if tags == own}
    assert all(path.startswith(OWN) or path.endswith(("/channel", "/run")) for path in added)
    page = api.root.get("/docs").text
    assert page.index(f"<h2>{other[0]}</h2>") < page.index(f"<h2>{own[0]}</h2>") < page.index(f"{OWN}/caller")
