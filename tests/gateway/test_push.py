"""Push: a gateway's streams lose nothing and repeat nothing, whatever becomes of connection, worker and reader."""

import concurrent.futures
import contextlib
import functools
import re
import socket
from typing import Any

import httpx
import pytest

from tests.gateway.streams import OPEN, Message, Stream, channel, play, told

PLAYER = "dev:PARTICIPANT:ada"
LIVE_ACTIONS = 20
VALUE = "x" * 60_000


@pytest.fixture(scope="module")
def gateway(start_pair: Any, daemon: Any) -> Any:
    """The gateway of this module; it hears the worker's events."""
    return start_pair(daemon)


@pytest.fixture(scope="module")
def played(api: Any) -> str:
    """A run behind which the scenario lies."""
    run_key: str = api.create("played", permit=OPEN)
    play(api, run_key)
    return run_key


@pytest.fixture(scope="module")
def whole(api: Any, played: str) -> list[Message]:
    """All messages of the scenario, by one connection."""
    with Stream(api, channel(played), "0") as stream:
        return stream.take(16)


def test_messages_are_those_of_epicenters_run_channel(api: Any) -> None:
    run_key = api.create("shapes", permit=OPEN, executionContext={"presets": {"creator": "ada"}})
    with Stream(api, channel(run_key), "0", token=PLAYER) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        created = stream.next()
        run = created.data["content"].pop("run")
        assert (run["runKey"], run["modelFile"], run["permit"]) == (run_key, "counter.py", OPEN)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", created.data.pop("date"))
        address = {"boundary": "GROUP", "category": "RUN", "key": "shapes"}
        assert created.data.pop("sender")["type"] in ("USER", "RUN")
        assert created.data == {
            "type": "RUN",
            "address": address,
            "content": {"objectType": "run", "runKey": run_key, "ignition": "created"},
        }
        body = {"name": "add", "arguments": [3], "objectType": "execute"}
        api.result("POST", f"/run/operation/{run_key}", body, token=PLAYER)
        api.result("PATCH", f"/run/variable/{run_key}", {"hidden": {"a": [1]}}, token=PLAYER)
        api.result("PATCH", f"/run/meta/{run_key}", {"set": {"k": "v"}, "push": {"list": 1}}, token=PLAYER)
        state, variable, meta = stream.take(3)
    assert {**state.data, "date": ""} == {
        "date": "",
        "type": "STATE",
        "address": address,
        "sender": {"type": "USER", "key": "ada"},
        "content": {
            "objectType": "state",
            "runKey": run_key,
            "actions": [{"objectType": "execute", "name": "add", "arguments": [3]}],
        },
    }
    assert variable.data["content"]["actions"] == [
        {"objectType": "set", "name": "hidden", "value": {"a": [1]}}
    ]
    assert {**meta.data, "date": ""} == {
        "date": "",
        "type": "META",
        "address": address,
        "sender": {"type": "RUN", "key": run_key},
        "content": {"objectType": "meta", "runKey": run_key, "result": {"k": "v", "list": [1]}},
    }


def test_a_rewind_is_told_as_a_state_without_actions(whole: list[Message]) -> None:
    kinds = [(one.data["type"], len(one.data["content"].get("actions", "."))) for one in whole]
    assert (
        kinds
        == [("RUN", 1)]
        + [("STATE", 1)] * 5
        + [("STATE", 2), ("META", 1), ("STATE", 1), ("STATE", 0)]
        + [("STATE", 1)] * 6
    )


def test_without_an_id_a_stream_begins_now(api: Any, played: str) -> None:
    run_key = api.create("now")
    api.result("POST", f"/run/operation/{run_key}", {"name": "add"})
    with Stream(api, channel(run_key)) as stream:
        assert stream.last_id == "2"
        api.result("POST", f"/run/operation/{run_key}", {"name": "add"})
        assert told([stream.next()]) == [("3", "STATE")]


def test_a_connection_killed_at_any_message_is_resumed_without_loss_or_repetition(
    api: Any, played: str, whole: list[Message]
) -> None:
    for count in range(len(whole) + 1):
        with Stream(api, channel(played), "0") as before:
            seen = before.take(count)
        with Stream(api, channel(played), before.last_id) as after:
            assert seen + after.take(len(whole) - count) == whole


def test_a_stream_that_dies_with_every_message_while_things_happen_loses_none(api: Any) -> None:
    run_key = api.create("dying")

    def act() -> None:
        for number in range(LIVE_ACTIONS):
            api.result("POST", f"/run/operation/{run_key}", {"name": "add", "arguments": [number]})

    seen: list[Message] = []
    last_id = "1"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        acting = pool.submit(act)
        while len(seen) < LIVE_ACTIONS:
            with Stream(api, channel(run_key), last_id) as stream:
                seen.append(stream.next())
                last_id = str(stream.last_id)
        acting.result(60)
    assert told(seen) == [(str(number), "STATE") for number in range(2, LIVE_ACTIONS + 2)]
    arguments = [one.data["content"]["actions"][0]["arguments"] for one in seen]
    assert arguments == [[number] for number in range(LIVE_ACTIONS)]


def test_a_query_parameter_resumes_and_the_header_goes_before_it(api: Any, played: str, whole: Any) -> None:
    with Stream(api, channel(played), lastEventId="3") as stream:
        assert stream.next() == whole[3]
    with Stream(api, channel(played), "5", lastEventId="3") as stream:
        assert stream.next() == whole[5]


def is_added(api: Any, run_key: str, number: int) -> bool:
    """Whether a step was acknowledged. A worker that has just been ready may be found away once more, by an older ping."""
    body = {"name": "add", "arguments": [number]}
    sent = api.ask(
        "POST", f"/run/operation/{run_key}", body, headers={"Idempotency-Key": f"{run_key}-{number}"}
    )
    assert sent.status_code in (200, 503), sent.text
    return bool(sent.status_code == 200)


def test_streams_outlive_a_kill_of_the_worker(
    make_daemon: Any, models: Any, start_pair: Any, connect_api: Any, wait_until: Any
) -> None:
    daemon = make_daemon(models)
    api = connect_api(start_pair(daemon, channel_heartbeat_seconds="0.2").url)
    run_key = api.create("kill")
    path = "/channel/GROUP/kill/run"
    with Stream(api, channel(run_key)) as stream, Stream(api, path) as scope:
        for number in range(6):
            wait_until(functools.partial(is_added, api, run_key, number), within=30)
            if number % 2:
                daemon.kill()
                daemon.starts -= 1  # with the same endpoints
                daemon.start()
                wait_until(lambda: api.root.get("/readyz").status_code == 200, within=30)
        numbers = [
            [one.data["content"]["actions"][0]["arguments"][0] for one in reader.take(6)]
            for reader in (stream, scope)
        ]
    assert numbers == [list(range(6))] * 2


def test_an_open_stream_waits_for_a_worker_that_is_away(
    make_daemon: Any, models: Any, start_pair: Any, connect_api: Any, wait_until: Any
) -> None:
    daemon = make_daemon(models)
    api = connect_api(start_pair(daemon, channel_heartbeat_seconds="0.5").url)
    run_key = api.create("away")
    with Stream(api, channel(run_key)) as stream:
        daemon.kill()
        # For longer than a stream goes without looking by itself.
        stream.rest(14)
        assert api.fault("GET", channel(run_key)) == (503, "WORKER_UNREACHABLE")
        daemon.starts -= 1
        daemon.start()
        wait_until(lambda: api.root.get("/readyz").status_code == 200, within=30)
        api.result("POST", f"/run/operation/{run_key}", {"name": "add"})
        assert stream.next().data["content"]["actions"][0]["name"] == "add"


def test_a_reader_that_reads_nothing_is_cut_and_others_go_on(
    daemon: Any, start_pair: Any, connect_api: Any, wait_until: Any
) -> None:
    gateway = start_pair(daemon, unread_seconds="0.5", metrics="127.0.0.1:0")
    api = connect_api(gateway.url)
    run_key = api.create("slow")
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.socket() as slow, Stream(api, channel(run_key)) as stream:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(60)
        slow.connect((host, int(port)))
        head = (
            f"GET {api.base}{channel(run_key)} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer dev\r\n\r\n"
        )
        slow.sendall(head.encode())
        received = b""
        while b"id: 1\r\n" not in received:
            received += slow.recv(4096)
        cut: list[Any] = []
        count = 0
        while not cut:
            api.result("PATCH", f"/run/meta/{run_key}", {"set": {"text": VALUE, "number": count}})
            assert stream.next().data["content"]["result"]["number"] == count
            count += 1
            cut = [line for line in gateway.logged() if line.get("endpoint") == "runChannel"]
        with contextlib.suppress(ConnectionResetError):
            while part := slow.recv(1 << 20):
                received += part
    (url,) = [line["url"] for line in gateway.logged() if line["event"] == "metrics served"]
    told = 'model_worker_gateway_turned_away_total{bound="unread_seconds"} 1.0'
    assert told in httpx.get(url, timeout=30).text
    last_id = re.findall(rb"id: (\d+)\r\ndata: [^\r\n]+\r\n\r\n", received)[-1].decode()
    missing = count + 1 - int(last_id)
    assert missing > 0
    with Stream(api, channel(run_key), last_id) as resumed:
        numbers = [one.data["content"]["result"]["number"] for one in resumed.take(missing)]
    assert numbers == list(range(count - missing, count))


def test_what_no_ring_told_of_is_found_out(daemon: Any, make_gateway: Any, connect_api: Any) -> None:
    gateway = make_gateway(daemon.endpoint, arguments=("--listen", "127.0.0.1:0", "--events", ""))
    api = connect_api(gateway.url)
    run_key = api.create("quiet")
    with Stream(api, channel(run_key)) as stream:
        api.result("POST", f"/run/operation/{run_key}", {"name": "add"})
        assert stream.next().id == "2"


def test_an_endpoint_for_events_that_is_none_is_said(daemon: Any, make_gateway: Any) -> None:
    with pytest.raises(AssertionError, match="endpoint 'nowhere'"):
        make_gateway(daemon.endpoint, arguments=("--listen", "127.0.0.1:0", "--events", "nowhere"))


def test_heartbeats_come_while_nothing_happens(daemon: Any, start_pair: Any, connect_api: Any) -> None:
    api = connect_api(start_pair(daemon, channel_heartbeat_seconds="0.1").url)
    run_key = api.create("heart")
    with Stream(api, channel(run_key)) as stream, concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(stream.next)
        while stream.comments < 3:
            with contextlib.suppress(TimeoutError):
                waiting.result(0.05)
        api.result("POST", f"/run/operation/{run_key}", {"name": "add"})
        assert waiting.result(60).id == "2"


def test_a_stream_ends_when_its_time_is_over(daemon: Any, start_pair: Any, connect_api: Any) -> None:
    api = connect_api(start_pair(daemon, channel_seconds="0.2").url)
    with Stream(api, channel(api.create("ends"))) as stream, pytest.raises(EOFError):
        stream.next()


def test_streams_end_with_their_gateway(daemon: Any, start_pair: Any, connect_api: Any) -> None:
    gateway = start_pair(daemon, drain_seconds="60")
    api = connect_api(gateway.url)
    with Stream(api, channel(api.create("stop"))) as stream:
        assert gateway.stop() == 0
        with pytest.raises(EOFError):
            stream.next()


def test_streams_too_many_are_told_so_and_places_come_back(
    daemon: Any, start_pair: Any, connect_api: Any, wait_until: Any
) -> None:
    api = connect_api(start_pair(daemon, max_channels="1").url)
    run_key = api.create("many")
    with Stream(api, channel(run_key)):
        assert api.fault("GET", channel(run_key)) == (503, "GATEWAY_BUSY")
        assert api.result("GET", f"/run/{run_key}")["runKey"] == run_key
    # What was refused takes no place either.
    assert api.fault("GET", channel(run_key), lastEventId="x")[0] in (400, 503)

    def opens() -> bool:
        with Stream(api, channel(run_key)) as stream:
            return stream.response.status_code == 200

    wait_until(opens)
