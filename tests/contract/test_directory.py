"""The run directory and the archive of every store: rows, metadata, creation, removal."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from worker.errors import DuplicateRequestError
from worker.log.base import Append, Creation, Store, StoredRequest
from worker.runs.history import LogEntry
from worker.runs.record import RunRecord

OnStore = Callable[[Callable[[Store], Awaitable[None]]], None]
Run = Callable[..., RunRecord]
Entry = Callable[..., LogEntry]
Grown = Callable[..., Awaitable[None]]
DIGEST = b"q" * 16

FULL: dict[str, Any] = {
    "model_version": 2.5,
    "morphology": "SINGULAR",
    "execution_context": {"presets": [1, 2**63, None, "é\0"], "nested": {"a": 0.1}},
    "tracking_key": "t",
    "marked": True,
    "hidden": True,
    "closed": True,
    "allow_channel": True,
    "ephemeral": True,
    "perpetual": True,
    "grammar": "g",
    "address": {"world_key": "w"},
    "user": {"name": "u"},
    "last_operated_us": 11,
    "epoch": 4,
    "seed": 2**63 - 1,
    "cloned_from": "parent",
    "compare_after_seq": 1,
    "project": "a/b",
    "scope": {"scope_boundary": "WORLD", "scope_key": "s", "user_key": "u"},
}


def test_create_stores_row_history_archive_metadata_and_request(
    on_store: OnStore, run: Run, entry: Entry
) -> None:
    async def scenario(store: Store) -> None:
        row = run(seq=2, **FULL)
        entries = (entry(1, epoch=9), entry(2, epoch=1))
        request = StoredRequest("made", "run", DIGEST, 1, 2, b"\xc0")

        await store.create(Creation(row, entries, {"x": b"1"}, {"m": [1, {"a": None}]}, request))

        assert await store.get("run") == row
        assert await store.read("run") == list(entries)
        assert await store.read_variables("run") == {"x": b"1"}
        assert await store.read_metadata("run") == {"m": [1, {"a": None}]}
        assert store.find_request("made") == [request]
        assert await store.count() == 1

    on_store(scenario)


def test_a_repeated_creation_is_refused_and_leaves_nothing(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        creation = Creation(run("first"), (), request=StoredRequest("made", "first", DIGEST))
        await store.create(creation)

        with pytest.raises(DuplicateRequestError):
            await store.create(creation)
        with pytest.raises(DuplicateRequestError):
            await store.create(Creation(run("second"), (), {"x": b"1"}, {"m": 1}, creation.request))

        assert await store.count() == 1
        assert await store.get("second") is None
        assert await store.read_variables("second") == {}
        assert await store.read_metadata("second") == {}

    on_store(scenario)


def test_claims_raise_the_epoch_one_by_one_and_nothing_else(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        row = run(**FULL)
        await store.create(Creation(row, ()))

        claimed = await asyncio.gather(*(store.claim("run") for _ in range(5)))

        assert claimed == [replace(row, epoch=epoch) for epoch in range(5, 10)]

    on_store(scenario)


def test_update_stores_what_the_edit_returns_and_its_rendering(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run(), ()))
        edited = {name: value for name, value in FULL.items() if name not in ("epoch", "seed", "project")}
        request = StoredRequest("edit", "run", DIGEST)

        new = await store.update(
            "run", lambda row: replace(row, **edited), request, lambda row: str(row.tracking_key).encode()
        )

        assert new == run(**edited)
        assert await store.get("run") == new
        assert store.find_request("edit") == [replace(request, result=b"t")]

    on_store(scenario)


def test_concurrent_updates_see_one_another(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run(last_modified_us=0), ()))

        await asyncio.gather(
            *(
                store.update("run", lambda row: replace(row, last_modified_us=row.last_modified_us + 1))
                for _ in range(50)
            )
        )

        row = await store.get("run")
        assert row is not None
        assert row.last_modified_us == 50

    on_store(scenario)


class EditRefusedError(Exception):
    """What a test's own edit raises."""


def test_an_edit_that_raises_reaches_the_caller_and_leaves_nothing(on_store: OnStore, run: Run) -> None:
    def refuse(_: Any) -> Any:
        raise EditRefusedError

    async def scenario(store: Store) -> None:
        await store.create(Creation(run(), (), metadata={"m": 1}))
        request = StoredRequest("edit", "run", DIGEST)

        with pytest.raises(EditRefusedError):
            await store.update("run", refuse, request)
        with pytest.raises(EditRefusedError):
            await store.update("run", lambda row: replace(row, marked=True), request, refuse)
        with pytest.raises(EditRefusedError):
            await store.update_metadata("run", refuse, request, at_us=99)

        assert await store.get("run") == run()
        assert await store.read_metadata("run") == {"m": 1}
        assert store.find_request("edit") == []

    on_store(scenario)


def test_rows_and_metadata_are_not_shared_with_callers(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        row = run()
        metadata = {"list": [1]}
        await store.create(Creation(row, (), metadata=metadata))
        row.scope["scope_key"] = "spoilt"
        metadata["list"].append(2)

        read = await store.get("run")
        assert read == run()
        read.scope["scope_key"] = "spoilt"
        (await store.read_metadata("run"))["list"].append(3)

        assert await store.get("run") == run()
        assert await store.read_metadata("run") == {"list": [1]}

    on_store(scenario)


def test_metadata_edits_store_and_return_the_changed_names(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run(), (), metadata={"kept": 1, "list": [1]}))
        request = StoredRequest("meta", "run", DIGEST)

        changed = await store.update_metadata(
            "run", lambda now: {"list": [*now["list"], 2], "new": {"a": 2**64 - 1}}, request, at_us=99
        )

        assert changed == {"list": [1, 2], "new": {"a": 2**64 - 1}}
        assert await store.read_metadata("run") == {"kept": 1} | changed
        assert await store.read_metadata("run", ["kept", "none"]) == {"kept": 1}
        assert await store.read_metadata("unknown") == {}
        stored = store.find_request("meta")[0]
        assert stored == replace(request, result=stored.result)
        assert stored.result is not None
        assert msgpack.unpackb(stored.result) == changed
        row = await store.get("run")
        assert row == run(last_modified_us=99)

    on_store(scenario)


def test_a_name_list_may_be_long(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        records = {f"name {n}": b"%d" % n for n in range(10_000)}
        await store.create(Creation(run(), (), records, dict.fromkeys(records, 1)))

        assert await store.read_variables("run", list(records)) == records
        assert len(await store.read_metadata("run", list(records))) == 10_000

    on_store(scenario)


def test_remove_deletes_all_of_one_run_and_nothing_of_another(
    on_store: OnStore, run: Run, entry: Entry, grown: Grown
) -> None:
    async def scenario(store: Store) -> None:
        for key in ("gone", "kept"):
            await store.create(
                Creation(
                    run(key, seq=1),
                    (entry(1),),
                    {"x": b"1"},
                    {"m": 1},
                    StoredRequest("shared", key, DIGEST, 1, 1),
                )
            )

        await store.remove("gone")
        await store.remove("gone")

        assert await store.get("gone") is None
        assert await store.read("gone") == []
        assert await store.read_variables("gone") == {}
        assert await store.read_metadata("gone") == {}
        assert [request.run_key for request in store.find_request("shared")] == ["kept"]
        assert await store.count() == 1
        assert len(await store.read("kept")) == 1
        assert await store.read_variables("kept") == {"x": b"1"}
        assert await store.read_metadata("kept") == {"m": 1}
        # The key is free again, and nothing of the former run shows through.
        await store.create(Creation(run("gone"), (), request=StoredRequest("shared", "gone", DIGEST)))
        await store.append(Append("gone", 1, 0, (entry(1),), 9))
        assert await store.read_variables("gone") == {}

    on_store(scenario)
