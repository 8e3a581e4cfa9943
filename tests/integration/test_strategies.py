"""get_run_with_strategy: which run is reused, and when there is a new one, against a real worker."""

import itertools
from typing import Any

import pytest

names = itertools.count(1)
ACROSS = "reuse-across-sessions"
BY_KEY = "reuse-by-tracking-key"


@pytest.fixture
def scope() -> dict[str, Any]:
    """A scope that nobody has used."""
    return {"scope_boundary": "GROUP", "scope_key": f"group-{next(names)}"}


@pytest.fixture
def ask(peer: Any, counter_model: str, scope: dict[str, Any]) -> Any:
    """``ask(strategy, **fields)``: the run key."""

    def asking(strategy: str = ACROSS, **fields: Any) -> str:
        given = {"model_file": counter_model, "scope": scope, **fields}
        run_key: str = peer.result("get_run_with_strategy", strategy=strategy, **given)["run_key"]
        return run_key

    return asking


def test_the_newest_run_is_reused_as_it_is(
    peer: Any, counter_model: str, scope: dict[str, Any], ask: Any
) -> None:
    peer.result("create_run", model_file=counter_model, scope=scope)
    newest = peer.result("create_run", model_file=counter_model, scope=scope)["run_key"]
    peer.result("call_operation", run_key=newest, name="add")
    peer.result("evict_run", run_key=newest)

    reply = peer.ask("get_run_with_strategy", strategy=ACROSS, model_file=counter_model, scope=scope)

    assert reply["run"] == {"run_key": newest, "served_from": "archive", "seq": 2}
    assert (reply["result"]["run_key"], reply["result"]["live"]) == (newest, False)
    assert not peer.result("get_run", run_key=newest)["live"]
    peer.result("restore_run", run_key=newest)
    assert ask() == newest


def test_without_a_run_there_is_a_new_one_in_memory(
    peer: Any, counter_model: str, scope: dict[str, Any]
) -> None:
    fields = {"scope": scope, "tracking_key": "t", "perpetual": True, "metadata": {"m": 1}}

    run = peer.result("get_run_with_strategy", strategy=ACROSS, model_file=counter_model, **fields)

    assert run["live"]
    assert {name: run[name] for name in ("scope", "tracking_key", "perpetual", "morphology")} == {
        "scope": scope,
        "tracking_key": "t",
        "perpetual": True,
        "morphology": "MANY",
    }
    assert peer.result("read_metadata", run_key=run["run_key"], names=["m"]) == {"m": 1}


@pytest.mark.parametrize("end", ({"hidden": True}, {"closed": True}))
def test_hidden_and_closed_runs_are_never_reused(peer: Any, ask: Any, end: dict[str, bool]) -> None:
    older, newer = ask("reuse-never"), ask("reuse-never", tracking_key="t")
    assert ask() == ask(BY_KEY, tracking_key="t") == newer
    peer.result("update_run", run_key=newer, **end)

    assert ask() == older
    assert ask(BY_KEY, tracking_key="t") not in (older, newer)


def test_runs_of_other_users_scopes_and_models_are_not_reused(
    peer: Any, model_root: Any, scope: dict[str, Any], ask: Any
) -> None:
    other = model_root.add("another", "x = 1\n")
    nobodys = ask()
    mine = ask(actor={"user_key": "me"})
    yours = ask(scope={**scope, "user_key": "you"})
    elsewhere = ask(scope={**scope, "scope_boundary": "EPISODE"})
    another = ask(model_file=other)

    assert len({nobodys, mine, yours, elsewhere, another}) == 5
    assert ask() == nobodys
    assert ask(actor={"user_key": "me"}) == ask(scope={**scope, "user_key": "me"}) == mine
    assert ask(actor={"user_key": "me"}, scope={**scope, "user_key": "you"}) == yours
    assert ask(model_file=other) == another


def test_the_singular_run_is_not_reused(peer: Any, counter_model: str) -> None:
    singular = peer.result("create_singular_run", model_file=counter_model)["run_key"]
    fields = {"strategy": ACROSS, "model_file": counter_model, "scope": {"scope_key": "default"}}

    assert peer.result("get_run_with_strategy", **fields)["run_key"] != singular


def test_reuse_never_always_creates(ask: Any) -> None:
    assert ask("reuse-never") != ask("reuse-never")


def test_a_tracking_key_finds_the_newest_run_that_has_it(ask: Any) -> None:
    ask("reuse-never", tracking_key="t")
    newest = ask("reuse-never", tracking_key="t")
    ask("reuse-never", tracking_key="u")

    assert ask(BY_KEY, tracking_key="t") == newest
    assert ask(BY_KEY, tracking_key="v") == ask(BY_KEY, tracking_key="v")


def test_ephemeral_runs_are_reused_by_who_asks_for_one_and_by_nobody_else(peer: Any, ask: Any) -> None:
    ephemeral = ask(ephemeral=True)
    stored = ask()
    peer.result("evict_run", run_key=stored)
    peer.result("restore_run", run_key=stored, ephemeral=True)

    assert ask(ephemeral=True) == ephemeral
    assert ask() == stored != ephemeral
    peer.result("evict_run", run_key=ephemeral)
    assert ask(ephemeral=True) not in (ephemeral, stored)


def test_multiplayer_is_the_run_of_the_actors_world_in_memory(peer: Any, counter_model: str) -> None:
    world = f"world-{next(names)}"
    fields = {"strategy": "multiplayer", "model_file": counter_model}
    member = {"world_key": world, "user_key": "u"}
    run = peer.result("get_run_with_strategy", actor=member, **fields)
    assert run["scope"] == {"scope_boundary": "WORLD", "scope_key": world}
    peer.result("evict_run", run_key=run["run_key"])

    by_scope = peer.ask("get_run_with_strategy", scope=run["scope"], **fields)

    assert by_scope["run"] == {"run_key": run["run_key"], "served_from": "restored", "seq": 1}
    opened = peer.result("open_world_run", world_key=world, model_file=counter_model)
    assert opened["run_key"] == run["run_key"]


@pytest.mark.parametrize(
    ("fields", "path", "reason"),
    (
        ({"strategy": BY_KEY}, "tracking_key", "NO_TRACKING_KEY"),
        ({"strategy": "multiplayer"}, "actor.world_key", "NO_WORLD_FOR_USER"),
        (
            {"strategy": "multiplayer", "actor": {"user_key": "u"}, "scope": {"scope_key": "p"}},
            "actor.world_key",
            "NO_WORLD_FOR_USER",
        ),
        (
            {"strategy": "multiplayer", "actor": {"world_key": "w"}, "scope": {"scope_key": "p"}},
            "scope",
            None,
        ),
    ),
)
def test_what_a_strategy_needs_is_asked_for_by_name(
    peer: Any, counter_model: str, fields: dict[str, Any], path: str, reason: str | None
) -> None:
    before = peer.result("query_runs")["total_results"]

    error = peer.error("get_run_with_strategy", model_file=counter_model, **fields)

    assert error["code"] == "INVALID_REQUEST"
    assert (error["information"]["path"], error["information"].get("reason")) == (path, reason)
    assert peer.result("query_runs")["total_results"] == before


def test_a_run_that_may_not_be_read_is_not_shown(
    peer: Any, counter_model: str, scope: dict[str, Any], ask: Any
) -> None:
    run_key = ask(permit={"read_lock": "AUTHOR"})
    fields = {"strategy": ACROSS, "model_file": counter_model, "scope": scope}

    error = peer.error("get_run_with_strategy", actor={"role": "PARTICIPANT"}, **fields)

    assert (error["code"], error["information"]["run_key"]) == ("PERMIT_VIOLATION", run_key)
