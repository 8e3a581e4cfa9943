"""Statuses told to web addresses, providers and handlers, by a real worker to real receivers."""

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.webhooks import secret_of, verify

OLD, NEW = ("whsec_" + base64.b64encode(letter * 32).decode() for letter in (b"o", b"n"))
EXECUTE_ADD = {"kind": "execute", "name": "add", "arguments": [2]}
HANDLER = """
from epicenter import Epicenter

told = []


def note(status):
    told.append([status["runId"], status["sequence"], status["status"], status["deliveryId"], status["context"]])
    Epicenter.record("told", told)


def refuse(status):
    told.append(status["deliveryId"])
    Epicenter.record("told", told)
    if len(told) < 2:
        raise ValueError("not yet")
"""


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("secrets") / "secrets"
    file.touch(0o600)
    file.write_text(f"# of the receivers\n{OLD}\n")
    return file


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any, secrets: Path) -> Any:
    """A daemon that may tell receivers on this machine, and is in a hurry."""
    env = {
        "DELIVERY_NETWORKS": "127.0.0.0/8",
        "DELIVERY_FIRST_SECONDS": "0.05",
        "DELIVERY_MOST_SECONDS": "0.1",
        "DELIVERY_TOTAL_SECONDS": "0.5",
        "DELIVERY_TIMEOUT_SECONDS": "5",
        "DELIVERY_SECRETS": str(secrets),
    }
    return make_daemon(model_root.path, env={f"MODEL_WORKER_{name}": value for name, value in env.items()})


@pytest.fixture(scope="module")
def start(peer: Any) -> Callable[..., str]:
    """``start(model_file, target, …)``: the key of a run that was started."""

    def make(model_file: str, target: dict[str, Any], **fields: Any) -> str:
        answer = peer.result("start_run", model_file=model_file, on_status_change=target, **fields)
        assert "durable" not in answer
        return str(answer["run"]["run_key"])

    return make


@pytest.fixture(scope="module")
def settled(peer: Any, wait_until: Callable[..., None]) -> Callable[[str], list[dict[str, Any]]]:
    """``settled(run_key)``: the deliveries of a run that has come to rest, oldest first, once none is pending."""

    def wait(run_key: str) -> list[dict[str, Any]]:
        at_rest(peer, run_key)
        wait_until(lambda: not peer.result("list_deliveries", run_key=run_key, state="pending")["deliveries"])
        found: list[dict[str, Any]] = peer.result("list_deliveries", run_key=run_key)["deliveries"]
        return found[::-1]

    return wait


def statuses(told: list[dict[str, Any]]) -> list[tuple[str | None, str]]:
    return [(one["previousStatus"], one["status"]) for one in told]


def at_rest(peer: Any, run_key: str) -> dict[str, Any]:
    found: dict[str, Any] = peer.result("get_profile", run_key=run_key, wait_seconds=20)
    return found


def test_every_status_of_a_run_that_fails_is_told(
    start: Any, settled: Any, make_receiver: Any, broken: str
) -> None:
    receiver = make_receiver()
    run_key = start(broken, {"webhook": receiver.url, "words": "inferable"}, metadata={"order": "7:a"})

    settled(run_key)
    told = receiver.told(run_key)

    assert statuses(told) == [(None, "pending"), ("pending", "running"), ("running", "failed")]
    assert told[0]["metadata"] == {"order": "7:a"}
    assert "does not load" in told[2]["failureReason"]
    assert [one["result"] for one in told] == [None, None, None]
    assert all("failureReason" not in one for one in told[:2])


def test_a_run_that_is_done_again_is_told_twice(
    peer: Any, start: Any, settled: Any, make_receiver: Any, scribe: str
) -> None:
    receiver = make_receiver()
    run_key = start(scribe, {"webhook": receiver.url, "words": "inferable"}, actions=[EXECUTE_ADD])
    at_rest(peer, run_key)
    peer.result("call_operation", run_key=run_key, name="add")
    peer.result("call_operation", run_key=run_key, name="add")
    peer.result("read_variables", run_key=run_key, names=["total"], ritual="REVIVE")

    settled(run_key)

    assert [one["status"] for one in receiver.told(run_key)] == [
        *("pending", "running", "done"),
        *("running", "done", "running", "done"),
    ]
    numbers = [one["sequence"] for one in receiver.told(run_key)]
    assert numbers == sorted(set(numbers))


def test_it_is_told_that_a_request_is_executed_while_it_is(
    *, peer: Any, start: Any, settled: Any, make_receiver: Any, scribe: str, wait_until: Any
) -> None:
    receiver = make_receiver()
    run_key = start(scribe, {"webhook": receiver.url})
    settled(run_key)
    told = len(receiver.received)

    request_id = peer.send("call_operation", run_key=run_key, name="nap", arguments=[2])
    wait_until(lambda: len(receiver.received) > told)
    assert receiver.told(run_key)[told]["status"] == "executing"
    assert not peer.socket.poll(0), "the operation is over"
    reply = peer.receive()

    assert (reply["request_id"], reply["result"]) == (request_id, 1)
    settled(run_key)
    assert [one["status"] for one in receiver.told(run_key)[told:]] == ["executing", "ready"]


@pytest.mark.parametrize(
    ("name", "code", "last"),
    (
        ("nowhere", "UNKNOWN_OPERATION", "ready"),
        ("fail", "OPERATION_FAILED", "ready"),
        ("die", "PROCESS_EXITED", "failed"),
        ("hang", "OPERATION_TIMEOUT", "failed"),
    ),
)
def test_however_a_request_ends_the_status_goes_with_it(
    *, peer: Any, start: Any, settled: Any, make_receiver: Any, scribe: str, name: str, code: str, last: str
) -> None:
    receiver = make_receiver()
    run_key = start(scribe, {"webhook": receiver.url})
    settled(run_key)
    told = len(receiver.received)

    assert peer.error("call_operation", run_key=run_key, name=name)["code"] == code
    settled(run_key)

    assert [one["status"] for one in receiver.told(run_key)[told:]] == ["executing", last]
    assert at_rest(peer, run_key)["status"] == last
    assert peer.result("call_operation", run_key=run_key, name="add") in (1, 101)
    settled(run_key)
    again = [one["status"] for one in receiver.told(run_key)[told + 2 :]]
    assert again == (
        ["executing", "ready"] if last == "ready" else ["starting", "ready", "executing", "ready"]
    )
    assert peer.result("call_operation", run_key=run_key, name="pid") > 1
    assert len(receiver.told(run_key)) == told + 2 + len(again), "what is not recorded is no change"


def test_a_result_that_follows_at_once_goes_with_what_was_written_ahead(
    peer: Any, start: Any, settled: Any, make_receiver: Any, doubling: str
) -> None:
    receiver = make_receiver()
    run_key = start(doubling, {"webhook": receiver.url})
    settled(run_key)
    told = len(receiver.received)

    values = [peer.result("call_operation", run_key=run_key, name="double") for _ in range(20)]
    settled(run_key)

    assert values == [2**power for power in range(2, 22)]
    later = receiver.told(run_key)[told:]
    assert [one["status"] for one in later] == ["executing", "ready"] * 20
    assert [one["result"] for one in later[1::2]] == values
    assert at_rest(peer, run_key)["result"] == values[-1]


def test_only_what_is_asked_for_is_told(
    peer: Any, start: Any, settled: Any, make_receiver: Any, scribe: str
) -> None:
    receiver = make_receiver()
    target = {"webhook": receiver.url, "statuses": ["ready", "failed"], "words": "composable"}
    run_key = start(scribe, target, run_id="only.asked", actions=[EXECUTE_ADD])
    at_rest(peer, run_key)
    peer.error("call_operation", run_key=run_key, name="fail")

    settled(run_key)

    (first, second) = receiver.told("only.asked")
    assert statuses([first, second]) == [("processing", "completed")] * 2
    assert (first["result"], first["deliveryId"]) == (2, f"{run_key}.{first['sequence']}")


def test_a_receiver_that_fails_twice_sees_three_attempts_of_one_delivery(
    peer: Any, start: Any, settled: Any, make_receiver: Any, scribe: str
) -> None:
    receiver = make_receiver()
    receiver.status_of = lambda one: 500 if one.payload["attempt"] < 3 else 200
    run_key = start(scribe, {"webhook": receiver.url, "statuses": ["ready"]})

    (delivery,) = settled(run_key)

    assert [one["attempt"] for one in receiver.told(run_key)] == [1, 2, 3]
    assert {one["deliveryId"] for one in receiver.told(run_key)} == {delivery["delivery_id"]}
    assert {one.headers["webhook-id"] for one in receiver.received} == {delivery["delivery_id"]}
    assert (delivery["state"], delivery["attempt"], delivery["last_error"]) == ("delivered", 3, None)


def test_what_replays_and_clones_do_tells_nobody(
    peer: Any, start: Any, settled: Any, make_receiver: Any, scribe: str
) -> None:
    receiver = make_receiver()
    run_key = start(scribe, {"webhook": receiver.url}, actions=[EXECUTE_ADD, EXECUTE_ADD])
    at_rest(peer, run_key)
    before = len(settled(run_key))
    told = len(receiver.received)

    peer.result("evict_run", run_key=run_key)
    peer.result("restore_run", run_key=run_key)
    peer.result("rewind_run", run_key=run_key, rewind_count=1)
    clone = peer.result("clone_run", run_key=run_key)["run_key"]
    peer.result("call_operation", run_key=clone, name="add")
    peer.result("evict_run", run_key=run_key)
    peer.result("restore_run", run_key=run_key, ephemeral=True)
    peer.result("call_operation", run_key=run_key, name="add")
    peer.result("evict_run", run_key=run_key)

    assert peer.result("list_deliveries", run_key=clone)["deliveries"] == []
    assert len(settled(run_key)) == before
    # Something later that is told stands behind whatever might have been told before it.
    peer.result("call_operation", run_key=run_key, name="add")
    settled(run_key)
    assert [one["status"] for one in receiver.told(run_key)[told:]] == ["executing", "ready"]
    assert {one["runId"] for one in (got.payload for got in receiver.received)} == {run_key}


def test_a_run_does_not_wait_for_a_receiver_that_is_down_and_what_is_dead_is_sent_again(
    *, peer: Any, start: Any, settled: Any, make_receiver: Any, scribe: str, wait_until: Any
) -> None:
    receiver = make_receiver()
    receiver.status_of = lambda _: 503
    run_key = start(scribe, {"webhook": f"{receiver.url}?token=hidden", "statuses": ["ready"]})

    assert at_rest(peer, run_key)["status"] == "ready"
    assert peer.result("call_operation", run_key=run_key, name="add") == 1
    (first, second) = settled(run_key)
    assert (first["state"], second["state"], first["last_error"]) == ("dead", "dead", "answered 503")
    assert first["target"] == receiver.url
    assert first["attempt"] == len(
        [one for one in receiver.told(run_key) if one["sequence"] == first["sequence"]]
    )
    assert at_rest(peer, run_key)["status"] == "ready"
    dead = peer.result("list_deliveries", state="dead")["deliveries"]
    assert first["delivery_id"] in {one["delivery_id"] for one in dead}

    receiver.status_of = lambda _: 204
    told = len(receiver.received)
    assert peer.result("redeliver", delivery_id=first["delivery_id"], request_id="again") == {
        "delivery_id": first["delivery_id"],
        "state": "pending",
    }
    wait_until(lambda: settled(run_key)[0]["state"] == "delivered")
    (again,) = receiver.received[told:]
    assert (again.payload["deliveryId"], again.payload["attempt"]) == (first["delivery_id"], 1)
    assert again.path.endswith("?token=hidden")
    peer.result("redeliver", delivery_id=first["delivery_id"], request_id="again")
    refused = peer.error("redeliver", delivery_id=first["delivery_id"])
    assert (refused["code"], refused["information"]["path"]) == ("INVALID_REQUEST", "delivery_id")
    assert peer.error("redeliver", delivery_id="nowhere.1")["code"] == "DELIVERY_NOT_FOUND"
    assert "hidden" not in str(peer.result("list_deliveries"))


def test_what_is_sent_is_signed_and_secrets_are_exchanged_without_a_restart(
    start: Any, settled: Any, make_receiver: Any, scribe: str, secrets: Path
) -> None:
    receiver = make_receiver()
    target = {"webhook": receiver.url, "statuses": ["ready"]}
    signers = []
    for text in (f"{OLD}\n", f"{OLD}\n{NEW}\n", f"{NEW}\n"):
        secrets.write_text(text)
        settled(start(scribe, target))
        last = receiver.received[-1]
        signers.append([one for one in (OLD, NEW) if _is_signed(last.headers, last.body, secret_of(one))])

    assert signers == [[OLD], [OLD, NEW], [NEW]]


def _is_signed(headers: dict[str, str], body: bytes, secret: bytes) -> bool:
    try:
        return bool(verify(headers, body, [secret], time.time()))
    except ValueError:
        return False


def test_an_unreadable_secret_leaves_it_undelivered_and_unsigned_nothing_goes_out(
    start: Any, settled: Any, make_receiver: Any, scribe: str, secrets: Path
) -> None:
    receiver = make_receiver()
    kept = secrets.read_text()
    secrets.write_text("whsec_short\n")
    try:
        (delivery,) = settled(start(scribe, {"webhook": receiver.url, "statuses": ["ready"]}))
    finally:
        secrets.write_text(kept)

    assert (delivery["state"], receiver.received) == ("dead", [])
    assert "cannot be signed" in delivery["last_error"]
    assert "short" not in delivery["last_error"]


def test_a_provider_is_told_as_by_a_call(
    daemon: Any, connect: Any, start: Any, settled: Any, scribe: str
) -> None:
    provider = connect(daemon.endpoint)
    provider.result("serve_functions", services=[{"service": "office"}], lease_seconds=60.0)
    target = {"function": {"service": "office", "function": "notify"}, "statuses": ["ready"]}
    run_key = start(scribe, target, context={"tenant": 4})

    call = provider.receive_call()
    assert (call["service"], call["name"], call["run_key"], call["model_file"]) == (
        *("office", "notify"),
        *(run_key, scribe),
    )
    (payload,) = call["arguments"]
    assert (payload["status"], payload["context"], payload["deliveryId"]) == (
        *("ready", {"tenant": 4}),
        call["call_id"],
    )
    provider.result("answer_function", call_id=call["call_id"], error={"message": "busy"})
    again = provider.receive_call()
    assert (again["call_id"], again["arguments"][0]["attempt"]) == (call["call_id"], 2)
    provider.result("answer_function", call_id=again["call_id"], result=None)
    assert settled(run_key)[0]["state"] == "delivered"
    provider.result("serve_functions", services=[])


def test_nobody_serving_the_function_costs_the_run_nothing(start: Any, settled: Any, scribe: str) -> None:
    run_key = start(scribe, {"function": {"service": "nobody", "function": "f"}, "statuses": ["ready"]})

    (delivery,) = settled(run_key)

    assert (delivery["state"], delivery["target"]) == ("dead", "nobody f")
    assert delivery["last_error"].startswith("NO_PROVIDER")


def test_a_handler_is_one_run_that_is_made_when_it_is_needed(
    peer: Any, start: Any, settled: Any, model_root: Any, scribe: str
) -> None:
    handler = model_root.add("handler", HANDLER)
    target = {"function": {"service": handler, "function": "note"}, "statuses": ["created", "ready"]}
    run_keys = [start(scribe, target, context={"n": number}) for number in range(4)]

    for run_key in run_keys:
        assert [one["state"] for one in settled(run_key)] == ["delivered"] * 2
    found = peer.result("query_runs", model_file=handler, variables=["told"])
    assert found["total_results"] == 1
    told = found["values"][0]["variables"]["told"]
    assert len(told) == 8
    for number, run_key in enumerate(run_keys):
        mine = [one for one in told if one[0] == run_key]
        assert [one[2] for one in mine] == ["created", "ready"]
        assert [one[3] for one in mine] == [f"{run_key}.{one[1]}" for one in mine]
        assert [one[4] for one in mine] == [{"n": number}] * 2


def test_a_handler_that_raises_is_asked_anew_only_by_redelivery(
    *, peer: Any, start: Any, settled: Any, model_root: Any, scribe: str, wait_until: Any
) -> None:
    handler = model_root.add("raising", HANDLER)
    run_key = start(scribe, {"function": {"service": handler, "function": "refuse"}, "statuses": ["ready"]})

    (dead,) = settled(run_key)
    assert (dead["state"], dead["attempt"]) == ("dead", 1)
    assert "not yet" in dead["last_error"]
    peer.result("redeliver", delivery_id=dead["delivery_id"])
    wait_until(lambda: settled(run_key)[0]["state"] == "delivered")


@pytest.mark.parametrize(
    ("target", "path"),
    (
        ({"webhook": "http://169.254.169.254/latest/meta-data"}, "on_status_change.webhook"),
        ({"webhook": "http://[::ffff:10.0.0.1]/"}, "on_status_change.webhook"),
        ({"webhook": "http://0.0.0.0:8080/"}, "on_status_change.webhook"),
        ({"webhook": "ftp://example.org/"}, "on_status_change.webhook"),
        ({"webhook": "http://user:word@example.org/"}, "on_status_change.webhook"),
        ({"function": {"function": "note"}}, "on_status_change.function.service"),
        ({"webhook": "http://example.org/", "words": "latin"}, "on_status_change.words"),
        ({}, "on_status_change"),
    ),
)
def test_a_target_that_can_never_be_told_is_refused_and_starts_nothing(
    peer: Any, scribe: str, target: dict[str, Any], path: str
) -> None:
    before = peer.result("worker_status")["runs"]["stored"]

    error = peer.error("start_run", model_file=scribe, on_status_change=target)

    assert (error["code"], error["information"]["path"]) == ("INVALID_REQUEST", path)
    assert peer.result("worker_status")["runs"]["stored"] == before


def test_a_handler_model_that_is_not_there_is_refused(peer: Any, scribe: str) -> None:
    target = {"function": {"service": "nowhere/model.py", "function": "note"}}

    assert peer.error("start_run", model_file=scribe, on_status_change=target)["code"] == "MODEL_NOT_FOUND"


def test_of_an_ephemeral_run_it_is_told_without_a_promise(
    peer: Any, make_receiver: Any, scribe: str, wait_until: Any
) -> None:
    receiver = make_receiver()
    answer = peer.result(
        "start_run", model_file=scribe, ephemeral=True, on_status_change={"webhook": receiver.url}
    )

    assert answer["durable"] is False
    run_key = answer["run"]["run_key"]
    wait_until(lambda: [one["status"] for one in receiver.told(run_key)][-1:] == ["ready"])
    assert [one["status"] for one in receiver.told(run_key)] == ["created", "starting", "executing", "ready"]
    assert len(peer.result("list_deliveries", run_key=run_key)["deliveries"]) == 4


def test_who_is_no_operator_must_name_a_run(peer: Any, start: Any, make_receiver: Any, scribe: str) -> None:
    permit = {"read_lock": "FACILITATOR", "write_lock": "FACILITATOR"}
    run_key = start(scribe, {"webhook": make_receiver().url}, permit=permit)
    player = {"user_key": "ann", "role": "PARTICIPANT"}

    assert peer.error("list_deliveries", actor=player)["code"] == "PERMIT_VIOLATION"
    assert peer.result("list_deliveries", actor={"role": "SYSTEM", "is_system": True})["deliveries"]
    assert peer.error("list_deliveries", run_key=run_key, actor=player)["code"] == "PERMIT_VIOLATION"
    assert peer.error("redeliver", delivery_id=f"{run_key}.0", actor=player)["code"] == "PERMIT_VIOLATION"


def test_counts_are_in_the_status_of_the_worker(peer: Any) -> None:
    told = peer.result("worker_status")["deliveries"]

    assert told["delivered"] > 0
    assert told["retried"] > 0
    assert told["dead"] > 0
    assert told["dead_letters"] > 0
    assert (told["backlog"] or 0) >= 0


def test_lines_of_the_log_have_no_queries(daemon: Any) -> None:
    logged = daemon.logged()

    assert "status delivered" in logged
    assert "status delivery given up" in logged
    assert "hidden" not in logged
