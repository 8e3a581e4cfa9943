"""Migration: a copy of a run in the scope of an episode, while its source stays what it was."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from protocol.client import AsyncClient, Client

EPISODE = {"scope_boundary": "EPISODE", "scope_key": "episode-2"}
NAMES = ["counter", "log", "secret"]


def make_run(peer: Any, model_file: str, *steps: int, **fields: Any) -> str:
    run_key: str = peer.result("create_run", model_file=model_file, **fields)["run_key"]
    for step in steps:
        peer.result("call_operation", run_key=run_key, name="add", arguments=[step])
    return run_key


def values(peer: Any, run_key: str) -> dict[str, Any]:
    found: dict[str, Any] = peer.result("read_variables", run_key=run_key, names=NAMES, ritual="REVIVE")
    return found


def without_life(run: dict[str, Any]) -> dict[str, Any]:
    """A Run but for whether it is in memory."""
    return {name: value for name, value in run.items() if name not in ("live", "run_state", "sandbox")}


@pytest.mark.parametrize("where", ("live", "archived"))
def test_a_migrated_run_has_the_state_and_user_of_its_source_in_another_episode(
    peer: Any, counter_model: str, where: str
) -> None:
    scope = {"scope_boundary": "GROUP", "scope_key": "g", "user_key": "u"}
    permit = {"read_lock": "REVIEWER", "write_lock": "FACILITATOR"}
    source = make_run(peer, counter_model, 1, 2, scope=scope, permit=permit, metadata={"a": 1})
    if where == "archived":
        peer.result("evict_run", run_key=source)
    before = peer.result("get_run", run_key=source)

    migrated = peer.result("migrate_run", run_key=source, episode_key="episode-2")

    assert migrated["run_key"] != source
    assert migrated["scope"] == {**EPISODE, "user_key": "u"}
    assert (migrated["permit"], migrated["cloned_from"]) == (permit, source)
    assert (migrated["live"], migrated["seq"]) == (True, 3)
    assert values(peer, migrated["run_key"]) == {"counter": 3, "log": [1, 2], "secret": 5}
    assert peer.result("read_metadata", run_key=migrated["run_key"], names=["a"]) == {"a": 1}
    # What is done in one of them does not show in the other.
    peer.result("call_operation", run_key=migrated["run_key"], name="add", arguments=[10])
    peer.result("evict_run", run_key=migrated["run_key"])
    assert values(peer, migrated["run_key"])["log"] == [1, 2, 10]
    assert without_life(peer.result("get_run", run_key=source)) == without_life(before)
    assert values(peer, source)["log"] == [1, 2]


def test_a_migration_takes_what_a_clone_takes(peer: Any, counter_model: str) -> None:
    source = make_run(peer, counter_model, 1, 2, tracking_key="old")
    run = peer.result(
        "migrate_run",
        run_key=source,
        episode_key="e",
        tracking_key="new",
        execution_context={"presets": {"secret": 9}},
        ephemeral=True,
        at_seq=2,
    )
    assert (run["tracking_key"], run["ephemeral"], run["seq"]) == ("new", True, 2)
    assert run["execution_context"] == {"presets": {"secret": 9}}
    assert values(peer, run["run_key"]) == {"counter": 1, "log": [1], "secret": 9}
    assert "tracking_key" not in peer.result("migrate_run", run_key=source, episode_key="e")
    error = peer.error("migrate_run", run_key=source, episode_key="e", at_seq=4)
    assert (error["code"], error["information"]["path"]) == ("INVALID_REQUEST", "at_seq")
    context = {"operations": 5}
    error = peer.error("migrate_run", run_key=source, episode_key="e", model_context=context)
    assert error["code"] == "INVALID_CONTEXT"


@pytest.mark.parametrize("episode_key", (None, "", 5, "x" * 129))
def test_a_migration_without_a_good_episode_is_refused(
    peer: Any, counter_model: str, episode_key: Any
) -> None:
    source = make_run(peer, counter_model)
    fields = {} if episode_key is None else {"episode_key": episode_key}
    error = peer.error("migrate_run", run_key=source, **fields)
    assert (error["code"], error["information"]["path"]) == ("INVALID_REQUEST", "episode_key")


def test_a_run_of_a_world_leaves_its_world(peer: Any, counter_model: str) -> None:
    scope = {"scope_boundary": "WORLD", "scope_key": "w"}
    address = {"group_name": "g", "episode_name": "first", "world_key": "w", "account_short_name": "a"}
    source = make_run(peer, counter_model, scope=scope, address=address)
    migrated = peer.result("migrate_run", run_key=source, episode_key="episode-2")
    assert migrated["scope"] == EPISODE
    assert migrated["address"] == {"group_name": "g", "account_short_name": "a"}
    only = {"scope_boundary": "WORLD", "scope_key": "w2"}
    source = make_run(peer, counter_model, scope=only, address={"world_key": "w2"})
    assert "address" not in peer.result("migrate_run", run_key=source, episode_key="episode-2")


def test_a_migrated_run_is_found_in_its_episode_only(peer: Any, counter_model: str) -> None:
    old = {"scope_boundary": "EPISODE", "scope_key": "found-1"}
    new = {"scope_boundary": "EPISODE", "scope_key": "found-2"}
    address = {"group_name": "found", "episode_name": "first"}
    source = make_run(peer, counter_model, scope=old, address=address)
    migrated = peer.result("migrate_run", run_key=source, episode_key="found-2")["run_key"]

    def found(**place: Any) -> list[str]:
        return [run["run_key"] for run in peer.result("query_runs", **place)["values"]]

    assert (found(scope=old), found(scope=new)) == ([source], [migrated])
    assert found(group_name="found", episode_name="first") == [source]
    assert found(group_name="found", include_episodes=True) == [source, migrated]


def test_who_may_read_a_run_may_migrate_it_and_nobody_else(peer: Any, counter_model: str) -> None:
    permit = {"read_lock": "FACILITATOR", "write_lock": "AUTHOR"}
    source = make_run(peer, counter_model, permit=permit)
    error = peer.error("migrate_run", run_key=source, episode_key="e", actor={"role": "REVIEWER"})
    assert error["code"] == "PERMIT_VIOLATION"
    assert error["information"]["right"] == "read"
    run = peer.result("migrate_run", run_key=source, episode_key="e", actor={"role": "FACILITATOR"})
    assert run["permit"] == permit


def test_a_migration_acknowledged_before_a_kill_is_there_and_is_done_once(
    make_daemon: Callable[..., Any],
    connect: Callable[..., Any],
    model_root: Any,
    counter_model: str,
    fresh_id: Callable[[], str],
) -> None:
    daemon = make_daemon(model_root.path)
    peer = connect(daemon.endpoint)
    source = make_run(peer, counter_model, 4)
    fields = {"run_key": source, "episode_key": "episode-2", "request_id": fresh_id()}
    migrated = peer.result("migrate_run", **fields)
    assert peer.result("migrate_run", **fields) == migrated
    daemon.kill()

    peer = connect(daemon.start().endpoint)
    assert peer.result("migrate_run", **fields) == migrated
    assert peer.result("query_runs")["total_results"] == 2
    assert values(peer, migrated["run_key"])["log"] == [4]
    changed = {**fields, "episode_key": "episode-3"}
    assert peer.error("migrate_run", **changed)["code"] == "REQUEST_ID_REUSED"
    clone = {name: value for name, value in fields.items() if name != "episode_key"}
    assert peer.error("clone_run", **clone)["code"] == "REQUEST_ID_REUSED"
    assert peer.result("query_runs")["total_results"] == 2


def test_both_clients_migrate(daemon: Any, counter_model: str) -> None:
    with Client(daemon.endpoint) as client:
        source = client.create_run(counter_model)
        run = client.migrate_run(source.run_key, "episode-2")
        assert (run.scope, run.cloned_from) == (EPISODE, source.run_key)

    async def main() -> str | None:
        async with AsyncClient(daemon.endpoint) as client:
            return (await client.migrate_run(source.run_key, "episode-2", at_seq=1)).cloned_from

    assert asyncio.run(main()) == source.run_key
