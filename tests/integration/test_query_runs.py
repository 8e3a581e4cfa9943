"""``query_runs`` of a real daemon: what is stored decides, what is in memory is told."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from protocol.client import Client
from protocol.errors import ErrorCode, ProtocolError


def create(peer: Any, counter_model: str, **fields: Any) -> str:
    run_key: str = peer.result("create_run", model_file=counter_model, **fields)["run_key"]
    return run_key


def found(peer: Any, **fields: Any) -> list[str]:
    """The keys of the first page."""
    return [run["run_key"] for run in peer.result("query_runs", **fields)["values"]]


def scope(name: str, boundary: str = "GROUP", **fields: Any) -> dict[str, Any]:
    return {"scope_boundary": boundary, "scope_key": name, **fields}


def test_runs_are_found_by_what_they_recorded_and_by_metadata(peer: Any, counter_model: str) -> None:
    here = scope("recorded")
    low, high = (create(peer, counter_model, scope=here, metadata={"team": team}) for team in ("red", "blue"))
    peer.result("call_operation", run_key=high, name="add", arguments=[10])
    assert found(peer, scope=here) == [low, high]
    assert found(peer, scope=here, filter="var.counter>=10") == [high]
    assert found(peer, scope=here, filter="var.counter=0;meta.team~=r*") == [low]
    assert found(peer, scope=here, filter="[var.counter=10;meta.team=red]", sort="-run.created") == [
        high,
        low,
    ]
    peer.result("update_metadata", run_key=low, set={"team": "green"})
    assert found(peer, scope=here, filter="meta.team|=green|blue;var.counter<10") == [low]


def test_a_page_tells_values_and_its_size(peer: Any, counter_model: str) -> None:
    here = scope("paged")
    keys = [create(peer, counter_model, scope=here, metadata={"n": n}) for n in range(3)]
    for run_key in keys:
        peer.result("evict_run", run_key=run_key)
    asked = {"scope": here, "variables": ["counter", "missing"], "metadata": ["n"]}
    page = peer.result("query_runs", max=2, **asked)
    assert [page[name] for name in ("first_result", "max_results", "total_results")] == [0, 2, 3]
    assert [run["variables"] for run in page["values"]] == [{"counter": 0, "missing": None}] * 2
    assert [run["meta_data"] for run in page["values"]] == [{"n": 0}, {"n": 1}]
    rest = peer.result("query_runs", first=2, max=5000, **asked)
    assert [rest[name] for name in ("first_result", "max_results", "total_results")] == [2, 200, 3]
    assert [run["run_key"] for run in page["values"] + rest["values"]] == keys
    assert peer.result("query_runs", first=99, scope=here)["values"] == []
    plain = peer.result("query_runs", scope=here)
    assert plain["max_results"] == 100
    assert not {"variables", "meta_data"} & plain["values"][0].keys()


def test_a_run_is_shown_as_get_run_shows_it_and_is_not_started(peer: Any, counter_model: str) -> None:
    here = scope("shown")
    live, evicted = create(peer, counter_model, scope=here), create(peer, counter_model, scope=here)
    peer.result("evict_run", run_key=evicted)
    views = peer.result("query_runs", scope=here)["values"]
    assert [view["live"] for view in views] == [True, False]
    assert views == [peer.result("get_run", run_key=run_key) for run_key in (live, evicted)]


def test_scopes_do_not_nest_and_a_group_shows_episodes_where_asked(peer: Any, counter_model: str) -> None:
    group, episode = {"group_name": "nest"}, {"group_name": "nest", "episode_name": "one"}
    in_group = create(peer, counter_model, scope=scope("g", user_key="ann"), address=group)
    in_episode = create(peer, counter_model, scope=scope("e", "EPISODE"), address=episode)
    create(peer, counter_model, scope=scope("w", "WORLD"), address=group)
    assert found(peer, group_name="nest") == [in_group]
    assert found(peer, group_name="nest", include_episodes=True) == [in_group, in_episode]
    assert found(peer, group_name="nest", episode_name="one") == [in_episode]
    assert found(peer, group_name="nest", model_file="other/model.py") == []
    assert found(peer, scope=scope("g", user_key="ann"), model_file=counter_model) == [in_group]
    assert found(peer, scope=scope("g", user_key="bob")) == []
    assert found(peer, scope=scope("g", "EPISODE")) == []


def test_ephemeral_runs_are_not_found(peer: Any, counter_model: str) -> None:
    create(peer, counter_model, scope=scope("gone"), ephemeral=True)
    assert found(peer, scope=scope("gone")) == []


@pytest.mark.parametrize(
    "fields",
    (
        {"scope": scope("a"), "group_name": "b"},
        {"episode_name": "a"},
        {"include_episodes": True},
        {"group_name": "a", "episode_name": "b", "include_episodes": True},
        {"first": -1},
        {"max": 0},
        {"filter": "x" * 8193},
        {"ritual": "NONE"},
    ),
)
def test_a_query_that_contradicts_itself_is_refused(peer: Any, fields: dict[str, Any]) -> None:
    assert peer.error("query_runs", **fields)["code"] == "INVALID_REQUEST"


def test_a_filter_that_is_none_is_refused_with_its_place(peer: Any) -> None:
    error = peer.error("query_runs", filter="var.a=1;run.trackinKey=2")
    assert (error["code"], error["status"], error["retryable"]) == ("INVALID_FILTER", 400, False)
    assert error["information"].keys() >= {"field", "position", "token", "expected"}
    assert error["information"]["position"] == 12
    assert "tracking_key" in error["message"]
    assert peer.error("query_runs", sort="var.a")["information"]["field"] == "sort"


def test_a_page_that_would_be_too_large_ends_early(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Callable[..., Any]
) -> None:
    env = {"MODEL_WORKER_MAX_MESSAGE_BYTES": "100000", "MODEL_WORKER_MAX_RESULT_BYTES": "50000"}
    small = connect(make_daemon(model_root.path, env=env).endpoint)
    keys = [create(small, counter_model, metadata={"big": "x" * 20_000}) for _ in range(5)]
    seen: list[str] = []
    pages = 0
    while len(seen) < len(keys):
        pages += 1
        page = small.result("query_runs", metadata=["big"], first=len(seen))
        assert page["first_result"] == len(seen)
        assert page["total_results"] == len(keys)
        assert 0 < page["max_results"] <= len(keys) or len(seen) + len(page["values"]) == len(keys)
        seen += [run["run_key"] for run in page["values"]]
    assert seen == keys
    assert pages > 1


def test_runs_are_found_after_a_restart_and_by_the_client(
    make_daemon: Any, model_root: Any, counter_model: str
) -> None:
    daemon = make_daemon(model_root.path)
    with daemon.client() as client:
        run_key = client.create_run(counter_model, tracking_key="kept").run_key
        client.call_operation(run_key, "add", [4])
    daemon.kill()
    daemon.start()
    with Client(daemon.endpoint, timeout_seconds=30) as client:
        page = client.query_runs(filter="run.trackingKey=kept;var.counter=4", variables=["counter"])
    assert [(run["run_key"], run["live"], run["variables"]) for run in page["values"]] == [
        (run_key, False, {"counter": 4})
    ]


def test_an_actor_finds_the_runs_that_it_may_read(peer: Any, counter_model: str) -> None:
    here = scope("permitted")
    locks = {"read_lock": "PARTICIPANT", "write_lock": "FACILITATOR"}
    open_one = create(peer, counter_model, scope=here, permit=locks)
    create(peer, counter_model, scope=here, permit=locks | {"read_lock": "AUTHOR", "write_lock": "AUTHOR"})
    owned = create(
        peer,
        counter_model,
        scope=here | {"user_key": "ann"},
        permit={"read_lock": "USER", "write_lock": "USER"},
    )
    of_ann = {"role": "PARTICIPANT", "user_key": "ann"}
    assert found(peer, scope=here, actor={"role": "PARTICIPANT"}) == [open_one]
    assert found(peer, scope=here, actor=of_ann) == [open_one, owned]
    assert found(peer, scope=here, actor={"role": "ANONYMOUS"}) == []
    page = peer.result("query_runs", scope=here, actor={"role": "PARTICIPANT"})
    assert page["total_results"] == 1
    assert len(found(peer, scope=here, actor={"role": "AUTHOR"})) == 3
    assert len(found(peer, scope=here)) == 3


GUARDED = {
    "protections": {
        "guards": [
            {"privilege": {"regex": "^secret$", "domain": "variable", "grant": "allow", "read": "AUTHOR"}}
        ]
    }
}
KEEPER = """
from epicenter import Epicenter

secret = 7
shown = 1
Epicenter.record("secret", secret)
Epicenter.record("shown", shown)
"""


def test_a_guarded_variable_is_neither_shown_nor_compared(daemon: Any) -> None:
    folder = daemon.models / "keeper"
    folder.mkdir()
    (folder / "model.py").write_text(KEEPER)
    (folder / "model.ctx2").write_text(json.dumps({"version": "V2", **GUARDED}))
    player, author = {"role": "PARTICIPANT"}, {"role": "AUTHOR"}
    with daemon.client() as client:
        here = scope("guarded")
        client.create_run(
            "keeper/model.py", scope=here, permit={"read_lock": "ANONYMOUS", "write_lock": "AUTHOR"}
        )
        for asked in ({"variables": ["secret"]}, {"filter": "var.secret>1"}):
            with pytest.raises(ProtocolError) as refused:
                client.request("query_runs", scope=here, actor=player, **asked)
            assert refused.value.code is ErrorCode.GUARD_VIOLATION
            assert (
                client.request("query_runs", scope=here, actor=author, **asked).result["total_results"] == 1
            )
        shown = client.request("query_runs", scope=here, actor=player, variables=["shown"]).result
        assert shown["values"][0]["variables"] == {"shown": 1}
