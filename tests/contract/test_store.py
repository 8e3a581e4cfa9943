"""The action log of every store: append, fence, request, rewind, read."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from protocol.errors import ErrorCode
from worker.errors import DuplicateRequestError, FencedError, LogUnavailableError, RequestError
from worker.log.base import Append, Creation, Rewind, Store, StoredRequest
from worker.runs.history import EntryKind, LogEntry, OutcomeStatus
from worker.runs.record import RunRecord

OnStore = Callable[[Callable[[Store], Awaitable[None]]], None]
Run = Callable[..., RunRecord]
Entry = Callable[..., LogEntry]
Appending = Callable[..., Append]
Grown = Callable[..., Awaitable[None]]
DIGEST = b"q" * 16


async def image(store: Store, run_key: str = "run") -> object:
    """All that can be read of a run, to show that nothing changed."""
    return (
        await store.get(run_key),
        await store.read(run_key),
        await store.read_variables(run_key),
        await store.read_metadata(run_key),
        [store.find_request(f"request {n}") for n in range(12)],
        await store.count(),
    )


def test_append_adds_entries_records_and_request_and_moves_the_head(
    on_store: OnStore, appending: Appending, grown: Grown
) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 1)
        append = appending(1, count=3, at_us=77, records={"x": b"\x01", "y": b"\x02"})

        await store.append(append)

        assert (await store.read("run"))[1:] == list(append.entries)
        run = await store.get("run")
        assert run is not None
        assert (run.seq, run.last_operated_us, run.last_modified_us) == (4, 77, 77)
        assert await store.read_variables("run") == {"x": b"\x01", "y": b"\x02"}
        assert store.find_request("request 2") == [append.request]

    on_store(scenario)


def test_every_field_of_an_entry_comes_back(on_store: OnStore, entry: Entry, run: Run) -> None:
    async def scenario(store: Store) -> None:
        plain = entry(1, request_id=None)
        full = entry(
            2,
            kind=EntryKind.SET,
            actor=b"\x80",
            status=OutcomeStatus.ERROR,
            outcome=b"",
            request_id="é\0x",
            batch=3,
            rewound_by=3,
        )
        marker = entry(3, kind=EntryKind.REWIND)
        await store.create(Creation(run(seq=3), (plain, full, marker)))

        assert await store.read("run") == [plain, full, marker]
        assert all(type(item.kind) is EntryKind for item in await store.read("run"))
        assert all(type(item.status) is OutcomeStatus for item in await store.read("run"))

    on_store(scenario)


def test_records_overwrite_by_name_and_keep_the_others(
    on_store: OnStore, appending: Appending, grown: Grown
) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 0, records={"x": b"old", "z": b"kept"})

        await store.append(appending(0, records={"x": b"new"}))

        assert await store.read_variables("run") == {"x": b"new", "z": b"kept"}
        assert await store.read_variables("run", ["z", "none"]) == {"z": b"kept"}
        assert await store.read_variables("run", []) == {}
        assert await store.read_variables("unknown") == {}

    on_store(scenario)


def test_an_append_without_entries_stores_its_records(on_store: OnStore, grown: Grown) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 1)

        await store.append(Append("run", 1, 1, (), 50, {"x": b"1"}))

        run = await store.get("run")
        assert run is not None
        assert (run.seq, run.last_operated_us) == (1, 50)
        assert await store.read_variables("run") == {"x": b"1"}

    on_store(scenario)


@pytest.mark.parametrize(("epoch", "head"), ((0, 2), (2, 2), (1, 1), (1, 3)))
def test_a_writer_of_another_epoch_or_head_is_fenced_and_leaves_nothing(
    epoch: int, head: int, on_store: OnStore, appending: Appending, grown: Grown
) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 2)
        before = await image(store)

        with pytest.raises(FencedError) as caught:
            await store.append(
                appending(
                    head,
                    epoch=epoch,
                    records={"x": b"1"},
                    request=StoredRequest("request 9", "run", DIGEST, head + 1, head + 1),
                )
            )

        assert caught.value.information == {
            "run_key": "run",
            "epoch": epoch,
            "head_seq": head,
            "current_epoch": 1,
            "current_seq": 2,
        }
        assert await image(store) == before

    on_store(scenario)


def test_a_claim_fences_the_writer_before_it(on_store: OnStore, appending: Appending, grown: Grown) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 1)

        claimed = await store.claim("run")

        assert claimed.epoch == 2
        assert claimed == await store.get("run")
        with pytest.raises(FencedError):
            await store.append(appending(1, epoch=1))
        await store.append(appending(1, epoch=2))
        assert [item.epoch for item in await store.read("run")] == [1, 2]

    on_store(scenario)


def test_a_recorded_request_is_refused_and_leaves_nothing(
    on_store: OnStore, appending: Appending, grown: Grown
) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 2)
        before = await image(store)
        known = StoredRequest("request 1", "run", DIGEST, 3, 3)

        with pytest.raises(DuplicateRequestError):
            await store.append(appending(2, records={"x": b"1"}, request=known))
        with pytest.raises(DuplicateRequestError):
            await store.rewind(Rewind("run", 1, 2, 1, None, 9, {"x": b"1"}, known))
        with pytest.raises(DuplicateRequestError):
            await store.update("run", lambda _: pytest.fail("a repetition is not applied"), known)
        with pytest.raises(DuplicateRequestError):
            await store.update_metadata(
                "run", lambda _: pytest.fail("a repetition is not applied"), known, at_us=9
            )
        assert await image(store) == before

    on_store(scenario)


def test_one_request_id_stands_for_one_request_per_run(
    on_store: OnStore, appending: Appending, run: Run
) -> None:
    async def scenario(store: Store) -> None:
        requests = [StoredRequest("many", key, DIGEST, 1, 1) for key in ("a", "b")]
        for request in reversed(requests):
            await store.create(Creation(run(request.run_key), ()))
            await store.append(appending(0, request.run_key, request=request))

        assert store.find_request("many") == requests
        assert store.find_request("none") == []

    on_store(scenario)


def test_an_unknown_run_is_named(on_store: OnStore, appending: Appending, entry: Entry) -> None:
    async def scenario(store: Store) -> None:
        for write in (
            store.append(appending(0)),
            store.rewind(Rewind("run", 1, 1, 1, None, 9)),
            store.claim("run"),
            store.update("run", lambda row: row),
            store.update_metadata("run", lambda _: {}, at_us=1),
        ):
            with pytest.raises(RequestError) as caught:
                await write
            assert caught.value.code is ErrorCode.RUN_NOT_FOUND
            assert caught.value.information == {"run_key": "run"}
        assert await store.read("run") == []
        assert await store.get("run") is None
        assert store.find_request("request 1") == []

    on_store(scenario)


def test_what_only_a_bug_can_ask_for_is_refused_before_it_is_tried(
    on_store: OnStore, appending: Appending, entry: Entry, run: Run, grown: Grown
) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 3)
        before = await image(store)
        for write in (
            store.append(appending(3, entries=(entry(5),))),
            store.append(appending(3, entries=(entry(4), entry(6)))),
            store.append(appending(3, entries=(entry(4, epoch=2),))),
            store.rewind(Rewind("run", 1, 3, 0, None, 9)),
            store.rewind(Rewind("run", 1, 3, 4, None, 9)),
            store.rewind(Rewind("run", 1, 3, 1, entry(5, kind=EntryKind.REWIND), 9)),
            store.create(Creation(run("other", seq=2), (entry(1),))),
            store.create(Creation(run("other", seq=1), (entry(2),))),
            store.create(Creation(run("run"), ())),
            store.update("run", lambda row: replace(row, epoch=9)),
        ):
            with pytest.raises(ValueError, match="run"):
                await write
        assert await image(store) == before

    on_store(scenario)


def test_concurrent_appenders_keep_the_order_of_each_run(
    on_store: OnStore, appending: Appending, run: Run
) -> None:
    async def scenario(store: Store) -> None:
        keys = [f"run {n}" for n in range(20)]
        await asyncio.gather(*(store.create(Creation(run(key), ())) for key in keys))

        # Submitted without waiting for one another: only the order of submission makes them fit.
        await asyncio.gather(
            *(
                store.append(appending(head, key, request=StoredRequest(f"{key}/{head}", key, DIGEST)))
                for head in range(40)
                for key in keys
            )
        )

        for key in keys:
            assert [item.seq for item in await store.read(key)] == list(range(1, 41))
        assert store.pending_writes == 0

    on_store(scenario)


@pytest.mark.parametrize("fenced", ((), (4, 5)))
@pytest.mark.parametrize("repeated", ((), (1, 7)))
def test_one_failing_write_fails_no_other(
    fenced: tuple[int, ...], repeated: tuple[int, ...], on_store: OnStore, appending: Appending, run: Run
) -> None:
    async def scenario(store: Store) -> None:
        keys = [f"run {n}" for n in range(30)]
        known = StoredRequest("known", "shared", DIGEST)
        await store.create(Creation(run("shared"), (), request=known))
        await asyncio.gather(*(store.create(Creation(run(key), ())) for key in keys))

        results = await asyncio.gather(
            *(
                store.append(
                    appending(
                        1 if n in fenced else 0,
                        key,
                        records={"x": b"1"},
                        request=known if n in repeated else StoredRequest(key, key, DIGEST),
                    )
                )
                for n, key in enumerate(keys)
            ),
            return_exceptions=True,
        )

        assert {n for n, result in enumerate(results) if isinstance(result, FencedError)} == {*fenced}
        assert {n for n, result in enumerate(results) if isinstance(result, DuplicateRequestError)} == {
            *repeated
        }
        for n, key in enumerate(keys):
            done = n not in fenced and n not in repeated
            row = await store.get(key)
            assert row is not None
            assert row.seq == len(await store.read(key)) == len(store.find_request(key)) == int(done)
            assert await store.read_variables(key) == ({"x": b"1"} if done else {})

    on_store(scenario)


def test_a_repetition_that_races_its_original_is_refused(
    on_store: OnStore, appending: Appending, grown: Grown
) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 0)
        request = StoredRequest("once", "run", DIGEST, 1, 1)

        first, second = await asyncio.gather(
            store.append(appending(0, request=request)),
            store.append(appending(1, request=request)),
            return_exceptions=True,
        )

        assert first is None
        assert isinstance(second, DuplicateRequestError)
        assert len(await store.read("run")) == 1

    on_store(scenario)


def test_read_pages_in_order(on_store: OnStore, grown: Grown) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 10)

        assert [item.seq for item in await store.read("run", limit=4)] == [1, 2, 3, 4]
        assert [item.seq for item in await store.read("run", after_seq=4, limit=4)] == [5, 6, 7, 8]
        assert [item.seq for item in await store.read("run", after_seq=8, limit=4)] == [9, 10]
        assert await store.read("run", after_seq=10) == []
        assert [item.seq for item in await store.read("run", after_seq=3, max_bytes=1)] == [4]
        assert await store.read("unknown") == []

    on_store(scenario)


def test_close_finishes_what_was_submitted_and_refuses_the_rest(
    on_store: OnStore, appending: Appending, grown: Grown
) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 0)
        appends = [asyncio.ensure_future(store.append(appending(head))) for head in range(50)]
        await asyncio.sleep(0)

        await asyncio.gather(store.close(), store.close())
        await store.close()

        assert await asyncio.gather(*appends) == [None] * 50
        for refused in (
            store.append(appending(50)),
            store.create(Creation((await _row(store)), ())),
            store.claim("run"),
            store.remove("run"),
            store.read("run"),
            store.get("run"),
            store.count(),
            store.read_variables("run"),
            store.read_metadata("run"),
        ):
            with pytest.raises(LogUnavailableError, match="closed"):
                await refused
        with pytest.raises(LogUnavailableError, match="closed"):
            store.find_request("request 1")

    async def _row(store: Store) -> RunRecord:
        return RunRecord("other", "m", "python", "f", 1, 1, 1, {}, {})

    on_store(scenario)


def test_a_given_up_append_still_takes_place(on_store: OnStore, appending: Appending, grown: Grown) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 0)
        given_up = asyncio.ensure_future(store.append(appending(0)))
        await asyncio.sleep(0)
        given_up.cancel()

        await store.append(appending(1))

        assert [item.seq for item in await store.read("run")] == [1, 2]

    on_store(scenario)
