"""External functions: a model calls, a provider answers, the history keeps the answers."""

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zmq

from protocol.client import Client
from protocol.errors import ErrorCode, ProtocolError

REPOSITORY = Path(__file__).parents[2]
CONTEXT = json.dumps(
    {
        "externalFunctions": {
            "score": {"wire": {"route": {"service": "scores"}, "arguments": ["fixed"]}},
            "refuse": {"objectType": "wire", "route": {"service": "scores", "version": 2}},
            **{
                name: {"wire": {"route": {"service": "scores"}}}
                for name in ("break", "die", "hang", "large", "odd")
            },
            "leaderboard": {"leaderboard": {"scope": "project"}},
            "nobody": {"nowhere": {}},
        },
        "operations": {"look": {"inert": True}, "limited": {"timeoutSeconds": 1}},
        "restorations": {"rewind": {"name": "ask"}, "assembly": [{"replay": {}}]},
    }
)
MODEL = """
import threading

from epicenter import CallbackError, Epicenter

heard = []
limited = None


def ask(name="score", *arguments):
    heard.append(Epicenter.callback(name, list(arguments)))
    Epicenter.record("heard", heard)
    return heard[-1]


def look(name="score"):
    return Epicenter.callback(name, [])


def limited(name):
    return Epicenter.callback(name, [])


def catch(name="refuse", *arguments):
    try:
        return Epicenter.callback(name, list(arguments))
    except CallbackError as error:
        heard.append(error.code)
        return [error.code, str(error)]


def patient():
    try:
        Epicenter.callback("score", [])
    except CallbackError:
        return None
    return ["score"]


def fail():
    heard.append(Epicenter.callback("score", ["fail"]))
    raise ValueError("after the call")


def twice():
    return [Epicenter.callback("score", [n]) for n in range(2)]


def in_thread():
    caught = []

    def body():
        try:
            Epicenter.callback("score", [])
        except CallbackError as error:
            caught.append(str(error))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    return caught


def greedy():
    calls = 0
    try:
        while True:
            Epicenter.callback("unknown", ["x" * 100_000])
            calls += 1
    except CallbackError as error:
        return [calls, error.code]


class Boxed:
    value = 0


def unbox(name, variable, text, mode):
    heard.append(Epicenter.callback("score", [name, text, mode]))


boxed = Boxed()
Epicenter.register_custom_encoder(Boxed, lambda boxed: str(boxed.value))
Epicenter.register_custom_decoder(Boxed, unbox)


class Odd:
    pass


odd = Odd()
Epicenter.register_custom_encoder(Odd, lambda value: str(Epicenter.callback("score", [])))
"""
AT_LOAD = """
from epicenter import CallbackError, Epicenter

opening = Epicenter.callback("score", ["load"])
events = []


def initialized():
    events.append(Epicenter.callback("leaderboard", ["initialized"]))


def restored():
    try:
        events.append(Epicenter.callback("score", ["restored"]))
    except CallbackError as error:
        events.append(str(error))


Epicenter.subscribe("onInitialized", initialized)
Epicenter.subscribe("onRestored", restored)


def ask():
    return Epicenter.callback("score", ["later"])
"""


class Provider:
    """A provider process; ``calls`` are what it was asked so far."""

    def __init__(self, endpoint: str, **settings: Any) -> None:
        program = Path(__file__).with_name("programs") / "provide.py"
        self.process = subprocess.Popen(
            [sys.executable, str(program), endpoint, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={"PYTHONPATH": str(REPOSITORY)},
        )
        self.calls: list[dict[str, Any]] = []
        self._heard = threading.Condition()
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline()) == {"ready": True}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._heard:
                self.calls.append(json.loads(line))
                self._heard.notify_all()

    def wait_for(self, count: int) -> None:
        with self._heard:
            assert self._heard.wait_for(lambda: len(self.calls) >= count, 30)

    def stop(self) -> list[dict[str, Any]]:
        """Have it leave; what it was asked in all."""
        if self.process.poll() is None:
            assert self.process.stdin is not None
            self.process.stdin.close()
        return self._ended()

    def kill(self) -> list[dict[str, Any]]:
        self.process.kill()
        return self._ended()

    def close(self) -> None:
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.kill()

    def _ended(self) -> list[dict[str, Any]]:
        self.process.wait(30)
        self._reader.join(30)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        return self.calls


@pytest.fixture(scope="module")
def provide() -> Iterator[Callable[..., Provider]]:
    """``provide(endpoint, …)``: a provider that is registered; all are ended with the module."""
    providers: list[Provider] = []

    def make(endpoint: str, **settings: Any) -> Provider:
        providers.append(Provider(endpoint, **settings))
        return providers[-1]

    yield make
    for provider in providers:
        provider.close()


@pytest.fixture(scope="module")
def model(model_root: Any) -> str:
    model_root.add("load", AT_LOAD, CONTEXT)
    name: str = model_root.add("calls", MODEL, CONTEXT)
    return name


@pytest.fixture(scope="module")
def worker(make_daemon: Any, model_root: Any, model: str) -> Any:
    return make_daemon(model_root.path, env={"MODEL_WORKER_LOG_MODEL_OUTPUT": "true"})


@pytest.fixture(scope="module")
def provider(worker: Any, provide: Callable[..., Provider]) -> Provider:
    return provide(worker.endpoint)


@pytest.fixture
def client(worker: Any) -> Iterator[Client]:
    with worker.client() as client:
        yield client


@pytest.fixture
def asking(client: Client, provider: Provider, model: str) -> tuple[Client, str]:
    """A client of a worker that has the provider, and the model file."""
    return client, model


def history(client: Client, run_key: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = client.read_history(run_key)["entries"]
    return entries


def failure(ask: Callable[[], Any]) -> ProtocolError:
    with pytest.raises(ProtocolError) as raised:
        ask()
    return raised.value


def test_a_call_is_answered_and_the_provider_learns_who_asks(
    client: Client, provider: Provider, model: str
) -> None:
    run = client.create_run(model, address={"project_short_name": "p"})
    before = len(provider.calls)
    actor = {"user_key": "u", "role": "AUTHOR"}
    result = client.call_operation(
        run.run_key, "ask", ["score", 1, {"a": [None, 2.5]}], actor=actor, request_id="who"
    )
    assert result["arguments"] == [1, {"a": [None, 2.5]}]
    provider.wait_for(before + 1)
    told = provider.calls[before]
    assert 0 < told.pop("deadline_seconds") <= 60
    assert len(told.pop("call_id")) == 32
    assert told == {
        "service": "scores",
        "service_version": None,
        "name": "score",
        "arguments": [1, {"a": [None, 2.5]}],
        "options": {"route": {"service": "scores"}, "arguments": ["fixed"]},
        "run_key": run.run_key,
        "project": None,
        "model_file": model,
        "address": {"project_short_name": "p"},
        "actor": actor,
        "request_id": "who",
    }
    entry = history(client, run.run_key)[-1]
    assert entry["calls"] == [{"name": "score", "arguments": told["arguments"], "result": result}]


def test_other_kinds_are_answered_by_the_service_of_their_name(
    client: Client, provider: Provider, model: str
) -> None:
    run = client.create_run(model)
    before = len(provider.calls)
    assert client.call_operation(run.run_key, "ask", ["leaderboard"]) is None
    provider.wait_for(before + 1)
    assert (provider.calls[before]["service"], provider.calls[before]["options"]) == (
        "leaderboard",
        {"scope": "project"},
    )


@pytest.mark.parametrize(
    ("name", "arguments", "code", "message"),
    (
        ("refuse", [], "CLOSED", "callback 'refuse': not today"),
        ("break", [], "FUNCTION_FAILED", "ValueError: broken"),
        ("nobody", [], "NO_PROVIDER", "nobody serves service 'nowhere'"),
        ("large", [2_000_000], "RESULT_TOO_LARGE", "callback_bytes"),
        ("odd", [], "INVALID_REQUEST", "object is not a JSON value"),
    ),
)
def test_an_error_is_an_exception_that_a_model_can_catch(
    asking: tuple[Client, str], name: str, arguments: list[Any], code: str, message: str
) -> None:
    client, model = asking
    run = client.create_run(model)
    caught = client.call_operation(run.run_key, "catch", [name, *arguments])
    assert caught[0] == code
    assert message in caught[1]
    (call,) = history(client, run.run_key)[-1]["calls"]
    assert call["error"]["code"] == code
    client.evict_run(run.run_key)
    assert client.read_variables(run.run_key, ["heard"], ritual="REVIVE") == {"heard": [code]}


def test_a_name_that_the_context_does_not_have_calls_nobody_and_says_so(
    client: Client, provider: Provider, model: str, wait_until: Any, worker: Any
) -> None:
    run = client.create_run(model)
    before = len(provider.calls)
    assert client.call_operation(run.run_key, "ask", ["scroe"]) is None
    assert len(provider.calls) == before
    (call,) = history(client, run.run_key)[-1]["calls"]
    assert call == {"name": "scroe", "arguments": []}
    wait_until(lambda: "callback 'scroe': externalFunctions has no such name" in worker.logged())


def test_calls_in_other_threads_and_reads_are_refused(client: Client, provider: Provider, model: str) -> None:
    run = client.create_run(model)
    (caught,) = client.call_operation(run.run_key, "in_thread")
    assert "thread" in caught
    for read in (
        partial(client.read_variables, run.run_key, ["odd"]),
        partial(client.perform_actions, run.run_key, [{"kind": "get", "name": "odd"}], ritual="REVIVE"),
    ):
        refused = failure(read)
        assert refused.code is ErrorCode.UNENCODABLE_VALUE
        assert "not by reads" in refused.message
    assert client.call_operation(run.run_key, "ask")["arguments"] == []


def test_what_one_action_asks_is_bounded(client: Client, provider: Provider, model: str) -> None:
    run = client.create_run(model)
    assert client.call_operation(run.run_key, "greedy") == [10, "LIMIT_EXCEEDED"]
    client.evict_run(run.run_key)
    assert client.restore_run(run.run_key).live


def test_a_slow_provider_counts_under_the_limit_of_the_operation(
    client: Client, provider: Provider, model: str
) -> None:
    run = client.create_run(model)
    late = failure(lambda: client.call_operation(run.run_key, "limited", ["hang"]))
    assert late.code is ErrorCode.OPERATION_TIMEOUT
    assert len(history(client, run.run_key)) == 1
    assert client.worker_status()["functions"]["calls"] == 0
    assert client.call_operation(run.run_key, "ask")["arguments"] == []


def test_a_call_that_is_done_again_for_the_same_request_has_the_same_id(
    client: Client, provider: Provider, model: str
) -> None:
    run = client.create_run(model)
    before = len(provider.calls)
    for request_id in ("again", "again", "other"):
        hang = partial(client.call_operation, run.run_key, "limited", ["hang"], request_id=request_id)
        failure(hang)
    provider.wait_for(before + 3)
    ids = [call["call_id"] for call in provider.calls[before:]]
    assert ids[0] == ids[1] != ids[2]


def test_a_repeated_request_is_answered_without_another_call(
    client: Client, provider: Provider, model: str
) -> None:
    run = client.create_run(model)
    before = len(provider.calls)
    request_id = uuid.uuid4().hex
    first = client.call_operation(run.run_key, "ask", request_id=request_id)
    assert client.call_operation(run.run_key, "ask", request_id=request_id) == first
    provider.wait_for(before + 1)
    assert len(provider.calls) == before + 1


def test_an_inert_operation_calls_and_leaves_nothing(client: Client, provider: Provider, model: str) -> None:
    run = client.create_run(model)
    assert client.call_operation(run.run_key, "look")["arguments"] == []
    assert len(history(client, run.run_key)) == 1


def test_a_decoder_calls_when_its_variable_is_set(client: Client, provider: Provider, model: str) -> None:
    run = client.create_run(model)
    client.write_variables(run.run_key, {"boxed": 5})
    (call,) = history(client, run.run_key)[-1]["calls"]
    assert (call["name"], call["arguments"]) == ("score", ["boxed", "5", "set"])
    heard = client.read_variables(run.run_key, ["heard"])
    before = len(provider.calls)
    client.evict_run(run.run_key)
    assert client.read_variables(run.run_key, ["heard"], ritual="REVIVE") == heard
    assert len(provider.calls) == before


def test_a_model_that_is_only_looked_at_calls_nobody(client: Client, provider: Provider, model: str) -> None:
    before = len(provider.calls)
    refused = failure(lambda: client.introspect_model("load/model.py"))
    assert refused.code is ErrorCode.MODEL_LOAD_FAILED
    assert "the model is only looked at" in refused.message
    assert len(provider.calls) == before


def test_an_operation_that_raised_keeps_its_answers(client: Client, provider: Provider, model: str) -> None:
    run = client.create_run(model)
    assert failure(lambda: client.call_operation(run.run_key, "fail")).code is ErrorCode.OPERATION_FAILED
    heard = client.read_variables(run.run_key, ["heard"])
    before = len(provider.calls)
    client.evict_run(run.run_key)
    assert client.read_variables(run.run_key, ["heard"], ritual="REVIVE") == heard
    assert len(provider.calls) == before


def test_two_runs_call_at_the_same_time(worker: Any, client: Client, provider: Provider, model: str) -> None:
    hanging, other = client.create_run(model), client.create_run(model)
    with worker.client() as waiting, ThreadPoolExecutor(1) as pool:
        before = len(provider.calls)
        late = pool.submit(failure, lambda: waiting.call_operation(hanging.run_key, "limited", ["hang"]))
        provider.wait_for(before + 1)
        for n in range(20):
            assert client.call_operation(other.run_key, "ask", ["score", n])["arguments"] == [n]
        assert late.result().code is ErrorCode.OPERATION_TIMEOUT


def test_a_snapshot_of_answers_survives_kill_9_rewind_and_clone_without_any_provider(
    make_daemon: Any, model_root: Any, model: str, provide: Callable[..., Provider]
) -> None:
    daemon = make_daemon(model_root.path)
    provider = provide(daemon.endpoint)
    with daemon.client() as client:
        run_key = client.create_run(model).run_key
        for n in range(3):
            client.call_operation(run_key, "ask", ["score", n])
        client.call_operation(run_key, "twice")
        heard = client.read_variables(run_key, ["heard"])["heard"]
        loaded = client.create_run("load/model.py").run_key
        opening = client.read_variables(loaded, ["opening", "events"])
    asked = provider.kill()
    assert [call["arguments"] for call in asked[-2:]] == [["load"], ["initialized"]]
    daemon.kill()
    daemon.start()
    with daemon.client() as client:
        assert client.read_variables(run_key, ["heard"], ritual="REVIVE")["heard"] == heard
        assert failure(lambda: client.call_operation(run_key, "ask")).information["type"] == "CallbackError"
        clone = client.clone_run(run_key, at_seq=3).run_key
        assert client.read_variables(clone, ["heard"])["heard"] == heard[:2]
        client.rewind_run(run_key, 1)
        assert client.read_variables(run_key, ["heard"])["heard"] == heard[:2]
        shadow = client.restore_run(run_key, ephemeral=True)
        assert client.read_variables(shadow.run_key, ["heard"])["heard"] == heard[:2]
        client.evict_run(clone)
        assert client.read_variables(clone, ["heard"], ritual="REVIVE")["heard"] == heard[:2]
        again = client.read_variables(loaded, ["opening", "events"], ritual="REVIVE")
        assert again["opening"] == opening["opening"]
        assert again["events"][:-1] == opening["events"]
        assert "nor by other handlers" in again["events"][-1]
        assert [call["arguments"] for call in history(client, loaded)[0]["calls"]] == [
            ["load"],
            ["initialized"],
        ]


def test_a_model_that_asks_otherwise_than_recorded_diverges(
    worker: Any, client: Client, provider: Provider, model_root: Any
) -> None:
    source = "from epicenter import Epicenter\n\nseen = []\n\n\ndef ask():\n    seen.append(Epicenter.callback({}))\n"
    name = model_root.add("changing", source.format('"score", [1]'), CONTEXT)
    run = client.create_run(name)
    client.call_operation(run.run_key, "ask")
    before = len(provider.calls)
    for question, what in (
        ('"score", [2]', "its call 1, of 'score', is recorded with other arguments"),
        ('"leaderboard", [1]', "its call 1, of 'leaderboard', is recorded as one of 'score'"),
        ('"score", [1]) and Epicenter.callback("score"', "its call 2, of 'score', is not recorded (1 are)"),
    ):
        client.evict_run(run.run_key)
        model_root.add("changing", source.format(question), CONTEXT)
        diverged = failure(lambda: client.restore_run(run.run_key))
        assert diverged.code is ErrorCode.REPLAY_DIVERGED
        assert what in diverged.message
    model_root.add("changing", "seen = []\n\n\ndef ask():\n    seen.append(1)\n", CONTEXT)
    assert (
        "it made 0 calls of external functions, recorded are 1"
        in failure(lambda: client.restore_run(run.run_key)).message
    )
    assert len(provider.calls) == before
    warned = client.request(
        "restore_run", run_key=run.run_key, model_context={"restorations": {"divergence": "warn"}}
    )
    assert warned.ok


def test_a_load_that_asks_otherwise_than_recorded_diverges(
    client: Client, provider: Provider, model_root: Any
) -> None:
    source = "from epicenter import Epicenter\n\nopening = Epicenter.callback('score', [{}])\n"
    name = model_root.add("opening", source.format(1), CONTEXT)
    run = client.create_run(name)
    client.evict_run(run.run_key)
    model_root.add("opening", source.format(2), CONTEXT)
    # Its one call raises CallbackError then, which the model does not catch.
    refused = failure(lambda: client.restore_run(run.run_key))
    assert refused.code is ErrorCode.MODEL_LOAD_FAILED
    assert "recorded with other arguments" in refused.message


def test_a_load_that_catches_the_difference_diverges_too(
    client: Client, provider: Provider, model_root: Any
) -> None:
    source = (
        "from epicenter import CallbackError, Epicenter\n\ntry:\n"
        "    opening = Epicenter.callback('score', [{}])\nexcept CallbackError:\n    opening = None\n"
    )
    name = model_root.add("catching", source.format(1), CONTEXT)
    run = client.create_run(name)
    client.evict_run(run.run_key)
    model_root.add("catching", source.format(2), CONTEXT)
    diverged = failure(lambda: client.restore_run(run.run_key))
    assert (diverged.code, diverged.information["seq"]) == (ErrorCode.REPLAY_DIVERGED, 1)
    assert "when it was first loaded: its call 1, of 'score', is recorded with other" in diverged.message
    lenient = {"restorations": {"divergence": "warn"}}
    restored = client.request("restore_run", run_key=run.run_key, model_context=lenient)
    assert ["REPLAY_DIVERGED", 1] in [[one["code"], one.get("seq")] for one in restored.warnings]
    assert client.read_variables(run.run_key, ["opening"]) == {"opening": None}


def test_a_provider_that_dies_in_a_call_is_found_out_by_its_lease(
    make_daemon: Any, model_root: Any, model: str, provide: Callable[..., Provider]
) -> None:
    daemon = make_daemon(model_root.path)
    provide(daemon.endpoint, lease_seconds=1)
    with daemon.client() as client:
        run = client.create_run(model)
        code, message = client.call_operation(run.run_key, "catch", ["die"])
        assert code in ("PROVIDER_LOST", "NO_PROVIDER")
        assert "may have acted" in message
        assert client.worker_status()["functions"] == {"services": {}, "calls": 0, "waiting": 0}


def test_providers_share_the_calls_of_a_service(
    make_daemon: Any, model_root: Any, model: str, provide: Callable[..., Provider]
) -> None:
    daemon = make_daemon(model_root.path)
    with daemon.client() as client:
        one, two = (provide(daemon.endpoint, services=["scores"]) for _ in range(2))
        old = provide(daemon.endpoint, services=[["scores", "1"]])
        assert client.worker_status()["functions"]["services"] == {"scores": 3}
        run = client.create_run(model)
        for _ in range(9):
            client.call_operation(run.run_key, "ask")
        for _ in range(4):
            client.call_operation(run.run_key, "catch")
    # Version 2, which "refuse" wants, is not served by who serves version 1 only.
    assert [len(provider.stop()) for provider in (one, two, old)] == [5, 5, 3]


def test_calls_wait_while_a_provider_has_all_it_takes(
    make_daemon: Any, model_root: Any, model: str, provide: Callable[..., Provider]
) -> None:
    daemon = make_daemon(model_root.path)
    provider = provide(daemon.endpoint, concurrency=1)
    with daemon.client() as client, daemon.client() as waiting, ThreadPoolExecutor(1) as pool:
        hanging, other = client.create_run(model), client.create_run(model)
        late = pool.submit(failure, lambda: waiting.call_operation(hanging.run_key, "limited", ["hang"]))
        provider.wait_for(1)
        assert client.call_operation(other.run_key, "ask")["count"] == 1
        assert late.result().code is ErrorCode.OPERATION_TIMEOUT


def test_a_request_that_is_done_again_after_kill_9_makes_the_same_call(
    make_daemon: Any, model_root: Any, model: str, provide: Callable[..., Provider]
) -> None:
    daemon = make_daemon(model_root.path)
    first = provide(daemon.endpoint)
    with daemon.client() as client:
        run_key = client.create_run(model).run_key
        pool = ThreadPoolExecutor(1)
        asked = partial(client.call_operation, run_key, "ask", ["hang"], request_id="r", timeout_seconds=1)
        late = pool.submit(failure, asked)
        first.wait_for(1)
        daemon.kill()
        assert late.result().code is ErrorCode.DEADLINE_EXCEEDED
        pool.shutdown()
    daemon.start()
    second = provide(daemon.endpoint)
    with daemon.client() as client:
        failure(partial(client.call_operation, run_key, "ask", ["hang"], request_id="r", timeout_seconds=1))
        second.wait_for(1)
    assert first.kill()[0]["call_id"] == second.kill()[0]["call_id"]


def test_a_provider_registers_again_when_its_worker_comes_back(
    make_daemon: Any, model_root: Any, model: str, provide: Callable[..., Provider]
) -> None:
    daemon = make_daemon(model_root.path)
    provider = provide(daemon.endpoint, lease_seconds=2)
    daemon.kill()
    daemon.starts = 0  # the same endpoint again
    daemon.start()
    with daemon.client() as client:
        run_key = client.create_run(model).run_key
        answered = None
        while answered != ["score"]:
            assert provider.process.poll() is None
            answered = client.call_operation(run_key, "patient")


# What providers may say


def test_only_who_was_given_a_call_may_answer_it_and_once(
    worker: Any, connect: Any, client: Client, model: str
) -> None:
    # Another service than the module's provider has, so that this peer is asked.
    context: dict[str, Any] = {"externalFunctions": {"mine": {"own_service": {}}}}
    peer, stranger = connect(worker.endpoint), connect(worker.endpoint)
    assert peer.result("serve_functions", services=[{"service": "own_service"}]) == {"lease_seconds": 15.0}
    run = client.create_run(model, model_context=context)
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(client.call_operation, run.run_key, "ask", ["mine"])
        call = peer.receive_call()
        answer = {"call_id": call["call_id"], "result": 7}
        assert stranger.error("answer_function", **answer)["code"] == "CALL_NOT_FOUND"
        both = {**answer, "error": {"message": "no"}}
        assert peer.error("answer_function", **both)["code"] == "INVALID_REQUEST"
        assert peer.result("answer_function", **answer) is None
        assert result.result() == 7
        assert peer.error("answer_function", **answer)["code"] == "CALL_NOT_FOUND"
        assert peer.result("serve_functions", services=[]) == {"lease_seconds": 15.0}
    assert "own_service" not in client.worker_status()["functions"]["services"]


def test_a_drain_lets_providers_answer(make_daemon: Any, model_root: Any, model: str, connect: Any) -> None:
    daemon = make_daemon(model_root.path)
    peer, operator = connect(daemon.endpoint), connect(daemon.endpoint)
    peer.result("serve_functions", services=[{"service": "scores"}])
    with daemon.client() as client, ThreadPoolExecutor(1) as pool:
        run_key = client.create_run(model).run_key
        result = pool.submit(client.call_operation, run_key, "ask")
        call = peer.receive_call()
        operator.send("drain", grace_seconds=30.0)
        assert peer.result("answer_function", call_id=call["call_id"], result="late") is None
        assert result.result() == "late"
        assert operator.receive()["result"] == {"evicted": 1}


def test_what_a_provider_says_wrong_is_refused_by_name(worker: Any, connect: Any) -> None:
    peer = connect(worker.endpoint, zmq.DEALER)
    for fields, path in (
        ({"services": [{"service": ""}]}, "services[0].service"),
        ({"services": [{"service": "a", "versions": []}]}, "services[0].versions"),
        ({"services": [], "concurrency": 0}, "concurrency"),
        ({"services": [], "lease_seconds": 0.5}, "lease_seconds"),
        ({}, "services"),
    ):
        error = peer.error("serve_functions", **fields)
        assert (error["code"], error["information"]["path"]) == ("INVALID_REQUEST", path)
    assert peer.error("answer_function", call_id="none")["code"] == "CALL_NOT_FOUND"
