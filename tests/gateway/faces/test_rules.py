"""What runs are held to, over HTTP: approval, attached functions, follow-ups; who is told of statuses; large results."""

import concurrent.futures
import hashlib
from typing import Any

import pytest

TELLER = '''
import time

from epicenter import Epicenter

paid = []


def ask(prompt):
    return prompt


def pay(amount):
    """Asks for approval of large amounts, when it has done half of it."""
    paid.append(amount)
    Epicenter.record("paid", paid)
    if amount > 100:
        Epicenter.require_approval(f"to pay {amount}")
    return sum(paid)


def count():
    return len(paid)


def nap(seconds):
    time.sleep(seconds)
    return "rested"


def rated(amount):
    return amount * Epicenter.callback("rate", [])


def long(size):
    return "ü" * size


Epicenter.record("paid", paid)
'''
CONTEXT = """{
  "version": "V2", "approvalRole": "FACILITATOR",
  "run": {"prompt": "ask"},
  "externalFunctions": {"rate": {"wire": {"route": {"service": "rates"}}}},
  "restorations": {"rewind": {"name": "count"}}
}"""


@pytest.fixture(scope="module")
def models(model_root: Any) -> Any:
    """A model that asks for approval."""
    path = model_root.path
    (path / "teller.py").write_text(TELLER)
    (path / "teller.ctx2").write_text(CONTEXT)
    return path


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, models: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A worker that may tell receivers on this machine, and is always at the same address."""
    address = f"ipc://{tmp_path_factory.mktemp('w')}/worker"
    return make_daemon(models, env={"MODEL_WORKER_DELIVERY_NETWORKS": "127.0.0.0/8"}, bind=(address,))


def start(cluster: Any, **fields: Any) -> dict[str, Any]:
    """A run that has come to rest, or waits."""
    body = {"modelFile": "teller.py", "initialPrompt": "hello", "waitTime": 20, **fields}
    created = cluster.result("POST", "/runs", body, code=201)
    run: dict[str, Any] = cluster.result("GET", f"/runs/{created['id']}")
    return run


def pay(amount: int) -> list[dict[str, Any]]:
    return [{"name": "pay", "arguments": [amount]}]


def waiting(cluster: Any, run_id: str) -> Any:
    """The call that waits of a run that is paused."""
    run = cluster.result("GET", f"/runs/{run_id}")
    assert run["status"] == "paused"
    (call,) = run["waiting"]
    return call


def paid(cluster: Any, run_id: str) -> Any:
    answer = cluster.result(
        "POST", f"/runs/{run_id}/messages", {"message": [{"name": "count", "arguments": []}]}, code=201
    )
    return answer["result"][0]["result"]


def test_a_message_that_needs_approval_is_kept_and_performed_once_approved(
    cluster: Any, runs: Any, api: Any
) -> None:
    id_ = start(cluster)["id"]
    kept = cluster.result("POST", f"/runs/{id_}/messages", {"id": "m1", "message": pay(500)}, code=201)
    call = waiting(cluster, id_)
    assert kept == {"id": "m1", "result": None, "status": "paused", "waiting": [call["id"]]}
    assert (call["targetFn"], call["arguments"], call["reason"]) == ("pay", [500], "to pay 500")
    assert call["roles"] == ["FACILITATOR"]
    assert runs.result("GET", f"/{id_}")["status"] == "processing"
    busy = cluster.ask("POST", f"/runs/{id_}/messages", {"message": pay(1)})
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "RUN_PAUSED")
    approve = f"/calls/{call['id']}/approval"
    cluster.result("POST", approve, {"approved": True}, code=204, token="dev:AUTHOR:fay")
    run = cluster.result("GET", f"/runs/{id_}", waitTime=20)
    assert (run["status"], run["waiting"]) == ("done", [])
    told = cluster.result("POST", f"/runs/{id_}/messages", {"id": "m1", "message": pay(500)}, code=201)
    assert told["result"] == [{"kind": "execute", "name": "pay", "result": 500}]
    assert paid(cluster, id_) == 1
    jobs = cluster.result("GET", f"/runs/{id_}/timeline")["jobs"]
    assert [(job["targetFn"], job["approved"]) for job in jobs] == [
        ("ask", None),
        ("pay", True),
        ("count", None),
    ]
    (decided,) = [
        entry["approval"]
        for entry in api.result("GET", f"/model-worker/history/{run['runKey']}")["entries"]
        if "approval" in entry
    ]
    assert (decided["actionId"], decided["by"]["userKey"]) == (call["id"].partition(":")[2], "fay")
    again = cluster.ask("POST", approve, {"approved": False})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "ALREADY_DECIDED")


def test_a_call_that_is_denied_leaves_nothing_behind(cluster: Any) -> None:
    id_ = start(cluster)["id"]
    cluster.result("POST", f"/runs/{id_}/messages", {"id": "m1", "message": pay(500)}, code=201)
    call = waiting(cluster, id_)
    cluster.result("POST", f"/calls/{call['id']}/approval", {"approved": False}, code=204)
    assert cluster.result("GET", f"/runs/{id_}", waitTime=20)["status"] == "done"
    assert paid(cluster, id_) == 0
    denied = cluster.ask("POST", f"/runs/{id_}/messages", {"id": "m1", "message": pay(500)})
    assert (denied.status_code, denied.json()["error"]["code"]) == (403, "APPROVAL_DENIED")


def test_an_initial_action_that_needs_approval_pauses_the_run(cluster: Any) -> None:
    run = start(cluster, initialPrompt=pay(500))
    call = waiting(cluster, run["id"])
    cluster.result("POST", f"/calls/{call['id']}/approval", {"approved": True}, code=204)
    run = cluster.result("GET", f"/runs/{run['id']}", waitTime=20)
    assert (run["status"], run["result"]) == ("done", 500)


@pytest.mark.parametrize("approved", (True, False))
def test_a_call_waits_through_the_end_of_its_worker_and_is_decided_once(
    cluster: Any, daemon: Any, gateway: Any, wait_until: Any, approved: bool
) -> None:
    id_ = start(cluster)["id"]
    cluster.result("POST", f"/runs/{id_}/messages", {"id": "m1", "message": pay(500)}, code=201)
    call = waiting(cluster, id_)

    daemon.kill()
    daemon.start()
    wait_until(lambda: cluster.client.get(f"{gateway.url}/readyz").status_code == 200)

    assert waiting(cluster, id_) == call
    path = f"/calls/{call['id']}/approval"
    cluster.result("POST", path, {"approved": approved}, code=204)
    for word in (approved, not approved):
        again = cluster.ask("POST", path, {"approved": word})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "ALREADY_DECIDED")
    assert cluster.result("GET", f"/runs/{id_}", waitTime=20)["status"] == "done"
    assert paid(cluster, id_) == int(approved)


def test_calls_are_decided_by_whom_the_model_names_and_only_where_there_is_one(cluster: Any) -> None:
    body = {"modelFile": "teller.py", "initialPrompt": pay(500), "waitTime": 20}
    id_ = cluster.result("POST", "/runs", body, token="dev:PARTICIPANT:ada", code=201)["id"]
    call = waiting(cluster, id_)
    path = f"/calls/{call['id']}/approval"
    refused = cluster.ask("POST", path, {"approved": True}, token="dev:PARTICIPANT:ada")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "PERMIT_VIOLATION")
    assert "FACILITATOR" in refused.json()["error"]["message"]
    hidden = cluster.ask("POST", path, {"approved": True}, token="dev:PARTICIPANT:bob")
    assert hidden.status_code == 404
    assert hidden.json()["error"] == {"message": "no such run", "code": "RUN_NOT_FOUND"}
    assert waiting(cluster, id_) == call
    assert cluster.ask("POST", path, {"approved": "yes"}).status_code == 400
    other = call["id"].rpartition(":")[0] + ":999"
    absent = cluster.ask("POST", f"/calls/{other}/approval", {"approved": True})
    assert (absent.status_code, absent.json()["error"]["code"]) == (404, "ACTION_NOT_FOUND")
    cluster.result("POST", path, {"approved": True}, code=204)


def test_a_run_that_takes_no_messages_refuses_them_and_is_still_read(cluster: Any) -> None:
    run = start(cluster, interactive=False)
    first = cluster.result("GET", f"/runs/{run['id']}/messages")[0]
    for method, path, body in (
        ("POST", "/messages", {"message": "more"}),
        ("PUT", f"/messages/{first['id']}", {"message": "more"}),
        ("POST", "/retry", {"messageId": first["id"]}),
    ):
        refused = cluster.ask(method, f"/runs/{run['id']}{path}", body)
        assert refused.status_code == 400, path
        assert refused.json()["code"] == "NOT_INTERACTIVE"
    assert cluster.result("GET", f"/runs/{run['id']}")["result"] == "hello"
    cluster.result("POST", f"/runs/{run['id']}/feedback", {"score": 1.0}, code=204)
    assert len(cluster.result("GET", f"/runs/{run['id']}/messages")) == 1


def test_a_message_while_another_is_performed_waits_its_turn(cluster: Any, wait_until: Any) -> None:
    id_ = start(cluster)["id"]

    def ask(name: str, *arguments: Any) -> Any:
        message = {"message": [{"name": name, "arguments": list(arguments)}]}
        return cluster.result("POST", f"/runs/{id_}/messages", message, code=201)["result"][0]["result"]

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        napping = pool.submit(ask, "nap", 2)
        wait_until(lambda: cluster.result("GET", f"/runs/{id_}")["status"] == "running")
        count = [{"name": "count", "arguments": []}]
        refused = cluster.ask("POST", f"/runs/{id_}/messages", {"message": count, "busy": "reject"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "RUN_BUSY")
        assert ask("count") == 0
        assert napping.result(60) == "rested"
    messages = cluster.result("GET", f"/runs/{id_}/messages")
    assert [one["data"]["toolName"] for one in messages] == ["ask", "nap", "count"]
    cluster.result("POST", f"/runs/{id_}/messages", {"message": count, "busy": "reject"}, code=201)
    wrong = cluster.ask("POST", f"/runs/{id_}/messages", {"message": count, "busy": "wait"})
    assert wrong.status_code == 400


def test_mocks_of_a_test_answer_in_the_place_of_providers(cluster: Any, runs: Any) -> None:
    rated = [{"name": "rated", "arguments": [4]}]
    test = {"enabled": True, "mocks": {"rate": {"output": 1.5}}}
    run = start(cluster, initialPrompt=rated, test=test)
    assert (run["test"], run["status"], run["result"]) == (True, "done", 6.0)
    told = cluster.result("POST", f"/runs/{run['id']}/messages", {"message": rated}, code=201)
    assert told["result"][0]["result"] == 6.0
    assert run["id"] not in [one["id"] for one in cluster.result("GET", "/runs")]
    assert start(cluster, initialPrompt=rated)["status"] == "failed"
    for wrong, word in (
        ({"mocks": test["mocks"]}, "enabled"),
        ({"enabled": True, "mocks": {"rates_rate": {"output": 1}}}, "rates_rate"),
        ({"enabled": True, "mocks": {"rate": 1}}, "mocks"),
    ):
        refused = cluster.ask("POST", "/runs", {"modelFile": "teller.py", "test": wrong})
        assert refused.status_code == 400, wrong
        assert word in refused.json()["message"]


def test_an_operation_that_is_not_attached_is_refused(cluster: Any) -> None:
    attached = [{"service": "teller.py", "function": "ask"}, {"function": "count"}]
    run = start(cluster, attachedFunctions=attached)
    assert run["attachedFunctions"] == [
        {"service": "teller.py", "function": name} for name in ("ask", "count")
    ]
    refused = cluster.ask("POST", f"/runs/{run['id']}/messages", {"message": pay(1)})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "OPERATION_NOT_ATTACHED")
    assert paid(cluster, run["id"]) == 0
    unknown = cluster.ask(
        "POST", "/runs", {"modelFile": "teller.py", "attachedFunctions": [{"function": "absent"}]}
    )
    assert unknown.status_code == 400
    assert "absent" in unknown.json()["message"]


def test_every_status_is_told_in_the_words_of_the_api(
    cluster: Any, make_receiver: Any, wait_until: Any
) -> None:
    receiver = make_receiver()
    run = start(cluster, onStatusChange={"webhook": receiver.url}, metadata={"orderId": "7:a"})
    key = run["runKey"]
    cluster.result("POST", f"/runs/{run['id']}/messages", {"message": "again"}, code=201)
    wait_until(lambda: len(receiver.told(key)) == 5)
    told = receiver.told(key)
    assert [one["status"] for one in told] == ["pending", "running", "done", "running", "done"]
    assert all({"runId", "status", "metadata", "result"} <= set(one) for one in told)
    assert told[2]["result"] == "hello"
    assert told[0]["metadata"] == {"orderId": "7:a"}


def test_only_statuses_that_are_asked_for_are_told(cluster: Any, make_receiver: Any, wait_until: Any) -> None:
    receiver = make_receiver()
    target = {"webhook": receiver.url, "statuses": ["paused", "done"]}
    run = start(cluster, initialPrompt=pay(500), onStatusChange=target)
    call = waiting(cluster, run["id"])
    cluster.result("POST", f"/calls/{call['id']}/approval", {"approved": True}, code=204)
    wait_until(lambda: len(receiver.told(run["runKey"])) == 2)
    assert [one["status"] for one in receiver.told(run["runKey"])] == ["paused", "done"]
    wrong = cluster.ask(
        "POST",
        "/runs",
        {"modelFile": "teller.py", "onStatusChange": {"webhook": receiver.url, "statuses": ["completed"]}},
    )
    assert wrong.status_code == 400
    assert "pending, running, paused, done, failed" in wrong.json()["message"]


def test_a_large_result_is_digested_and_fetched_byte_for_byte(cluster: Any, runs: Any) -> None:
    id_ = start(cluster)["id"]
    message = [{"name": "long", "arguments": [20_000]}]
    answer = cluster.result("POST", f"/runs/{id_}/messages", {"message": message}, code=201)
    digest = answer["result"][0]["result"]
    assert (digest["truncated"], digest["originalResultSize"]) == (True, 40_002)
    text = ('"' + "ü" * 20_000 + '"').encode()
    seq = digest["ref"]["seq"]
    for face, path in ((cluster, f"/runs/{id_}"), (runs, f"/{id_}")):
        whole = face.ask("GET", f"{path}/actions/{seq}/result")
        assert (whole.status_code, whole.content) == (200, text)
        assert whole.headers["ETag"] == f'"{hashlib.sha256(text).hexdigest()}"'
        assert whole.headers["Accept-Ranges"] == "bytes"
        for asked, first, end in (
            ("bytes=0-0", 0, 1),
            ("bytes=1000-39999", 1000, 40_000),
            ("bytes=40000-", 40_000, 40_002),
            ("bytes=-5", 39_997, 40_002),
            ("bytes=40000-99999", 40_000, 40_002),
        ):
            part = face.ask("GET", f"{path}/actions/{seq}/result", headers={"Range": asked})
            assert (part.status_code, part.content) == (206, text[first:end]), asked
            assert part.headers["Content-Range"] == f"bytes {first}-{end - 1}/40002"
        beyond = face.ask("GET", f"{path}/actions/{seq}/result", headers={"Range": "bytes=40002-"})
        assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */40002")
        for headers in (
            {"Range": "bytes=5-1"},
            {"Range": "lines=1-2"},
            {"Range": "bytes=0-1,4-5"},
            {"Range": "bytes=0-1", "If-Range": '"another"'},
        ):
            ignored = face.ask("GET", f"{path}/actions/{seq}/result", headers=headers)
            assert (ignored.status_code, ignored.content) == (200, text), headers
        for absent in ("999", "0", "x", "1"):
            assert face.ask("GET", f"{path}/actions/{absent}/result").status_code == 404


def test_results_are_whole_where_no_digests_are_wanted(cluster: Any) -> None:
    id_ = start(cluster, callSummarization=False)["id"]
    message = [{"name": "long", "arguments": [20_000]}]
    answer = cluster.result("POST", f"/runs/{id_}/messages", {"message": message}, code=201)
    assert answer["result"][0]["result"] == "ü" * 20_000


def test_beyond_the_inline_limit_a_result_is_digested_whoever_asks(cluster: Any, runs: Any) -> None:
    id_ = start(cluster, callSummarization=False)["id"]
    message = [{"name": "long", "arguments": [512 * 1024]}]
    answer = cluster.result("POST", f"/runs/{id_}/messages", {"message": message}, code=201)
    digest = answer["result"][0]["result"]
    assert (digest["truncated"], digest["originalResultSize"]) == (True, 2 * 512 * 1024 + 2)
    whole = runs.ask("GET", f"/{id_}/actions/{digest['ref']['seq']}/result").content
    assert hashlib.sha256(whole).digest() == hashlib.sha256(b'"' + "ü".encode() * 512 * 1024 + b'"').digest()


def test_traces_tell_what_each_action_changed_and_why(cluster: Any, runs: Any) -> None:
    id_ = start(cluster)["id"]
    message = {"message": pay(1), "reasoning": "it was due"}
    cluster.result("POST", f"/runs/{id_}/messages", message, code=201)
    page = cluster.result("GET", f"/runs/{id_}/traces")
    first, second = page["traces"]
    assert (first["name"], first["origin"]) == ("ask", "initial")
    assert (second["name"], second["origin"], second["variablesChanged"]) == ("pay", "call", ["paid"])
    assert (second["reasoning"], second["actor"]["role"]) == ("it was due", "AUTHOR")
    assert page["headSeq"] == second["seq"]
    short = cluster.result("GET", f"/runs/{id_}/traces", limit=1)
    assert (short["traces"], short["headSeq"]) == ([first], second["seq"])
    assert runs.result("GET", f"/{id_}/traces", limit=1)["head_seq"] == second["seq"]
    rest = runs.result("GET", f"/{id_}/traces", after_seq=first["seq"])
    assert [one["name"] for one in rest["traces"]] == ["pay"]
    silent = start(cluster, reasoningTraces=False)["id"]
    assert cluster.result("GET", f"/runs/{silent}/traces")["traces"] == []
