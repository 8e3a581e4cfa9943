"""Whatever arrives at the socket: an error that names what is wrong, and a worker that goes on."""

import os
import random
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

MIB = 1024 * 1024
PING = {"version": 1, "type": "ping", "request_id": "p"}
KEY = "0" * 36


@pytest.fixture(autouse=True)
def _worker_goes_on(daemon: Any, peer: Any) -> Iterator[None]:
    """After each test the worker answers, is the same process, and has logged no bug."""
    pid = daemon.pid
    yield
    assert peer.result("ping")["worker_id"]
    assert daemon.pid == pid
    assert "bug while" not in daemon.logged()
    assert "bug in host" not in daemon.logged()


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def refusal(peer: Any, body: Any) -> dict[str, Any]:
    peer.send_body(body)
    reply: dict[str, Any] = peer.receive()
    assert reply["ok"] is False
    return reply


# Bodies that are no request at all: no request_id can be echoed.


@pytest.mark.parametrize(
    "body",
    (
        b"",
        b"\xc1",
        b"\x00" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
        b'{"version": 1, "type": "ping", "request_id": "p"}',
        b"\xff\xfe" * 1000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x81" * 5000,
        msgpack.packb(PING)[:-1],
        msgpack.packb(PING) + b"\x00",
        msgpack.packb(None),
        msgpack.packb(1),
        msgpack.packb("ping"),
        msgpack.packb([PING]),
        msgpack.packb(msgpack.ExtType(1, b"x")),
        msgpack.packb({1: 2, "version": 1, "type": "ping", "request_id": "p"}),
        msgpack.packb({b"version": 1}),
        b"\x83\xa7version\x01\xa4type\xa4ping\xaarequest_id\xa2\xff\xfe",
    ),
    ids=lambda body: repr(body[:24]),
)
def test_a_body_that_is_no_request_is_refused(peer: Any, body: bytes) -> None:
    reply = refusal(peer, body)

    assert (reply["error"]["code"], reply["error"]["status"]) == ("INVALID_REQUEST", 400)
    assert reply["error"]["retryable"] is False
    assert reply["request_id"] in (None, "p")
    assert reply["error"]["message"]


def test_random_bodies_are_refused(peer: Any) -> None:
    source = random.Random(7)
    for _ in range(300):
        body = source.randbytes(source.randrange(1, 200))
        assert refusal(peer, body)["error"]["code"] == "INVALID_REQUEST"


# Requests with something wrong: the path is named and the request_id echoed.

CALL = {"type": "call_operation", "run_key": KEY, "name": "add"}
CREATE = {"type": "create_run", "model_file": "counter/model.py"}


@pytest.mark.parametrize(
    ("request_", "path"),
    (
        ({"type": "ping", "extra": 1}, "extra"),
        ({"type": "create_run"}, "model_file"),
        ({"type": "create_run", "model_file": 1}, "model_file"),
        ({"type": "create_run", "model_file": ""}, "model_file"),
        ({**CREATE, "ephemeral": 1}, "ephemeral"),
        ({**CREATE, "ephemeral": "true"}, "ephemeral"),
        ({**CREATE, "scope": {"scope_boundary": "GALAXY", "scope_key": "k"}}, "scope.scope_boundary"),
        ({**CREATE, "scope": {"scope_boundary": "GROUP"}}, "scope.scope_key"),
        ({**CREATE, "scope": {"scope_key": "k", "other": 1}}, "scope.other"),
        ({**CREATE, "permit": {"read_lock": "KING"}}, "permit.read_lock"),
        ({**CREATE, "morphology": "FEW"}, "morphology"),
        ({**CREATE, "metadata": {"a": b"bytes"}}, "metadata.a"),
        ({**CREATE, "metadata": {"a": float("nan")}}, "metadata.a"),
        ({**CREATE, "model_context": [1]}, "model_context"),
        ({**CALL, "arguments": {"a": 1}}, "arguments"),
        ({**CALL, "arguments": [1, {"x": [float("inf")]}]}, "arguments[1].x[0]"),
        ({**CALL, "arguments": [{1: 2}]}, "arguments[0]"),
        ({**CALL, "arguments": [msgpack.ExtType(5, b"")]}, "arguments[0]"),
        ({**CALL, "arguments": [nested(65)]}, "arguments"),
        ({**CALL, "ritual": "EXILE"}, "ritual"),
        ({**CALL, "ritual": 1}, "ritual"),
        ({**CALL, "deadline_seconds": 0}, "deadline_seconds"),
        ({**CALL, "deadline_seconds": -1}, "deadline_seconds"),
        ({**CALL, "deadline_seconds": "5"}, "deadline_seconds"),
        ({**CALL, "actor": {"role": "KING"}}, "actor.role"),
        ({**CALL, "actor": {"name": "x"}}, "actor.name"),
        ({**CALL, "run_key": "short"}, "run_key"),
        ({**CALL, "run_key": "../../../../../../../../../etc/passwd"}, "run_key"),
        ({**CALL, "run_key": "0" * 35 + "\n"}, "run_key"),
        ({**CALL, "run_key": 5}, "run_key"),
        ({**CALL, "name": ""}, "name"),
        ({**CALL, "name": "x" * 257}, "name"),
        ({"type": "evict_run", "run_keys": [KEY, "bad"]}, "run_keys[1]"),
        ({"type": "read_variables", "run_key": KEY, "names": "counter"}, "names"),
        ({"type": "read_variables", "run_key": KEY, "names": [1]}, "names[0]"),
        ({"type": "write_variables", "run_key": KEY, "values": {}}, "values"),
        ({"type": "perform_actions", "run_key": KEY, "actions": []}, "actions"),
        (
            {"type": "perform_actions", "run_key": KEY, "actions": [{"kind": "jump", "name": "x"}]},
            "actions[0]",
        ),
        ({"type": "perform_actions", "run_key": KEY, "actions": [{"kind": "get"}]}, "actions[0].name"),
        (
            {"type": "perform_actions", "run_key": KEY, "actions": [{"kind": "set", "name": "x"}]},
            "actions[0].value",
        ),
        ({"type": "read_history", "run_key": KEY, "limit": 0}, "limit"),
        ({"type": "read_history", "run_key": KEY, "after_seq": -1}, "after_seq"),
        (
            {"type": "update_metadata", "run_key": KEY, "pop": {"a": {"object_type": "some"}}},
            "pop.a.object_type",
        ),
        ({"type": "rewind_run", "run_key": KEY, "rewind_count": 1.5}, "rewind_count"),
    ),
    ids=lambda value: value if isinstance(value, str) else value["type"],
)
def test_a_field_that_is_wrong_is_named(peer: Any, request_: dict[str, Any], path: str) -> None:
    request_id = uuid.uuid4().hex

    reply = refusal(peer, {"version": 1, "request_id": request_id, **request_})

    assert reply["error"]["code"] == "INVALID_REQUEST"
    assert reply["request_id"] == request_id
    assert reply["error"]["information"]["path"].startswith(path)
    assert path.partition("[")[0].partition(".")[0] in reply["error"]["message"]


@pytest.mark.parametrize("request_id", (None, 5, "", "x" * 65, ["a"]))
def test_a_request_id_that_is_none_is_answered_with_null(peer: Any, request_id: Any) -> None:
    reply = refusal(peer, {"version": 1, "type": "ping", "request_id": request_id})

    assert (reply["request_id"], reply["error"]["code"]) == (None, "INVALID_REQUEST")
    assert reply["error"]["information"]["path"] == "request_id"


def test_a_missing_request_id_is_answered_with_null(peer: Any) -> None:
    reply = refusal(peer, {"version": 1, "type": "ping"})

    assert (reply["request_id"], reply["error"]["information"]["path"]) == (None, "request_id")


@pytest.mark.parametrize("version", (2, 0, -1, "1", 1.0, True, [1]))
def test_another_version_is_refused_with_what_is_spoken(peer: Any, version: Any) -> None:
    reply = refusal(peer, {**PING, "version": version})

    assert (reply["request_id"], reply["error"]["code"]) == ("p", "UNSUPPORTED_VERSION")
    assert reply["error"]["status"] == 400
    assert reply["error"]["information"]["supported"] == [1]


def test_a_missing_version_is_named(peer: Any) -> None:
    reply = refusal(peer, {"type": "ping", "request_id": "p"})

    assert (reply["request_id"], reply["error"]["code"]) == ("p", "INVALID_REQUEST")
    assert reply["error"]["information"]["path"] == "version"


@pytest.mark.parametrize("kind", ("pong", "", "Ping", "__class__"))
def test_an_unknown_type_is_refused_with_those_known(peer: Any, kind: str) -> None:
    reply = refusal(peer, {**PING, "type": kind})

    assert (reply["request_id"], reply["error"]["code"]) == ("p", "UNKNOWN_TYPE")
    assert "create_run" in reply["error"]["message"]


@pytest.mark.parametrize("kind", (None, 1, ["ping"]))
def test_a_type_that_is_no_word_is_named(peer: Any, kind: Any) -> None:
    reply = refusal(peer, {**PING, "type": kind})

    assert (reply["request_id"], reply["error"]["code"]) == ("p", "INVALID_REQUEST")
    assert reply["error"]["information"]["path"] == "type"


def test_the_deepest_value_allowed_passes(peer: Any, counter_model: str) -> None:
    run_key = peer.result("create_run", model_file=counter_model)["run_key"]

    assert peer.result("write_variables", run_key=run_key, values={"secret": nested(64)})
    assert peer.error("write_variables", run_key=run_key, values={"secret": nested(65)})["code"] == (
        "INVALID_REQUEST"
    )


def test_an_extreme_depth_is_refused_before_it_is_built(peer: Any) -> None:
    body = b"\x84\xa7version\x01\xa4type\xa4ping\xaarequest_id\xa1p\xa1x" + b"\x91" * 1_000_000 + b"\x01"

    assert refusal(peer, body)["error"]["code"] == "INVALID_REQUEST"


# Sizes


def test_a_body_over_the_limit_is_refused_with_both_sizes(peer: Any) -> None:
    body = msgpack.packb({**PING, "pad": b"x" * (17 * MIB)})

    reply = refusal(peer, body)

    assert (reply["error"]["code"], reply["error"]["status"]) == ("MESSAGE_TOO_LARGE", 413)
    assert reply["error"]["information"] == {"size": len(body), "allowed": 16 * MIB}


def test_a_body_just_under_the_limit_passes(peer: Any, counter_model: str) -> None:
    run_key = peer.result("create_run", model_file=counter_model)["run_key"]

    assert peer.result("update_metadata", run_key=run_key, set={"big": "x" * (15 * MIB)})


def test_an_absurd_body_is_dropped_with_its_peer(daemon: Any, connect: Callable[..., Any]) -> None:
    giant = connect(daemon.endpoint)
    giant.send_body(b"x" * (70 * MIB))

    assert giant.socket.poll(500) == 0
    assert connect(daemon.endpoint).result("ping")


def test_a_reply_over_the_limit_becomes_an_error(peer: Any, counter_model: str) -> None:
    run_key = peer.result("create_run", model_file=counter_model)["run_key"]
    for name in ("a", "b"):
        peer.result("update_metadata", run_key=run_key, set={name: "x" * (9 * MIB)})

    error = peer.error("read_metadata", run_key=run_key, names=["a", "b"])

    assert (error["code"], error["status"]) == ("RESULT_TOO_LARGE", 413)
    assert peer.result("read_metadata", run_key=run_key, names=["a"])


# Frames


def test_a_req_socket_is_answered(daemon: Any, connect: Callable[..., Any]) -> None:
    req = connect(daemon.endpoint, zmq.REQ)
    for _ in range(3):
        req.socket.send(msgpack.packb(PING))
        assert req.socket.poll(10_000)
        assert msgpack.unpackb(req.socket.recv())["request_id"] == "p"


def test_a_dealer_without_delimiter_is_answered_without(daemon: Any, connect: Callable[..., Any]) -> None:
    bare = connect(daemon.endpoint)

    bare.socket.send(msgpack.packb(PING))

    assert bare.socket.poll(10_000)
    (body,) = bare.socket.recv_multipart()
    assert msgpack.unpackb(body)["ok"] is True


def test_a_request_through_a_proxy_finds_its_way_back(daemon: Any, connect: Callable[..., Any]) -> None:
    proxy = connect(daemon.endpoint)

    proxy.socket.send_multipart([b"client-7", b"", msgpack.packb(PING)])

    assert proxy.socket.poll(10_000)
    *envelope, body = proxy.socket.recv_multipart()
    assert envelope == [b"client-7", b""]
    assert msgpack.unpackb(body)["ok"] is True


@pytest.mark.parametrize(
    "frames",
    (
        [b"", msgpack.packb(PING), msgpack.packb(PING)],
        [b"", b"junk", b"more", msgpack.packb(PING)],
        [b"junk", msgpack.packb(PING)],
        [b"junk"] * 50,
        [b"", b""],
        [b"", b"", b""],
        [b""],
    ),
    ids=lambda frames: f"{len(frames)}-{frames[0]!r}-{frames[-1][:4]!r}",
)
def test_frames_that_are_not_one_request_are_refused(
    daemon: Any, connect: Callable[..., Any], frames: list[bytes]
) -> None:
    odd = connect(daemon.endpoint)

    odd.socket.send_multipart(frames)

    assert odd.socket.poll(10_000)
    reply = msgpack.unpackb(odd.socket.recv_multipart()[-1])
    assert (reply["ok"], reply["request_id"]) == (False, None)
    assert reply["error"]["code"] == "INVALID_REQUEST"


def test_a_peer_that_leaves_without_its_replies_harms_nobody(
    daemon: Any, peer: Any, connect: Callable[..., Any], counter_model: str
) -> None:
    run_key = peer.result("create_run", model_file=counter_model)["run_key"]
    hasty = connect(daemon.endpoint)
    for _ in range(50):
        hasty.send("call_operation", run_key=run_key, name="add")
    marker = hasty.send("call_operation", run_key=run_key, name="add")
    while hasty.receive()["request_id"] != marker:
        pass
    hasty.send("call_operation", run_key=run_key, name="nap", arguments=[0.3])
    hasty.ask("ping")
    hasty.socket.close(linger=0)

    assert peer.result("call_operation", run_key=run_key, name="add") == 53


# Model files


@pytest.mark.parametrize(
    ("model_file", "code"),
    (
        ("../outside.py", "INVALID_REQUEST"),
        ("counter/../../outside.py", "INVALID_REQUEST"),
        ("counter/../counter/model.py", "INVALID_REQUEST"),
        ("/etc/passwd", "INVALID_REQUEST"),
        ("./counter/model.py", "INVALID_REQUEST"),
        ("counter//model.py", "INVALID_REQUEST"),
        ("counter/model.py\0", "INVALID_REQUEST"),
        ("counter/model.py\n", "INVALID_REQUEST"),
        ("x" * 1025, "INVALID_REQUEST"),
        ("nowhere/model.py", "MODEL_NOT_FOUND"),
        ("counter", "MODEL_NOT_FOUND"),
        ("counter/model.ctx2", "MODEL_NOT_FOUND"),
        ("counter/model", "MODEL_NOT_FOUND"),
        ("counter/model.py/x.py", "MODEL_NOT_FOUND"),
        ("x" * 300 + "/model.py", "MODEL_NOT_FOUND"),
    ),
)
def test_a_model_file_that_is_none_is_refused(
    peer: Any, counter_model: str, model_file: str, code: str
) -> None:
    error = peer.error("create_run", model_file=model_file)

    assert error["code"] == code
    assert "model_file" in error["message"]


@pytest.mark.parametrize("kind", ("file", "folder", "loop", "fifo", "broken"))
def test_a_model_file_that_is_a_way_out_is_refused(
    peer: Any, model_root: Any, tmp_path: Path, kind: str
) -> None:
    secret = tmp_path / "model.py"
    secret.write_text("x = 1\n")
    folder = model_root.path / f"link-{kind}"
    if kind == "folder":
        folder.symlink_to(tmp_path)
    else:
        folder.mkdir()
        way = folder / "model.py"
        match kind:
            case "file":
                way.symlink_to(secret)
            case "loop":
                way.symlink_to(way)
            case "fifo":
                os.mkfifo(way)
            case _:
                way.symlink_to(tmp_path / "nothing.py")

    error = peer.error("create_run", model_file=f"link-{kind}/model.py")

    assert (error["code"], error["status"]) == ("MODEL_NOT_FOUND", 404)


@pytest.mark.parametrize(
    ("source", "said"),
    (
        ("def broken(:\n", "SyntaxError"),
        ("raise ValueError('at import')\n", "at import"),
        ("import sys\nsys.exit(3)\n", "SystemExit"),
        ("import no_such_module_here\n", "no_such_module_here"),
        ("x = 1 / 0\n", "ZeroDivisionError"),
        ("\0", "null bytes"),
        ("def f():\n\treturn 1\n        return 2\n", "TabError"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("raise BaseException('odd')\n", "odd"),
    ),
)
def test_a_model_that_cannot_be_loaded_says_why(
    peer: Any, model_root: Any, source: str, said: str, request: pytest.FixtureRequest
) -> None:
    folder = f"broken{abs(hash(source))}"
    (model_root.path / folder).mkdir(exist_ok=True)
    (model_root.path / folder / "model.py").write_text(source)
    stored = peer.result("worker_status")["runs"]["stored"]

    error = peer.error("create_run", model_file=f"{folder}/model.py")

    assert (error["code"], error["status"]) == ("MODEL_LOAD_FAILED", 422)
    assert said in error["message"]
    status = peer.result("worker_status")["runs"]
    assert (status["stored"], status["restoring"]) == (stored, 0)


def test_a_model_that_ends_its_process_at_import_says_how(peer: Any, model_root: Any) -> None:
    model_file = model_root.add("exits", "import os\nos._exit(7)\n")

    error = peer.error("create_run", model_file=model_file)

    assert (error["code"], error["status"]) == ("PROCESS_EXITED", 502)
    assert "7" in error["message"]


# Contexts


@pytest.mark.parametrize(
    ("context", "path"),
    (
        ("{not json", ""),
        ("", ""),
        ("[]", ""),
        ('{"a": NaN}', ""),
        ("[" * 100_000, ""),
        ('{"version": "V9"}', "version"),
        ('{"version": 2}', "version"),
        ('{"language": "julia"}', "language"),
        ('{"operations": {"add": {"timeoutSeconds": "5"}}}', "operations.add.timeoutSeconds"),
        ('{"operations": {"add": {"timeoutSeconds": 0}}}', "operations.add.timeoutSeconds"),
        ('{"operations": []}', "operations"),
        ('{"operations": {"add": {"inert": "yes"}}}', "operations.add.inert"),
        ('{"minimumLogLevel": "LOUD"}', "minimumLogLevel"),
        ('{"inceptionGracePeriodSeconds": -1}', "inceptionGracePeriodSeconds"),
        ('{"protections": {"guards": [{"mystery": {"regex": "x"}}]}}', "protections.guards"),
        ('{"restorations": {"assembly": [{"teleport": {}}]}}', "restorations.assembly[0]"),
        ('{"dependencies": [{"shell": {"script": "rm"}}]}', "dependencies[0]"),
        ('{"dependencies": [{"pypi": {"package": "../x"}}]}', "dependencies[0]"),
        ('{"workerImage": "other"}', "workerImage"),
        ('{"mappedFiles": {"a": "b"}}', "mappedFiles"),
    ),
    ids=lambda value: value[:40],
)
def test_a_context_file_that_cannot_be_served_is_refused_by_file_and_property(
    peer: Any, model_root: Any, context: str, path: str
) -> None:
    model_file = model_root.add("context", "x = 1\n", context)

    error = peer.error("create_run", model_file=model_file)

    assert (error["code"], error["status"]) == ("INVALID_CONTEXT", 400)
    assert error["information"]["source"] == "context/model.ctx2"
    assert error["information"]["path"].startswith(path)
    assert "context/model.ctx2" in error["message"]


@pytest.mark.parametrize(
    ("fields", "path"),
    (
        ({"model_context": {"operations": {"add": {"timeoutSeconds": -1}}}}, "operations.add.timeoutSeconds"),
        ({"model_context": {"version": "V3"}}, "version"),
        ({"execution_context": {"version": "V2"}}, "version"),
        ({"execution_context": {"presets": [1]}}, "presets"),
        ({"execution_context": {"presets": {"no name": 1}}}, "presets.no name"),
        ({"execution_context": {"mappedFiles": {"a": "b"}}}, "mappedFiles.a"),
    ),
)
@pytest.mark.parametrize("kind", ("create_run", "restore_run", "clone_run"))
def test_a_context_in_a_request_that_cannot_be_served_is_refused_by_property(
    peer: Any, counter_model: str, kind: str, fields: dict[str, Any], path: str
) -> None:
    run_key = peer.result("create_run", model_file=counter_model)["run_key"]
    peer.result("evict_run", run_key=run_key)
    target = {"model_file": counter_model} if kind == "create_run" else {"run_key": run_key}
    stored = peer.result("worker_status")["runs"]["stored"]

    error = peer.error(kind, **target, **fields)

    assert (error["code"], error["information"]["path"]) == ("INVALID_CONTEXT", path)
    assert error["information"]["source"] == next(iter(fields))
    assert peer.result("get_run", run_key=run_key)["live"] is False
    assert peer.result("worker_status")["runs"]["stored"] == stored
