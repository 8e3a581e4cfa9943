"""The singular run of a project and the runs of worlds: which run a name has, against a real worker."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

FACILITATOR = {"role": "FACILITATOR"}
names = itertools.count(1)


@pytest.fixture
def world() -> str:
    """A world that nobody has used."""
    return f"world-{next(names)}"


@pytest.fixture
def alone(make_daemon: Any, model_root: Any, counter_model: str, connect: Callable[..., Any]) -> Any:
    """A peer of a worker of its own: a project has one singular run."""
    return connect(make_daemon(model_root.path, data=":memory:").endpoint)


def live(peer: Any, run_key: str) -> bool:
    found: bool = peer.result("get_run", run_key=run_key)["live"]
    return found


def closed(peer: Any, run_key: str) -> bool:
    found: bool = peer.result("get_run", run_key=run_key)["closed"]
    return found


# The singular run


def test_a_project_has_one_singular_run_whatever_model_is_asked_for(
    alone: Any, model_root: Any, counter_model: str
) -> None:
    other = model_root.add("other", "x = 1\n")
    assert alone.result("get_singular_run_key") is None

    run = alone.result("create_singular_run", model_file=counter_model, actor={"user_key": "u"})
    again = alone.ask("create_singular_run", model_file=other, tracking_key="t")

    assert (run["morphology"], run["live"], run["user"]) == ("SINGULAR", True, {"user_key": "u"})
    assert run["scope"] == {"scope_boundary": "PROJECT", "scope_key": "default"}
    assert run["permit"] == {"read_lock": "PARTICIPANT", "write_lock": "PARTICIPANT"}
    assert again["result"] == run
    assert again["run"] == {"run_key": run["run_key"], "served_from": "memory", "seq": 1}
    assert alone.result("get_singular_run_key") == run["run_key"]
    page = alone.result("query_runs", filter="run.morphology=SINGULAR")
    assert [found["run_key"] for found in page["values"]] == [run["run_key"]]


def test_a_singular_run_that_is_not_in_memory_stays_out_of_it(alone: Any, counter_model: str) -> None:
    run_key = alone.result("create_singular_run", model_file=counter_model)["run_key"]
    alone.result("call_operation", run_key=run_key, name="add", arguments=[7])
    alone.result("evict_run", run_key=run_key)

    found = alone.ask("create_singular_run", model_file=counter_model)

    assert found["run"] == {"run_key": run_key, "served_from": "archive", "seq": 2}
    assert (found["result"]["live"], found["result"]["seq"]) == (False, 2)
    assert alone.result("get_singular_run_key") == run_key
    assert not live(alone, run_key)
    assert alone.result("call_operation", run_key=run_key, name="add", arguments=[1]) == 8
    assert alone.result("create_singular_run", model_file=counter_model)["live"]


@pytest.mark.parametrize("end", ({"closed": True}, {"hidden": True}))
def test_a_singular_run_that_is_closed_or_hidden_counts_as_none(
    alone: Any, counter_model: str, end: dict[str, bool]
) -> None:
    first = alone.result("create_singular_run", model_file=counter_model)["run_key"]
    alone.result("update_run", run_key=first, **end)
    assert alone.result("get_singular_run_key") is None
    alone.result("update_run", run_key=first, **dict.fromkeys(end, False))
    assert alone.result("get_singular_run_key") == first
    alone.result("update_run", run_key=first, **end)

    second = alone.result("create_singular_run", model_file=counter_model)["run_key"]

    assert second != first
    alone.result("update_run", run_key=first, **dict.fromkeys(end, False))
    assert alone.result("get_singular_run_key") == second


def test_a_clone_of_the_singular_run_is_an_ordinary_run(alone: Any, counter_model: str) -> None:
    run_key = alone.result("create_singular_run", model_file=counter_model)["run_key"]

    clone = alone.result("clone_run", run_key=run_key)

    assert clone["morphology"] == "MANY"
    assert alone.result("get_singular_run_key") == run_key


def test_a_creation_that_fails_leaves_no_singular_run(
    alone: Any, model_root: Any, counter_model: str
) -> None:
    broken = model_root.add("broken", "raise ValueError('no')\n")

    assert alone.error("create_singular_run", model_file=broken)["code"] == "MODEL_LOAD_FAILED"

    assert alone.result("get_singular_run_key") is None
    assert alone.result("create_singular_run", model_file=counter_model)["live"]


def test_an_ephemeral_singular_run_is_the_projects_while_it_is_in_memory(
    alone: Any, counter_model: str
) -> None:
    first = alone.result("create_singular_run", model_file=counter_model, ephemeral=True)
    assert first["ephemeral"]
    assert alone.result("get_singular_run_key") == first["run_key"]
    assert alone.result("create_singular_run", model_file=counter_model)["run_key"] == first["run_key"]

    alone.result("evict_run", run_key=first["run_key"])

    assert alone.result("get_singular_run_key") is None
    second = alone.result("create_singular_run", model_file=counter_model)
    assert not second["ephemeral"]
    assert alone.result("create_singular_run", model_file=counter_model, ephemeral=True) == second


# The runs of worlds


def test_a_world_has_one_run_which_each_opening_brings_into_memory(
    peer: Any, counter_model: str, world: str
) -> None:
    run = peer.result("open_world_run", world_key=world, model_file=counter_model, actor={"user_key": "u"})
    run_key = run["run_key"]
    assert run["scope"] == {"scope_boundary": "WORLD", "scope_key": world}
    assert run["address"] == {"world_key": world}
    assert run["permit"] == {"read_lock": "PARTICIPANT", "write_lock": "FACILITATOR"}
    peer.result("call_operation", run_key=run_key, name="add", arguments=[7])
    peer.result("evict_run", run_key=run_key)

    opened = peer.ask("open_world_run", world_key=world, model_file=counter_model)
    again = peer.ask("open_world_run", world_key=world, model_file=counter_model)

    assert opened["run"] == {"run_key": run_key, "served_from": "restored", "seq": 2}
    assert again["run"] == {"run_key": run_key, "served_from": "memory", "seq": 2}
    assert opened["result"] == again["result"]
    assert opened["result"]["live"]


def test_an_existing_run_is_not_changed_by_the_fields_of_a_new_one(
    peer: Any, counter_model: str, world: str
) -> None:
    presets = {"presets": {"label": "kept"}}
    run = peer.result("open_world_run", world_key=world, model_file=counter_model, execution_context=presets)
    peer.result("evict_run", run_key=run["run_key"])

    opened = peer.result(
        "open_world_run", world_key=world, model_file="nowhere.py", execution_context={}, tracking_key="t"
    )

    assert {**opened, "last_modified": run["last_modified"]} == run
    values = peer.result("read_variables", run_key=run["run_key"], names=["label"], ritual="REVIVE")
    assert values == {"label": "kept"}


@pytest.mark.parametrize("end", ({"closed": True}, {"hidden": True}))
def test_a_world_whose_run_is_closed_or_hidden_gets_a_new_one(
    peer: Any, counter_model: str, world: str, end: dict[str, bool]
) -> None:
    first = peer.result("open_world_run", world_key=world, model_file=counter_model)["run_key"]
    peer.result("update_run", run_key=first, **end)

    second = peer.result("open_world_run", world_key=world, model_file=counter_model)["run_key"]

    assert second != first
    assert peer.result("open_world_run", world_key=world, model_file=counter_model)["run_key"] == second


def test_closing_a_worlds_run_ends_it_and_leaves_the_world_without_one(
    peer: Any, counter_model: str, world: str
) -> None:
    first = peer.result("open_world_run", world_key=world, model_file=counter_model)["run_key"]

    assert peer.result("close_world_run", world_key=world) is None

    run = peer.result("get_run", run_key=first)
    assert (run["closed"], run["live"], run["run_state"]) == (True, False, "CLOSED")
    assert peer.result("close_world_run", world_key=world) is None
    peer.result("update_run", run_key=first, closed=False)
    second = peer.result("open_world_run", world_key=world, model_file=counter_model)["run_key"]
    assert second != first


def test_an_assigned_run_is_the_worlds_and_the_earlier_one_stays_as_it_is(
    peer: Any, counter_model: str, world: str
) -> None:
    earlier = peer.result("open_world_run", world_key=world, model_file=counter_model)["run_key"]
    run = peer.result(
        "create_run", model_file=counter_model, address={"group_name": "g"}, scope={"scope_key": "p"}
    )

    assert peer.result("assign_world_run", world_key=world, run_key=run["run_key"]) is None

    opened = peer.result("open_world_run", world_key=world, model_file=counter_model)
    assert opened["run_key"] == run["run_key"]
    assert opened["address"] == {"group_name": "g", "world_key": world}
    assert opened["scope"] == run["scope"]
    page = peer.result("query_runs", filter=f"run.world_key={world}", sort="+run.created")
    assert [found["run_key"] for found in page["values"]] == [earlier, run["run_key"]]
    assert peer.result("get_run", run_key=run["run_key"])["address"] == opened["address"]
    assert live(peer, earlier)
    assert not closed(peer, earlier)


def test_a_run_may_be_of_several_worlds_and_keeps_its_address(peer: Any, counter_model: str) -> None:
    one, two = f"world-{next(names)}", f"world-{next(names)}"
    run_key = peer.result("open_world_run", world_key=one, model_file=counter_model)["run_key"]
    peer.result("evict_run", run_key=run_key)

    peer.result("assign_world_run", world_key=two, run_key=run_key)

    assert not live(peer, run_key)
    for world in (one, two):
        run = peer.result("open_world_run", world_key=world, model_file=counter_model)
        assert (run["run_key"], run["address"]) == (run_key, {"world_key": one})
    peer.result("close_world_run", world_key=two)
    assert peer.result("open_world_run", world_key=one, model_file=counter_model)["run_key"] != run_key


def test_what_cannot_be_assigned_is_refused_by_name_and_the_world_keeps_its_run(
    peer: Any, counter_model: str, world: str
) -> None:
    current = peer.result("open_world_run", world_key=world, model_file=counter_model)["run_key"]
    refused = {"RUN_NOT_FOUND": "0" * 36}
    for code, end in (("RUN_CLOSED", {"closed": True}), ("INVALID_REQUEST", {"hidden": True})):
        refused[code] = peer.result("create_run", model_file=counter_model)["run_key"]
        peer.result("update_run", run_key=refused[code], **end)
    ephemeral = peer.result("create_run", model_file=counter_model, ephemeral=True)
    refused["RUN_EPHEMERAL"] = ephemeral["run_key"]

    for code, run_key in refused.items():
        assert peer.error("assign_world_run", world_key=world, run_key=run_key)["code"] == code

    assert peer.result("open_world_run", world_key=world, model_file=counter_model)["run_key"] == current


def test_an_ephemeral_world_run_is_the_worlds_while_it_is_in_memory(
    peer: Any, counter_model: str, world: str
) -> None:
    first = peer.result("open_world_run", world_key=world, model_file=counter_model, ephemeral=True)
    again = peer.result("open_world_run", world_key=world, model_file=counter_model)
    assert (again["run_key"], again["ephemeral"]) == (first["run_key"], True)

    assert peer.result("close_world_run", world_key=world) is None

    assert peer.error("get_run", run_key=first["run_key"])["code"] == "RUN_NOT_FOUND"
    second = peer.result("open_world_run", world_key=world, model_file=counter_model, ephemeral=True)
    peer.result("evict_run", run_key=second["run_key"])
    third = peer.result("open_world_run", world_key=world, model_file=counter_model)
    assert len({first["run_key"], second["run_key"], third["run_key"]}) == 3
    assert not third["ephemeral"]


def test_a_stored_run_takes_the_place_of_an_ephemeral_one(peer: Any, counter_model: str, world: str) -> None:
    peer.result("open_world_run", world_key=world, model_file=counter_model, ephemeral=True)
    run_key = peer.result("create_run", model_file=counter_model)["run_key"]

    peer.result("assign_world_run", world_key=world, run_key=run_key)
    peer.result("close_world_run", world_key=world)

    opened = peer.result("open_world_run", world_key=world, model_file=counter_model)
    assert not opened["ephemeral"]
    assert opened["run_key"] != run_key


def test_an_ephemeral_incarnation_of_a_worlds_run_changes_nothing_for_the_world(
    peer: Any, counter_model: str, world: str
) -> None:
    run_key = peer.result("open_world_run", world_key=world, model_file=counter_model)["run_key"]
    peer.result("evict_run", run_key=run_key)
    peer.result("restore_run", run_key=run_key, ephemeral=True)
    other = f"world-{next(names)}"

    peer.result("assign_world_run", world_key=other, run_key=run_key)

    for name in (world, other):
        opened = peer.result("open_world_run", world_key=name, model_file=counter_model)
        assert (opened["run_key"], opened["ephemeral"]) == (run_key, True)
    peer.result("close_world_run", world_key=other)
    assert closed(peer, run_key)


# Who may


def test_permits_are_judged_on_the_run_that_is_found(peer: Any, counter_model: str, world: str) -> None:
    author = {"role": "AUTHOR"}
    participant = {"role": "PARTICIPANT", "user_key": "u"}
    secret = peer.result("open_world_run", world_key=world, model_file=counter_model, actor=author)
    assert secret["permit"] == {"read_lock": "AUTHOR", "write_lock": "AUTHOR"}
    own = peer.result("create_run", model_file=counter_model, actor=participant)["run_key"]
    refused = (
        ("open_world_run", {"world_key": world, "model_file": counter_model}),
        ("close_world_run", {"world_key": world}),
        ("assign_world_run", {"world_key": world, "run_key": own}),
        (
            "get_run_with_strategy",
            {"strategy": "multiplayer", "model_file": counter_model, "scope": secret["scope"]},
        ),
    )

    for type_, fields in refused:
        error = peer.error(type_, actor=participant, **fields)
        assert error["code"] == "PERMIT_VIOLATION", type_
        assert error["information"]["run_key"] == secret["run_key"]

    assert not closed(peer, secret["run_key"])
    opened = peer.result("open_world_run", world_key=world, model_file=counter_model, actor=author)
    assert opened["run_key"] == secret["run_key"]


def test_members_of_a_world_may_open_and_close_its_run_but_not_exchange_it(
    peer: Any, counter_model: str, world: str
) -> None:
    member = {"role": "PARTICIPANT", "user_key": "u", "world_key": world}
    stranger = {"role": "PARTICIPANT", "user_key": "v", "world_key": "elsewhere"}
    run_key = peer.result("open_world_run", world_key=world, model_file=counter_model, actor=member)[
        "run_key"
    ]
    own = peer.result("create_run", model_file=counter_model, actor=member)["run_key"]

    error = peer.error("assign_world_run", world_key=world, run_key=own, actor=member)
    assert (error["code"], error["information"]["needed"]) == ("PERMIT_VIOLATION", "FACILITATOR")
    assert peer.error("close_world_run", world_key=world, actor=stranger)["code"] == "PERMIT_VIOLATION"

    peer.result("close_world_run", world_key=world, actor=member)
    assert closed(peer, run_key)


def test_a_singular_run_that_may_not_be_read_is_not_shown(alone: Any, counter_model: str) -> None:
    author = {"role": "AUTHOR"}
    run_key = alone.result("create_singular_run", model_file=counter_model, actor=author)["run_key"]
    anonymous = {"role": "ANONYMOUS"}

    error = alone.error("create_singular_run", model_file=counter_model, actor=anonymous)

    assert (error["code"], error["information"]["needed"]) == ("PERMIT_VIOLATION", "AUTHOR")
    assert alone.result("get_singular_run_key", actor=anonymous) == run_key


# Bad input


@pytest.mark.parametrize(
    ("type_", "fields", "path"),
    (
        ("create_singular_run", {"scope": {"scope_key": "p"}}, "scope"),
        ("create_singular_run", {"morphology": "MANY"}, "morphology"),
        ("create_singular_run", {"world_key": "w"}, "world_key"),
        ("open_world_run", {"scope": {"scope_key": "p"}, "world_key": "w"}, "scope"),
        ("open_world_run", {"morphology": "SINGULAR", "world_key": "w"}, "morphology"),
        ("open_world_run", {}, "world_key"),
        ("open_world_run", {"world_key": ""}, "world_key"),
        ("open_world_run", {"world_key": "w", "address": {"world_key": "v"}}, "address.world_key"),
        ("get_run_with_strategy", {}, "strategy"),
        ("get_run_with_strategy", {"strategy": "reuse-per-session"}, "strategy"),
    ),
)
def test_what_a_request_cannot_have_is_refused_with_its_place(
    peer: Any, counter_model: str, type_: str, fields: dict[str, Any], path: str
) -> None:
    error = peer.error(type_, model_file=counter_model, **fields)

    assert (error["code"], error["information"]["path"]) == ("INVALID_REQUEST", path)


@pytest.mark.parametrize(
    ("type_", "fields"),
    (
        ("create_singular_run", {"model_file": "counter/model.py"}),
        ("get_singular_run_key", {}),
        ("open_world_run", {"model_file": "counter/model.py", "world_key": "w"}),
        ("close_world_run", {"world_key": "w"}),
        ("assign_world_run", {"world_key": "w", "run_key": "0" * 36}),
        ("get_run_with_strategy", {"model_file": "counter/model.py", "strategy": "reuse-across-sessions"}),
    ),
)
def test_a_project_that_is_not_served_is_refused(peer: Any, type_: str, fields: dict[str, Any]) -> None:
    error = peer.error(type_, project="no/such", **fields)

    assert error["code"] == "PROJECT_NOT_FOUND"


# Waiting


def test_who_waits_in_vain_for_another_to_open_a_world_changed_nothing_and_may_ask_again(
    peer: Any, model_root: Any, world: str, fresh_id: Any
) -> None:
    slow = model_root.add("slow", "import time\ntime.sleep(1)\n")
    opening = {"world_key": world, "model_file": slow}
    first, second = fresh_id(), fresh_id()
    peer.send("open_world_run", request_id=first, **opening)
    peer.send("open_world_run", request_id=second, deadline_seconds=0.1, **opening)

    replies = {reply["request_id"]: reply for reply in (peer.receive(), peer.receive())}

    error = replies[second]["error"]
    assert (error["code"], error["information"]["applied"]) == ("DEADLINE_EXCEEDED", "no")
    run_key = replies[first]["result"]["run_key"]
    assert peer.result("open_world_run", request_id=second, **opening)["run_key"] == run_key


# Projects


def test_each_project_has_a_singular_run_and_worlds_of_its_own(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Callable[..., Any], tmp_path: Any
) -> None:
    config = tmp_path / "worker.toml"
    projects = "\n".join(
        f'[projects."acme/{name}"]\nmodels_dir = "{model_root.path}"' for name in ("one", "two")
    )
    config.write_text(projects)
    daemon = make_daemon(model_root.path, arguments=("--config", str(config)))
    peer = connect(daemon.endpoint)
    keys: dict[tuple[str, str | None], str] = {}
    for project in ("acme/one", "acme/two", None):
        own: dict[str, Any] = {} if project is None else {"project": project}
        keys["singular", project] = peer.result("create_singular_run", model_file=counter_model, **own)[
            "run_key"
        ]
        keys["world", project] = peer.result(
            "open_world_run", model_file=counter_model, world_key="w", **own
        )["run_key"]
    assert len(set(keys.values())) == 6

    daemon.kill()
    peer = connect(daemon.start().endpoint)

    for project in ("acme/one", "acme/two", None):
        own = {} if project is None else {"project": project}
        assert peer.result("get_singular_run_key", **own) == keys["singular", project]
        opened = peer.result("open_world_run", model_file=counter_model, world_key="w", **own)
        assert opened["run_key"] == keys["world", project]
    foreign = {"world_key": "v", "run_key": keys["world", "acme/two"]}
    assert peer.error("assign_world_run", project="acme/one", **foreign)["code"] == "RUN_NOT_FOUND"
    assert peer.result("assign_world_run", **foreign) is None
    for project, is_there in (("acme/one", False), ("acme/two", True)):
        fields = {"model_file": counter_model, "world_key": "v", "project": project}
        assert (peer.result("open_world_run", **fields)["run_key"] == foreign["run_key"]) == is_there


# Repetitions


REQUESTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("create_singular_run", {}),
    ("open_world_run", {"world_key": "again"}),
    ("get_run_with_strategy", {"strategy": "reuse-across-sessions"}),
    ("get_run_with_strategy", {"strategy": "reuse-never"}),
    ("get_run_with_strategy", {"strategy": "reuse-by-tracking-key", "tracking_key": "again"}),
    ("get_run_with_strategy", {"strategy": "multiplayer", "actor": {"world_key": "again"}}),
)


@pytest.mark.parametrize("found", (False, True), ids=("created", "found"))
def test_a_repeated_request_is_answered_with_its_run_also_after_a_crash(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Any, fresh_id: Any, *, found: bool
) -> None:
    daemon = make_daemon(model_root.path)
    peer = connect(daemon.endpoint)
    asked = [(type_, {"model_file": counter_model, **fields}) for type_, fields in REQUESTS]
    if found:
        for type_, fields in asked:
            peer.result(type_, **fields)
    ids = [fresh_id() for _ in asked]
    first = [
        peer.result(type_, request_id=request_id, **fields)
        for request_id, (type_, fields) in zip(ids, asked, strict=True)
    ]
    count = peer.result("query_runs")["total_results"]

    daemon.kill()
    peer = connect(daemon.start().endpoint)
    for run in first:
        peer.result("update_run", run_key=run["run_key"], closed=True)

    for request_id, (type_, fields), run in zip(ids, asked, first, strict=True):
        assert peer.result(type_, request_id=request_id, **fields) == run
        changed = {**fields, "allow_channel": True}
        assert peer.error(type_, request_id=request_id, **changed)["code"] == "REQUEST_ID_REUSED"
    assert peer.result("query_runs")["total_results"] == count


def test_a_repeated_close_or_assign_does_not_act_again_also_after_a_crash(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Any, fresh_id: Any
) -> None:
    daemon = make_daemon(model_root.path)
    peer = connect(daemon.endpoint)
    fields = {"world_key": "w", "model_file": counter_model}
    of_none, of_one, assigning = fresh_id(), fresh_id(), fresh_id()
    peer.result("close_world_run", world_key="w", request_id=of_none)
    peer.result("open_world_run", **fields)
    peer.result("close_world_run", world_key="w", request_id=of_one)
    assigned = peer.result("create_run", model_file=counter_model)["run_key"]
    peer.result("assign_world_run", world_key="w", run_key=assigned, request_id=assigning)
    peer.result("close_world_run", world_key="w")
    last = peer.result("open_world_run", **fields)["run_key"]

    for restarted in (False, True):
        if restarted:
            daemon.kill()
            peer = connect(daemon.start().endpoint)
        for request_id in (of_none, of_one):
            assert peer.result("close_world_run", world_key="w", request_id=request_id) is None
        repeated = peer.ask("assign_world_run", world_key="w", run_key=assigned, request_id=assigning)
        assert repeated["result"] is None
        assert peer.result("open_world_run", **fields)["run_key"] == last
        assert not closed(peer, last)
    error = peer.error("close_world_run", world_key="v", request_id=of_one)
    assert error["code"] == "REQUEST_ID_REUSED"
