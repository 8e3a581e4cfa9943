"""Events of a real daemon: everything that happens to a run, once, in order, numbered without holes."""

import itertools
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from protocol.client import Client
from protocol.errors import ErrorCode, ProtocolError
from protocol.events import COMMON_FIELDS, KIND_FIELDS, Event, EventKind, decode_event, topic

MODEL = """
from epicenter import Epicenter

total = 0
same = "as ever"


def add(n=1):
    global total
    print("adding", n)
    total += n
    Epicenter.record("total", total)
    Epicenter.record("same", same)
    return total


def fail():
    global total
    total += 100
    raise ValueError("no")


def peek():
    return total


def large(size):
    Epicenter.record("bulk", "x" * size)
    return "y" * size


Epicenter.record("same", same)
if "bulk" in globals():
    Epicenter.record("bulk", bulk)
"""
CONTEXT = '{"operations": {"peek": {"inert": true}}, "restorations": {"rewind": {"name": "add"}}}'


class Subscriber:
    """A SUB socket that has subscribed, and keeps what it got."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str, prefix: str) -> None:
        self.socket: zmq.Socket[bytes] = context.socket(zmq.SUB)
        self.socket.set(zmq.LINGER, 0)
        self.socket.subscribe(prefix)
        self.socket.connect(endpoint)
        self.bodies: list[bytes] = []

    def next(self, within: float = 20.0) -> Event:
        assert self.socket.poll(int(within * 1000)), f"no event within {within} s"
        name, body = self.socket.recv_multipart()
        self.bodies.append(body)
        event = decode_event(body)
        assert name.decode() == topic(event.run_key, event.kind)
        return event

    def until(self, number: int) -> list[Event]:
        """All events up to one with this number."""
        events = [self.next()]
        while events[-1].event < number:
            events.append(self.next())
        return events


@pytest.fixture(scope="module")
def model(model_root: Any) -> str:
    name: str = model_root.add("told", MODEL, CONTEXT)
    return name


@pytest.fixture
def subscribe(wait_until: Callable[..., None]) -> Iterator[Callable[..., Subscriber]]:
    """``subscribe(daemon, prefix)``: a subscriber whose subscription the daemon has."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    opened: list[Subscriber] = []

    def make(daemon: Any, prefix: str = "run/") -> Subscriber:
        with daemon.client() as client:
            before = client.worker_status()["events"]["subscriptions"]
            opened.append(Subscriber(context, daemon.events, prefix))
            wait_until(lambda: client.worker_status()["events"]["subscriptions"] > before)
        return opened[-1]

    yield make
    for one in opened:
        one.socket.close(linger=0)
    context.term()


@pytest.fixture
def told_daemon(make_daemon: Any, model_root: Any, model: str) -> Any:
    return make_daemon(model_root.path)


def stored(client: Client, run_key: str, **page: Any) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = client.read_events(run_key, **page)["events"]
    return events


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


def numbers(events: list[Event]) -> list[int]:
    return [event.event for event in events]


def test_everything_that_happens_to_a_run_is_told_once_and_in_order(
    told_daemon: Any, model: str, subscribe: Callable[..., Subscriber]
) -> None:
    subscriber = subscribe(told_daemon)
    with told_daemon.client() as client:
        key = client.create_run(model, tracking_key="t").run_key
        client.call_operation(key, "add", [2], actor={"user_key": "u"}, request_id="first")
        client.perform_actions(
            key,
            [
                {"kind": "set", "name": "total", "value": 10},
                {"kind": "get", "name": "total"},
                {"kind": "execute", "name": "peek"},
                {"kind": "execute", "name": "add"},
            ],
        )
        with pytest.raises(ProtocolError, match="no"):
            client.call_operation(key, "fail")
        client.update_metadata(key, set={"mood": "good"}, push={"list": 1})
        client.evict_run(key)
        client.restore_run(key)
        client.rewind_run(key, 1)
        copy = client.clone_run(key).run_key
        client.update_run(key, closed=True)
        client.update_run(key, closed=True, marked=True)
        head = client.read_events(key)["head_event"]
        events = [event for event in subscriber.until(head) if event.run_key == key]
        copied = [decode_event(body) for body in subscriber.bodies if decode_event(body).run_key == copy]
        read = stored(client, key)
        history = {entry["seq"]: entry for entry in client.read_history(key)["entries"]}
    assert kinds(events) == [
        *("created", "state", "state", "state", "metadata", "evicted", "restored"),
        *("evicted", "rewound", "evicted", "closed"),
    ]
    assert numbers(events) == list(range(1, head + 1))
    assert [Event.model_validate(event) for event in read] == events
    created, first, listed, failed, metadata, evicted, restored, replaced, rewound, _, closed = events
    assert created.run is not None
    assert (created.run["run_key"], created.run["tracking_key"], created.run["live"]) == (key, "t", True)
    assert created.variables == {"same": "as ever"}
    assert (first.seq, first.request_id, first.actor) == (2, "first", {"user_key": "u"})
    assert first.actions == [{"kind": "execute", "name": "add", "arguments": [2], "result": 2}]
    assert first.at == history[2]["at"]
    assert first.variables == {"total": 2}
    assert listed.actions == [
        {"kind": "set", "name": "total", "value": 10},
        {"kind": "execute", "name": "add", "arguments": [], "result": 11},
    ]
    assert (listed.seq, listed.variables, listed.actor) == (4, {"total": 11}, None)
    assert failed.actions is not None
    assert failed.actions[0]["error"]["code"] == ErrorCode.OPERATION_FAILED
    assert failed.variables == {}
    assert metadata.metadata == {"mood": "good", "list": [1]}
    assert (evicted.reason, evicted.seq, restored.seq) == ("request", 5, 5)
    assert (replaced.reason, rewound.to_seq, rewound.seq) == ("rewind", 3, 6)
    assert closed.seq == 6
    assert kinds(copied) == ["created"]
    assert copied[0].variables == {"same": "as ever", "total": 2}


def test_events_have_exactly_the_fields_that_their_kinds_are_told_to_have(
    told_daemon: Any, model: str
) -> None:
    with told_daemon.client() as client:
        key = client.create_run(model, execution_context={"presets": {"bulk": "x" * 70_000}}).run_key
        client.call_operation(key, "large", [70_001], actor={"user_key": "u"})
        client.update_metadata(key, set={"bulk": "z" * 70_000})
        client.evict_run(key)
        client.restore_run(key)
        client.rewind_run(key, to_seq=1)
        client.update_run(key, closed=True)
        read = stored(client, key)
    for event in read:
        fields = {name.rstrip("?") for name in KIND_FIELDS[EventKind(event["kind"])]}
        assert event.keys() == {*COMMON_FIELDS, *fields} - {"guarded"}  # this model guards nothing
    created, state, metadata = read[:3]
    assert (created["variables"], created["omitted"]) == ({"same": "as ever"}, ["variables.bulk"])
    assert state["actions"] == [{"kind": "execute", "name": "large", "arguments": [70_001]}]
    assert (state["variables"], state["omitted"]) == ({}, ["actions[0].result", "variables.bulk"])
    assert (metadata["metadata"], metadata["omitted"]) == ({}, ["metadata.bulk"])


def test_what_leaves_no_trace_is_not_told(told_daemon: Any, model: str) -> None:
    with told_daemon.client() as client:
        key = client.create_run(model).run_key
        client.read_variables(key, ["total"])
        client.call_operation(key, "peek")
        client.call_operation(key, "add", request_id="once")
        client.call_operation(key, "add", request_id="once")
        with pytest.raises(ProtocolError):
            client.call_operation(key, "no_such_operation")
        with pytest.raises(ProtocolError):
            client.update_metadata(key, set={"x": 1}, push={"x": 1})
        client.update_run(key, marked=True)
        assert [event["kind"] for event in stored(client, key)] == ["created", "state"]


def test_a_killed_worker_has_told_and_kept_what_it_acknowledged(
    told_daemon: Any, model: str, subscribe: Callable[..., Subscriber]
) -> None:
    with told_daemon.client() as client:
        keys = [client.create_run(model).run_key for _ in range(3)]
    answers: dict[str, list[int]] = {key: [] for key in keys}

    def load(key: str) -> None:
        with Client(told_daemon.endpoint, timeout_seconds=1) as client:
            while True:
                try:
                    answers[key].append(client.call_operation(key, "add"))
                except ProtocolError:
                    return

    threads = [threading.Thread(target=load, args=(key,)) for key in keys]
    subscriber = subscribe(told_daemon)
    for thread in threads:
        thread.start()
    seen = [subscriber.next() for _ in range(60)]
    told_daemon.kill()
    for thread in threads:
        thread.join()
    while subscriber.socket.poll(0):
        seen.append(subscriber.next())

    told_daemon.start()
    with told_daemon.client() as client:
        for key in keys:
            kept = [Event.model_validate(event) for event in stored(client, key)]
            assert numbers(kept) == list(range(1, len(kept) + 1))
            results = [action["result"] for event in kept[1:] for action in event.actions or ()]
            assert results[: len(answers[key])] == answers[key]
            assert len(results) >= 1
            mine = [event for event in seen if event.run_key == key]
            assert mine == kept[1 : 1 + len(mine)]
            client.call_operation(key, "add")
            later = [Event.model_validate(event) for event in stored(client, key, after_event=len(kept))]
            assert numbers(later) == [len(kept) + 1, len(kept) + 2]
            assert kinds(later) == ["restored", "state"]


def test_a_late_subscriber_catches_up_without_hole_or_repetition(
    told_daemon: Any, model: str, subscribe: Callable[..., Subscriber]
) -> None:
    with told_daemon.client() as client:
        key = client.create_run(model).run_key
        for _ in range(5):
            client.call_operation(key, "add")
        enough = threading.Event()

        def load() -> None:
            with told_daemon.client() as other:
                while not enough.is_set():
                    other.call_operation(key, "add")

        thread = threading.Thread(target=load)
        thread.start()
        subscriber = subscribe(told_daemon, topic(key))
        caught: list[Event] = []
        for _ in itertools.count():
            page = client.read_events(key, after_event=len(caught), limit=3)
            caught += [Event.model_validate(event) for event in page["events"]]
            if len(caught) == page["head_event"] or len(caught) > 30:
                break
        while len(caught) < 60:
            event = subscriber.next()
            if event.event > len(caught):
                caught.append(event)
                assert event.event == len(caught)
        enough.set()
        thread.join()
    assert numbers(caught) == list(range(1, 61))
    results = [action["result"] for event in caught for action in event.actions or ()]
    assert results == list(range(1, 60))


def test_a_subscriber_gets_only_what_it_subscribed_to(
    told_daemon: Any, model: str, subscribe: Callable[..., Subscriber]
) -> None:
    with told_daemon.client() as client:
        one, other = (client.create_run(model).run_key for _ in range(2))
        subscriber = subscribe(told_daemon, topic(one, "metadata"))
        for key in (other, one):
            client.call_operation(key, "add")
            client.update_metadata(key, set={"a": 1})
        event = subscriber.next()
        assert (event.run_key, event.kind, event.event) == (one, "metadata", 3)
        assert not subscriber.socket.poll(0)


def test_the_events_of_an_ephemeral_run_are_numbered_and_readable_while_it_lasts(
    told_daemon: Any, model: str, subscribe: Callable[..., Subscriber]
) -> None:
    subscriber = subscribe(told_daemon)
    with told_daemon.client() as client:
        key = client.create_run(model, ephemeral=True).run_key
        client.call_operation(key, "add")
        read = [Event.model_validate(event) for event in stored(client, key)]
        client.evict_run(key)
        events = subscriber.until(3)
        assert (kinds(events), numbers(events)) == (["created", "state", "evicted"], [1, 2, 3])
        assert read == events[:2]
        with pytest.raises(ProtocolError) as gone:
            client.read_events(key)
        assert gone.value.code is ErrorCode.RUN_NOT_FOUND


def test_an_ephemeral_copy_of_a_stored_run_tells_nothing(
    told_daemon: Any, model: str, subscribe: Callable[..., Subscriber]
) -> None:
    with told_daemon.client() as client:
        key = client.create_run(model).run_key
        client.evict_run(key)
        # No answer waits for this event; once it is read it has been published, too.
        assert [event["kind"] for event in stored(client, key)] == ["created", "evicted"]
        subscriber = subscribe(told_daemon, topic(key))
        client.restore_run(key, ephemeral=True)
        client.call_operation(key, "add")
        client.update_metadata(key, set={"a": 1})
        assert [event["kind"] for event in stored(client, key)] == ["created", "evicted"]
        client.evict_run(key)
        client.call_operation(key, "add")
        events = subscriber.until(4)
    assert kinds(events) == ["restored", "state"]
    assert numbers(events) == [3, 4]


def test_the_last_events_of_a_draining_worker_are_sent_and_kept(
    told_daemon: Any, model: str, subscribe: Callable[..., Subscriber]
) -> None:
    subscriber = subscribe(told_daemon)
    with told_daemon.client() as client:
        keys = {client.create_run(model).run_key for _ in range(4)}
    assert told_daemon.stop() == 0
    events = [subscriber.next() for _ in range(8)]
    evicted = {event.run_key: event for event in events if event.kind == "evicted"}
    assert evicted.keys() == keys
    assert {event.reason for event in evicted.values()} == {"drain"}
    told_daemon.start()
    with told_daemon.client() as client:
        assert all(client.read_events(key)["head_event"] == 2 for key in keys)


def test_pages_of_events_end_before_the_reply_is_too_large(
    make_daemon: Any, model_root: Any, model: str
) -> None:
    daemon = make_daemon(model_root.path, arguments=(), env={"MODEL_WORKER_MAX_MESSAGE_BYTES": "400000"})
    with daemon.client() as client:
        key = client.create_run(model).run_key
        for _ in range(5):
            client.call_operation(key, "large", [30_000])
        page = client.read_events(key)
        assert page["head_event"] == 6
        assert 1 < len(page["events"]) < 6
        rest = stored(client, key, after_event=page["events"][-1]["event"])
        assert rest[0]["event"] == page["events"][-1]["event"] + 1


def test_only_runs_that_ask_for_it_tell_their_state_where_that_is_required(
    make_daemon: Any, model_root: Any, model: str
) -> None:
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_EVENT_RUNS": "allow_channel"})
    with daemon.client() as client:
        for opted, expected in (
            (False, ["evicted"]),
            (True, ["created", "state", "metadata", "evicted"]),
        ):
            key = client.create_run(model, allow_channel=opted).run_key
            client.call_operation(key, "add")
            client.update_metadata(key, set={"a": 1})
            client.evict_run(key)
            read = stored(client, key)
            assert [event["kind"] for event in read] == expected
            assert [event["event"] for event in read] == list(range(1, len(expected) + 1))


def test_status_and_output_are_told_where_that_is_asked_for(
    make_daemon: Any, model_root: Any, model: str
) -> None:
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_EXTRA_EVENTS": "status,output"})
    with daemon.client() as client:
        key = client.create_run(model).run_key
        client.call_operation(key, "add")
        client.evict_run(key)
        client.restore_run(key)
        read = stored(client, key)
    assert [event["event"] for event in read] == list(range(1, len(read) + 1))
    moves = [(event["from"], event["to"]) for event in read if event["kind"] == "status"]
    assert ("ready", "executing") in moves
    assert ("executing", "ready") in moves
    assert ("starting", "ready") in moves
    (printed,) = [event for event in read if event["kind"] == "output"]
    assert printed["lines"] == [{"level": "STDOUT", "text": "adding 1"}]
    for event in read:
        fields = {name for name in KIND_FIELDS[EventKind(event["kind"])] if not name.endswith("?")}
        assert event.keys() >= fields


def test_without_an_endpoint_events_are_kept_and_none_is_bound(
    make_daemon: Any, model_root: Any, model: str
) -> None:
    daemon = make_daemon(model_root.path, arguments=("--events", ""))
    with daemon.client() as client:
        assert client.worker_status()["events"]["endpoint"] == ""
        key = client.create_run(model).run_key
        assert [event["kind"] for event in stored(client, key)] == ["created"]


def test_the_endpoint_is_shown(told_daemon: Any) -> None:
    with told_daemon.client() as client:
        assert client.worker_status()["events"]["endpoint"] == told_daemon.events


def test_an_unknown_run_has_no_events(told_daemon: Any) -> None:
    with told_daemon.client() as client, pytest.raises(ProtocolError) as refused:
        client.read_events("0" * 36)
    assert refused.value.code is ErrorCode.RUN_NOT_FOUND


def test_a_second_worker_on_the_same_endpoint_is_refused_by_name(told_daemon: Any, model_root: Any) -> None:
    command = (*told_daemon.command, "serve", "--models", str(model_root.path), "--data", ":memory:")
    arguments = ("--bind", f"{told_daemon.endpoint}-other", "--events", told_daemon.events)
    refused = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 1
    assert told_daemon.events in refused.stderr
    assert refused.stdout == ""
