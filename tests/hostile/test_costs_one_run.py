"""Whatever a model does, it costs its own run at most: a typed error, and the state of the last acknowledged action.

Each behaviour is one operation of ``models/attack``, or one model that does it while it is imported.
"""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from protocol.client import Client
from protocol.errors import ErrorCode, ProtocolError

MODEL = "attack/model.py"
KEPT = 7
MIB = 1024 * 1024


def refused(client: Client, run_key: str, name: str, *arguments: Any) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        client.call_operation(run_key, name, arguments)
    return caught.value


@pytest.fixture
def run_key(client: Client, bystander: Any) -> Iterator[str]:
    """A run with one acknowledged action."""
    key = client.create_run(MODEL).run_key
    assert client.call_operation(key, "add", [KEPT]) == KEPT
    yield key
    client.evict_run(key)


def assert_goes_on(client: Client, run_key: str, total: int) -> None:
    """The run is there with the state it should have, goes on, and its history repeats all of it."""
    assert client.read_variables(run_key, ["total"], ritual="REVIVE") == {"total": total}
    assert client.call_operation(run_key, "add", [1]) == total + 1
    client.evict_run(run_key)
    assert client.read_variables(run_key, ["total"], ritual="REVIVE") == {"total": total + 1}


@dataclass(frozen=True)
class Fatal:
    """An operation that ends its process, or has it ended: it never happened."""

    name: str
    code: ErrorCode
    words: str = ""
    information: dict[str, Any] = field(default_factory=dict)


FATAL = (
    Fatal("segfault", ErrorCode.PROCESS_EXITED, "SIGSEGV", {"signal": "SIGSEGV"}),
    Fatal("abort", ErrorCode.PROCESS_EXITED, "SIGABRT", {"signal": "SIGABRT"}),
    Fatal("exit_now", ErrorCode.PROCESS_EXITED, "exit 0", {"exit_code": 0}),
    Fatal("ask_to_be_killed", ErrorCode.PROCESS_EXITED, "SIGKILL", {"signal": "SIGKILL"}),
    Fatal("stop_itself", ErrorCode.OPERATION_TIMEOUT, "stop_itself", {"limit_seconds": 1.0}),
    Fatal("loop", ErrorCode.OPERATION_TIMEOUT, "loop", {"limit_seconds": 1.0}),
    Fatal("hold_the_lock", ErrorCode.OPERATION_TIMEOUT, "hold_the_lock"),
    Fatal("ignore_everything", ErrorCode.OPERATION_TIMEOUT, "ignore_everything"),
    Fatal("looping_text", ErrorCode.OPERATION_TIMEOUT, "looping_text"),
    Fatal("endless_mapping", ErrorCode.OPERATION_TIMEOUT, "endless_mapping"),
    Fatal("memory_fast", ErrorCode.LIMIT_EXCEEDED, "memory_bytes", {"limit": "memory_bytes"}),
    Fatal("memory_slow", ErrorCode.LIMIT_EXCEEDED, "memory_bytes", {"limit": "memory_bytes"}),
    Fatal("memory_swallowed", ErrorCode.OPERATION_TIMEOUT, "memory_swallowed"),
    Fatal("garbage", ErrorCode.PROCESS_EXITED, "frame of 4294967295 bytes"),
    Fatal("huge_header", ErrorCode.PROCESS_EXITED, "frame of 4294967295 bytes"),
    Fatal("half_a_frame", ErrorCode.OPERATION_TIMEOUT, "half_a_frame"),
    Fatal("forged", ErrorCode.PROCESS_EXITED, "unexpected 'outcome' frame"),
    Fatal("wrong_kind", ErrorCode.PROCESS_EXITED, "unexpected 'settled' frame"),
    Fatal("deep_frame", ErrorCode.PROCESS_EXITED, "not msgpack"),
    Fatal("flood_of_frames", ErrorCode.PROCESS_EXITED, "unexpected 'outcome' frame"),
    Fatal("close_everything", ErrorCode.PROCESS_EXITED, "closed its socket"),
    Fatal("shut_the_socket", ErrorCode.PROCESS_EXITED, "closed its socket"),
)


@pytest.mark.parametrize("attack", FATAL, ids=lambda attack: attack.name)
def test_an_attack_that_ends_its_process_never_happened(client: Client, run_key: str, attack: Fatal) -> None:
    error = refused(client, run_key, attack.name)

    assert (error.code, error.information.get("applied")) == (attack.code, "no"), error
    assert attack.words in error.message
    assert attack.information.items() <= error.information.items()
    history = client.read_history(run_key)
    assert [entry["seq"] for entry in history["entries"]] == [1, 2]
    assert_goes_on(client, run_key, KEPT)


FAILS = (
    ("system_exit", ErrorCode.OPERATION_FAILED, "SystemExit"),
    ("interrupt", ErrorCode.OPERATION_FAILED, "KeyboardInterrupt"),
    ("own_base_exception", ErrorCode.OPERATION_FAILED, "Odd"),
    ("raising_text", ErrorCode.OPERATION_FAILED, "Mute"),
    ("giant_text", ErrorCode.OPERATION_FAILED, "ValueError"),
)


@pytest.mark.parametrize(("name", "code", "kind"), FAILS)
def test_whatever_an_operation_raises_is_recorded_with_what_it_changed_before(
    client: Client, run_key: str, name: str, code: ErrorCode, kind: str
) -> None:
    error = refused(client, run_key, name)

    assert (error.code, error.information["type"]) == (code, kind)
    assert len(error.message) < 4096
    assert client.read_history(run_key)["head_seq"] == 3
    assert_goes_on(client, run_key, KEPT + 1000)


RESULTS = (
    ("giant_result", ErrorCode.RESULT_TOO_LARGE),
    ("deep_result", ErrorCode.UNENCODABLE_VALUE),
    ("cyclic_result", ErrorCode.UNENCODABLE_VALUE),
    ("no_json", ErrorCode.UNENCODABLE_VALUE),
)


@pytest.mark.parametrize(("name", "code"), RESULTS)
def test_a_result_that_cannot_travel_is_an_error_of_its_own(
    client: Client, run_key: str, name: str, code: ErrorCode
) -> None:
    assert refused(client, run_key, name).code is code

    assert client.read_history(run_key)["head_seq"] == 3
    assert_goes_on(client, run_key, KEPT)


def test_no_further_process_can_be_started(client: Client, run_key: str) -> None:
    attempts = client.call_operation(run_key, "fork_bomb")

    assert len(attempts) == 5
    assert "got through" not in attempts.values()
    assert_goes_on(client, run_key, KEPT)


def test_threads_end_at_the_limit_and_the_run_goes_on(client: Client, run_key: str) -> None:
    assert 1 <= client.call_operation(run_key, "thread_bomb") <= 32
    assert client.call_operation(run_key, "add", [0]) == KEPT
    client.evict_run(run_key)
    assert_goes_on(client, run_key, KEPT)


def test_descriptors_end_at_the_limit_and_the_run_goes_on(client: Client, run_key: str) -> None:
    assert 1 <= client.call_operation(run_key, "many_descriptors") <= 64
    assert client.call_operation(run_key, "add", [0]) == KEPT
    assert_goes_on(client, run_key, KEPT)


def test_the_scratch_is_full_at_its_quota(client: Client, run_key: str) -> None:
    filled = client.call_operation(run_key, "fill_disk")

    assert filled == {"error": "No space left on device", "bytes": filled["bytes"]}
    assert filled["bytes"] <= 8 * MIB
    client.evict_run(run_key)
    assert client.call_operation(run_key, "many_files") <= 256
    assert_goes_on(client, run_key, KEPT)


def test_a_flood_of_output_is_read_and_dropped(
    daemon: Any, client: Client, run_key: str, record_property: Callable[[str, object], None]
) -> None:
    logged = len(daemon.logged())
    resident = psutil.Process(daemon.pid).memory_info().rss

    assert client.call_operation(run_key, "flood_output", [500], timeout_seconds=100) == 500

    grown = psutil.Process(daemon.pid).memory_info().rss - resident
    record_property("daemon_grew_bytes", grown)
    assert grown < 64 * MIB
    assert len(daemon.logged()) - logged < MIB
    client.evict_run(run_key)
    assert "output cut: " in daemon.logged()


def test_a_thread_that_prints_for_ever_does_not_silence_its_run(client: Client, run_key: str) -> None:
    assert client.call_operation(run_key, "flood_for_ever") == "started"
    for n in range(20):
        assert client.call_operation(run_key, "add", [1]) == KEPT + n + 1
    assert_goes_on(client, run_key, KEPT + 20)


def test_a_process_that_ends_between_two_requests_is_restored(
    client: Client, run_key: str, wait_until: Callable[..., None]
) -> None:
    assert client.call_operation(run_key, "exit_later") == "armed"
    wait_until(lambda: not client.get_run(run_key).live)

    # Its replay arms the same clock again, so only the archive and the history are asked.
    run = client.get_run(run_key)
    assert (run.run_state, run.seq) == ("INACTIVE", 3)


def test_reading_ahead_on_the_channel_hangs_the_attacker_alone(client: Client, run_key: str) -> None:
    assert refused(client, run_key, "read_ahead").code is ErrorCode.OPERATION_TIMEOUT
    assert_goes_on(client, run_key, KEPT)


TAMPERING = ("patch_modules", "drop_modules", "rob_by_collector", "trace_everything", "stack_overflow")
ENDS = (ErrorCode.PROCESS_EXITED, ErrorCode.OPERATION_TIMEOUT)


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_with_the_interpreter_harms_only_the_tamperer(
    client: Client, run_key: str, name: str
) -> None:
    code = code_of(client, run_key, name)

    assert code in (None, ErrorCode.OPERATION_FAILED, *ENDS)
    assert client.read_history(run_key)["head_seq"] == (2 if code in ENDS else 3)
    if code in ENDS:
        assert_goes_on(client, run_key, KEPT)


def code_of(client: Client, run_key: str, name: str) -> ErrorCode | None:
    """How an operation ended that may end in several ways; None if it completed."""
    try:
        client.call_operation(run_key, name)
    except ProtocolError as error:
        return error.code
    return None


def test_nothing_outside_the_model_can_be_read_or_written(daemon: Any, client: Client, run_key: str) -> None:
    models = Path(daemon.models)
    (data, *_), pid = sorted(Path(daemon.data).iterdir()), daemon.pid
    hidden = [
        "/etc/passwd",
        "/etc/hostname",
        "/proc/self/environ",
        f"/proc/{pid}/environ",
        f"/proc/{pid}/maps",
    ]
    hidden += ["/proc", "/root", daemon.data, str(data), str(models), str(models / "other/secret.txt")]
    hidden += [str(models / "attack/../other/secret.txt"), str(Path(__file__))]

    read = client.call_operation(run_key, "read_files", [hidden])
    written = client.call_operation(
        run_key, "write_files", [[str(models / "attack/model.py"), "/etc/x", str(data)]]
    )

    assert [path for path, outcome in read.items() if outcome == "got through"] == []
    assert [path for path, outcome in written.items() if outcome == "got through"] == []
    environment = client.call_operation(run_key, "environment")
    assert not [name for name in environment if name.startswith("MODEL_WORKER")]
    assert_goes_on(client, run_key, KEPT)


@pytest.fixture
def listeners() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP and a Unix listener of this machine."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(f"{folder}/s")
        unix.listen()
        yield tcp, unix


def test_no_connection_leaves_a_run(
    client: Client, run_key: str, listeners: tuple[socket.socket, socket.socket]
) -> None:
    tcp, unix = listeners
    attempts = client.call_operation(run_key, "connect", [tcp.getsockname()[1], unix.getsockname()])

    assert len(attempts) == 3
    assert "got through" not in attempts.values()
    for listener in listeners:
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert_goes_on(client, run_key, KEPT)


def test_no_signal_reaches_another_process(daemon: Any, client: Client, run_key: str) -> None:
    pids = [os.getpid(), daemon.pid, *(child.pid for child in daemon.descendants())]

    attempts = client.call_operation(run_key, "signal_others", [[*pids, -1]])

    reached = [pid for pid, outcome in attempts.items() if outcome == "got through"]
    assert len(reached) <= 1  # itself, where it knows itself by that number
    assert daemon.process.poll() is None


BOOTS = (
    ("boot_loop", ErrorCode.BOOT_TIMEOUT),
    ("boot_silence", ErrorCode.BOOT_TIMEOUT),
    ("boot_crash", ErrorCode.PROCESS_EXITED),
    ("boot_quit", ErrorCode.PROCESS_EXITED),
    ("boot_garbage", ErrorCode.PROCESS_EXITED),
    ("boot_memory", ErrorCode.LIMIT_EXCEEDED),
    ("boot_exit", ErrorCode.MODEL_LOAD_FAILED),
    ("boot_raise", ErrorCode.MODEL_LOAD_FAILED),
    ("boot_syntax", ErrorCode.MODEL_LOAD_FAILED),
)


@pytest.mark.parametrize(("model", "code"), BOOTS)
def test_a_model_that_cannot_be_imported_leaves_no_run_behind(
    client: Client, bystander: Any, model: str, code: ErrorCode
) -> None:
    before = client.worker_status()["runs"]["stored"]

    with pytest.raises(ProtocolError) as caught:
        client.create_run(f"{model}/model.py")

    assert caught.value.code is code
    assert client.worker_status()["runs"]["stored"] == before


def test_a_model_that_floods_while_it_is_imported_comes_up(client: Client, bystander: Any) -> None:
    run = client.create_run("boot_output/model.py")
    assert client.call_operation(run.run_key, "fine") == 1
    client.evict_run(run.run_key)
