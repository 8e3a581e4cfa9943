"""What a worker as a whole may use: at a limit idle runs make room first, and what is refused says why."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[2] / "protocol" / "README.md"
MIB = 1 << 20
HEAVY_MIB = 100
TOTAL = 280 * MIB
"""Room for two heavy runs, and for what Python needs besides; not for three."""
HEAVY = f"""
import time

ballast = bytearray({HEAVY_MIB} << 20)
more = None


def nap(seconds):
    time.sleep(seconds)


def grow(seconds=0):
    global more
    more = bytearray(len(ballast))
    time.sleep(seconds)
    return len(more)


def shrink():
    global ballast, more
    ballast = more = None
"""
ENDLESS_SECONDS = 50


@pytest.fixture(scope="module")
def heavy_model(model_root: Any) -> str:
    name: str = model_root.add("heavy", HEAVY)
    return name


@pytest.fixture
def small(make_daemon: Any, model_root: Any, heavy_model: str, connect: Callable[..., Any]) -> Any:
    """A peer of a new worker with room for two heavy runs."""
    return connect(make_daemon(model_root.path, env={"MODEL_WORKER_TOTAL_MEMORY_BYTES": str(TOTAL)}).endpoint)


def make_run(peer: Any, model_file: str, **fields: Any) -> str:
    run_key: str = peer.result("create_run", model_file=model_file, **fields)["run_key"]
    return run_key


def live(peer: Any, *run_keys: str) -> list[bool]:
    return [peer.result("get_run", run_key=run_key)["live"] for run_key in run_keys]


def memory(peer: Any) -> dict[str, int]:
    limit: dict[str, int] = peer.result("worker_status")["limits"]["total_memory_bytes"]
    return limit


def why_evicted(peer: Any, run_key: str) -> list[str]:
    events = peer.result("read_events", run_key=run_key)["events"]
    return [event["reason"] for event in events if event["kind"] == "evicted"]


# Told


def test_the_status_tells_every_limit_that_the_specification_lists(peer: Any) -> None:
    section = README.read_text().split("### Limits\n")[1].split("\n#")[0]
    told = {
        name: used == "yes" for name, used in re.findall(r"^\| `(\w+)` \| (yes|) ?\|", section, re.MULTILINE)
    }

    limits = peer.result("worker_status")["limits"]

    assert {name: "used" in limit for name, limit in limits.items()} == told
    assert all(limit["allowed"] > 0 for limit in limits.values())


def test_what_waits_and_works_is_counted_against_its_limit(
    make_daemon: Any,
    model_root: Any,
    counter_model: str,
    connect: Callable[..., Any],
    wait_until: Callable[..., None],
) -> None:
    daemon = make_daemon(model_root.path)
    peer, onlooker = connect(daemon.endpoint), connect(daemon.endpoint)
    first, second = make_run(peer, counter_model), make_run(peer, counter_model)
    for run_key in (first, first, first, second, second):
        peer.send("call_operation", run_key=run_key, name="nap", arguments=[ENDLESS_SECONDS])

    def used(name: str) -> int:
        count: int = onlooker.result("worker_status")["limits"][name]["used"]
        return count

    wait_until(lambda: used("max_requests") == 5)
    assert (used("live_run_limit"), used("inbox_limit"), used("zygote_limit")) == (2, 2, 1)
    assert (used("boot_limit"), used("replay_limit")) == (0, 0)


# Memory of all runs


def test_without_a_setting_the_limit_is_a_share_of_the_host(peer: Any, counter_model: str) -> None:
    before = memory(peer)
    make_run(peer, counter_model)
    after = memory(peer)
    assert 0 < after["used"] - before["used"] < 64 * MIB < after["allowed"]
    assert peer.result("worker_status")["memory"]["runs_bytes"] == after["used"]


def test_the_run_used_longest_ago_makes_room_for_a_new_one(
    small: Any, heavy_model: str, wait_until: Callable[..., None]
) -> None:
    first, second = make_run(small, heavy_model), make_run(small, heavy_model)
    small.result("call_operation", run_key=first, name="nap", arguments=[0])

    third = make_run(small, heavy_model)

    assert live(small, first, second, third) == [True, False, True]
    wait_until(lambda: why_evicted(small, second) == ["capacity"])
    assert memory(small)["used"] <= memory(small)["allowed"] == TOTAL


def test_the_run_used_longest_ago_makes_room_for_a_restored_one(small: Any, heavy_model: str) -> None:
    run_keys = [make_run(small, heavy_model) for _ in range(3)]

    small.result("restore_run", run_key=run_keys[0])

    assert live(small, *run_keys) == [True, False, True]


def test_where_every_run_is_at_work_a_new_one_is_refused(small: Any, heavy_model: str) -> None:
    first, second = make_run(small, heavy_model), make_run(small, heavy_model)
    naps = [small.send("call_operation", run_key=key, name="nap", arguments=[1]) for key in (first, second)]

    error = small.ask("create_run", model_file=heavy_model)["error"]

    assert (error["code"], error["status"], error["retryable"]) == ("CAPACITY", 503, True)
    information = error["information"]
    assert (information["limit"], information["allowed"]) == ("total_memory_bytes", TOTAL)
    assert 2 * HEAVY_MIB * MIB < information["used"] <= TOTAL
    assert information["retry_after_seconds"] > 0
    assert {small.receive()["request_id"] for _ in naps} == set(naps)
    assert live(small, make_run(small, heavy_model)) == [True]


def test_a_run_that_grew_drives_out_the_one_used_longest_ago(
    small: Any, heavy_model: str, wait_until: Callable[..., None]
) -> None:
    first, second = make_run(small, heavy_model), make_run(small, heavy_model)
    assert live(small, first, second) == [True, True]

    small.result("call_operation", run_key=second, name="grow")

    wait_until(lambda: why_evicted(small, first) == ["capacity"])
    assert live(small, first, second) == [False, True]


def test_a_run_that_grows_during_a_long_operation_is_noticed_before_its_end(
    small: Any, heavy_model: str, wait_until: Callable[..., None]
) -> None:
    first, second = make_run(small, heavy_model), make_run(small, heavy_model)
    small.result("call_operation", run_key=first, name="nap", arguments=[0])
    small.send("call_operation", run_key=second, name="grow", arguments=[ENDLESS_SECONDS])

    wait_until(lambda: not live(small, first)[0])

    # It was used last, and is at work: neither the others' need nor its own size ends it.
    assert live(small, second) == [True]


def test_memory_that_a_run_gave_back_is_there_for_others(
    small: Any, heavy_model: str, wait_until: Callable[..., None]
) -> None:
    first, second = make_run(small, heavy_model), make_run(small, heavy_model)
    full = memory(small)["used"]

    small.result("call_operation", run_key=first, name="shrink")

    wait_until(lambda: memory(small)["used"] < full - HEAVY_MIB * MIB // 2)
    third = make_run(small, heavy_model)
    assert live(small, first, second, third) == [True, True, True]


def test_a_run_larger_than_the_limit_is_served_and_leaves_memory(
    make_daemon: Any,
    model_root: Any,
    heavy_model: str,
    connect: Callable[..., Any],
    wait_until: Callable[..., None],
) -> None:
    env = {"MODEL_WORKER_TOTAL_MEMORY_BYTES": str(HEAVY_MIB * MIB // 2)}
    peer = connect(make_daemon(model_root.path, env=env).endpoint)
    run_key = make_run(peer, heavy_model)

    for _ in range(2):
        assert peer.result("call_operation", run_key=run_key, name="grow") == HEAVY_MIB * MIB
        wait_until(lambda: not live(peer, run_key)[0])
    wait_until(lambda: set(why_evicted(peer, run_key)) == {"capacity"})


# Others


def test_a_worker_that_is_full_of_requests_refuses_more_but_tells_how_it_does(
    make_daemon: Any,
    model_root: Any,
    counter_model: str,
    connect: Callable[..., Any],
    wait_until: Callable[..., None],
) -> None:
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_MAX_REQUESTS": "2"})
    peer, onlooker = connect(daemon.endpoint), connect(daemon.endpoint)
    run_key = make_run(peer, counter_model)
    for _ in range(2):
        peer.send("call_operation", run_key=run_key, name="nap", arguments=[ENDLESS_SECONDS])
    wait_until(lambda: onlooker.result("worker_status")["limits"]["max_requests"]["used"] == 2)

    information = onlooker.error("get_run", run_key=run_key)["information"]

    assert information == {
        "limit": "max_requests",
        "used": 2,
        "allowed": 2,
        "retry_after_seconds": 1.0,
        "applied": "no",
    }
    assert onlooker.result("ping")["uptime_seconds"] > 0


def test_new_runs_that_wait_for_their_start_are_started_in_turn(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Callable[..., Any]
) -> None:
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_BOOT_LIMIT": "1"})
    peer = connect(daemon.endpoint)

    sent = [peer.send("create_run", model_file=counter_model) for _ in range(20)]

    assert [peer.receive()["request_id"] for _ in sent] == sent
