"""The API of clusters over HTTP: runs with a prompt, messages, feedback, what is new of them."""

import itertools
from typing import Any

_NUMBERS = itertools.count(1)


def fresh(word: str = "cluster-run") -> str:
    """An id that no other test uses."""
    return f"{word}-{next(_NUMBERS)}"


def start(cluster: Any, **fields: Any) -> str:
    """A run that has come to rest."""
    body = {"modelFile": "scribe.py", "initialPrompt": "hello", "waitTime": 20, **fields}
    return str(cluster.result("POST", "/runs", body, code=201)["id"])


def test_a_run_is_created_by_its_prompt(cluster: Any) -> None:
    created = cluster.result("POST", "/runs", {"modelFile": "scribe.py", "initialPrompt": "hello"}, code=201)
    assert created["status"] == "pending"
    run = cluster.result("GET", f"/runs/{created['id']}", waitTime=20)
    assert (run["status"], run["result"], run["failureReason"]) == ("done", {"heard": "hello"}, None)


def test_a_prompt_may_be_actions(cluster: Any) -> None:
    actions = [{"name": "add", "arguments": [2]}, {"name": "add", "arguments": [3]}]
    run = cluster.result("GET", f"/runs/{start(cluster, initialPrompt=actions)}")
    assert run["result"] == 5


def test_a_prompt_for_a_model_that_takes_none_is_refused(cluster: Any) -> None:
    refused = cluster.ask("POST", "/runs", {"modelFile": "plain.py", "initialPrompt": "hello"})
    assert refused.status_code == 400
    assert "run.prompt" in refused.json()["message"]


def test_the_record_has_what_it_was_created_with(cluster: Any) -> None:
    fields = {
        "name": "Order 66",
        "metadata": {"orderId": "66", "url": "http://a:1"},
        "context": {"tenant": "x"},
        "interactive": True,
        "reasoningTraces": False,
        "callSummarization": False,
    }
    run = cluster.result("GET", f"/runs/{start(cluster, **fields)}")
    assert {name: run[name] for name in fields} == fields
    assert run["attachedFunctions"] is None
    assert run["userId"] == "dev"


def test_ids_are_kept_and_repeated_creates_give_the_same_run(cluster: Any) -> None:
    id_ = fresh()
    body = {"modelFile": "scribe.py", "initialPrompt": "hello", "runId": id_}
    first = cluster.result("POST", "/runs", body, code=201)
    again = cluster.result("POST", "/runs", {**body, "waitTime": 20}, code=201)
    assert (first["created"], again["created"], again["id"]) == (True, False, id_)
    assert len(cluster.result("GET", f"/runs/{id_}/messages")) == 1


def test_what_has_no_meaning_or_is_incomplete_is_refused(cluster: Any) -> None:
    base = {"modelFile": "scribe.py", "initialPrompt": "hello"}
    for extra, word in (
        ({"model": "claude-3-haiku"}, "no meaning here"),
        ({"systemPrompt": "be kind"}, "no meaning here"),
        ({"attachedFunctions": []}, "attachedFunctions"),
        ({"test": {"enabled": True, "mocks": {"a_b": {"output": {}}}}}, "mocks"),
        ({"unheard": 1}, "unheard"),
    ):
        refused = cluster.ask("POST", "/runs", {**base, **extra})
        assert refused.status_code == 400, extra
        assert word in refused.json()["message"]
        assert refused.json()["errors"]
    assert cluster.ask("POST", "/runs", {"initialPrompt": "hello"}).status_code == 400


def test_messages_go_on_with_a_run_and_the_same_one_counts_once(cluster: Any) -> None:
    id_ = start(cluster)
    message = {"id": "m1", "message": "again"}
    first = cluster.result("POST", f"/runs/{id_}/messages", message, code=201)
    repeated = cluster.result("POST", f"/runs/{id_}/messages", message, code=201)
    assert (
        first
        == repeated
        == {"id": "m1", "result": [{"kind": "execute", "name": "ask", "result": {"heard": "again"}}]}
    )
    messages = cluster.result("GET", f"/runs/{id_}/messages")
    assert [one["data"]["input"]["arguments"] for one in messages] == [["hello"], ["again"]]
    behind = cluster.result("GET", f"/runs/{id_}/messages", after=messages[0]["id"])
    assert behind == messages[1:]


def test_an_edited_message_takes_back_what_came_after_it(cluster: Any) -> None:
    id_ = start(cluster)
    for text in ("two", "three"):
        cluster.result("POST", f"/runs/{id_}/messages", {"message": text}, code=201)
    second = cluster.result("GET", f"/runs/{id_}/messages")[1]
    cluster.result("PUT", f"/runs/{id_}/messages/{second['id']}", {"message": "zwei"})
    messages = cluster.result("GET", f"/runs/{id_}/messages")
    assert [one["data"]["input"]["arguments"] for one in messages] == [["hello"], ["zwei"]]
    absent = cluster.ask("PUT", f"/runs/{id_}/messages/999", {"message": "x"})
    assert (absent.status_code, absent.json()["error"]["code"]) == (404, "MESSAGE_NOT_FOUND")


def test_an_edit_leaves_what_a_rewind_and_another_message_leave(cluster: Any, api: Any) -> None:
    """The same state, to the last variable, also when it is replayed."""
    keys = [cluster.result("GET", f"/runs/{start(cluster)}")["runKey"] for _ in range(2)]
    edited, rewound = keys
    add = {"message": [{"name": "add", "arguments": [5]}]}
    for key in keys:
        for message in (add, {"message": "two"}, add):
            cluster.result("POST", f"/runs/{key}/messages", message, code=201)
    second = cluster.result("GET", f"/runs/{edited}/messages")[2]
    cluster.result("PUT", f"/runs/{edited}/messages/{second['id']}", {"message": "zwei"})
    api.result("POST", f"/model-worker/rewind/{rewound}", {"toSeq": 3})
    cluster.result("POST", f"/runs/{rewound}/messages", {"message": "zwei"}, code=201)

    def state(key: str) -> Any:
        return api.result("POST", f"/run/variable/{key}?ritual=REVIVE", {"include": "total;words"})

    assert state(edited) == state(rewound) == [5, ["hello", "zwei"]]
    for key in keys:
        api.done("DELETE", f"/run/{key}")
    assert state(edited) == state(rewound) == [5, ["hello", "zwei"]]
    outcomes = [
        [one["data"]["result"] for one in cluster.result("GET", f"/runs/{key}/messages")] for key in keys
    ]
    assert outcomes[0] == outcomes[1]


def test_a_retry_does_a_message_again(cluster: Any) -> None:
    id_ = start(cluster)
    cluster.result("POST", f"/runs/{id_}/messages", {"message": "two"}, code=201)
    first = cluster.result("GET", f"/runs/{id_}/messages")[0]
    cluster.result("POST", f"/runs/{id_}/retry", {"messageId": first["id"]}, code=204)
    messages = cluster.result("GET", f"/runs/{id_}/messages")
    assert [one["data"]["input"]["arguments"] for one in messages] == [["hello"]]


def test_an_operation_that_raised_is_a_rejection_and_fails_no_run(cluster: Any) -> None:
    id_ = start(cluster)
    refused = cluster.ask("POST", f"/runs/{id_}/messages", {"message": [{"name": "fail", "arguments": []}]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "MODEL_ERROR")
    last = cluster.result("GET", f"/runs/{id_}/messages")[-1]
    assert last["data"]["resultType"] == "rejection"
    assert cluster.result("GET", f"/runs/{id_}")["status"] == "done"


def test_feedback_is_kept_as_it_was_given(cluster: Any) -> None:
    id_ = start(cluster)
    cluster.result("POST", f"/runs/{id_}/feedback", {"comment": "fine", "score": 0.37}, code=204)
    cluster.result("POST", f"/runs/{id_}/feedback", {"comment": None, "score": 0.5}, code=204)
    run = cluster.result("GET", f"/runs/{id_}")
    assert (run["feedbackComment"], run["feedbackScore"]) == ("fine", 0.5)


def test_what_is_new_of_a_run_is_told_behind_positions(cluster: Any) -> None:
    id_ = start(cluster)
    first = cluster.result("GET", f"/runs/{id_}/timeline")
    assert [one["data"]["toolName"] for one in first["messages"]] == ["ask"]
    assert first["run"]["status"] == "done"
    cluster.result("POST", f"/runs/{id_}/messages", {"message": "two"}, code=201)
    seen = {
        "messagesAfter": first["messages"][-1]["id"],
        "jobsAfter": first["messages"][-1]["id"],
        "activityAfter": first["activity"][-1]["id"],
    }
    news = cluster.result("GET", f"/runs/{id_}/timeline", **seen)
    assert [one["data"]["input"]["arguments"] for one in news["messages"]] == [["two"]]
    assert len(news["jobs"]) == 1
    assert all(one["id"] > seen["activityAfter"] for one in news["activity"])


def test_a_deleted_run_is_gone(cluster: Any) -> None:
    id_ = start(cluster)
    cluster.result("DELETE", f"/runs/{id_}", code=204)
    assert cluster.ask("GET", f"/runs/{id_}").status_code == 404


def test_calls_that_nobody_waits_for_are_not_there(cluster: Any) -> None:
    for call_id in ("nonsense", "a:b", "0" * 36 + ":1"):
        absent = cluster.ask("POST", f"/calls/{call_id}/approval", {"approved": True})
        assert absent.status_code == 404, call_id


def test_all_apis_show_the_same_run(cluster: Any, runs: Any, api: Any) -> None:
    id_ = start(cluster)
    key = cluster.result("GET", f"/runs/{id_}")["runKey"]
    assert runs.result("GET", f"/{id_}")["status"] == "completed"
    assert api.result("GET", f"/run/{key}")["modelFile"] == "scribe.py"
    made = api.create(modelFile="plain.py")
    assert runs.result("GET", f"/{made}")["status"] == "completed"
    assert cluster.result("GET", f"/runs/{made}")["status"] == "done"
