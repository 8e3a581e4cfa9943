"""The profiles of runs and their durable status, in every store."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.entities import RunStatus
from protocol.errors import ErrorCode
from protocol.events import EventKind
from worker.channel import pack, unpack
from worker.errors import DuplicateRequestError, FencedError, RequestError
from worker.log.base import Append, Creation, NewEvent, Store, StoredRequest
from worker.log.sqlite import SqliteStore
from worker.log.sqlite_files import migrate, migrations
from worker.runs.profile import RunProfile, StatusChange, Usage, default_profile
from worker.runs.record import RunRecord
from worker.runs.status import IllegalStatusError

OnStore = Callable[[Callable[[Store], Awaitable[None]]], None]
Run = Callable[..., RunRecord]
Appending = Callable[..., Append]
DIGEST = b"q" * 16

WHOLE = RunProfile(
    run_key="run",
    project="",
    name="a name, ä",
    status=RunStatus.CREATED,
    environment="numbers",
    run_id="my-run",
    request_digest=DIGEST,
    finish_reason=None,
    error={"code": "X", "message": "m"},
    parent="another",
    created_by="user:1",
    updated_by="user:2",
    config_id="c",
    config_version=3,
    source_type="api",
    source={"type": "api", "label": ""},
    tags=("b", "a"),
    evaluation={"score": 0.37},
    ttl_seconds=60,
    expires_us=70_000_000,
    test=True,
    interactive=False,
    reasoning_traces=False,
    call_summarization=False,
    attached_functions=[{"function": "f"}],
    on_status_change={"webhook": "https://example.org/"},
    result_mode="strict",
    parameters=[1, {"x": None}],
    result=0,
    result_errors=[],
    result_schema=False,
    context={"a": {"b": [1]}},
    course={"actions": []},
    pending={"action_id": "3"},
)


async def start(store: Store, row: RunRecord, **profile: object) -> RunProfile:
    """A run that is created, without a history."""
    fields: dict[str, object] = {"status": RunStatus.CREATED, "course": {}} | profile
    made = default_profile(row, **fields)
    await store.create(Creation(row, (), profile=made))
    return made


async def told(store: Store, run_key: str = "run") -> list[dict[str, object]]:
    events, _ = await store.read_events(run_key)
    return [unpack(event.body) for event in events if event.kind is EventKind.STATUS]


def test_a_profile_is_kept_whole(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run(), (), profile=WHOLE))

        assert await store.read_profile("run") == WHOLE
        assert await store.read_profile("nobody") is None

    on_store(scenario)


def test_a_run_that_says_nothing_of_itself_has_a_profile_with_defaults(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        row = run(created_us=1_764_585_512_000_000, cloned_from="source", user={"user_key": "ann"})
        await store.create(Creation(row, ()))

        profile = await store.read_profile("run")

        assert profile == RunProfile(
            "run",
            "",
            "model.py: 2025-12-01T10:38:32Z",
            parent="source",
            created_by="ann",
            reasoning_traces=False,
            call_summarization=False,
        )
        assert (profile.status, profile.environment, profile.interactive) == (
            RunStatus.READY,
            "default",
            True,
        )

    on_store(scenario)


def test_a_run_id_names_one_run_of_its_project(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await start(store, run("one"), run_id="mine")
        await start(store, run("other", project="a/b"), run_id="mine")

        with pytest.raises(FencedError, match="one"):
            await start(store, run("two"), run_id="mine")

        assert await store.find_run_id("", "mine") == "one"
        assert await store.find_run_id("a/b", "mine") == "other"
        assert await store.find_run_id("", "theirs") is None
        assert await store.get("two") is None
        assert await store.read_profile("two") is None

        await store.remove("one")
        assert await store.find_run_id("", "mine") is None
        assert await store.read_profile("one") is None
        await start(store, run("two"), run_id="mine")
        assert await store.find_run_id("", "mine") == "two"

    on_store(scenario)


def test_the_status_changes_in_order_counts_and_is_told(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await start(store, run())
        error = {"code": "BOOT_TIMEOUT", "message": "m"}

        first = await store.change_status("run", StatusChange(RunStatus.STARTING, 20))
        failed = await store.change_status(
            "run", StatusChange(RunStatus.FAILED, 30, reason="failed_init", error=error)
        )
        again = await store.change_status(
            "run",
            StatusChange(RunStatus.STARTING, 40),
            StatusChange(RunStatus.READY, 50, result=7, result_errors=[]),
        )

        assert (first.status, first.status_seq) == (RunStatus.STARTING, 1)
        assert (failed.status_seq, failed.finish_reason, failed.error) == (2, "failed_init", error)
        assert (again.status, again.status_seq) == (RunStatus.READY, 4)
        assert (again.finish_reason, again.error, again.result, again.result_errors) == (None, None, 7, [])
        assert again == await store.read_profile("run")
        row = await store.get("run")
        assert row is not None
        assert row.last_modified_us == 50
        assert await told(store) == [
            {"from": "created", "to": "starting", "status_seq": 1},
            {"from": "starting", "to": "failed", "status_seq": 2, "reason": "failed_init"},
            {"from": "failed", "to": "starting", "status_seq": 3},
            {"from": "starting", "to": "ready", "status_seq": 4},
        ]

    on_store(scenario)


def test_a_result_stays_until_another_is_given(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await start(store, run(), status=RunStatus.EXECUTING)
        await store.change_status("run", StatusChange(RunStatus.READY, 20, result={"x": 1}))
        await store.change_status(
            "run", StatusChange(RunStatus.EXECUTING, 30), StatusChange(RunStatus.READY, 30)
        )
        profile = await store.read_profile("run")
        assert profile is not None
        assert profile.result == {"x": 1}

        await store.change_status(
            "run", StatusChange(RunStatus.EXECUTING, 30), StatusChange(RunStatus.READY, 30, result=None)
        )
        profile = await store.read_profile("run")
        assert profile is not None
        assert profile.result is None

    on_store(scenario)


def test_a_status_that_cannot_follow_changes_nothing(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        made = await start(store, run())

        with pytest.raises(IllegalStatusError, match="ready cannot follow created"):
            await store.change_status("run", StatusChange(RunStatus.READY, 20))
        with pytest.raises(IllegalStatusError, match="paused cannot follow starting"):
            await store.change_status(
                "run", StatusChange(RunStatus.STARTING, 20), StatusChange(RunStatus.PAUSED, 21)
            )
        with pytest.raises(RequestError) as missing:
            await store.change_status("nobody", StatusChange(RunStatus.READY, 20))

        assert missing.value.code is ErrorCode.RUN_NOT_FOUND
        assert await store.read_profile("run") == made
        assert await store.get("run") == run()
        assert await told(store) == []

    on_store(scenario)


def test_an_append_carries_changes_of_status_and_what_its_actions_took(
    on_store: OnStore, run: Run, appending: Appending
) -> None:
    async def scenario(store: Store) -> None:
        await start(store, run(), status=RunStatus.READY)
        await store.create(Creation(run("plain"), ()))
        both = (StatusChange(RunStatus.EXECUTING, 1000), StatusChange(RunStatus.READY, 1001, result=1))
        event = NewEvent(EventKind.STATE, 1001, pack({"seq": 1}))

        # Together, so that they may be made in one.
        await asyncio.gather(
            store.append(appending(0, usage=Usage(5, 4, 3, 2), changes=both, events=(event,))),
            store.append(appending(0, "plain", usage=Usage(7, 6, 5, 1), events=(event,))),
        )
        await store.append(appending(1, usage=Usage(10, 10, 1, 1)))
        await store.append(appending(1, "plain"))

        row, plain = await store.get("run"), await store.get("plain")
        assert row is not None
        assert plain is not None
        assert (row.wall_us, row.cpu_us, row.peak_rss_bytes, row.actions) == (15, 14, 3, 3)
        assert (plain.wall_us, plain.cpu_us, plain.peak_rss_bytes, plain.actions) == (7, 6, 5, 1)
        profile = await store.read_profile("run")
        assert profile is not None
        assert (profile.status_seq, profile.result) == (2, 1)
        events, last = await store.read_events("run")
        assert [event.event for event in events] == [1, 2, 3]
        assert last == 3
        assert [str(event.kind) for event in events] == ["state", "status", "status"]
        _, last = await store.read_events("plain")
        assert last == 1

    on_store(scenario)


def test_an_append_whose_status_cannot_follow_leaves_nothing_and_hurts_no_other(
    on_store: OnStore, run: Run, appending: Appending
) -> None:
    async def scenario(store: Store) -> None:
        await start(store, run())
        await store.create(Creation(run("plain"), ()))
        bad = appending(0, changes=(StatusChange(RunStatus.PAUSED, 1000),))

        results = await asyncio.gather(
            store.append(bad), store.append(appending(0, "plain")), return_exceptions=True
        )

        assert isinstance(results[0], IllegalStatusError)
        assert results[1] is None
        assert await store.get("run") == run()
        assert await store.read("run") == []
        assert len(await store.read("plain")) == 1

    on_store(scenario)


def test_a_run_that_nobody_is_told_of_tells_no_status_unless_the_change_says_so(
    on_store: OnStore, run: Run
) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run(), ()))
        await store.change_status("run", StatusChange(RunStatus.EXECUTING, 20))
        assert await told(store) == []

        await store.change_status("run", StatusChange(RunStatus.READY, 30, tell=True))

        assert await told(store) == [{"from": "executing", "to": "ready", "status_seq": 2}]

    on_store(scenario)


def test_an_edit_changes_a_profile_with_its_tags_and_stores_the_request(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run(), (), profile=WHOLE))
        request = StoredRequest("edited", "run", DIGEST)

        def edit(profile: RunProfile) -> RunProfile:
            return replace(profile, name="new", tags=("c",), parent=None)

        profile = await store.update_profile(
            "run",
            edit,
            request,
            lambda new: pack(new.name),
            lambda old, new: (NewEvent(EventKind.METADATA, 99, pack([old.name, new.name])),),
            at_us=99,
        )

        assert profile == await store.read_profile("run") == edit(WHOLE)
        assert store.find_request("edited") == [replace(request, result=pack("new"))]
        events, _ = await store.read_events("run")
        assert [unpack(event.body) for event in events] == [[WHOLE.name, "new"]]
        row = await store.get("run")
        assert row is not None
        assert row.last_modified_us == 99
        with pytest.raises(DuplicateRequestError):
            await store.update_profile("run", edit, request, at_us=100)
        with pytest.raises(RequestError):
            await store.update_profile("nobody", edit, at_us=100)

    on_store(scenario)


@pytest.mark.parametrize("fields", ({"status": RunStatus.FAILED}, {"run_id": None}, {"status_seq": 5}))
def test_an_edit_that_touches_what_is_not_its_own_changes_nothing(
    on_store: OnStore, run: Run, fields: dict[str, object]
) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run(), (), profile=WHOLE))

        with pytest.raises(ValueError, match=next(iter(fields))):
            await store.update_profile("run", lambda profile: replace(profile, **fields), at_us=99)  # type: ignore[arg-type]

        assert await store.read_profile("run") == WHOLE

    on_store(scenario)


def test_an_edit_of_the_row_leaves_what_actions_took(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run(actions=3), ()))
        with pytest.raises(ValueError, match="actions"):
            await store.update("run", lambda row: replace(row, actions=4))

    on_store(scenario)


def test_what_is_unfinished_is_told_oldest_first(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        states = list(RunStatus)
        for number, status in enumerate(states):
            await start(store, run(f"{len(states) - number}"), status=status)

        assert await store.unfinished() == ["4", "5", "6"]

        await store.change_status("6", StatusChange(RunStatus.FAILED, 20))
        await store.change_status("4", StatusChange(RunStatus.READY, 20))
        await store.remove("5")
        assert await store.unfinished() == []

    on_store(scenario)


def test_a_run_expires_when_nothing_changed_it_for_its_time(
    on_store: OnStore, run: Run, appending: Appending
) -> None:
    async def scenario(store: Store) -> None:
        for key, ttl in (("run", 10), ("soon", 5), ("never", None)):
            await start(
                store, run(key), ttl_seconds=ttl, expires_us=None if ttl is None else 10 + ttl * 1_000_000
            )
        assert await store.take_expired(5_000_009, 10) == []
        assert await store.take_expired(5_000_010, 10) == ["soon"]
        assert await store.take_expired(10_000_010, 10) == ["soon", "run"]
        assert await store.take_expired(10_000_010, 1) == ["soon"]

        await store.append(appending(0, at_us=8_000_000))

        assert await store.take_expired(10_000_010, 10) == ["soon"]
        assert await store.take_expired(18_000_000, 10) == ["soon", "run"]

    on_store(scenario)


def test_the_next_end_of_a_run_is_told(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run("plain"), ()))
        assert await store.next_expiry() is None
        await start(store, run("late"), ttl_seconds=10, expires_us=90)
        await start(store, run("soon"), ttl_seconds=10, expires_us=80)
        assert await store.next_expiry() == 80

        await store.update_profile("soon", lambda profile: replace(profile, expires_us=100), at_us=None)

        assert await store.next_expiry() == 90
        assert await store.get("soon") == run("soon")

    on_store(scenario)


def test_closing_a_run_finishes_its_profile_and_nothing_else_does(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run(), ()))
        await store.update("run", lambda row: replace(row, marked=True))
        profile = await store.read_profile("run")
        assert profile is not None
        assert profile.finish_reason is None

        await store.update("run", lambda row: replace(row, closed=True))

        assert await store.read_profile("run") == replace(profile, finish_reason="closed")

    on_store(scenario)


def test_the_request_that_removes_a_run_outlives_it_and_is_served_once(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        made = StoredRequest("made", "run", DIGEST, result=pack(1))
        removed = StoredRequest("removed", "", DIGEST, result=pack(2))
        await store.create(Creation(run(), (), request=made, profile=WHOLE))

        await store.remove("run", removed)

        assert await store.get("run") is None
        assert await store.read_profile("run") is None
        assert (store.find_request("made"), store.find_request("removed")) == ([], [removed])
        await store.create(Creation(run("other"), ()))
        with pytest.raises(DuplicateRequestError):
            await store.remove("other", removed)
        assert await store.get("other") == run("other")

    on_store(scenario)


def test_a_change_of_status_is_submitted_when_it_is_called(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await start(store, run())
        changing = store.change_status("run", StatusChange(RunStatus.STARTING, 20))

        profile = await store.read_profile("run")

        assert profile is not None
        assert profile.status is RunStatus.STARTING
        await changing

    on_store(scenario)


def test_profiles_outlive_the_store(tmp_path: Path, run: Run) -> None:
    async def first() -> None:
        store = await SqliteStore.open(tmp_path)
        await store.create(Creation(run(), (), profile=WHOLE))
        await store.change_status("run", StatusChange(RunStatus.STARTING, 20))
        await store.close()

    async def second() -> None:
        store = await SqliteStore.open(tmp_path)
        assert await store.unfinished() == ["run"]
        assert await store.read_profile("run") == replace(
            WHOLE, status=RunStatus.STARTING, status_seq=1, error=None
        )
        await store.close()

    asyncio.run(first())
    asyncio.run(second())


def test_runs_of_before_profiles_get_one_with_defaults(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "worker.db", isolation_level=None)) as old:
        migrate(old, [step for step in migrations() if step.version < 7])
        for key, user, source in (("a", None, None), ("b", '{"user_key":"ann"}', "a")):
            old.execute(
                "INSERT INTO run (run_key, seq, epoch, last_modified_us, created_us, seed, model_file, model_language,"
                " model_fingerprint, morphology, marked, hidden, closed, allow_channel, ephemeral, perpetual,"
                " compare_after_seq, scope, permit, execution_context, user, cloned_from, project)"
                " VALUES (?, 0, 1, 1, 1764585512000000, 7, 'my model.py', 'PYTHON_3', 'f', 'MANY', 0, 0, 0, 0, 0, 0,"
                " 0, '{}', '{}', '{}', ?, ?, 'x/y')",
                (key, user, source),
            )

    async def main() -> None:
        store = await SqliteStore.open(tmp_path)
        name = "my model.py: 2025-12-01T10:38:32Z"
        first = RunProfile("a", "x/y", name, reasoning_traces=False, call_summarization=False)
        assert await store.read_profile("a") == first
        second = replace(first, run_key="b", parent="a", created_by="ann")
        assert await store.read_profile("b") == second
        row = await store.get("b")
        assert row is not None
        assert row == replace(row, wall_us=0, cpu_us=0, peak_rss_bytes=0, actions=0)
        assert await store.unfinished() == []
        await store.close()

    asyncio.run(main())


def test_a_change_of_status_keeps_or_replaces_what_waits(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run(), ()))
        pending = {"action_id": "3", "actions": [{"kind": "execute", "arguments": [2**63, 1.5, "ä"]}]}

        way = (StatusChange(RunStatus.EXECUTING, 5), StatusChange(RunStatus.PAUSED, 5, pending=pending))
        assert (await store.change_status("run", *way)).pending == pending
        assert (await store.change_status("run", StatusChange(RunStatus.EXECUTING, 6))).pending == pending
        await store.change_status("run", StatusChange(RunStatus.READY, 7, pending=None))

        profile = await store.read_profile("run")
        assert profile is not None
        assert profile.pending is None

    on_store(scenario)


def test_a_request_is_stored_with_the_change_of_status_that_answers_it(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run(), ()))
        request = StoredRequest("r", "run", DIGEST, result=pack({"approved": True}))

        await store.change_status("run", StatusChange(RunStatus.EXECUTING, 5), request=request)
        with pytest.raises(DuplicateRequestError):
            await store.change_status("run", StatusChange(RunStatus.READY, 6), request=request)

        assert store.find_request("r") == [request]
        profile = await store.read_profile("run")
        assert profile is not None
        assert profile.status is RunStatus.EXECUTING

    on_store(scenario)
