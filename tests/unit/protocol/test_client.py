"""Both clients against a real ROUTER that follows a script."""

import asyncio
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest
import zmq

from protocol.client import AsyncClient, Client
from protocol.entities import Actor, Run
from protocol.errors import ErrorCode, ProtocolError

KEY = "0" * 36
OTHER = "1" * 36
DONE = {"worker_id": "w"}
Message = dict[str, Any]
Answer = Callable[[Message], "list[Message | bytes]"]
SHELLS = pytest.mark.parametrize("shell", ("blocking", "async"))


def ok(result: Any, **more: Any) -> Answer:
    return lambda asked: [
        {"version": 1, "request_id": asked["request_id"], "ok": True, "result": result, **more}
    ]


def failed(code: ErrorCode, /, **information: Any) -> Answer:
    error = ProtocolError(code, "as the script says", **information).to_wire()
    return lambda asked: [{"version": 1, "request_id": asked["request_id"], "ok": False, "error": error}]


def silence(_asked: Message) -> list[Message | bytes]:
    return []


def raw(*bodies: bytes) -> Answer:
    return lambda _asked: list(bodies)


class Peer:
    """A worker that answers the n-th request with the n-th answer of its script, and with ``DONE`` after it."""

    def __init__(self, *, curve: tuple[bytes, bytes] | None = None) -> None:
        self.script: deque[Answer] = deque()
        self.received: list[Message] = []
        self._changed = threading.Condition()
        self._curve = curve
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        bound = threading.Event()
        self._stop_reader, self._stop_writer = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, args=(bound,))
        self._thread.start()
        assert bound.wait(10)

    def stop(self) -> None:
        if self._thread is not None:
            self._stop_writer.send(b"!")
            self._thread.join(10)
            self._stop_reader.close()
            self._stop_writer.close()
            self._thread = None

    def wait_received(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.received) >= count, timeout=10)

    def _serve(self, bound: threading.Event) -> None:
        with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
            router.linger = 0
            if self._curve is not None:
                router.curve_server = True
                router.curve_publickey, router.curve_secretkey = self._curve
            router.bind(self.endpoint)
            bound.set()
            poller = zmq.Poller()
            poller.register(router, zmq.POLLIN)
            poller.register(self._stop_reader, zmq.POLLIN)
            while self._stop_reader.fileno() not in dict(poller.poll(20_000)):
                self._answer(router)

    def _answer(self, router: "zmq.Socket[bytes]") -> None:
        identity, delimiter, body = router.recv_multipart()
        assert delimiter == b""
        asked = msgpack.unpackb(body)
        with self._changed:
            self.received.append(asked)
            answer = self.script.popleft() if self.script else ok(DONE)
            self._changed.notify_all()
        for reply in answer(asked):
            packed = reply if isinstance(reply, bytes) else msgpack.packb(reply)
            router.send_multipart([identity, b"", packed])


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    made.start()
    yield made
    made.stop()


def ask(
    shell: str, peer: Peer, method: str, *args: Any, settings: Message | None = None, **fields: Any
) -> Any:
    """One request through a client of its own."""
    if shell == "blocking":
        with Client(peer.endpoint, **(settings or {})) as worker:
            return getattr(worker, method)(*args, **fields)

    async def main() -> Any:
        async with AsyncClient(peer.endpoint, **(settings or {})) as worker:
            return await getattr(worker, method)(*args, **fields)

    return asyncio.run(main())


def a_run(run_key: str) -> Message:
    times = dict.fromkeys(["created", "last_modified"], "2026-11-22T12:00:00.000Z")
    flags = dict.fromkeys(["marked", "hidden", "closed", "allow_channel", "ephemeral", "perpetual"], False)
    maps: Message = {"scope": {}, "permit": {}, "execution_context": {}}
    model = {"model_file": "m/model.py", "model_language": "PYTHON_3", "model_fingerprint": "f"}
    state = {"morphology": "MANY", "run_state": "ACTIVE", "status": "ready", "live": True, "seq": 1}
    return {"run_key": run_key, **times, **flags, **maps, **model, **state, "of_a_later_worker": 1}


@SHELLS
def test_a_call_travels_as_one_map_and_its_result_comes_back(shell: str, peer: Peer) -> None:
    peer.script.append(ok([1, {"a": None}]))
    result = ask(
        shell, peer, "call_operation", KEY, "step", [1], request_id="r1", deadline_seconds=2.5, ritual="NONE"
    )
    assert result == [1, {"a": None}]
    envelope = {"version": 1, "type": "call_operation", "request_id": "r1", "deadline_seconds": 2.5}
    assert peer.received == [{**envelope, "run_key": KEY, "name": "step", "arguments": [1], "ritual": "NONE"}]


@SHELLS
def test_an_error_reply_is_raised_with_all_it_says(shell: str, peer: Peer) -> None:
    peer.script.append(failed(ErrorCode.RUN_NOT_FOUND, run_key=KEY, code=7))
    with pytest.raises(ProtocolError) as caught:
        ask(shell, peer, "get_run", KEY, request_id="r1")
    error = caught.value
    assert (error.code, error.status, error.retryable) == (ErrorCode.RUN_NOT_FOUND, 404, False)
    assert (error.information, error.request_id) == ({"run_key": KEY, "code": 7}, "r1")


@SHELLS
def test_request_gives_the_whole_reply(shell: str, peer: Peer) -> None:
    served = {"run_key": KEY, "served_from": "archive", "ritual": "REANIMATE", "seq": 3}
    peer.script.append(ok({"x": None}, run=served, warnings=[{"code": "NON_FINITE", "path": "x"}]))
    reply = ask(shell, peer, "request", "read_variables", run_key=KEY, names=["x"], request_id="mine")
    assert reply.run.served_from == "archive"
    assert reply.warnings == [{"code": "NON_FINITE", "path": "x"}]
    assert peer.received[0]["request_id"] == "mine"


@SHELLS
def test_runs_come_back_as_entities_and_many_runs_as_a_map(shell: str, peer: Peer) -> None:
    error = ProtocolError(ErrorCode.RUN_CLOSED, "closed").to_wire()
    peer.script.append(ok(a_run(KEY)))
    peer.script.append(ok({KEY: {"ok": True, "result": a_run(KEY)}, OTHER: {"ok": False, "error": error}}))
    run = ask(shell, peer, "create_run", "m/model.py", actor=Actor(world_role="Retailer"))
    assert isinstance(run, Run)
    assert run.run_key == KEY
    assert peer.received[0]["actor"]["world_role"] == "Retailer"
    many = ask(shell, peer, "update_run", run_keys=[KEY, OTHER], marked=True)
    assert many[KEY] == run
    assert many[OTHER].code is ErrorCode.RUN_CLOSED


@SHELLS
@pytest.mark.parametrize("result", ({"run_key": KEY}, None, 5))
def test_what_is_no_run_is_refused(shell: str, peer: Peer, result: Any) -> None:
    peer.script.append(ok(result))
    with pytest.raises(ProtocolError, match="is no run"):
        ask(shell, peer, "get_run", KEY)


@SHELLS
def test_an_actor_of_the_client_is_sent_unless_the_call_names_another(shell: str, peer: Peer) -> None:
    settings = {"actor": {"user_key": "u1"}}
    ask(shell, peer, "ping", settings=settings)
    ask(shell, peer, "ping", settings=settings, actor={"user_key": "u2"})
    assert [asked["actor"]["user_key"] for asked in peer.received] == ["u1", "u2"]


@SHELLS
def test_what_is_not_answered_is_sent_again_with_the_same_id(shell: str, peer: Peer) -> None:
    peer.script.extend([silence, silence])
    assert ask(shell, peer, "ping", settings={"resend_seconds": 0.05}) == DONE
    assert len(peer.received) == 3
    assert len({asked["request_id"] for asked in peer.received}) == 1


@SHELLS
@pytest.mark.parametrize("code", ("CAPACITY", "DRAINING", "LOG_UNAVAILABLE", "FENCED", "OUTCOME_UNKNOWN"))
def test_an_error_that_passes_is_waited_out(shell: str, peer: Peer, code: str) -> None:
    peer.script.append(failed(ErrorCode(code), retry_after_seconds=0.01))
    assert ask(shell, peer, "call_operation", KEY, "step") == DONE
    assert peer.received[0] == peer.received[1]


@SHELLS
@pytest.mark.parametrize("code", ("PROCESS_EXITED", "BOOT_TIMEOUT", "DEADLINE_EXCEEDED", "OPERATION_FAILED"))
def test_an_error_that_may_come_again_is_not_retried(shell: str, peer: Peer, code: str) -> None:
    peer.script.append(failed(ErrorCode(code)))
    with pytest.raises(ProtocolError, match=code):
        ask(shell, peer, "call_operation", KEY, "step")
    assert len(peer.received) == 1


@SHELLS
def test_capacity_that_comes_after_the_end_is_raised_at_once(shell: str, peer: Peer) -> None:
    peer.script.append(failed(ErrorCode.CAPACITY, retry_after_seconds=1000))
    with pytest.raises(ProtocolError, match="CAPACITY"):
        ask(shell, peer, "ping")


@SHELLS
def test_silence_until_the_end_leaves_the_outcome_unknown_and_says_how_to_ask_again(
    shell: str, peer: Peer
) -> None:
    peer.script.extend([silence] * 50)
    settings = {"timeout_seconds": 0.3, "resend_seconds": 0.1}
    with pytest.raises(ProtocolError, match="ask again with request_id='r1'") as caught:
        ask(shell, peer, "call_operation", KEY, "step", settings=settings, request_id="r1")
    assert caught.value.code is ErrorCode.DEADLINE_EXCEEDED
    assert caught.value.information["applied"] == "unknown"
    assert caught.value.information["sent"] == len(peer.received) >= 2


def test_what_was_given_up_without_a_worker_never_reaches_one_later() -> None:
    peer = Peer()
    with Client(peer.endpoint) as worker:
        with pytest.raises(ProtocolError, match="nothing was sent") as caught:
            worker.call_operation(KEY, "step", timeout_seconds=0.1)
        assert caught.value.information["applied"] == "no"
        peer.start()
        assert worker.ping() == DONE
        peer.stop()
    assert [asked["type"] for asked in peer.received] == ["ping"]


@SHELLS
def test_a_restarted_worker_is_asked_again_without_waiting_for_the_time_to_resend(
    shell: str, peer: Peer
) -> None:
    def restart() -> None:
        peer.wait_received(1)
        peer.stop()
        peer.start()

    peer.script.append(silence)
    restarter = threading.Thread(target=restart)
    restarter.start()
    assert ask(shell, peer, "call_operation", KEY, "step", settings={"resend_seconds": 1000}) == DONE
    restarter.join()
    assert peer.received[0] == peer.received[1]


def test_a_late_reply_is_not_taken_for_the_next_one(peer: Peer) -> None:
    with Client(peer.endpoint) as worker:
        peer.script.append(silence)
        with pytest.raises(ProtocolError, match="DEADLINE_EXCEEDED"):
            worker.call_operation(KEY, "slow", timeout_seconds=0.2, request_id="slow")
        late = ok("late")({"request_id": "slow"})
        peer.script.append(lambda asked: late + ok("mine")(asked))
        assert worker.call_operation(KEY, "quick") == "mine"


@SHELLS
def test_garbage_is_passed_over_and_named_when_nothing_else_comes(shell: str, peer: Peer) -> None:
    garbage = [b"", b"\xc1", b"\x93\x01", msgpack.packb({"ok": True})]
    peer.script.append(lambda asked: garbage + ok("fine")(asked))
    assert ask(shell, peer, "ping") == "fine"
    peer.script.append(raw(*garbage))
    with pytest.raises(ProtocolError, match="was not a reply"):
        ask(shell, peer, "ping", timeout_seconds=0.2)


@SHELLS
def test_a_body_over_the_limit_is_refused_before_it_is_sent(shell: str, peer: Peer) -> None:
    with pytest.raises(ProtocolError, match="MESSAGE_TOO_LARGE"):
        ask(shell, peer, "call_operation", KEY, "load", ["x" * 2000], settings={"max_message_bytes": 1000})
    ask(shell, peer, "ping")
    assert [asked["type"] for asked in peer.received] == ["ping"]


@SHELLS
def test_a_refusal_without_an_id_goes_to_the_body_of_that_size(shell: str, peer: Peer) -> None:
    def too_large(asked: Message) -> list[Message | bytes]:
        size = len(msgpack.packb(asked))
        error = ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, "too large", size=size).to_wire()
        other = {**error, "information": {"size": size + 1}}
        return [{"version": 1, "request_id": None, "ok": False, "error": said} for said in (other, error)]

    peer.script.append(too_large)
    with pytest.raises(ProtocolError, match="MESSAGE_TOO_LARGE"):
        ask(shell, peer, "call_operation", KEY, "load", ["x" * 100])


@SHELLS
def test_a_value_that_is_no_json_is_named_before_anything_is_sent(shell: str, peer: Peer) -> None:
    with pytest.raises(ProtocolError, match=r"arguments\[1\]\.at: object is not a JSON value"):
        ask(shell, peer, "call_operation", KEY, "step", [(1, 2), {"at": object()}])
    assert peer.received == []


@SHELLS
def test_curve_lets_the_right_key_through_and_the_wrong_one_waits_in_vain(shell: str) -> None:
    server, client, stranger = zmq.curve_keypair(), zmq.curve_keypair(), zmq.curve_keypair()
    peer = Peer(curve=server)
    peer.start()
    settings = {"server_key": server[0], "public_key": client[0], "secret_key": client[1]}
    assert ask(shell, peer, "ping", settings=settings) == DONE
    with pytest.raises(ProtocolError, match="no connection"):
        ask(shell, peer, "ping", settings={**settings, "server_key": stranger[0], "timeout_seconds": 0.3})
    peer.stop()


@pytest.mark.parametrize(
    ("settings", "message"),
    (
        ({"endpoint": "nonsense"}, "endpoint 'nonsense'"),
        ({"public_key": b"k"}, "CURVE needs"),
        ({"server_key": b"k", "public_key": b"k", "secret_key": b"k"}, "CURVE keys"),
        ({"timeout_seconds": 0}, "more than 0"),
    ),
)
def test_a_setting_that_makes_no_sense_is_refused_at_once(settings: Message, message: str) -> None:
    for client in (Client, AsyncClient):
        with pytest.raises(ValueError, match=message):
            client(**settings)


def test_a_closed_client_says_so_and_closes_again(peer: Peer) -> None:
    worker = Client(peer.endpoint)
    worker.close()
    worker.close()
    with pytest.raises(RuntimeError, match="closed"):
        worker.ping()


def test_a_shared_context_stays_open(peer: Peer) -> None:
    with zmq.Context() as context:
        with Client(peer.endpoint, context=context) as worker:
            assert worker.ping() == DONE
        assert not context.closed


def test_a_forked_child_is_told_to_make_its_own(peer: Peer) -> None:
    with Client(peer.endpoint) as worker:
        assert worker.ping() == DONE
        child = os.fork()
        if child == 0:
            try:
                worker.ping()
            except RuntimeError as error:
                os._exit(0 if "fork" in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert worker.ping() == DONE


def test_a_second_thread_is_refused_while_the_first_waits(peer: Peer) -> None:
    release = threading.Event()

    def when_released(asked: Message) -> list[Message | bytes]:
        assert release.wait(10)
        return ok("first")(asked)

    peer.script.append(when_released)
    with Client(peer.endpoint) as worker:
        results: list[Any] = []
        first = threading.Thread(target=lambda: results.append(worker.ping()))
        first.start()
        peer.wait_received(1)
        with pytest.raises(RuntimeError, match="one thread"):
            worker.ping()
        release.set()
        first.join(10)
    assert results == ["first"]
