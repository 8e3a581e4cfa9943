"""Going back, in every store: by a marker, by deletion, and what requests are answered afterwards."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import msgpack
import pytest

from worker.errors import FencedError
from worker.log.base import Append, Rewind, Store, StoredRequest
from worker.runs.history import PAGE_BYTES, EntryKind, LogEntry, replayable

OnStore = Callable[[Callable[[Store], Awaitable[None]]], None]
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


def test_a_marker_takes_back_what_was_not_taken_back_before(
    on_store: OnStore, appending: Appending, entry: Entry, grown: Grown
) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 4, records={"x": b"1", "y": b"2"})
        first = entry(5, kind=EntryKind.REWIND)
        second = entry(7, kind=EntryKind.REWIND)

        await store.rewind(Rewind("run", 1, 4, 3, first, 60, {"x": b"0"}))
        await store.append(appending(5))
        request = StoredRequest("back", "run", DIGEST, result=b"\xc0")
        await store.rewind(Rewind("run", 1, 6, 2, second, 70, {"z": b"9"}, request))

        entries = await store.read("run")
        assert [item.rewound_by for item in entries] == [None, None, 7, 5, 7, 7, None]
        assert entries[-1] == second
        row = await store.get("run")
        assert row is not None
        assert (row.seq, row.last_operated_us, row.last_modified_us) == (7, 70, 70)
        assert await store.read_variables("run") == {"z": b"9"}
        assert store.find_request("back") == [request]
        assert await store.read_outcomes(store.find_request("request 4")[0]) == [
            ("completed", b"action 4", b"outcome 4")
        ]

    on_store(scenario)


def test_what_is_kept_of_a_tail_follows_the_marker(
    on_store: OnStore, appending: Appending, entry: Entry, grown: Grown
) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 4)
        marker, kept = entry(5, kind=EntryKind.REWIND), (entry(6), entry(7))
        with pytest.raises(ValueError, match="where 6 must follow"):
            await store.rewind(Rewind("run", 1, 4, 2, marker, 60, kept=kept[1:]))
        with pytest.raises(ValueError, match="without a marker"):
            await store.rewind(Rewind("run", 1, 4, 2, None, 60, kept=(entry(3),)))

        await store.rewind(Rewind("run", 1, 4, 2, marker, 60, kept=kept))
        await store.append(appending(7))

        entries = await store.read("run")
        assert [item.rewound_by for item in entries] == [None, None, 5, 5, None, None, None, None]
        assert tuple(entries[4:7]) == (marker, *kept)
        assert [one[0] for one in await store.read_replayable("run")] == [2, 6, 7, 8]

    on_store(scenario)


def test_a_replay_reads_the_actions_that_stand_page_by_page(
    on_store: OnStore, appending: Appending, entry: Entry, grown: Grown
) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 6)
        await store.rewind(Rewind("run", 1, 6, 3, entry(7, kind=EntryKind.REWIND), 60, {}))
        await store.append(appending(7))
        await store.append(appending(8))

        expected = replayable(await store.read("run"))
        assert [one[0] for one in expected] == [2, 3, 8, 9]
        assert await store.read_replayable("run") == expected
        assert await store.read_replayable("run", limit=3) == expected[:3]
        assert await store.read_replayable("run", after_seq=3, limit=1) == expected[2:3]
        assert await store.read_replayable("run", after_seq=8, limit=1) == expected[3:]
        assert await store.read_replayable("run", through_seq=8) == expected[:3]
        assert await store.read_replayable("run", after_seq=9) == []
        assert await store.read_replayable("unknown") == []

    on_store(scenario)


def test_pages_of_large_actions_end_early_and_lose_none(
    on_store: OnStore, appending: Appending, entry: Entry, grown: Grown
) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 1)
        for head in range(1, 6):
            large = entry(head + 1, action=b"x" * (PAGE_BYTES * 2 // 5), request_id=f"request {head + 1}")
            await store.append(replace(appending(head), entries=(large,)))

        assert [item.seq for item in await store.read("run")] == [1, 2, 3]
        assert [item.seq for item in await store.read("run", after_seq=1)] == [2, 3]
        assert [one[0] for one in await store.read_replayable("run")] == [2, 3]
        assert [one[0] for one in await store.read_replayable("run", after_seq=3)] == [4, 5]
        assert [one[0] for one in await store.read_replayable("run", after_seq=5)] == [6]

    on_store(scenario)


def test_a_rewind_by_another_epoch_or_head_changes_nothing(
    on_store: OnStore, entry: Entry, grown: Grown
) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 4, records={"x": b"1"})
        before = await image(store)

        with pytest.raises(FencedError):
            await store.rewind(Rewind("run", 1, 3, 2, entry(4, kind=EntryKind.REWIND), 60))
        with pytest.raises(FencedError):
            await store.rewind(Rewind("run", 2, 4, 2, None, 60))
        assert await image(store) == before

    on_store(scenario)


def test_a_destructible_rewind_deletes_the_tail_and_keeps_its_answers(
    on_store: OnStore, appending: Appending, grown: Grown
) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 2, records={"x": b"1"})
        await store.append(appending(2, count=3))
        held = store.find_request("request 3")[0]
        answer = await store.read_outcomes(held)
        assert answer == [("completed", b"action %d" % n, b"outcome %d" % n) for n in (3, 4, 5)]

        await store.rewind(Rewind("run", 1, 5, 1, None, 60, {"y": b"2"}))
        later = StoredRequest("later", "run", DIGEST, 2, 4)
        await store.append(appending(1, count=3, request=later))

        row = await store.get("run")
        assert row is not None
        assert row.seq == 4
        assert [item.seq for item in await store.read("run")] == [1, 2, 3, 4]
        assert await store.read_variables("run") == {"y": b"2"}
        kept = store.find_request("request 3")[0]
        assert kept.result is not None
        assert msgpack.unpackb(kept.result)["outcomes"][0] == ["completed", b"action 3", b"outcome 3"]
        assert await store.read_outcomes(kept) == answer
        # Looked up before the rewind, answered after it: the new entries' numbers must not mislead.
        assert await store.read_outcomes(held) == answer
        await store.rewind(Rewind("run", 1, 4, 1, None, 80))
        assert await store.read_outcomes(held) == answer
        assert len(await store.read_outcomes(later)) == 3
        assert store.find_request("request 1")[0].result is None

    on_store(scenario)


def test_the_outcomes_of_another_kind_of_request_are_a_bug(on_store: OnStore, grown: Grown) -> None:
    async def scenario(store: Store) -> None:
        await grown(store, 1)
        await store.update_metadata("run", lambda _: {"a": 1}, StoredRequest("meta", "run", DIGEST), at_us=1)

        with pytest.raises(ValueError, match="meta"):
            await store.read_outcomes(store.find_request("meta")[0])

    on_store(scenario)
