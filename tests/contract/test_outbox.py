"""What every store promises about what is to be told of statuses: written with them, told in order, kept until told."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from protocol.entities import RunStatus
from worker.errors import DuplicateRequestError
from worker.log.base import Append, Creation, Store, StoredRequest
from worker.log.outbox import DeliveryQuery
from worker.log.sqlite_outbox import LOOK_ROWS
from worker.runs.deliveries import Delivery, DeliveryState, Settled
from worker.runs.profile import RunProfile, StatusChange
from worker.runs.status import IllegalStatusError

R = RunStatus
OnStore = Callable[[Callable[[Store], Awaitable[None]]], None]
Made = Callable[..., Any]
HOOK = {"webhook": "https://example.org/hook?token=t"}
DIGEST = b"d" * 16


def change(to: RunStatus, at_us: int = 50, **fields: Any) -> StatusChange:
    return StatusChange(to, at_us, **fields)


async def started(store: Store, run: Made, run_key: str = "run", **profile: Any) -> None:
    """A run that was started and has yet to take its course."""
    given = {"on_status_change": HOOK, "status": R.CREATED, "course": {}} | profile
    made = RunProfile(run_key=run_key, project="", name="n", **given)
    await store.create(Creation(run(run_key), (), metadata={"order": 7}, profile=made))


async def due(store: Store, at_us: int = 1000, **without: Any) -> list[Delivery]:
    limits: dict[str, Any] = {"limit": 10, "without_runs": (), "without_targets": ()} | without
    return list((await store.outbox.due(at_us, **limits)).found)


def told(deliveries: list[Delivery]) -> list[tuple[str, str | None, str]]:
    bodies = [one.payload(1) for one in deliveries]
    return [(body["deliveryId"], body["previousStatus"], body["status"]) for body in bodies]


async def settle(store: Store, delivery: Delivery, **fields: Any) -> None:
    await store.outbox.settle(
        Settled(delivery.delivery_id, delivery.attempt + 1, delivery.round, 60, **fields)
    )


async def all_told(store: Store, run_key: str = "run") -> list[tuple[str, str | None, str]]:
    """Every delivery of a run, each in its turn."""
    found: list[Delivery] = []
    while one := [delivery for delivery in await due(store) if delivery.run_key == run_key]:
        found += one
        await settle(store, one[0])
    return told(found)


def test_every_change_is_told_in_order(on_store: OnStore, run: Made) -> None:
    async def scenario(store: Store) -> None:
        await started(store, run)
        await store.change_status("run", change(R.STARTING))
        await store.change_status("run", change(R.READY, result=[1]), change(R.EXECUTING), change(R.READY))

        assert await all_told(store) == [
            ("run.0", None, "created"),
            ("run.1", "created", "starting"),
            ("run.2", "starting", "ready"),
            ("run.3", "ready", "executing"),
            ("run.4", "executing", "ready"),
        ]

    on_store(scenario)


def test_a_body_tells_the_run_as_it_was_then(on_store: OnStore, run: Made) -> None:
    async def scenario(store: Store) -> None:
        await started(store, run, run_id="my.run", on_status_change=HOOK | {"statuses": ["ready", "failed"]})
        await store.change_status("run", change(R.STARTING))
        await store.change_status("run", change(R.READY, at_us=1_000_000, result={"a": 1}))
        await store.update_metadata("run", lambda _: {"order": 8}, at_us=70)
        await store.change_status("run", change(R.STARTING))
        error = {"code": "PROCESS_EXITED", "message": "it ended"}
        await store.change_status("run", change(R.FAILED, reason="worker_lost", error=error, result=None))

        (first,) = await due(store, 2_000_000)
        await settle(store, first)
        (second,) = await due(store, 2_000_000)

        assert first.payload(3) == {
            "runId": "my.run",
            "status": "ready",
            "metadata": {"order": 7},
            "result": {"a": 1},
            "deliveryId": "run.2",
            "sequence": 2,
            "previousStatus": "starting",
            "occurredAt": "1970-01-01T00:00:01.000Z",
            "attempt": 3,
        }
        assert (second.payload(1)["metadata"], second.payload(1)["result"]) == ({"order": 8}, None)
        assert second.payload(1)["failureReason"] == "it ended"

    on_store(scenario)


@pytest.mark.parametrize(
    ("words", "statuses"),
    (
        ("inferable", [(None, "pending"), ("pending", "running"), ("running", "done"), ("done", "running")]),
        (
            "composable",
            [
                (None, "created"),
                ("created", "processing"),
                ("processing", "completed"),
                ("completed", "processing"),
            ],
        ),
    ),
)
def test_a_target_is_told_in_its_own_words_and_of_no_change_that_they_do_not_know(
    on_store: OnStore, run: Made, words: str, statuses: list[tuple[str | None, str]]
) -> None:
    async def scenario(store: Store) -> None:
        await started(store, run, on_status_change=HOOK | {"words": words})
        for status in (R.STARTING, R.EXECUTING, R.READY, R.EXECUTING):
            await store.change_status("run", change(status))

        assert [(before, after) for _, before, after in await all_told(store)] == statuses

    on_store(scenario)


def test_a_change_that_fails_tells_nothing(on_store: OnStore, run: Made, appending: Made) -> None:
    async def scenario(store: Store) -> None:
        await started(store, run, status=R.READY)
        with pytest.raises(IllegalStatusError):
            await store.change_status("run", change(R.EXECUTING), change(R.CREATED))

        assert await due(store) == []

    on_store(scenario)


def test_an_append_tells_the_changes_it_carries(on_store: OnStore, run: Made, appending: Made) -> None:
    async def scenario(store: Store) -> None:
        for run_key in ("run", "other"):
            await started(store, run, run_key, status=R.READY)
        appends: list[Append] = [
            appending(0, run_key, changes=(change(R.EXECUTING), change(R.READY)))
            for run_key in ("run", "other")
        ]
        for append in appends:
            await store.append(append)

        assert [await all_told(store, run_key) for run_key in ("run", "other")] == [
            [(f"{run_key}.1", "ready", "executing"), (f"{run_key}.2", "executing", "ready")]
            for run_key in ("run", "other")
        ]

    on_store(scenario)


def test_of_one_run_nothing_is_sent_before_what_came_before_it(on_store: OnStore, run: Made) -> None:
    async def scenario(store: Store) -> None:
        for run_key in ("run", "other"):
            await started(store, run, run_key)
            await store.change_status(run_key, change(R.STARTING))
        (first, other) = await due(store)
        assert told([first, other]) == [("run.0", None, "created"), ("other.0", None, "created")]

        await settle(store, first, error="no", next_us=500)
        found = await store.outbox.due(100, limit=10, without_runs=(), without_targets=())
        assert (told(list(found.found)), found.next_us) == ([("other.0", None, "created")], 500)

        await settle(store, (await due(store, 500))[-1], error="never", next_us=None)
        assert told(await due(store, 500, without_runs=("other",))) == [("run.1", "created", "starting")]
        assert await store.outbox.counts() == {"pending": 3, "dead": 1}

    on_store(scenario)


def test_targets_that_have_enough_are_passed_over(on_store: OnStore, run: Made) -> None:
    async def scenario(store: Store) -> None:
        await started(store, run)
        await started(
            store, run, "function", on_status_change={"function": {"service": "s", "function": "f"}}
        )

        (found,) = await due(store, without_targets=("https://example.org:443",))
        assert found.target_key == "s"
        assert found.payload(1)["context"] is None
        assert [one.run_key for one in await due(store, limit=1)] == ["run"]

    on_store(scenario)


def test_behind_the_crowd_of_a_target_that_has_enough_others_have_their_turn(
    on_store: OnStore, run: Made
) -> None:
    async def scenario(store: Store) -> None:
        crowd = [f"crowd {number}" for number in range(LOOK_ROWS + 5)]
        await asyncio.gather(*(started(store, run, run_key) for run_key in crowd))
        for name in ("a", "z"):
            function = {"function": {"service": name, "function": "f"}}
            await started(store, run, f"run of {name}", on_status_change=function)

        found = await due(store, without_targets=("https://example.org:443",))
        again = await due(store, limit=1, without_targets=("https://example.org:443", "a"))

        assert sorted(one.run_key for one in found) == ["run of a", "run of z"]
        assert [one.run_key for one in again] == ["run of z"]
        assert len(await due(store)) == 10

    on_store(scenario)


def test_what_is_dead_is_sent_again_under_its_id_and_in_its_place(on_store: OnStore, run: Made) -> None:
    async def scenario(store: Store) -> None:
        await started(store, run)
        await store.change_status("run", change(R.STARTING))
        (first,) = await due(store)
        await settle(store, first, error="never")
        request = StoredRequest("again", "run", DIGEST, result=b"\xc0")

        dead = await store.outbox.get("run.0")
        assert dead is not None
        assert (dead.state, dead.attempt, dead.last_error) == (DeliveryState.DEAD, 1, "never")
        await store.outbox.redeliver("run.0", 70, request)

        (again,) = await due(store)
        assert (again.delivery_id, again.attempt, again.round, again.payload(1)["status"]) == (
            "run.0",
            0,
            1,
            "created",
        )
        with pytest.raises(DuplicateRequestError):
            await store.outbox.redeliver("run.0", 70, request)
        assert store.find_request("again") == [request]
        await settle(store, first)  # the answer to an attempt of the round before
        assert [one.delivery_id for one in await due(store)] == ["run.0"]
        await settle(store, again)
        assert [one.delivery_id for one in await due(store)] == ["run.1"]

    on_store(scenario)


def test_what_waits_is_sent_at_once_when_asked_for_and_what_was_delivered_is_not(
    on_store: OnStore, run: Made
) -> None:
    async def scenario(store: Store) -> None:
        await started(store, run)
        await settle(store, (await due(store))[0], error="no", next_us=99_000)
        assert await due(store) == []
        await store.outbox.redeliver("run.0", 70)
        (again,) = await due(store)
        assert again.attempt == 1

        await settle(store, again)
        delivered = await store.outbox.redeliver("run.0", 80)
        assert delivered is not None
        assert (delivered.state, delivered.body, await due(store)) == (DeliveryState.DELIVERED, None, [])
        assert await store.outbox.redeliver("nowhere", 80) is None

    on_store(scenario)


def test_deliveries_are_listed_newest_first_by_run_and_state(on_store: OnStore, run: Made) -> None:
    async def scenario(store: Store) -> None:
        for run_key in ("a", "b"):
            await started(store, run, run_key)
            await store.change_status(run_key, change(R.STARTING, at_us=20), change(R.READY, at_us=30))
        await settle(store, (await due(store))[0], error="never")

        async def listed(**query: Any) -> list[str]:
            return [one.delivery_id for one in await store.outbox.find(DeliveryQuery("", **query))]

        assert await listed(run_key="a") == ["a.2", "a.1", "a.0"]
        assert await listed(run_key="a", first=1, count=1) == ["a.1"]
        assert await listed(state=DeliveryState.DEAD) == ["a.0"]
        assert len(await listed()) == 6
        assert await store.outbox.find(DeliveryQuery("account/other")) == []

    on_store(scenario)


def test_a_removed_run_takes_what_was_to_be_told_with_it(on_store: OnStore, run: Made) -> None:
    async def scenario(store: Store) -> None:
        await started(store, run)
        (one,) = await due(store)
        await store.remove("run")

        await settle(store, one)
        assert (await due(store), await store.outbox.get("run.0")) == ([], None)

    on_store(scenario)


@pytest.mark.parametrize("status", (R.CREATED, R.READY))
def test_a_run_that_asks_for_nothing_has_nothing_told(
    on_store: OnStore, run: Made, status: RunStatus
) -> None:
    async def scenario(store: Store) -> None:
        await started(store, run, on_status_change=None, status=status)
        await store.change_status("run", change(R.STARTING))

        assert await store.outbox.counts() == {"pending": 0, "dead": 0}

    on_store(scenario)


def test_a_body_is_json_whatever_a_model_gives(on_store: OnStore, run: Made) -> None:
    async def scenario(store: Store) -> None:
        await started(store, run, status=R.READY)
        await store.change_status("run", change(R.EXECUTING, result={"ä": 2**64 - 1, "n": None, "f": 1e300}))

        (one,) = await due(store)
        assert json.loads(one.body or "")["result"] == {"ä": 2**64 - 1, "n": None, "f": 1e300}

    on_store(scenario)
