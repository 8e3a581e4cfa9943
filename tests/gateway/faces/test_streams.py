"""The stream of one run: results as they come, its end, and how it goes on behind any message."""

import json
from typing import Any

import httpx

DATA = {"my-param": 7}


def start(runs: Any, **fields: Any) -> str:
    body = {"interaction": "scribe.py", "data": DATA, "waitTime": 20, **fields}
    return str(runs.result("POST", "", body, code=201)["id"])


def blocks(text: str) -> list[dict[str, str]]:
    """The messages of a stream, comments left out."""
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = [line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":")]
        if lines:
            found.append(dict(lines))
    return found


def told(text: str) -> list[tuple[str, str, Any]]:
    """(id, event, data) of messages that tell something."""
    return [
        (one["id"], one.get("event", "message"), json.loads(one["data"]))
        for one in blocks(text)
        if "data" in one
    ]


def stream(
    runs: Any, run_id: str, *, last: str | None = None, token: str = "dev", **query: Any
) -> httpx.Response:
    """A stream to its end."""
    headers = {} if last is None else {"Last-Event-ID": last}
    url = f"{runs.base}/{run_id}/stream"
    answer: httpx.Response = runs.client.get(url, params={"access_token": token, **query}, headers=headers)
    return answer


def call(api: Any, run_key: str, name: str, *arguments: Any) -> httpx.Response:
    """An operation, by Epicenter's API: all APIs show the same runs."""
    body = {"name": name, "arguments": list(arguments)}
    answer: httpx.Response = api.ask("POST", f"/run/operation/{run_key}", body)
    return answer


def test_a_finished_run_is_told_again_and_closed(runs: Any) -> None:
    answer = stream(runs, start(runs))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [(event, data) for _, event, data in told(answer.text)] == [
        ("chunk", {"my-result": "7"}),
        ("close", {"status": "completed"}),
    ]


def test_plain_listeners_hear_chunks_without_a_name(runs: Any) -> None:
    events = [event for _, event, _ in told(stream(runs, start(runs), event_names="message").text)]
    assert events == ["message", "close"]


def test_a_stream_that_is_cut_behind_any_message_loses_and_repeats_nothing(runs: Any, api: Any) -> None:
    run_id = start(runs)
    for _ in range(2):
        call(api, run_id, "add")
    actions = [{"objectType": "execute", "name": "add", "arguments": [n]} for n in (1, 2, 3)]
    api.result("POST", f"/run/action/{run_id}", actions)
    whole = told(stream(runs, run_id, since="0").text)
    chunks = [data for _, event, data in whole if event == "chunk"]
    assert chunks == [{"my-result": "7"}, 8, 9, 10, 12, 15]
    for place, (id_, event, _) in enumerate(whole):
        if event != "close":
            rest = told(stream(runs, run_id, last=id_).text)
            assert rest == whole[place + 1 :]


def test_who_comes_back_after_the_end_is_told_to_stop(runs: Any) -> None:
    run_id = start(runs)
    last = told(stream(runs, run_id).text)[-1][0]
    assert stream(runs, run_id, last=last).status_code == 204


def test_values_that_count_as_false_are_told_too(runs: Any, api: Any) -> None:
    run_id = start(runs)
    call(api, run_id, "nothing")
    call(api, run_id, "add", -7)
    chunks = [data for _, event, data in told(stream(runs, run_id, since="0").text) if event == "chunk"]
    assert chunks == [{"my-result": "7"}, None, 0]


def test_an_operation_that_raised_is_a_chunk_that_says_so(runs: Any, api: Any) -> None:
    run_id = start(runs)
    assert call(api, run_id, "fail").status_code == 422
    _, event, data = told(stream(runs, run_id, since="0").text)[1]
    assert (event, data["error"]["code"]) == ("chunk", "OPERATION_FAILED")


def test_a_stream_that_follows_tells_what_comes_later(runs: Any, api: Any) -> None:
    run_id = start(runs)
    url = f"{runs.base}/{run_id}/stream"
    query = {"access_token": "dev", "follow": "true", "since": "0"}
    with runs.client.stream("GET", url, params=query) as answer:
        lines = answer.iter_lines()
        assert next_data(lines) == {"my-result": "7"}
        call(api, run_id, "add")
        assert next_data(lines) == 8


def next_data(lines: Any) -> Any:
    return next(json.loads(line[6:]) for line in lines if line.startswith("data: "))


def test_extra_names_are_told_to_who_asks_for_them_only(runs: Any) -> None:
    run_id = start(runs)
    names = {event for _, event, _ in told(stream(runs, run_id, since="0", events="status,variable").text)}
    assert names == {"status", "variable", "chunk", "close"}
    refused = stream(runs, run_id, events="gossip")
    assert (refused.status_code, refused.json()["error"]) == (400, "INCOMPREHENSIBLE_REQUEST")


def test_a_token_is_needed_and_an_id_has_to_be_one(runs: Any) -> None:
    run_id = start(runs)
    assert stream(runs, run_id, token="nonsense").status_code == 401
    wrong = stream(runs, run_id, last="a.b")
    assert (wrong.status_code, wrong.json()["error"]) == (400, "INVALID_EVENT_ID")
    assert stream(runs, run_id, last="999").status_code == 400
    assert stream(runs, "no-such-run").status_code == 404
