"""``archive``: variables that can be read of a run out of memory although the model never recorded them."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from protocol.client import Client
from protocol.entities import Ritual
from protocol.errors import ErrorCode, ProtocolError

MODEL = """
import json
import random

from epicenter import Epicenter


class Thing:
    def __init__(self, size):
        self.size = size


class Dice:
    pass


Epicenter.register_custom_encoder(Dice, lambda dice: json.dumps(random.random()))
count = 0
grid = {"rows": [1, 2]}
handle = Thing(1)
quiet = 0
own = 0
_private = 1
dice = Dice()


def load():
    global count
    count = 1
    # What is recorded under another name stays what it is.
    Epicenter.record("a.dotted.name", count)


Epicenter.subscribe("onInitialized", load)


def step(by=1):
    global count, quiet
    count += by
    quiet += 1
    grid["rows"].append(count)
    return count


def fail():
    global count
    count += 100
    raise ValueError("no")


def peek():
    global quiet
    quiet += 1000
    return quiet


def record_own():
    global own
    own += 1
    Epicenter.record("own", f"recorded {own}")


def change_own():
    global own
    own += 1


def draw():
    return random.random()


def grow(size):
    global large
    large = "x" * size


def odd():
    global count
    count = float("nan")
    grid["rows"] = [float("inf")]
"""
CONTEXT = {
    "archive": "all",
    "operations": {"peek": {"inert": True}},
    "variables": {"quiet": {"save": False}},
    "restorations": {"rewind": {"name": "step"}},
}


@pytest.fixture(scope="module")
def model_file(model_root: Any) -> str:
    name: str = model_root.add("auto", MODEL, json.dumps(CONTEXT))
    return name


@pytest.fixture
def client(daemon: Any) -> Any:
    with daemon.client() as client:
        yield client


def archived(client: Client, run_key: str, *names: str) -> dict[str, Any]:
    """What a read without a process gives; the run is taken out of memory."""
    client.evict_run(run_key)
    return client.read_variables(run_key, list(names), ritual=Ritual.NONE, ignorable=True)


def test_what_changed_is_archived_after_loading_operations_sets_and_errors(
    client: Client, model_file: str
) -> None:
    run_key = client.create_run(model_file).run_key
    assert archived(client, run_key, "count", "grid", "a.dotted.name", "forio_random_seed") == {
        "count": 1,
        "grid": {"rows": [1, 2]},
        "a.dotted.name": 1,
        "forio_random_seed": client.read_variables(run_key, ["forio_random_seed"], ritual=Ritual.REVIVE)[
            "forio_random_seed"
        ],
    }
    client.call_operation(run_key, "step", [2])
    assert archived(client, run_key, "count", "grid") == {"count": 3, "grid": {"rows": [1, 2, 3]}}
    client.write_variables(run_key, {"grid.rows": [7]})
    assert archived(client, run_key, "grid") == {"grid": {"rows": [7]}}
    with pytest.raises(ProtocolError, match="no"):
        client.call_operation(run_key, "fail")
    assert archived(client, run_key, "count") == {"count": 103}


def test_a_presets_value_is_archived(client: Client, model_file: str) -> None:
    run = client.create_run(model_file, execution_context={"presets": {"level": {"name": "hard"}}})
    assert archived(client, run.run_key, "level") == {"level": {"name": "hard"}}


def test_what_is_no_variable_or_not_to_be_saved_is_not_archived(client: Client, model_file: str) -> None:
    run_key = client.create_run(model_file).run_key
    client.call_operation(run_key, "step")
    names = ("quiet", "_private", "step", "Thing", "json")
    assert archived(client, run_key, *names) == dict.fromkeys(names)


def test_only_named_variables_are_archived_where_the_default_says_so(client: Client, model_file: str) -> None:
    context = {"defaults": {"variables": {"save": False}}, "variables": {"count": {"save": True}}}
    run_key = client.create_run(model_file, model_context=context).run_key
    assert archived(client, run_key, "count", "grid") == {"count": 1, "grid": None}


def test_what_has_no_encoding_is_one_warning(peer: Any, model_file: str) -> None:
    created = peer.ask("create_run", model_file=model_file)
    assert created["warnings"] == [{"code": "NOT_ARCHIVED", "path": "handle"}]
    run_key = created["result"]["run_key"]
    for _ in range(2):
        assert "warnings" not in peer.ask("call_operation", run_key=run_key, name="step")


def test_what_the_model_records_itself_counts_from_then_on(client: Client, model_file: str) -> None:
    run_key = client.create_run(model_file).run_key
    client.call_operation(run_key, "record_own")
    client.call_operation(run_key, "change_own")
    assert archived(client, run_key, "own") == {"own": "recorded 1"}
    client.call_operation(run_key, "change_own")
    assert archived(client, run_key, "own") == {"own": "recorded 1"}


def test_an_inert_operation_and_a_get_archive_nothing(client: Client, model_file: str) -> None:
    run_key = client.create_run(model_file, model_context={"variables": {"quiet": {"save": True}}}).run_key
    client.call_operation(run_key, "peek")
    client.perform_actions(run_key, [{"kind": "get", "name": "quiet"}])
    assert archived(client, run_key, "quiet") == {"quiet": 0}


def test_an_unknown_operation_after_a_restore_leaves_the_rest_to_the_next_action(
    client: Client, model_file: str
) -> None:
    run_key = client.create_run(model_file, model_context={"archive": "recorded"}).run_key
    client.call_operation(run_key, "step")
    assert archived(client, run_key, "count") == {"count": None}
    client.restore_run(run_key)
    with pytest.raises(ProtocolError) as caught:
        client.call_operation(run_key, "nowhere")
    assert caught.value.code is ErrorCode.UNKNOWN_OPERATION
    client.call_operation(run_key, "change_own")
    assert archived(client, run_key, "count", "own") == {"count": 2, "own": 1}


def test_encoders_draw_no_random_numbers_for_good(client: Client, model_file: str) -> None:
    run_key = client.create_run(model_file).run_key
    drawn = [client.call_operation(run_key, "draw") for _ in range(3)]
    assert len(set(drawn)) == 3
    client.evict_run(run_key)
    client.restore_run(run_key)  # REPLAY_DIVERGED if a replay drew others


def test_rewinds_and_clones_archive_what_they_came_to(client: Client, model_file: str) -> None:
    run_key = client.create_run(model_file).run_key
    for _ in range(3):
        client.call_operation(run_key, "step")
    clone = client.clone_run(run_key, at_seq=2).run_key
    client.rewind_run(run_key, rewind_count=1)
    assert archived(client, run_key, "count", "grid") == {"count": 3, "grid": {"rows": [1, 2, 2, 3]}}
    assert archived(client, clone, "count", "a.dotted.name") == {"count": 2, "a.dotted.name": 1}


def test_a_snapshot_of_what_was_archived_is_the_whole_state(client: Client, model_root: Any) -> None:
    context = {"archive": "all", "restorations": {"assembly": [{"snapshot": {}}]}}
    source = "import random\ncount = 0\nnames = []\n\ndef step():\n    global count\n    count += random.random()\n    names.append(count)\n"
    run_key = client.create_run(model_root.add("snapped", source, json.dumps(context))).run_key
    before: dict[str, Any] = {}
    for _ in range(3):
        client.call_operation(run_key, "step")
        before = client.read_variables(run_key, ["count", "names"])
        client.evict_run(run_key)
        client.restore_run(run_key)
        assert client.read_variables(run_key, ["count", "names"]) == before
    assert archived(client, run_key, "count", "names") == before


def test_very_many_variables_are_archived_up_to_the_limit(client: Client, model_root: Any) -> None:
    source = """
        for number in range(5_200):
            globals()[f"v{number}"] = number
        del number
        last = 0


        def step():
            global last
            last += 1
        """
    run_key = client.create_run(model_root.add("many", source, '{"archive": "all"}')).run_key
    client.call_operation(run_key, "step")
    assert archived(client, run_key, "v0", "v4000", "v5199") == {"v0": 0, "v4000": 4000, "v5199": None}


def test_state_events_tell_only_what_changed(client: Client, model_file: str) -> None:
    run_key = client.create_run(model_file).run_key
    client.call_operation(run_key, "step")
    client.evict_run(run_key)
    client.call_operation(run_key, "change_own")
    client.write_variables(run_key, {"count": 9})
    states = [event for event in client.read_events(run_key)["events"] if event["kind"] == "state"]
    changed = [dict(event["variables"]) for event in states]
    for variables in changed:
        variables.pop("dice", None)  # another one whenever it is encoded
    assert changed == [{"count": 2, "grid": {"rows": [1, 2, 2]}}, {"own": 1}, {"count": 9}]


def test_more_than_a_run_may_record_is_a_warning_and_loses_nothing_else(
    make_daemon: Callable[..., Any], model_root: Any, model_file: str, connect: Callable[..., Any]
) -> None:
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_MAX_RESULT_BYTES": "100000"})
    peer = connect(daemon.endpoint)
    run_key = peer.result("create_run", model_file=model_file)["run_key"]
    reply = peer.ask("call_operation", run_key=run_key, name="grow", arguments=[200_000])
    assert reply["warnings"] == [{"code": "NOT_ARCHIVED", "path": "large"}]
    peer.result("call_operation", run_key=run_key, name="step")
    peer.result("evict_run", run_key=run_key)
    read = peer.result(
        "read_variables", run_key=run_key, names=["count", "large"], ritual="NONE", ignorable=True
    )
    assert read == {"count": 2, "large": None}


def test_a_value_that_is_not_finite_is_told_when_it_is_archived(peer: Any, model_file: str) -> None:
    run_key = peer.result("create_run", model_file=model_file)["run_key"]
    reply = peer.ask("call_operation", run_key=run_key, name="odd")
    assert reply["warnings"] == [
        {"code": "NON_FINITE", "path": "count"},
        {"code": "NON_FINITE", "path": "grid.rows[0]"},
    ]
    assert "warnings" not in peer.ask("call_operation", run_key=run_key, name="change_own")


def test_the_setting_archives_all_and_a_context_says_otherwise(
    make_daemon: Callable[..., Any], model_root: Any, counter_model: str
) -> None:
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_ARCHIVE": "all"})
    with daemon.client() as client:
        run_key = client.create_run(counter_model).run_key
        assert archived(client, run_key, "secret") == {"secret": 5}
        run_key = client.create_run(counter_model, model_context={"archive": "recorded"}).run_key
        assert archived(client, run_key, "secret") == {"secret": None}


def test_what_is_archived_survives_a_kill_of_the_worker(
    make_daemon: Callable[..., Any], model_root: Any, model_file: str
) -> None:
    daemon = make_daemon(model_root.path)
    with daemon.client() as client:
        run_key = client.create_run(model_file).run_key
        client.call_operation(run_key, "step")
    daemon.kill()
    with daemon.start().client() as client:
        assert client.read_variables(run_key, ["count"], ritual=Ritual.NONE) == {"count": 2}
