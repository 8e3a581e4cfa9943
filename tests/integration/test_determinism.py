"""A restored run equals the live one, whatever it drew on; one that cannot is told apart, and loses nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from protocol.client import Client
from protocol.errors import ErrorCode, ProtocolError

DRAWING = '''
import datetime
import os
import random
import secrets
import time
import uuid

import numpy as np
from epicenter import Epicenter

kept = np.random.default_rng()
own = random.Random()
draws = []
failures = []
events = []
words = {word: None for word in {"alpha", "beta", "gamma", "delta", "epsilon"}}
Epicenter.record("draws", draws)


def shared():
    """Everything that differs from process to process, unless somebody sees to it."""
    return {
        "random": random.random(),
        "shuffled": random.sample(range(100), 5),
        "unseeded": random.Random().random(),
        "system": random.SystemRandom().random(),
        "numpy": np.random.random(),
        "permutation": np.random.permutation(5).tolist(),
        "default_rng": np.random.default_rng().normal(),
        "uuid4": str(uuid.uuid4()),
        "secret": secrets.token_hex(8),
        "urandom": os.urandom(8).hex(),
        "order": list({f"word {n}" for n in range(20)}),
        "hash": hash("words"),
    }


def draw():
    drawn = {
        **shared(),
        "own": own.random(),
        "kept": kept.integers(0, 10**9),
        "time": time.time(),
        "time_ns": time.time_ns(),
        "now": datetime.datetime.now(),
        "utc": datetime.datetime.now(datetime.timezone.utc),
        "today": datetime.date.today(),
        "local": list(time.localtime()),
        "text": time.strftime("%Y-%m-%d %H:%M:%S"),
        "uuid1": str(uuid.uuid1()),
        "actor": Epicenter.actor(),
    }
    draws.append(drawn)
    Epicenter.record("draws", draws)
    return drawn


def fail():
    """Changes state, draws, and then raises."""
    failures.append(random.random())
    raise ValueError(f"after {len(failures)}")


def peek():
    """Inert: what it draws is not recorded, and must not move the streams.

    It leaves alone the generators that the model keeps: they are state of the model.
    """
    return shared()


Epicenter.subscribe("onInitialized", lambda: events.append(random.random()))
'''
DRAWING_CONTEXT = '{"version": "V2", "operations": {"peek": {"inert": true}}}'
NAMES = ["draws", "failures", "events", "words"]
PLACES = ("time", "time_ns", "now", "utc", "today", "local", "text", "uuid1", "actor")

ODD = """
import time

moments = []


def moment():
    moments.append(time.monotonic_ns())
    return moments[-1]


def plain():
    return len(moments)
"""


@pytest.fixture(scope="module")
def model(model_root: Any) -> str:
    name: str = model_root.add("drawing", DRAWING, DRAWING_CONTEXT)
    return name


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any, model: str) -> Any:
    return make_daemon(model_root.path)


@pytest.fixture
def client(daemon: Any) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


def state(client: Client, run_key: str) -> dict[str, Any]:
    values: dict[str, Any] = client.read_variables(run_key, NAMES, ritual="REVIVE")
    return values


def chances(drawn: dict[str, Any]) -> dict[str, Any]:
    """The part that depends on the streams alone, not on when and by whom it was asked for."""
    return {name: value for name, value in drawn.items() if name not in PLACES}


@pytest.fixture
def run_key(client: Client, model: str) -> str:
    """A run that drew three times, failed twice and was peeked at in between."""
    key = client.create_run(model).run_key
    for n, user in enumerate(("ann", "bob", "cid")):
        client.call_operation(key, "draw", actor={"user_key": user, "world_role": "Retailer"})
        if n < 2:
            with pytest.raises(ProtocolError) as caught:
                client.call_operation(key, "fail")
            assert caught.value.code is ErrorCode.OPERATION_FAILED
        client.call_operation(key, "peek")
    return key


def test_what_differs_between_processes_differs_between_runs(client: Client, model: str) -> None:
    one, two = (client.call_operation(client.create_run(model).run_key, "draw") for _ in range(2))
    same = {name for name, value in chances(one).items() if value == two[name]}
    assert same == {"order", "hash"}, "otherwise equality below would prove nothing"


def test_an_evicted_run_comes_back_equal(client: Client, run_key: str) -> None:
    live = state(client, run_key)
    assert [len(live[name]) for name in NAMES] == [3, 2, 1, 5]
    client.evict_run(run_key)
    reply = client.request("read_variables", run_key=run_key, names=NAMES, ritual="REVIVE")
    assert reply.run is not None
    assert reply.run.served_from == "restored"
    assert reply.result == live
    assert reply.warnings == []


def test_the_archive_holds_the_recorded_value_of_the_live_run(client: Client, run_key: str) -> None:
    live = state(client, run_key)
    client.evict_run(run_key)
    reply = client.request("read_variables", run_key=run_key, names=["draws"])
    assert reply.run is not None
    assert reply.run.served_from == "archive"
    assert reply.result["draws"] == live["draws"]


def test_a_run_of_a_killed_daemon_comes_back_equal(daemon: Any, client: Client, run_key: str) -> None:
    live = state(client, run_key)
    daemon.kill()
    daemon.start()
    with daemon.client() as again:
        assert state(again, run_key) == live


def test_a_clone_is_equal_and_draws_on_alike(client: Client, run_key: str) -> None:
    live = state(client, run_key)
    clone = client.clone_run(run_key).run_key
    assert state(client, clone) == live
    assert chances(client.call_operation(clone, "draw")) == chances(client.call_operation(run_key, "draw"))
    assert state(client, clone)["draws"][:3] == state(client, run_key)["draws"][:3]


def test_a_restored_run_draws_on_as_if_it_had_never_left(client: Client, run_key: str) -> None:
    stays = client.clone_run(run_key).run_key
    client.evict_run(run_key)
    assert state(client, run_key) == state(client, stays)
    for _ in range(2):
        assert chances(client.call_operation(run_key, "draw")) == chances(
            client.call_operation(stays, "draw")
        )


def test_a_rewound_run_equals_its_prefix_and_repeats_what_came_next(client: Client, run_key: str) -> None:
    live = state(client, run_key)
    third = client.read_history(run_key)["entries"][3]
    assert (third["seq"], third["name"]) == (4, "draw")

    client.rewind_run(run_key, to_seq=3)

    prefix = state(client, run_key)
    assert (prefix["draws"], prefix["failures"]) == (live["draws"][:1], live["failures"][:1])
    assert chances(client.call_operation(run_key, "draw")) == chances(live["draws"][1])
    client.evict_run(run_key)
    again = state(client, run_key)
    assert again["draws"][0] == live["draws"][0]
    assert chances(again["draws"][1]) == chances(live["draws"][1])
    assert again["failures"] == prefix["failures"]


def test_an_inert_operation_draws_but_moves_no_stream(client: Client, model: str) -> None:
    key = client.create_run(model).run_key
    twin = client.clone_run(key).run_key
    peeked = client.call_operation(key, "peek")
    assert client.call_operation(key, "peek") == peeked
    assert client.read_history(key)["head_seq"] == 1
    drawn = chances(client.call_operation(key, "draw"))
    assert drawn == chances(client.call_operation(twin, "draw"))
    assert {name: drawn[name] for name in peeked} == peeked


def test_an_action_sees_its_stamp_and_its_actor(client: Client, model: str) -> None:
    key = client.create_run(model).run_key
    drawn = client.call_operation(key, "draw", actor={"user_key": "ann", "world_role": "Factory"})
    entry = client.read_history(key)["entries"][1]
    assert entry["at"][:23] == drawn["utc"][:23]
    assert entry["actor"] == {"user_key": "ann", "world_role": "Factory"}
    assert (drawn["actor"]["user_key"], drawn["actor"]["world_role"]) == ("ann", "Factory")
    assert drawn["time_ns"] // 1000 == round(drawn["time"] * 1e6)


def odd_run(client: Client, name: str) -> str:
    """A run whose second action never comes out the same."""
    key = client.create_run(name).run_key
    client.call_operation(key, "plain")
    client.call_operation(key, "moment")
    client.call_operation(key, "plain")
    client.evict_run(key)
    return key


def test_a_divergence_names_seq_action_and_both_digests_and_leaves_the_history(
    client: Client, model_root: Any
) -> None:
    key = odd_run(client, model_root.add("odd", ODD))
    before = client.read_history(key)

    with pytest.raises(ProtocolError):
        client.restore_run(key)
    with pytest.raises(ProtocolError) as caught:
        client.call_operation(key, "plain")

    error = caught.value
    assert error.code is ErrorCode.REPLAY_DIVERGED
    found = error.information
    assert (found["seq"], found["action"], found["kind"], found["applied"]) == (3, "moment", "execute", "no")
    assert found["expected"] == before["entries"][2]["outcome_digest"] != found["got"]
    assert "seq 3" in error.message
    assert client.read_history(key) == before
    assert not client.get_run(key).live


def test_a_model_may_ask_for_a_warning_instead(client: Client, model_root: Any) -> None:
    context = '{"version": "V2", "restorations": {"divergence": "warn"}}'
    key = odd_run(client, model_root.add("lenient", ODD, context))
    before = client.read_history(key)

    reply = client.request("call_operation", run_key=key, name="plain", arguments=[])

    assert reply.result == 1
    (warning,) = reply.warnings
    assert (warning["code"], warning["seq"], warning["action"]) == ("REPLAY_DIVERGED", 3, "moment")
    assert client.read_history(key)["entries"][:4] == before["entries"]


CHANGED = """
value = {value}


def get():
    return {shown}
"""


def changed_run(client: Client, model_root: Any, name: str, context: str | None) -> tuple[str, Path]:
    """An evicted run with one action, whose model file now differs, although it would replay alike."""
    model = model_root.add(name, CHANGED.format(value=1, shown=5), context)
    key = client.create_run(model).run_key
    assert client.call_operation(key, "get") == 5
    client.evict_run(key)
    model_root.add(name, CHANGED.format(value=2, shown=5))
    return key, model_root.path / model


def test_a_changed_model_is_restored_with_a_warning_and_both_fingerprints(
    client: Client, model_root: Any
) -> None:
    key, _ = changed_run(client, model_root, "changed", None)
    began = client.get_run(key).model_fingerprint

    reply = client.request("read_variables", run_key=key, names=["value"], ritual="REVIVE")

    assert reply.result == {"value": 2}
    (warning,) = reply.warnings
    assert (warning["code"], warning["began_with"]) == ("MODEL_CHANGED", began)
    assert warning["now"] == client.create_run("changed/model.py").model_fingerprint != began


def test_a_changed_model_is_refused_where_the_policy_says_so(client: Client, model_root: Any) -> None:
    context = '{"version": "V2", "restorations": {"modelChanged": "fail"}}'
    key, file = changed_run(client, model_root, "fixed", context)

    with pytest.raises(ProtocolError) as caught:
        client.restore_run(key)

    assert caught.value.code is ErrorCode.REPLAY_DIVERGED
    assert caught.value.information["began_with"] == client.get_run(key).model_fingerprint
    assert caught.value.information["now"] != caught.value.information["began_with"]
    file.write_text(CHANGED.format(value=1, shown=5))
    assert client.restore_run(key).live


def test_a_model_that_now_answers_otherwise_diverges(client: Client, model_root: Any) -> None:
    key, file = changed_run(client, model_root, "turned", None)
    file.write_text(CHANGED.format(value=1, shown=6))
    with pytest.raises(ProtocolError) as caught:
        client.restore_run(key)
    assert (caught.value.code, caught.value.information["seq"]) == (ErrorCode.REPLAY_DIVERGED, 2)


def test_a_model_that_now_crashes_costs_an_error_at_once_and_comes_back_with_its_old_file(
    client: Client, model_root: Any, wait_until: Callable[..., None]
) -> None:
    key, file = changed_run(client, model_root, "crashing", None)
    file.write_text("import os\n\n\ndef get():\n    os._exit(0)\n")
    with pytest.raises(ProtocolError) as caught:
        client.restore_run(key, timeout_seconds=10)
    assert caught.value.code is ErrorCode.PROCESS_EXITED
    file.write_text(CHANGED.format(value=1, shown=5))
    assert client.read_variables(key, ["value"], ritual="REVIVE") == {"value": 1}
