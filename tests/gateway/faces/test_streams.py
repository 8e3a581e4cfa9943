"""The stream of one run: results as they come, its end, and how it goes on behind any message."""

import base64
import concurrent.futures
import contextlib
import itertools
import json
import re
import socket
import time
from typing import Any

import httpx
import jwt
import pytest

DATA = {"my-param": 7}
SECRET = b"0123456789abcdef0123456789abcdef"
WEIGHT = 60_000
"""Characters of what ``weigh`` of the model gives."""


@pytest.fixture(scope="module")
def gateway(make_gateway: Any, daemon: Any) -> Any:
    """The gateway of this module; it hears the worker's events."""
    return make_gateway(daemon.endpoint, arguments=("--listen", "127.0.0.1:0", "--events", daemon.events))


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
    """A stream to its end, whose messages are as the document says."""
    headers = {} if last is None else {"Last-Event-ID": last}
    url = f"{runs.base}/{run_id}/stream"
    answer: httpx.Response = runs.client.get(url, params={"access_token": token, **query}, headers=headers)
    for _, event, data in told(answer.text if answer.status_code == 200 else ""):
        runs.judge.message(answer, event, data)
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


def test_a_stream_that_follows_ends_when_its_run_is_closed_and_not_when_it_leaves_memory(
    runs: Any, api: Any
) -> None:
    run_id = start(runs)
    with connection(runs, run_id, "0") as answer:
        lines = answer.iter_lines()
        assert next_told(lines)[1] == {"my-result": "7"}
        api.done("DELETE", f"/run/{run_id}")
        call(api, run_id, "add")
        assert next_told(lines)[1] == 8
        api.result("PATCH", f"/run/{run_id}", {"closed": True})
        last, data = next_told(lines)
        assert data == {"status": "completed"}
        with pytest.raises(EOFError):
            next_told(lines)
    assert stream(runs, run_id, last=last, follow="true").status_code == 204
    again = told(stream(runs, run_id, since="0", follow="true").text)
    assert [event for _, event, _ in again] == ["chunk", "chunk", "close"]


def test_a_run_counts_its_chunks(runs: Any, api: Any) -> None:
    """Of whatever kind they are; what is only read is none."""
    run_id = start(runs)
    call(api, run_id, "add")
    call(api, run_id, "fail")
    api.result("PATCH", f"/run/variable/{run_id}", {"total": 1})
    api.result("GET", f"/run/variable/{run_id}/total")
    chunks = [data for _, event, data in told(stream(runs, run_id, since="0").text) if event == "chunk"]
    assert runs.result("GET", f"/{run_id}")["chunks"] == len(chunks) == 4


def test_a_token_in_the_query_is_for_streams_alone_and_in_no_log(runs: Any, gateway: Any) -> None:
    run_id = start(runs)
    secret = "dev:AUTHOR:nobody-must-read-this"
    assert stream(runs, run_id, token=secret).status_code == 200
    for method, path in (("GET", f"/{run_id}"), ("GET", ""), ("POST", "")):
        refused = runs.client.request(method, runs.base + path, params={"access_token": secret})
        assert refused.status_code in (400, 401), path
    assert "nobody-must-read-this" not in gateway.log.read_text()


def next_data(lines: Any) -> Any:
    return next(json.loads(line[6:]) for line in lines if line.startswith("data: "))


def connection(runs: Any, run_id: str, last: str, **query: Any) -> Any:
    """A stream that follows the run, behind an id."""
    url = f"{runs.base}/{run_id}/stream"
    params = {"access_token": "dev", "follow": "true", **query}
    return runs.client.stream("GET", url, params=params, headers={"Last-Event-ID": last})


def next_told(lines: Any) -> tuple[str, Any]:
    """The id and the data of the next message that tells something."""
    id_ = ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            id_ = value
        if name == "data":
            return id_, json.loads(value)
    raise EOFError


def test_a_live_stream_that_dies_with_every_message_loses_and_repeats_nothing(runs: Any, api: Any) -> None:
    run_id = start(runs, data={"my-param": 0})
    last = "0"
    seen: list[Any] = []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:

        def act() -> None:
            for number in range(1, 11):
                actions = [{"objectType": "execute", "name": "add", "arguments": [number]}] * 2
                api.result("POST", f"/run/action/{run_id}", actions)

        acting = pool.submit(act)
        while len(seen) < 21:
            with connection(runs, run_id, last) as answer:
                last, data = next_told(answer.iter_lines())
                seen.append(data)
        acting.result(60)
    sums = itertools.accumulate(number for number in range(1, 11) for _ in range(2))
    assert seen == [{"my-result": "0"}, *sums]


def test_two_streams_of_a_run_are_told_the_same(runs: Any, api: Any) -> None:
    run_id = start(runs)
    with connection(runs, run_id, "0") as first, connection(runs, run_id, "0") as second:
        lines = first.iter_lines(), second.iter_lines()
        for number in range(5):
            call(api, run_id, "add", number)
        told_to = [[next_told(one) for _ in range(6)] for one in lines]
    assert told_to[0] == told_to[1]
    assert [data for _, data in told_to[0]] == [{"my-result": "7"}, 7, 8, 10, 13, 17]


def test_a_long_history_is_looked_through_in_few_pages_for_where_a_stream_begins(
    runs: Any, api: Any, daemon: Any, make_gateway: Any
) -> None:
    run_id = start(runs)
    with daemon.client() as client:
        for _ in range(300):
            client.call_operation(run_id, "add", [0])
    run = runs.result("GET", f"/{run_id}")
    gateway = make_gateway(daemon.endpoint, env={"MODEL_WORKER_GATEWAY_METRICS": "127.0.0.1:0"})
    url = f"{gateway.url}/api/v1/runs/{run['id']}/stream"
    whole = told(runs.client.get(url, params={"access_token": "dev"}).text)
    assert (whole[0][2], whole[-1][1], len(whole)) == ({"my-result": "7"}, "close", 302)
    # The head, the page in which the beginning is looked for, seven pages that are told, and whether that is all.
    assert asked_of_worker(gateway, "read_events") <= 10


def asked_of_worker(gateway: Any, type_: str) -> int:
    """How many requests of a type a gateway sent."""
    (url,) = [line["url"] for line in gateway.logged() if line["event"] == "metrics served"]
    text = httpx.get(url, timeout=30).text
    found = re.findall(
        rf'^model_worker_gateway_worker_requests_total{{[^}}]*type="{type_}"[^}}]*}} (\S+)$',
        text,
        re.MULTILINE,
    )
    return int(sum(float(count) for count in found))


def test_readers_that_do_not_read_cost_the_worker_a_bounded_number_of_pages(
    runs: Any, api: Any, daemon: Any, make_gateway: Any
) -> None:
    readers, actions = 200, 60
    run_id = start(runs)
    gateway = make_gateway(
        daemon.endpoint,
        arguments=("--listen", "127.0.0.1:0", "--events", daemon.events),
        env={
            "MODEL_WORKER_GATEWAY_METRICS": "127.0.0.1:0",
            "MODEL_WORKER_GATEWAY_UNREAD_SECONDS": "600",
            "MODEL_WORKER_GATEWAY_ACCESS_LOG": "false",
        },
    )
    host, port = gateway.url.removeprefix("http://").split(":")
    path = f"/api/v1/runs/{run_id}/stream?access_token=dev&follow=true&since=0"
    url = f"{gateway.url}{path}"
    with contextlib.ExitStack() as open_:
        for _ in range(readers):
            slow = open_.enter_context(socket.socket())
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536
            )  # the kernel keeps little for such a one
            slow.settimeout(60)
            slow.connect((host, int(port)))
            slow.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        answer = open_.enter_context(runs.client.stream("GET", url))
        lines = answer.iter_lines()
        assert next_told(lines)[1] == {"my-result": "7"}
        before = asked_of_worker(gateway, "read_events")
        for number in range(actions):
            assert len(api.result("POST", f"/run/operation/{run_id}", {"name": "weigh"})) == WEIGHT
            assert len(next_told(lines)[1]) == WEIGHT, number
        asked = asked_of_worker(gateway, "read_events") - before
    # Who reads asks for every action, perhaps twice; who does not, only until what was sent to him fills the way to him.
    assert asked < readers * actions / 4


def test_extra_names_are_told_to_who_asks_for_them_only(runs: Any) -> None:
    run_id = start(runs)
    names = {event for _, event, _ in told(stream(runs, run_id, since="0", events="status,variable").text)}
    assert names == {"status", "variable", "chunk", "close"}
    for unknown in ("gossip", "status,gap"):
        refused = stream(runs, run_id, events=unknown)
        assert (refused.status_code, refused.json()["error"]) == (400, "INCOMPREHENSIBLE_REQUEST")


def test_traces_are_told_behind_the_results_that_they_are_of_and_not_again(runs: Any, cluster: Any) -> None:
    run_id = start(runs, config={"run_data": "DEBUG"})
    message = {"message": [{"name": "ask", "arguments": ["a"]}, {"name": "ask", "arguments": ["b"]}]}
    cluster.result("POST", f"/runs/{run_id}/messages", message, code=201)
    kept = runs.result("GET", f"/{run_id}/traces")["traces"]
    heard = told(stream(runs, run_id, since="0", events="trace").text)
    traces = [(id_, data) for id_, event, data in heard if event == "trace"]
    assert [data for _, data in traces] == kept
    assert len(kept) == 3
    assert [event for _, event, _ in heard] == ["chunk", "trace", "chunk", "chunk", "trace", "trace", "close"]
    later = told(stream(runs, run_id, last=traces[1][0], events="trace").text)
    assert [data for _, event, data in later if event == "trace"] == kept[2:]


def test_a_trace_is_told_behind_its_own_action_only_where_a_rewind_gave_its_number_to_another(
    runs: Any, cluster: Any, api: Any
) -> None:
    run_id = start(runs, config={"run_data": "DEBUG"})
    key = cluster.result("GET", f"/runs/{run_id}")["runKey"]
    context = {"restorations": {"rewind": {"name": "ask", "destructible": True}}}
    for text in ("a", "b"):
        message = {"message": [{"name": "ask", "arguments": [text]}]}
        cluster.result("POST", f"/runs/{run_id}/messages", message, code=201)
        if text == "a":
            api.result("POST", f"/run/rewind/{key}", {"rewindCount": 1, "modelContext": context})
    heard = told(stream(runs, run_id, since="0", events="trace").text)
    assert [event for _, event, _ in heard] == ["chunk", "trace", "chunk", "chunk", "trace", "close"]


def test_a_token_is_needed_and_an_id_has_to_be_one(runs: Any) -> None:
    run_id = start(runs)
    assert stream(runs, run_id, token="nonsense").status_code == 401
    wrong = stream(runs, run_id, last="a.b")
    assert (wrong.status_code, wrong.json()["error"]) == (400, "INVALID_EVENT_ID")
    assert stream(runs, run_id, last="999").status_code == 400
    assert stream(runs, "no-such-run").status_code == 404


def token(seconds: float, **claims: Any) -> str:
    """A token that is good for a while."""
    now = time.time()
    body = {
        "iss": "tests",
        "aud": "worker",
        "sub": "ada",
        "role": "AUTHOR",
        "exp": int(now + seconds) + 1,
        **claims,
    }
    return jwt.encode(body, SECRET, "HS256")


@pytest.fixture(scope="module")
def strict(daemon: Any, make_gateway: Any, tmp_path_factory: Any) -> Any:
    """A gateway that reads signed tokens."""
    tmp_path = tmp_path_factory.mktemp("keys")
    (tmp_path / "key.json").write_text(
        json.dumps({"kty": "oct", "k": base64.urlsafe_b64encode(SECRET).decode()})
    )
    return make_gateway(
        daemon.endpoint,
        arguments=("--listen", "127.0.0.1:0", "--events", daemon.events),
        env={
            "MODEL_WORKER_GATEWAY_AUTH": "tokens",
            "MODEL_WORKER_GATEWAY_TOKEN_KEYS": str(tmp_path),
            "MODEL_WORKER_GATEWAY_TOKEN_ISSUER": "tests",
            "MODEL_WORKER_GATEWAY_TOKEN_AUDIENCE": "worker",
            "MODEL_WORKER_GATEWAY_TOKEN_LEEWAY_SECONDS": "0",
        },
    )


@pytest.mark.parametrize("claim", ("exp", "group_exp"))
def test_a_stream_ends_with_its_token_and_goes_on_with_another(
    runs: Any, api: Any, strict: Any, claim: str
) -> None:
    run_id = start(runs)
    url = f"{strict.url}/api/v1/runs/{run_id}/stream"
    query = {"follow": "true", "since": "0"}
    short = token(3600, **{claim: int(time.time()) + 2})
    with runs.client.stream("GET", url, params={**query, "access_token": short}) as answer:
        lines = answer.iter_lines()
        last, data = next_told(lines)
        assert data == {"my-result": "7"}
        with pytest.raises(EOFError):  # an end without `close`
            next_told(lines)
    assert runs.client.get(url, params={**query, "access_token": short}).status_code == 401
    call(api, run_id, "add")
    again = {**query, "access_token": token(3600)}
    with runs.client.stream("GET", url, params=again, headers={"Last-Event-ID": last}) as answer:
        assert next_told(answer.iter_lines())[1] == 8
