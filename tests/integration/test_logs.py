"""The log: one line for each step of a run's life, complete, and silent about what models and callers put in."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from protocol.client import Client
from protocol.errors import ProtocolError

SECRET = "s3cr3t-5f1d"
MODEL = """
import json
import os
import time

from epicenter import Epicenter

told = []


def tell(value):
    print("printed", value)
    Epicenter.log("INFO", "logged " + value)
    told.append(value)
    Epicenter.record("told", told)
    return {"echo": value}


def fail(value):
    raise ValueError(value)


def hang(value):
    print(value)
    time.sleep(60)


def die():
    os._exit(3)


def draw():
    return json.loads(os.environ["EPICENTER_WORKER_CONTEXT"])["seed"] + id(object()) + time.perf_counter_ns()
"""
CONTEXT = """{"version": "V2", "operations": {"hang": {"timeoutSeconds": 0.3}}, "restorations": {"rewind": {"name": "tell"}}}"""
LOUD = f'raise ValueError("{SECRET}")\n'
LEVELS = ("debug", "info", "warning", "error")
GENERAL = {"event", "level", "timestamp"}


@pytest.fixture(scope="module")
def models(model_root: Any) -> Any:
    model_root.add("teller", MODEL, CONTEXT)
    model_root.add("loud", LOUD)
    return model_root.path


def start(make_daemon: Any, models: Any, **settings: str) -> Any:
    return make_daemon(
        models, env={f"MODEL_WORKER_{name.upper()}": value for name, value in settings.items()}
    )


def lines(daemon: Any) -> list[dict[str, Any]]:
    """The log; each line must be a JSON object."""
    return [json.loads(line) for line in daemon.logged().splitlines()]


def of_run(daemon: Any, run_key: str, *, least: str = "info") -> list[dict[str, Any]]:
    wanted = LEVELS[LEVELS.index(least) :]
    return [one for one in lines(daemon) if one.get("run_key") == run_key and one["level"] in wanted]


def steps(daemon: Any, run_key: str) -> list[tuple[Any, ...]]:
    """What is told of a run: the step, its seq and the request that caused it."""
    return [(one["event"], one["seq"], one.get("request_id")) for one in of_run(daemon, run_key)]


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, models: Any) -> Any:
    return start(make_daemon, models)


@pytest.fixture
def client(daemon: Any) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


def failing(ask: Callable[[], object]) -> None:
    with pytest.raises(ProtocolError):
        ask()


def test_each_step_of_a_life_is_one_line_with_its_run_seq_request_and_duration(
    daemon: Any, client: Client
) -> None:
    key = client.create_run("teller/model.py", request_id="r-create").run_key
    client.call_operation(key, "tell", ["a"])
    client.call_operation(key, "tell", ["b"])
    client.evict_run(key, request_id="r-evict")
    client.read_variables(key, ["told"], ritual="REVIVE", request_id="r-read")
    client.call_operation(key, "tell", ["c"], ritual="EXORCISE", request_id="r-ends")
    client.restore_run(key, request_id="r-restore")
    client.rewind_run(key, rewind_count=1, request_id="r-rewind")
    failing(lambda: client.call_operation(key, "die", request_id="r-die"))
    clone = client.clone_run(key, request_id="r-clone").run_key
    client.restore_run(key, request_id="r-again")
    client.update_run(key, closed=True, request_id="r-close")

    assert steps(daemon, key) == [
        ("run created", 1, "r-create"),
        ("run evicted", 3, "r-evict"),
        ("run restored", 3, "r-read"),
        ("run evicted", 4, "r-ends"),
        ("run restored", 4, "r-restore"),
        ("run evicted", 4, "r-rewind"),
        ("run rewound", 5, "r-rewind"),
        ("run lost", 5, "r-die"),
        ("run restored", 5, "r-again"),
        ("run evicted", 5, "r-close"),
        ("run closed", 5, "r-close"),
    ]
    assert steps(daemon, clone) == [("run cloned", 5, "r-clone")]
    told = of_run(daemon, key)
    assert all(one["duration_seconds"] >= 0 for one in told)
    assert [one["reason"] for one in told if one["event"] == "run evicted"] == [
        "request",
        "ritual",
        "rewind",
        "request",
    ]
    assert [one["replayed"] for one in told if one["event"] in ("run restored", "run rewound")] == [
        2,
        3,
        2,
        2,
    ]
    (lost,) = [one for one in told if one["event"] == "run lost"]
    assert (lost["level"], lost["code"]) == ("warning", "PROCESS_EXITED")
    assert "exit code 3" in lost["error"]
    (cloned,) = of_run(daemon, clone)
    assert (cloned["cloned_from"], cloned["replayed"]) == (key, 2)
    assert all(one.keys() > GENERAL for one in lines(daemon))


def test_a_run_that_does_not_start_is_one_line_with_its_code(
    daemon: Any, client: Client, wait_until: Callable[..., None]
) -> None:
    failing(lambda: client.create_run("loud/model.py", request_id="r-loud"))
    wait_until(
        lambda: "r-loud" in daemon.logged()
    )  # when its process is gone, which the answer does not wait for
    (line,) = [one for one in lines(daemon) if one.get("request_id") == "r-loud"]
    assert (line["event"], line["level"], line["code"]) == (
        "run failed to start",
        "warning",
        "MODEL_LOAD_FAILED",
    )
    assert {"run_key", "seq", "duration_seconds"} <= line.keys()


@pytest.mark.parametrize("policy", ("fail", "warn"))
def test_a_replay_that_differs_is_one_line_about_the_first_difference(
    make_daemon: Any, models: Any, policy: str, wait_until: Callable[..., None]
) -> None:
    daemon = start(make_daemon, models, divergence=policy)
    with daemon.client() as client:
        key = client.create_run("teller/model.py").run_key
        for _ in range(3):
            client.call_operation(key, "draw")
        client.evict_run(key)
        try:
            client.restore_run(key, request_id="r-restore")
        except ProtocolError:
            assert policy == "fail"
    wait_until(lambda: len(of_run(daemon, key)) >= 4)
    told = of_run(daemon, key)[2:]
    assert [one["event"] for one in told] == [
        "replay diverged",
        "run failed to start" if policy == "fail" else "run restored",
    ]
    assert all(one["request_id"] == "r-restore" for one in told)
    assert (told[0]["seq"], told[0]["action"], told[0]["diverged"]) == (2, "draw", 3)
    assert told[1].get("code", "REPLAY_DIVERGED") == "REPLAY_DIVERGED"


def test_a_model_that_was_changed_is_told_once_with_both_fingerprints(
    daemon: Any, client: Client, model_root: Any
) -> None:
    name = model_root.add("changing", "x = 1\n")
    key = client.create_run(name).run_key
    client.evict_run(key)
    model_root.add("changing", "x = 2\n")
    client.restore_run(key, request_id="r-changed")
    told = of_run(daemon, key)[2:]
    assert [(one["event"], one["level"]) for one in told] == [
        ("model changed", "warning"),
        ("run restored", "info"),
    ]
    assert told[0]["request_id"] == "r-changed"
    assert told[0]["began_with"] != told[0]["now"]


def test_the_life_of_the_worker_is_told_from_ready_to_stopped(make_daemon: Any, models: Any) -> None:
    daemon = start(make_daemon, models)
    with daemon.client() as client:
        key = client.create_run("teller/model.py").run_key
        client.drain(request_id="r-drain")
    assert daemon.process.wait(30) == 0
    told = [one for one in lines(daemon) if one["event"] != "zygote ended"]
    assert [one["event"] for one in told] == [
        "zygote started",
        "worker ready",
        "run created",
        "worker draining",
        "run evicted",
        "worker drained",
        "worker stopped",
    ]
    assert [one.get("request_id") for one in told if "drain" in one["event"]] == ["r-drain"] * 2
    assert (told[4]["run_key"], told[4]["reason"]) == (key, "drain")
    assert all(one["duration_seconds"] >= 0 for one in told if one["event"] != "worker draining")
    assert len([one for one in lines(daemon) if one["event"] == "zygote ended"]) == 1


def live_with_secrets(client: Client) -> str:
    """Put a secret wherever a caller or a model can put something."""
    key = client.create_run(
        "teller/model.py",
        metadata={"note": SECRET},
        execution_context={"presets": {"told": [SECRET]}},
        tracking_key=SECRET,
    ).run_key
    client.call_operation(key, "tell", [SECRET], actor={"user_key": SECRET})
    client.write_variables(key, {"told": [SECRET]})
    client.update_metadata(key, set={SECRET: SECRET})
    failing(lambda: client.call_operation(key, "fail", [SECRET]))
    failing(lambda: client.call_operation(key, "hang", [SECRET]))
    failing(lambda: client.call_operation(key, SECRET))
    failing(lambda: client.read_variables(key, [SECRET], ritual="REVIVE"))
    failing(lambda: client.create_run("loud/model.py"))
    client.evict_run(key)
    client.restore_run(key)
    client.rewind_run(key, rewind_count=1)
    client.clone_run(key)
    client.introspect_run(key)
    return key


def test_what_models_and_callers_put_in_is_told_at_debug_only(make_daemon: Any, models: Any) -> None:
    daemon = start(make_daemon, models, log_level="debug")
    with daemon.client() as client:
        key = live_with_secrets(client)
    assert daemon.stop() == 0
    told = lines(daemon)
    above = [one for one in told if one["level"] != "debug"]
    assert {one["event"] for one in above} >= {"run created", "run lost", "run failed to start", "run cloned"}
    assert SECRET not in json.dumps(above)
    output = [one for one in told if one["event"] == "model output" and one["run_key"] == key]
    texts = [(one["level"], one["model_level"], one["text"]) for one in output]
    assert ("debug", "STDOUT", f"printed {SECRET}") in texts
    assert ("debug", "INFO", f"logged {SECRET}") in texts
    served = [one for one in told if one["event"] == "request served" and one["run_key"] == key]
    assert {one["type"] for one in served} >= {"CallOperation", "EvictRun"}
    assert all({"request_id", "ok", "duration_seconds"} <= one.keys() for one in served)
    assert [one["level"] for one in served] == ["debug"] * len(served)


def test_an_operation_leaves_no_line_at_the_default_level(daemon: Any, client: Client) -> None:
    key = client.create_run("teller/model.py").run_key
    for _ in range(5):
        client.call_operation(key, "tell", [SECRET])
    assert [step for step, *_ in steps(daemon, key)] == ["run created"]
    assert SECRET not in daemon.logged()


def test_what_models_print_is_told_at_their_level_where_that_is_asked_for(
    make_daemon: Any, models: Any
) -> None:
    daemon = start(make_daemon, models, log_model_output="true")
    with daemon.client() as client:
        key = client.create_run("teller/model.py").run_key
        client.call_operation(key, "tell", ["hello"])
        client.evict_run(key)
    shown = [(one["level"], one["text"]) for one in of_run(daemon, key) if one["event"] == "model output"]
    assert shown == [("info", "printed hello"), ("info", "logged hello")]


TRACES = tuple(f"00-0af7651916cd43dd8448eb211c80319c-{number:016x}-01" for number in range(1, 8))


def test_every_line_of_a_request_names_the_trace_it_belongs_to(make_daemon: Any, models: Any) -> None:
    daemon = start(make_daemon, models, log_level="debug")
    create, call, evict, read, die, loud, rewind = TRACES
    with daemon.client() as client:
        key = client.create_run("teller/model.py", request_id="r1", traceparent=create).run_key
        client.call_operation(key, "tell", ["a"], request_id="r2", traceparent=call)
        client.evict_run(key, request_id="r3", traceparent=evict)
        client.read_variables(key, ["told"], ritual="REVIVE", request_id="r4", traceparent=read)
        failing(lambda: client.call_operation(key, "die", request_id="r5", traceparent=die))
        failing(lambda: client.create_run("loud/model.py", request_id="r6", traceparent=loud))
        client.rewind_run(key, rewind_count=1, request_id="r7", traceparent=rewind)
        client.read_variables(key, ["told"], request_id="r8")
    told = [one for one in lines(daemon) if "request_id" in one]
    by_request = {f"r{number}": trace for number, trace in enumerate(TRACES, 1)}
    assert {one["request_id"] for one in told} == {*by_request, "r8"}
    assert all(one.get("traceparent") == by_request.get(one["request_id"]) for one in told)
    steps_told = {(one["event"], one["request_id"]) for one in told if one["event"].startswith("run ")}
    assert steps_told >= {
        ("run created", "r1"),
        ("run evicted", "r3"),
        ("run restored", "r4"),
        ("run lost", "r5"),
        ("run failed to start", "r6"),
        ("run rewound", "r7"),
    }
    assert [one["request_id"] for one in told if one["event"] == "request served"] == [
        f"r{number}" for number in range(1, 9)
    ]


def test_a_repetition_is_logged_with_the_trace_of_its_own(make_daemon: Any, models: Any) -> None:
    daemon = start(make_daemon, models, log_level="debug")
    with daemon.client() as client:
        for trace in TRACES[:2]:
            client.create_run("teller/model.py", request_id="r-again", traceparent=trace)
    served = [one for one in lines(daemon) if one["event"] == "request served"]
    assert [one["traceparent"] for one in served] == list(TRACES[:2])


def test_a_traceparent_that_is_none_puts_no_words_into_the_log(daemon: Any, client: Client) -> None:
    key = client.create_run("teller/model.py", request_id="r-odd", traceparent=SECRET).run_key
    assert [one["event"] for one in of_run(daemon, key)] == ["run created"]
    assert SECRET not in daemon.logged()
