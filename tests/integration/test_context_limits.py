"""Limits of one run: the worker's, lowered by its model context, and reported with what was used."""

import os
from collections.abc import Callable
from typing import Any

import pytest

MIB = 1 << 20
GREEDY = """
import os
import threading
import time

total = 0


def add(n):
    global total
    total += n
    return total


def burn(threads=1):
    def spin():
        while True:
            sum(range(1000))

    for _ in range(threads - 1):
        threading.Thread(target=spin, daemon=True).start()
    spin()


def burn_for(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def rest(seconds):
    time.sleep(seconds)


def hold(megabytes):
    global ballast
    ballast = bytearray(megabytes << 20)
    return len(ballast)


def start_threads(count):
    stop = threading.Event()
    started = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=stop.wait)
            thread.start()
            started.append(thread)
    except RuntimeError:
        pass
    finally:
        stop.set()
        for thread in started:
            thread.join()
    return len(started)


def open_files(count):
    kept = []
    try:
        for _ in range(count):
            kept.append(open("/dev/null"))
    except OSError:
        pass
    return len(kept)


def write(files, size):
    try:
        for n in range(files):
            with open(f"{n}.bin", "wb") as file:
                file.write(bytes(size))
    except OSError as error:
        return os.strerror(error.errno)
    return "written"


def exhaust(what):
    if what == "scratch_bytes":
        with open("big.bin", "wb") as file:
            file.write(bytes(32 << 20))
    elif what == "scratch_inodes":
        for n in range(1000):
            open(f"{n}.small", "wb").close()
    elif what == "open_files":
        kept = [open("/dev/null") for _ in range(1000)]
    elif what == "threads":
        stop = threading.Event()
        try:
            for _ in range(200):
                threading.Thread(target=stop.wait).start()
        finally:
            stop.set()
    else:

        class Odd:
            def __eq__(self, other):
                while True:
                    pass

        raise OSError(Odd(), "odd")


def text(size):
    return "x" * size


def zeros(count):
    return [0] * count


def maps(count):
    return [{"a": 1}] * count


def nested(depth, odd=False):
    value = (1,) if odd else [1]
    for _ in range(depth - 1):
        value = {"inner": value}
    globals()["held"] = value
    return value


def call_often(times):
    from epicenter import Epicenter

    for _ in range(times):
        Epicenter.callback("nothing", [])
    return times


def record_much(times, size, first=0):
    from epicenter import Epicenter

    for number in range(times):
        Epicenter.record(f"many {first + number}", [0] * size if size else 0)
"""
OPERATION_SECONDS = 30


@pytest.fixture(scope="module")
def greedy(model_root: Any) -> str:
    name: str = model_root.add("greedy", GREEDY)
    return name


@pytest.fixture
def limited(peer: Any, greedy: str) -> Callable[..., str]:
    """Make a run whose context sets limits."""

    def make(**limits: Any) -> str:
        context = {"limits": limits, "defaults": {"operations": {"timeoutSeconds": OPERATION_SECONDS}}}
        run = peer.result("create_run", model_file=greedy, model_context=context)
        key: str = run["run_key"]
        assert peer.result("call_operation", run_key=key, name="add", arguments=[7]) == 7
        return key

    return make


def called(peer: Any, key: str, name: str, *arguments: Any) -> Any:
    return peer.result("call_operation", run_key=key, name=name, arguments=list(arguments))


@pytest.mark.parametrize("threads", (1, 4))
def test_an_action_that_uses_too_much_processor_time_is_ended(
    peer: Any, limited: Callable[..., str], threads: int
) -> None:
    key = limited(actionCpuSeconds=0.5)
    error = peer.error("call_operation", run_key=key, name="burn", arguments=[threads])
    assert error["code"] == "LIMIT_EXCEEDED"
    information = error["information"]
    assert (information["limit"], information["allowed"]) == ("action_cpu_seconds", 0.5)
    assert information["used"] >= 0.5
    assert information["applied"] == "no"
    assert called(peer, key, "add", 1) == 8, "the run is what it was before"


def test_processor_time_counts_action_by_action_and_waiting_does_not_count(
    peer: Any, limited: Callable[..., str]
) -> None:
    key = limited(actionCpuSeconds=1.0)
    process = peer.result("get_run", run_key=key)
    for _ in range(3):
        called(peer, key, "burn_for", 0.45)
    called(peer, key, "rest", 1.5)
    assert peer.result("get_run", run_key=key)["seq"] == process["seq"] + 4
    assert peer.ask("read_variables", run_key=key, names=["total"])["run"]["served_from"] == "memory"


def test_an_action_that_takes_longer_than_any_may_is_ended_whatever_its_own_limit(
    peer: Any, limited: Callable[..., str]
) -> None:
    key = limited(actionWallSeconds=0.5)
    error = peer.error("call_operation", run_key=key, name="rest", arguments=[OPERATION_SECONDS])
    assert error["code"] == "LIMIT_EXCEEDED"
    information = error["information"]
    assert (information["limit"], information["allowed"]) == ("action_wall_seconds", 0.5)
    assert information["used"] >= 0.5
    assert information["applied"] == "no"
    assert called(peer, key, "add", 1) == 8, "the run is what it was before"


def test_loading_takes_no_longer_than_an_action_may_whatever_the_context_grants_it(
    peer: Any, model_root: Any
) -> None:
    name = model_root.add("sleeper", "import time\n\ntime.sleep(30)\n")
    context = {"inceptionGracePeriodSeconds": 60, "limits": {"actionWallSeconds": 0.5}}
    error = peer.error("create_run", model_file=name, model_context=context)
    assert (error["code"], error["information"]["limit_seconds"]) == ("BOOT_TIMEOUT", 0.5)


def test_an_action_that_its_context_gives_long_is_given_as_long_when_it_is_replayed(
    make_daemon: Any, connect: Callable[..., Any], model_root: Any, greedy: str
) -> None:
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_OPERATION_TIMEOUT_SECONDS": "0.1"})
    peer = connect(daemon.endpoint)
    context = {"operations": {"rest": {"timeoutSeconds": 30}}}
    key = peer.result("create_run", model_file=greedy, model_context=context)["run_key"]
    called(peer, key, "rest", 1)
    peer.result("evict_run", run_key=key)
    assert peer.result("restore_run", run_key=key)["seq"] == 2


def test_a_lower_memory_limit_of_the_context_holds(peer: Any, limited: Callable[..., str]) -> None:
    key = limited(memoryBytes=400 * MIB)
    error = peer.error("call_operation", run_key=key, name="hold", arguments=[700])
    assert error["code"] == "LIMIT_EXCEEDED"
    assert error["information"]["limit"] == "memory_bytes"
    assert error["information"]["allowed"] == 400 * MIB
    assert called(peer, limited(), "hold", 700) == 700 * MIB


def test_what_the_model_meets_itself_is_lowered_too(peer: Any, limited: Callable[..., str]) -> None:
    key = limited(openFiles=16, scratchBytes=MIB, scratchInodes=8)
    assert 0 < called(peer, key, "open_files", 60) < 16
    assert called(peer, key, "write", 3, MIB) == "No space left on device"
    assert called(peer, key, "write", 20, 1) == "No space left on device"
    other = limited()
    assert called(peer, other, "open_files", 60) > 16
    assert called(peer, other, "write", 20, 1) == "written"


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can give runs user ids, by which threads are counted"
)
def test_threads_are_counted_run_by_run(
    make_daemon: Any, connect: Callable[..., Any], open_models: Any
) -> None:
    peer = connect(make_daemon(open_models).endpoint)
    assert peer.result("worker_status")["sandbox"]["identity"] == "uid"

    def threads(count: int, **limits: Any) -> int:
        run = peer.result("create_run", model_file="greedy/model.py", model_context={"limits": limits})
        started: int = called(peer, run["run_key"], "start_threads", count)
        return started

    assert threads(40) == 31, "one is the run's own"
    assert threads(40, threads=8) == 7
    assert threads(30) == 30
    run = peer.result("create_run", model_file="greedy/model.py", model_context={"limits": {"threads": 6}})
    error = peer.error("call_operation", run_key=run["run_key"], name="exhaust", arguments=["threads"])
    assert (error["information"]["limit"], error["information"]["allowed"]) == ("threads", 6)


@pytest.mark.parametrize(
    ("name", "allowed"), (("scratch_bytes", MIB), ("scratch_inodes", 8), ("open_files", 16))
)
def test_a_limit_that_the_kernel_tells_the_model_of_is_told_to_the_caller_too(
    peer: Any, limited: Callable[..., str], name: str, allowed: int
) -> None:
    key = limited(openFiles=16, scratchBytes=MIB, scratchInodes=8)
    error = peer.error("call_operation", run_key=key, name="exhaust", arguments=[name])
    assert error["code"] == "OPERATION_FAILED"
    assert (error["information"]["limit"], error["information"]["allowed"]) == (name, allowed)
    if name.startswith("scratch"):
        assert error["information"]["used"] == allowed


def test_an_exception_that_imitates_one_of_the_kernels_is_only_an_exception(
    peer: Any, limited: Callable[..., str]
) -> None:
    error = peer.error("call_operation", run_key=limited(), name="exhaust", arguments=["odd"])
    assert (error["code"], error["information"]["type"]) == ("OPERATION_FAILED", "OSError")
    assert "limit" not in error["information"]


@pytest.fixture
def open_models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model root that others may read, below a folder that they may not enter."""
    root = tmp_path_factory.mktemp("private") / "models"
    (root / "greedy").mkdir(parents=True)
    (root / "greedy" / "model.py").write_text(GREEDY)
    for folder in (root, root / "greedy"):
        folder.chmod(0o755)
    (root / "greedy" / "model.py").chmod(0o644)
    return root


def test_a_result_beyond_the_contexts_limit_is_too_large(peer: Any, limited: Callable[..., str]) -> None:
    key = limited(resultBytes=1000)
    assert called(peer, key, "text", 900) == "x" * 900
    error = peer.error("call_operation", run_key=key, name="text", arguments=[1001])
    assert error["code"] == "RESULT_TOO_LARGE"
    assert error["information"]["allowed"] == 1000


@pytest.mark.parametrize("odd", (False, True))
def test_a_value_that_is_nested_deeper_than_the_contexts_limit_has_no_encoding(
    peer: Any, limited: Callable[..., str], odd: bool
) -> None:
    key = limited(resultDepth=3)
    assert called(peer, key, "nested", 3, odd) == {"inner": {"inner": [1]}}
    assert peer.result("read_variables", run_key=key, names=["held"]) == {"held": {"inner": {"inner": [1]}}}
    error = peer.error("call_operation", run_key=key, name="nested", arguments=[4, odd])
    assert error["code"] == "UNENCODABLE_VALUE"
    assert "nested deeper than 3" in error["message"]
    assert peer.error("read_variables", run_key=key, names=["held"])["code"] == "UNENCODABLE_VALUE"


def test_a_run_that_sends_too_many_messages_of_its_own_is_ended(
    peer: Any, limited: Callable[..., str]
) -> None:
    key = limited(messageRate=2)
    assert called(peer, key, "call_often", 5) == 5
    error = peer.error("call_operation", run_key=key, name="call_often", arguments=[5000])
    assert error["code"] == "LIMIT_EXCEEDED"
    information = error["information"]
    assert (information["limit"], information["allowed"]) == ("message_rate", 2)
    assert information["used"] >= 2
    assert information["applied"] == "no"
    assert called(peer, key, "add", 1) == 8, "the run is what it was before"


def test_what_a_run_recorded_can_be_restored_however_many_values_and_names_there_are(
    peer: Any, limited: Callable[..., str]
) -> None:
    """All of it comes back in one message."""
    key = limited()
    for first in range(2):
        called(peer, key, "record_much", 1, 240_000, first)
    error = peer.error("call_operation", run_key=key, name="record_much", arguments=[1, 240_000, 2])
    assert error["code"] == "OPERATION_FAILED"
    assert "500000 values in the lists and maps of all names" in error["message"]
    for first in (10, 5000):
        called(peer, key, "record_much", 4900, 0, first)
    error = peer.error("call_operation", run_key=key, name="record_much", arguments=[1000, 0, 20_000])
    assert "10000 names in all" in error["message"]
    peer.result("evict_run", run_key=key)
    run = peer.result("restore_run", run_key=key)
    assert run["seq"] == 8
    peer.result("evict_run", run_key=key)
    assert (
        len(peer.result("read_variables", run_key=key, names=["many 1"], ritual="NONE")["many 1"]) == 240_000
    )


def test_a_value_of_more_items_than_its_context_allows_is_too_large(
    peer: Any, limited: Callable[..., str]
) -> None:
    key = limited(resultValues=50_000)
    assert len(called(peer, key, "zeros", 49_000)) == 49_000
    error = peer.error("call_operation", run_key=key, name="zeros", arguments=[50_000])
    assert error["code"] == "RESULT_TOO_LARGE"
    assert error["information"]["allowed"] == 50_000
    assert len(called(peer, limited(), "zeros", 200_000)) == 200_000
    assert len(called(peer, limited(), "maps", 41_000)) == 41_000
    assert (
        peer.error("call_operation", run_key=limited(), name="maps", arguments=[42_000])["code"]
        == error["code"]
    )
    error = peer.error("call_operation", run_key=key, name="record_much", arguments=[3, 40_000])
    assert "100000 values" in error["message"]


def test_what_a_run_records_is_bounded_by_its_context(peer: Any, limited: Callable[..., str]) -> None:
    key = limited(recordBytes=5000)
    assert called(peer, key, "record_much", 2, 2000) is None
    error = peer.error("call_operation", run_key=key, name="record_much", arguments=[3, 2000])
    assert (error["code"], error["information"]["type"]) == ("OPERATION_FAILED", "ValueError")
    assert "5000 bytes in all" in error["message"]
    assert called(peer, limited(), "record_much", 2, 200_000) is None


def test_what_the_actions_of_one_request_return_together_is_bounded(
    peer: Any, limited: Callable[..., str]
) -> None:
    key = limited()
    large = {"kind": "execute", "name": "text", "arguments": [8_000_000]}
    add = {"kind": "execute", "name": "add", "arguments": [1]}
    error = peer.error("perform_actions", run_key=key, actions=[add, *[large] * 10])
    assert error["code"] == "LIMIT_EXCEEDED"
    information = error["information"]
    assert (information["limit"], information["allowed"]) == ("outcome_bytes", 64 * MIB)
    assert 64 * MIB < information["used"] < 80 * MIB
    assert information["applied"] == "no"
    assert called(peer, key, "add", 1) == 8, "the run is what it was before the request"


def test_a_run_that_returns_much_does_not_cost_others_their_answers(
    peer: Any, limited: Callable[..., str]
) -> None:
    keys = [limited() for _ in range(3)]
    results = peer.result("call_operation", run_keys=keys, name="text", arguments=[7_000_000])
    told = [results[key]["ok"] for key in keys]
    assert sorted(told) == [False, True, True]
    (refused,) = (results[key]["error"] for key in keys if not results[key]["ok"])
    assert refused["code"] == "RESULT_TOO_LARGE"
    assert refused["information"]["size"] > 7_000_000
    assert [peer.result("get_run", run_key=key)["seq"] for key in keys] == [3, 3, 3]
    (late,) = (key for key in keys if not results[key]["ok"])
    assert peer.result("read_result", run_key=late, seq=3, length=1)["total_bytes"] == 7_000_002


def test_a_context_cannot_raise_a_limit(
    make_daemon: Any, model_root: Any, greedy: str, connect: Callable[..., Any]
) -> None:
    env = {"MODEL_WORKER_MAX_RESULT_BYTES": "1000", "MODEL_WORKER_ACTION_CPU_SECONDS": "0.5"}
    peer = connect(make_daemon(model_root.path, env=env).endpoint)
    context = {"limits": {"resultBytes": 5000, "actionCpuSeconds": 50}}
    key = peer.result("create_run", model_file=greedy, model_context=context)["run_key"]
    error = peer.error("call_operation", run_key=key, name="text", arguments=[2000])
    assert (error["code"], error["information"]["allowed"]) == ("RESULT_TOO_LARGE", 1000)
    error = peer.error("call_operation", run_key=key, name="burn")
    assert (error["code"], error["information"]["allowed"]) == ("LIMIT_EXCEEDED", 0.5)


@pytest.mark.parametrize(
    ("limits", "path"),
    (
        ({"memory": 5}, "limits.memory"),
        ({"threads": 0}, "limits.threads"),
        ({"openFiles": 3}, "limits.openFiles"),
        ({"actionCpuSeconds": -1.0}, "limits.actionCpuSeconds"),
        ({"scratchBytes": "8m"}, "limits.scratchBytes"),
        ({"messageRate": 0}, "limits.messageRate"),
        ({"resultDepth": 65}, "limits.resultDepth"),
    ),
)
def test_a_limit_that_makes_no_sense_is_refused_by_name(
    peer: Any, greedy: str, limits: dict[str, Any], path: str
) -> None:
    error = peer.error("create_run", model_file=greedy, model_context={"limits": limits})
    assert error["code"] == "INVALID_CONTEXT"
    assert error["information"]["path"] == path
