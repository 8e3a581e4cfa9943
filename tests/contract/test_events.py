"""What every store promises about events: with their write or not at all, numbered, told in order."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from protocol.errors import ErrorCode
from protocol.events import EventKind
from worker.errors import DuplicateRequestError, FencedError, LogUnavailableError, RequestError
from worker.log.base import Append, Creation, NewEvent, Rewind, Store, StoredEvent, StoredRequest
from worker.runs.history import EntryKind

OnStore = Callable[[Callable[[Store], Awaitable[None]]], None]
Made = Callable[..., Any]
DIGEST = b"d" * 16


def telling(text: str, kind: EventKind = EventKind.STATE, at_us: int = 5) -> tuple[NewEvent, ...]:
    return (NewEvent(kind, at_us, text.encode()),)


async def read(store: Store, run_key: str = "run", **page: int) -> list[tuple[int, str]]:
    events, _ = await store.read_events(run_key, **page)
    return [(event.event, event.body.decode()) for event in events]


def test_every_write_numbers_its_events_behind_those_before(
    on_store: OnStore, run: Made, entry: Made, appending: Made
) -> None:
    async def scenario(store: Store) -> None:
        heard: list[StoredEvent] = []
        store.listen(heard.append)
        await store.create(Creation(run(seq=1), (entry(1),), events=telling("made", EventKind.CREATED, 1)))
        await store.append(replace(appending(1), events=telling("a") + telling("b")))
        await store.append(appending(2))
        await store.add_events("run", telling("c", EventKind.EVICTED))
        await store.update(
            "run",
            lambda row: replace(row, closed=True),
            tell=lambda old, new: telling(f"{old.closed} {new.closed}", EventKind.CLOSED),
        )
        await store.update_metadata(
            "run",
            lambda _: {"x": 1},
            at_us=9,
            tell=lambda changed: telling(str(changed), EventKind.METADATA),
        )
        marker = entry(4, kind=EntryKind.REWIND)
        await store.rewind(Rewind("run", 1, 3, 1, marker, 9, events=telling("back", EventKind.REWOUND)))

        stored, head = await store.read_events("run")

        assert stored == heard
        assert (head, [event.event for event in stored]) == (7, [1, 2, 3, 4, 5, 6, 7])
        bodies = [event.body.decode() for event in stored]
        assert bodies == ["made", "a", "b", "c", "False True", "{'x': 1}", "back"]
        assert stored[0] == StoredEvent("run", 1, EventKind.CREATED, 1, b"made")

    on_store(scenario)


def test_a_write_that_fails_tells_nothing_and_uses_up_no_number(
    on_store: OnStore, run: Made, appending: Made
) -> None:
    async def scenario(store: Store) -> None:
        heard: list[StoredEvent] = []
        await store.create(Creation(run(), ()))
        await store.append(appending(0))
        store.listen(heard.append)

        def refuse(_: Any) -> Any:
            raise RequestError(ErrorCode.INVALID_REQUEST, "no")

        known = StoredRequest("request 1", "run", DIGEST)
        refused: list[tuple[type[Exception], Awaitable[Any]]] = [
            (FencedError, store.append(replace(appending(0, epoch=2), events=telling("x")))),
            (FencedError, store.append(replace(appending(5), events=telling("x")))),
            (DuplicateRequestError, store.append(replace(appending(1), request=known, events=telling("x")))),
            (RequestError, store.update("run", refuse, tell=lambda _old, _new: telling("x"))),
            (RequestError, store.update_metadata("run", refuse, at_us=1, tell=lambda _: telling("x"))),
            (RequestError, store.add_events("none", telling("x"))),
            (ValueError, store.create(Creation(run(), (), events=telling("x")))),
        ]
        for error, write in refused:
            with pytest.raises(error):
                await write
        assert heard == []
        assert await store.read_events("run") == ([], 0)
        await store.append(replace(appending(1), events=telling("first")))
        assert await read(store) == [(1, "first")]
        assert await store.read_events("none") == ([], 0)

    on_store(scenario)


def test_appends_to_many_runs_at_once_number_each_run_by_itself(
    on_store: OnStore, run: Made, appending: Made
) -> None:
    async def scenario(store: Store) -> None:
        heard: list[StoredEvent] = []
        keys = [f"run {number}" for number in range(40)]
        await asyncio.gather(*(store.create(Creation(run(key), (), events=telling("0"))) for key in keys))
        store.listen(heard.append)
        for head in range(5):
            appends: list[Append] = [
                # Every third tells nothing, every fifth is refused and makes its group be done one by one.
                replace(
                    appending(head, key, epoch=2 if number % 5 == head else 1),
                    events=() if number % 3 == 0 else telling(f"{head}a") + telling(f"{head}b"),
                )
                for number, key in enumerate(keys)
                if number % 5 >= head
            ]
            await asyncio.gather(*(store.append(item) for item in appends), return_exceptions=True)
        for number, key in enumerate(keys):
            texts = [text for head in range(number % 5) for text in (f"{head}a", f"{head}b")]
            expected = ["0", *([] if number % 3 == 0 else texts)]
            assert await read(store, key) == list(enumerate(expected, 1))
            mine = [event.body.decode() for event in heard if event.run_key == key]
            assert mine == expected[1:]

    on_store(scenario)


def test_events_are_told_before_the_write_returns_also_when_nobody_waits(
    on_store: OnStore, run: Made, appending: Made
) -> None:
    async def scenario(store: Store) -> None:
        heard: list[str] = []
        store.listen(lambda event: heard.append(event.body.decode()))
        await store.create(Creation(run(), ()))
        waiting = asyncio.ensure_future(store.append(replace(appending(0), events=telling("given up"))))
        await asyncio.sleep(0)
        waiting.cancel()
        await store.append(replace(appending(1), events=telling("waited for")))
        assert heard == ["given up", "waited for"]

    on_store(scenario)


def test_a_read_shows_what_was_submitted_before_it(on_store: OnStore, run: Made) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run(), ()))
        for count in range(1, 20):
            added = store.add_events("run", telling("x"))
            assert (await store.read_events("run"))[1] == count
            await added

    on_store(scenario)


def test_pages_go_on_behind_a_number_and_keep_to_their_bounds(on_store: OnStore, run: Made) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run(), ()))
        for text in ("aa", "bb", "cccccc", "d"):
            await store.add_events("run", telling(text))
        assert await read(store, after_event=1, limit=2) == [(2, "bb"), (3, "cccccc")]
        assert await read(store, max_bytes=4) == [(1, "aa"), (2, "bb")]
        assert await read(store, after_event=2, max_bytes=4) == [(3, "cccccc")]
        assert await read(store, after_event=4) == []
        assert (await store.read_events("run", limit=1))[1] == 4

    on_store(scenario)


def test_events_outlive_a_destructible_rewind_and_go_with_their_run(
    on_store: OnStore, run: Made, appending: Made
) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run(), ()))
        for head in range(3):
            await store.append(replace(appending(head), events=telling(str(head))))
        await store.rewind(Rewind("run", 1, 3, 1, None, 9, events=telling("back")))
        assert await read(store) == [(1, "0"), (2, "1"), (3, "2"), (4, "back")]
        await store.remove("run")
        assert await store.read_events("run") == ([], 0)
        await store.create(Creation(run(), (), events=telling("again")))
        assert await read(store) == [(1, "again")]

    on_store(scenario)


def test_a_closed_store_takes_and_gives_no_events(on_store: OnStore, run: Made) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run(), ()))
        await store.close()
        with pytest.raises(LogUnavailableError):
            await store.add_events("run", telling("late"))
        with pytest.raises(LogUnavailableError):
            await store.read_events("run")

    on_store(scenario)
