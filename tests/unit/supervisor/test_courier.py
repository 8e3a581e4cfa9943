"""The courier on a real outbox: how much it sends at once, and what it does about what goes wrong."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from protocol.entities import RunStatus
from worker.log.base import Creation
from worker.log.memory import MemoryStore
from worker.log.outbox import DeliveryQuery
from worker.runs.backoff import Backoff
from worker.runs.deliveries import Delivery
from worker.runs.profile import RunProfile
from worker.runs.record import RunRecord
from worker.supervisor.courier import (
    OUTAGE_SECONDS,
    Courier,
    CourierLimits,
    DeliveryTallies,
    NotDeliveredError,
)
from worker.telemetry import make_logger

WITHIN_SECONDS = 20.0
BACKOFF = Backoff(0.01, 0.02, 0.05)
LIMITS = CourierLimits(attempts=6, of_one_target=2, timeout_seconds=5.0)


async def start_runs(store: MemoryStore, service: str, count: int) -> None:
    """Runs that were just started, and have a function told so."""
    for number in range(count):
        run = RunRecord(
            run_key=f"{service}{number}",
            model_file="model.py",
            model_language="PYTHON_3",
            model_fingerprint="f" * 64,
            created_us=number,
            last_modified_us=number,
            seed=7,
            scope={},
            permit={},
        )
        target = {"function": {"service": service, "function": "f"}}
        profile = RunProfile(
            run.run_key, "", "n", status=RunStatus.CREATED, course={}, on_status_change=target
        )
        await store.create(Creation(run, (), profile=profile))


def play(
    carry: Callable[[Delivery, int], Awaitable[None]],
    scenario: Callable[[MemoryStore], Awaitable[None]],
    limits: CourierLimits = LIMITS,
) -> DeliveryTallies:
    """Run a scenario beside a courier that carries as told."""

    async def main() -> DeliveryTallies:
        store, tallies = MemoryStore(), DeliveryTallies()
        courier = Courier(
            store.outbox,
            carry,
            backoff=BACKOFF,
            limits=limits,
            tallies=tallies,
            log=make_logger("error", "json"),
        )
        store.outbox.listen(courier.wake)
        courier.start()
        async with asyncio.timeout(WITHIN_SECONDS):
            await scenario(store)
        await courier.close()
        return tallies

    return asyncio.run(main())


def test_a_target_that_hangs_keeps_its_share_and_no_more() -> None:
    released, begun, under_way, most = asyncio.Event(), Counter[str](), Counter[str](), Counter[str]()
    others, everybody = asyncio.Event(), asyncio.Event()

    async def carry(delivery: Delivery, _: int) -> None:
        key = delivery.target_key
        begun[key] += 1
        under_way[key] += 1
        most[key] = max(most[key], under_way[key])
        if key == "hangs":
            await released.wait()
        under_way[key] -= 1
        if begun["answers"] == 9:
            others.set()
        if begun.total() == 18:
            everybody.set()

    async def scenario(store: MemoryStore) -> None:
        await start_runs(store, "hangs", 9)
        await start_runs(store, "answers", 9)
        await others.wait()
        assert begun["hangs"] == LIMITS.of_one_target
        released.set()
        await everybody.wait()

    assert play(carry, scenario).delivered == 18
    assert max(most.values()) == LIMITS.of_one_target


def test_a_bug_is_not_repeated_without_a_pause() -> None:
    at: list[float] = []
    twice = asyncio.Event()

    async def carry(_delivery: Delivery, _attempt: int) -> None:
        at.append(asyncio.get_running_loop().time())
        if len(at) == 2:
            twice.set()
        raise RuntimeError("a bug")

    async def scenario(store: MemoryStore) -> None:
        await start_runs(store, "a", 1)
        await twice.wait()

    play(carry, scenario)
    assert at[1] - at[0] >= OUTAGE_SECONDS * 0.99


def test_who_never_answers_is_given_up_attempt_by_attempt() -> None:
    last, stores = asyncio.Event(), list[MemoryStore]()

    async def carry(_delivery: Delivery, attempt: int) -> None:
        if attempt == BACKOFF.attempts:
            last.set()
        await asyncio.Event().wait()

    async def scenario(store: MemoryStore) -> None:
        stores.append(store)
        await start_runs(store, "a", 1)
        await last.wait()

    tallies = play(carry, scenario, CourierLimits(attempts=6, of_one_target=2, timeout_seconds=0.01))
    assert (tallies.delivered, tallies.retried, tallies.dead) == (0, BACKOFF.attempts - 1, 1)
    (delivery,) = asyncio.run(stores[0].outbox.find(DeliveryQuery("")))
    assert delivery.last_error == "no answer within 0.01 seconds"


def test_what_is_under_way_at_the_end_may_still_be_answered() -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def carry(_delivery: Delivery, _attempt: int) -> None:
        begun.set()
        await release.wait()

    async def scenario(store: MemoryStore) -> None:
        await start_runs(store, "a", 1)
        await begun.wait()
        asyncio.get_running_loop().call_later(0.05, release.set)

    assert play(carry, scenario).delivered == 1


def test_an_answer_that_no_repetition_would_change_ends_it() -> None:
    carried = asyncio.Event()

    async def carry(_delivery: Delivery, _attempt: int) -> None:
        carried.set()
        raise NotDeliveredError("it raised", final=True)

    async def scenario(store: MemoryStore) -> None:
        await start_runs(store, "a", 1)
        await carried.wait()

    tallies = play(carry, scenario)
    assert (tallies.retried, tallies.dead) == (0, 1)
