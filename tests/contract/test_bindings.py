"""Which run a world has, and a project's singular one, in every store."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import ErrorCode
from worker.errors import DuplicateRequestError, FencedError, RequestError
from worker.log.base import Binding, Creation, Store, StoredRequest
from worker.log.sqlite import SqliteStore
from worker.runs.record import RunRecord

OnStore = Callable[[Callable[[Store], Awaitable[None]]], None]
Run = Callable[..., RunRecord]
DIGEST = b"q" * 16
NIL = b"\xc0"
WORLD = Binding("", "w")
SINGULAR = Binding("")


def asked(request_id: str, run_key: str = "run") -> StoredRequest:
    return StoredRequest(request_id, run_key, DIGEST, result=NIL)


def as_it_is(row: RunRecord) -> RunRecord:
    return row


def closed(row: RunRecord) -> RunRecord:
    return replace(row, closed=True)


def hidden(row: RunRecord) -> RunRecord:
    return replace(row, hidden=True)


def shown(row: RunRecord) -> RunRecord:
    return replace(row, hidden=False)


async def create_bound(store: Store, row: RunRecord, binding: Binding) -> None:
    await store.create(Creation(row, (), binding=binding))


def test_a_run_is_bound_with_its_creation_and_to_nothing_else(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        assert await store.bound_run(WORLD) is None

        await create_bound(store, run("one"), WORLD)

        assert await store.bound_run(WORLD) == "one"
        for other in (SINGULAR, Binding("", "v"), Binding("account/project", "w")):
            assert await store.bound_run(other) is None

    on_store(scenario)


def test_a_second_run_for_a_binding_is_refused_and_leaves_nothing(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await create_bound(store, run("one"), SINGULAR)

        with pytest.raises(FencedError, match="one"):
            await store.create(Creation(run("two"), (), request=asked("made", "two"), binding=SINGULAR))

        assert await store.bound_run(SINGULAR) == "one"
        assert await store.get("two") is None
        assert store.find_request("made") == []

    on_store(scenario)


@pytest.mark.parametrize("ended", (closed, hidden))
def test_a_binding_whose_run_is_closed_or_hidden_is_free(
    on_store: OnStore, run: Run, ended: Callable[[RunRecord], RunRecord]
) -> None:
    async def scenario(store: Store) -> None:
        await create_bound(store, run("one"), WORLD)
        await store.update("one", ended)
        assert await store.bound_run(WORLD) is None

        await create_bound(store, run("two"), WORLD)

        assert await store.bound_run(WORLD) == "two"

    on_store(scenario)


def test_a_run_shown_again_is_bound_again_unless_another_took_its_place(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await create_bound(store, run("one"), WORLD)
        await store.update("one", hidden)
        await store.update("one", shown)
        assert await store.bound_run(WORLD) == "one"

        await store.update("one", hidden)
        await create_bound(store, run("two"), WORLD)
        await store.update("one", shown)

        assert await store.bound_run(WORLD) == "two"

    on_store(scenario)


def test_bind_replaces_what_was_bound_edits_the_row_and_stores_the_request(
    on_store: OnStore, run: Run
) -> None:
    async def scenario(store: Store) -> None:
        await create_bound(store, run("one"), WORLD)
        await store.create(Creation(run("two"), ()))
        request = asked("assigned", "two")

        row = await store.bind(WORLD, "two", lambda row: replace(row, tracking_key="t"), request)

        assert await store.bound_run(WORLD) == "two"
        assert row == await store.get("two") == replace(run("two"), tracking_key="t")
        assert await store.get("one") == run("one")
        assert store.find_request("assigned") == [request]

    on_store(scenario)


def test_a_run_may_have_several_bindings(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await create_bound(store, run(), SINGULAR)
        await store.bind(WORLD, "run", as_it_is, asked("assigned"))

        assert await store.bound_run(SINGULAR) == await store.bound_run(WORLD) == "run"

    on_store(scenario)


@pytest.mark.parametrize(
    ("fields", "code"),
    (
        ({"closed": True}, ErrorCode.RUN_CLOSED),
        ({"hidden": True}, ErrorCode.INVALID_REQUEST),
        (None, ErrorCode.RUN_NOT_FOUND),
    ),
)
def test_bind_refuses_a_run_that_would_not_count_and_changes_nothing(
    on_store: OnStore, run: Run, fields: dict[str, bool] | None, code: ErrorCode
) -> None:
    async def scenario(store: Store) -> None:
        await create_bound(store, run("one"), WORLD)
        if fields is not None:
            await store.create(Creation(run("two", **fields), ()))

        with pytest.raises(RequestError) as refused:
            await store.bind(WORLD, "two", as_it_is, asked("assigned", "two"))

        assert refused.value.code is code
        assert await store.bound_run(WORLD) == "one"
        assert store.find_request("assigned") == []

    on_store(scenario)


def test_a_repeated_bind_or_unbind_is_refused(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run("one"), ()))
        await store.create(Creation(run("two"), ()))
        await store.bind(WORLD, "one", as_it_is, asked("assigned", "one"))
        await store.bind(WORLD, "two", as_it_is, asked("assigned", "two"))
        with pytest.raises(DuplicateRequestError):
            await store.bind(WORLD, "one", as_it_is, asked("assigned", "one"))
        assert await store.bound_run(WORLD) == "two"

        await store.unbind(WORLD, asked("freed", ""))
        await store.bind(WORLD, "one", as_it_is, asked("again", "one"))
        with pytest.raises(DuplicateRequestError):
            await store.unbind(WORLD, asked("freed", ""))

        assert await store.bound_run(WORLD) == "one"

    on_store(scenario)


def test_unbind_leaves_the_run_and_is_idempotent(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await create_bound(store, run(), WORLD)

        await store.unbind(WORLD, asked("freed", ""))
        await store.unbind(WORLD)

        assert await store.bound_run(WORLD) is None
        assert await store.get("run") == run()
        assert store.find_request("freed") == [asked("freed", "")]

    on_store(scenario)


def test_removing_a_run_frees_its_bindings(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await create_bound(store, run(), WORLD)
        await store.bind(SINGULAR, "run", as_it_is, asked("assigned"))

        await store.remove("run")

        assert await store.bound_run(WORLD) is None
        assert await store.bound_run(SINGULAR) is None

    on_store(scenario)


def test_bindings_outlive_the_store(tmp_path: Path, run: Run) -> None:
    async def first() -> None:
        store = await SqliteStore.open(tmp_path)
        await create_bound(store, run("one"), WORLD)
        await create_bound(store, run("two"), SINGULAR)
        await store.bind(Binding("", "v"), "one", as_it_is, asked("assigned", "one"))
        await store.close()

    async def second() -> None:
        store = await SqliteStore.open(tmp_path)
        found = [await store.bound_run(binding) for binding in (WORLD, SINGULAR, Binding("", "v"))]
        await store.close()
        assert found == ["one", "two", "one"]

    asyncio.run(first())
    asyncio.run(second())
