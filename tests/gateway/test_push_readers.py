"""Push: who may read a stream, from where on, and what is not told him; streams of all runs of a scope."""

from typing import Any

import pytest

from tests.gateway.streams import OPEN, Message, Stream, channel, play

MISSING = "0" * 36
PLAYER = "dev:PARTICIPANT:ada"
OTHER = "dev:PARTICIPANT:eve"


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


@pytest.mark.parametrize(
    "last_id", ("x", "-1", "1.5", " ", "", "0x1", "1\u0661".encode().decode("latin-1"), "9" * 30, "99")
)
def test_an_id_that_is_none_is_refused(api: Any, played: str, last_id: str) -> None:
    assert api.fault("GET", channel(played), lastEventId=last_id) == (400, "INVALID_EVENT_ID")


@pytest.mark.parametrize("last_id", ("x", "7", "AAAA", "AAAAAIA", "é", ""))
def test_an_id_that_the_stream_of_a_scope_never_sent_is_refused(api: Any, last_id: str) -> None:
    assert api.fault("GET", "/channel/GROUP/played/run", lastEventId=last_id) == (400, "INVALID_EVENT_ID")


def test_an_id_of_another_scope_is_refused(api: Any, played: str) -> None:
    with Stream(api, "/channel/GROUP/played/run") as stream:
        last_id = str(stream.last_id)
    assert api.fault("GET", "/channel/GROUP/other/run", lastEventId=last_id) == (400, "INVALID_EVENT_ID")


def test_an_id_in_the_header_is_judged_alike_and_the_fault_says_what_to_do(api: Any, played: str) -> None:
    response = api.ask("GET", channel(played), headers={"Last-Event-ID": "nonsense"})
    assert (response.status_code, response.json()["information"]["code"]) == (400, "INVALID_EVENT_ID")
    assert "'nonsense'" in response.json()["message"]
    assert "leave it out to begin now" in response.json()["message"]


def test_asking_for_the_head_of_a_stream_opens_none(api: Any, played: str) -> None:
    response = api.root.head(api.base + channel(played), headers={"Authorization": "Bearer dev"})
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/event-stream")


def test_who_may_not_read_a_run_gets_no_stream_of_it(api: Any) -> None:
    run_key = api.create("locked", token=PLAYER)
    assert api.fault("GET", channel(run_key), token=OTHER) == (403, "PERMIT_VIOLATION")
    assert api.fault("GET", channel(MISSING), token=PLAYER) == (404, "RUN_NOT_FOUND")
    assert api.fault("GET", channel(run_key), token=None)[0] == 401
    with Stream(api, "/channel/GROUP/locked/run", "0", token=PLAYER) as own:
        assert own.next().data["content"]["runKey"] == run_key
    mine = api.create("locked", token=OTHER)
    with Stream(api, "/channel/GROUP/locked/run", "0", token=OTHER) as stream:
        assert stream.next().data["content"]["runKey"] == mine
        api.result("POST", f"/run/operation/{run_key}", {"name": "add"}, token=PLAYER)
        api.result("POST", f"/run/operation/{mine}", {"name": "add"}, token=OTHER)
        assert stream.next().data["content"]["runKey"] == mine


def test_a_stream_ends_with_a_fault_when_its_reader_is_locked_out(api: Any) -> None:
    run_key = api.create("lock", permit=OPEN)
    with Stream(api, channel(run_key), token=PLAYER) as stream:
        api.result("PATCH", f"/run/{run_key}", {"permit": {"readLock": "AUTHOR"}})
        api.result("POST", f"/run/operation/{run_key}", {"name": "add"})
        message = stream.next()
        assert (message.event, message.data["information"]["code"]) == ("fault", "PERMIT_VIOLATION")
        with pytest.raises(EOFError):
            stream.next()


@pytest.mark.parametrize("path", (channel("{run_key}"), "/channel/GROUP/guards/run"))
def test_a_value_that_a_guard_hides_is_not_pushed(api: Any, path: str) -> None:
    run_key = api.create("guards", permit=OPEN)
    path = path.format(run_key=run_key)
    with Stream(api, path, token=OTHER) as stream, Stream(api, path) as author:
        api.result("PATCH", f"/run/variable/{run_key}", {"guarded": "secret", "hidden": 1})
        actions: list[dict[str, Any]] = [
            {"objectType": "set", "name": "guarded"},
            {"objectType": "set", "name": "hidden", "value": 1},
        ]
        content = stream.next().data["content"]
        assert content["actions"] == actions
        assert content["guarded"] == ["actions[0].value"]
        assert author.next().data["content"]["actions"] == [{**actions[0], "value": "secret"}, actions[1]]


def test_what_is_too_large_is_named(api: Any) -> None:
    run_key, large = api.create("large"), "x" * 70_000
    with Stream(api, channel(run_key)) as stream:
        api.result("PATCH", f"/run/variable/{run_key}", {"hidden": large})
        api.result("PATCH", f"/run/meta/{run_key}", {"set": {"small": 1, "large": large}})
        state, meta = (one.data["content"] for one in stream.take(2))
    assert (state["actions"], state["omitted"]) == (
        [{"objectType": "set", "name": "hidden"}],
        ["actions[0].value"],
    )
    assert (meta["result"], meta["omitted"]) == ({"small": 1}, ["result.large"])


def test_a_browser_gives_its_token_in_the_query(api: Any) -> None:
    run_key = api.create("token", token=PLAYER)
    with Stream(api, channel(run_key), "0", token=None, access_token=PLAYER) as stream:
        assert stream.next().data["type"] == "RUN"
    assert api.fault("GET", channel(run_key), token=None, access_token=OTHER)[0] == 403
    twice = api.fault("GET", channel(run_key), token=PLAYER, access_token=PLAYER)
    assert twice == (400, "INCOMPREHENSIBLE_REQUEST")
    assert api.fault("GET", f"/run/{run_key}", access_token=PLAYER, token=None)[0] in (400, 401)


def per_run(messages: list[Message]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for one in messages:
        content = one.data["content"]
        found.setdefault(content["runKey"], []).append(
            [action["arguments"] for action in content["actions"]]
            if "actions" in content
            else one.data["type"]
        )
    return found


def test_the_stream_of_a_scope_killed_at_any_message_loses_none_and_repeats_none(api: Any) -> None:
    path, other = "/channel/GROUP/scoped/run", api.create("elsewhere")
    first = api.create("scoped")

    def act(run_key: str, number: int) -> None:
        api.result("POST", f"/run/operation/{run_key}", {"name": "add", "arguments": [number]})

    with Stream(api, path) as stream:
        last_id = str(stream.last_id)
    act(first, 1)
    act(other, 1)
    second = api.create("scoped")
    for number in range(2, 6):
        act(first, number)
        act(second, number)
    count = 10
    for cut in range(count + 1):
        with Stream(api, path, last_id) as before:
            seen = before.take(cut)
        with Stream(api, path, before.last_id) as after:
            seen += after.take(count - cut)
            act(other, 2)
            third = api.create("scoped")
            assert after.next().data["content"]["runKey"] == third
        found = per_run([one for one in seen if one.data["content"]["runKey"] in (first, second)])
        assert found[first] == [[[number]] for number in range(1, 6)]
        assert found[second] == ["RUN"] + [[[number]] for number in range(2, 6)]
        count += 1


def test_a_run_that_is_created_while_a_scope_is_followed_is_told_of(api: Any) -> None:
    with Stream(api, "/channel/GROUP/fresh/run") as stream:
        run_key = api.create("fresh")
        message = stream.next()
        assert (message.data["type"], message.data["content"]["runKey"]) == ("RUN", run_key)
        assert message.data["address"] == {"boundary": "GROUP", "category": "RUN", "key": "fresh"}


def test_a_scope_with_too_many_runs_is_refused_by_name(
    daemon: Any, start_pair: Any, connect_api: Any
) -> None:
    api = connect_api(start_pair(daemon, max_channel_runs="1").url)
    api.create("wide")
    with Stream(api, "/channel/GROUP/wide/run") as stream:
        api.create("wide")
        message = stream.next()
        assert (message.event, message.data["information"]["code"]) == ("fault", "CHANNEL_TOO_WIDE")
    assert api.fault("GET", "/channel/GROUP/wide/run") == (400, "CHANNEL_TOO_WIDE")
    assert api.fault("GET", "/channel/PLANET/wide/run")[0] == 400
