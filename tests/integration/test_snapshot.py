"""Restorations: snapshots, replays and both together; replay filters; what a rewind does without a snapshot."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LEDGER = """
import random

from epicenter import Epicenter

count = 0
words = []
prices = {"bread": 1.5}
forgotten = 0
heard = []


def keep():
    Epicenter.record("count", count)
    Epicenter.record("words", words)
    Epicenter.record("prices.bread", prices["bread"])


def add(n=1):
    global count, forgotten
    count += n
    forgotten += n
    words.append(f"add {n}")
    keep()
    return count


def price(value):
    prices["bread"] = value
    keep()


def roll():
    words.append(random.random())
    keep()
    return words[-1]


def spoil():
    global count
    count += 1000
    keep()
    raise ValueError("spoilt")


def listen(event):
    Epicenter.subscribe(event, lambda: heard.append([event, count]))


for event in ("onInitialized", "onRestored", "onRewound", "onCloned"):
    listen(event)
keep()
"""

# As an author would use jsonpickle: the object is rebuilt from its fields.
FARM = """
import json
import os
import random

from epicenter import Epicenter


class Farm:
    def __init__(self):
        self.sheep = 2
        self.fields = [Field(3)]

    def breed(self):
        self.sheep *= 2
        self.fields.append(Field(self.sheep))
        return self.sheep


class Field:
    def __init__(self, size):
        self.size = size


def encoded(farm):
    return json.dumps({"py/object": "Farm", "sheep": farm.sheep, "fields": [one.size for one in farm.fields]})


def decoded(name, variable, text, mode):
    fields = json.loads(text)
    if fields["sheep"] == 13:
        raise ValueError("thirteen sheep")
    if fields["sheep"] == 14:
        os._exit(4)
    modes.append([mode, type(variable).__name__])
    random.random()
    Epicenter.record("farm", "a decoder's record")
    farm = Farm()
    farm.sheep = fields["sheep"]
    farm.fields = [Field(size) for size in fields["fields"]]
    globals()[name] = farm


def breed():
    farm.breed()
    Epicenter.record("farm", farm)
    return farm


def lose(sheep):
    farm.sheep = sheep
    Epicenter.record("farm", farm)


modes = []
farm = Farm()
Epicenter.register_custom_encoder(Farm, encoded)
Epicenter.register_custom_decoder(Farm, decoded)
Epicenter.record("farm", farm)
"""

# What a replay cannot repeat: Forio's own sample is restored by snapshot for such a reason.
STUBBORN = """
import time

from epicenter import Epicenter

marks = []


def mark():
    marks.append(time.perf_counter_ns())
    Epicenter.record("marks", marks)
    return marks[-1]


def still():
    marks.append("still")
    Epicenter.record("marks", marks)


Epicenter.record("marks", marks)
"""

ODD = """
from epicenter import Epicenter

seen = {1, 2}
big = ["", "", ""]


def fill():
    for place in range(3):
        big[place] = str(place) * 900_000
        Epicenter.record(f"big[{place}]", big[place])
    seen.add(3)
    Epicenter.record("seen", seen)
    Epicenter.record("profit", 12.5)
"""

REPLAY: dict[str, Any] = {"replay": {}}
SNAPSHOT: dict[str, Any] = {"snapshot": {}}
NAMES = ["count", "words", "prices"]


def assembly(*parts: dict[str, Any], **restorations: Any) -> dict[str, Any]:
    return {"restorations": {"assembly": list(parts), **restorations}}


def filtered(*operations: tuple[str, str, str]) -> dict[str, Any]:
    names = ("operationType", "targetType", "targetKey")
    return assembly({"replay": {"operations": [dict(zip(names, one, strict=True)) for one in operations]}})


@pytest.fixture(scope="module")
def ledger(model_root: Any) -> str:
    rewind = {"rewind": {"name": "add"}}
    name: str = model_root.add("ledger", LEDGER, json.dumps(assembly(SNAPSHOT, **rewind)))
    return name


@pytest.fixture(scope="module")
def farm(model_root: Any) -> str:
    context = assembly({"snapshot": {"variables": ["farm"]}}, rewind={"name": "breed"})
    name: str = model_root.add("farm", FARM, json.dumps(context))
    return name


@pytest.fixture
def play(peer: Any) -> Callable[..., str]:
    """``play(model_file, (name, argument…)…)``: a new run after these calls, which may fail."""

    def make(model_file: str, *calls: tuple[Any, ...]) -> str:
        run_key: str = peer.result("create_run", model_file=model_file)["run_key"]
        for name, *arguments in calls:
            reply = peer.ask("call_operation", run_key=run_key, name=name, arguments=arguments)
            assert reply["ok"] or reply["error"]["code"] == "OPERATION_FAILED"
        return run_key

    return make


def read(peer: Any, run_key: str, *names: str) -> Any:
    values = peer.result("read_variables", run_key=run_key, names=list(names or NAMES), ritual="REVIVE")
    return values if len(names) != 1 else values[names[0]]


def history(peer: Any, run_key: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = peer.result("read_history", run_key=run_key)["entries"]
    return entries


def restored(peer: Any, run_key: str, **fields: Any) -> list[dict[str, Any]]:
    """Take the run out of memory and restore it; its warnings."""
    peer.result("evict_run", run_key=run_key)
    reply = peer.ask("restore_run", run_key=run_key, **fields)
    assert reply["ok"], reply["error"]
    warnings: list[dict[str, Any]] = reply.get("warnings", [])
    return warnings


CALLS = st.one_of(
    st.tuples(st.just("add"), st.integers(-5, 5)),
    st.tuples(st.just("price"), st.floats(0, 9)),
    st.just(("roll",)),
    st.just(("spoil",)),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(CALLS, max_size=5))
def test_every_assembly_restores_what_a_model_records(
    peer: Any, ledger: str, play: Callable[..., str], calls: list[tuple[Any, ...]]
) -> None:
    run_key = play(ledger, *calls)
    before = read(peer, run_key)
    for parts in ((REPLAY,), (SNAPSHOT,), (SNAPSHOT, REPLAY), (REPLAY, SNAPSHOT)):
        assert restored(peer, run_key, model_context=assembly(*parts)) == []
        assert read(peer, run_key) == before, parts


def test_what_was_not_recorded_keeps_what_the_boot_gave_it(
    peer: Any, ledger: str, play: Callable[..., str]
) -> None:
    run_key = play(ledger, ("add", 3))
    restored(peer, run_key)
    assert read(peer, run_key, "count", "forgotten") == {"count": 3, "forgotten": 0}


def test_a_snapshot_behind_a_replay_wins(peer: Any, ledger: str, play: Callable[..., str]) -> None:
    run_key = play(ledger, ("add", 3))
    peer.result(
        "write_variables", run_key=run_key, values={"count": 50}
    )  # in the history, not in the archive
    for parts, count in (((REPLAY,), 50), ((REPLAY, SNAPSHOT), 3)):
        restored(peer, run_key, model_context=assembly(*parts))
        assert read(peer, run_key, "count", "forgotten") == {"count": count, "forgotten": 3}


def test_handlers_hear_of_the_restore_when_the_values_are_there(
    peer: Any, ledger: str, play: Callable[..., str]
) -> None:
    run_key = play(ledger, ("add", 3))
    restored(peer, run_key)
    assert read(peer, run_key, "heard") == [["onInitialized", 0], ["onRestored", 3]]


def test_a_listed_snapshot_assigns_only_what_it_lists(
    peer: Any, ledger: str, play: Callable[..., str]
) -> None:
    run_key = play(ledger, ("add", 3), ("price", 4.0))
    context = assembly({"objectType": "snapshot", "variables": ["prices.bread", "never"]})

    warnings = restored(peer, run_key, model_context=context)

    assert warnings == [{"code": "UNRECORDED_VARIABLE", "path": "never"}]
    assert read(peer, run_key) == {"count": 0, "words": [], "prices": {"bread": 4.0}}
    assert peer.result("read_variables", run_key=run_key, names=["words"]) == {"words": []}


def test_a_run_goes_on_from_its_snapshot_and_comes_back_again(
    peer: Any, ledger: str, play: Callable[..., str]
) -> None:
    run_key = play(ledger, ("add", 3))
    for count in (4, 5, 6):
        peer.result("evict_run", run_key=run_key)
        reply = peer.ask("call_operation", run_key=run_key, name="add")
        assert (reply["result"], reply["run"]["served_from"]) == (count, "restored")
    entries = peer.result("read_history", run_key=run_key)["entries"]
    assert [entry["seq"] for entry in entries] == [1, 2, 3, 4, 5]


def test_random_numbers_behind_a_snapshot_depend_on_run_and_seq_only(
    peer: Any, ledger: str, play: Callable[..., str]
) -> None:
    run_key = play(ledger, ("roll",), ("roll",))
    first = read(peer, run_key, "words")
    rolled = []
    for _ in range(2):
        clone = peer.result("clone_run", run_key=run_key)["run_key"]
        rolled.append(peer.result("call_operation", run_key=clone, name="roll"))
    restored(peer, run_key)
    rolled.append(peer.result("call_operation", run_key=run_key, name="roll"))
    assert rolled[0] == rolled[1] == rolled[2]
    assert rolled[0] not in first
    restored(peer, run_key)
    assert peer.result("call_operation", run_key=run_key, name="roll") not in [*first, *rolled]


def test_objects_come_back_through_their_decoder(peer: Any, farm: str, play: Callable[..., str]) -> None:
    run_key = play(farm, ("breed",), ("breed",))
    expected = {"py/object": "Farm", "sheep": 8, "fields": [3, 4, 8]}
    assert read(peer, run_key, "farm") == expected

    assert restored(peer, run_key) == []

    assert read(peer, run_key, "farm", "modes") == {"farm": expected, "modes": [["restore", "Farm"]]}
    bred = peer.result("call_operation", run_key=run_key, name="breed")
    assert bred == {"py/object": "Farm", "sheep": 16, "fields": [3, 4, 8, 16]}
    peer.result("evict_run", run_key=run_key)
    assert peer.result("read_variables", run_key=run_key, names=["farm"]) == {"farm": bred}
    few = {"py/object": "Farm", "sheep": 1, "fields": []}
    assert peer.result("write_variables", run_key=run_key, values={"farm": few}) == {"farm": few}
    assert read(peer, run_key, "modes") == [["restore", "Farm"], ["set", "Farm"]]


def test_what_a_decoder_draws_and_records_leaves_no_trace(
    peer: Any, farm: str, play: Callable[..., str]
) -> None:
    run_key = play(farm, ("breed",))
    clone = peer.result("clone_run", run_key=run_key)["run_key"]
    peer.result("evict_run", run_key=clone)
    archived = peer.result("read_variables", run_key=clone, names=["farm"])
    assert archived == {"farm": {"py/object": "Farm", "sheep": 4, "fields": [3, 4]}}


def test_a_decoder_that_raises_ends_the_restore_and_loses_nothing(
    peer: Any, farm: str, play: Callable[..., str]
) -> None:
    run_key = play(farm, ("breed",), ("lose", 13))
    peer.result("evict_run", run_key=run_key)

    error = peer.error("call_operation", run_key=run_key, name="breed")

    assert error["code"] == "REPLAY_DIVERGED"
    assert "'farm'" in error["message"]
    assert "ValueError: thirteen sheep" in error["message"]
    assert error["information"]["name"] == "farm"
    tolerant = assembly({"snapshot": {}}, divergence="warn")
    (warning,) = restored(peer, run_key, model_context=tolerant)
    assert (warning["code"], warning["path"], warning["type"]) == ("NOT_ASSIGNED", "farm", "ValueError")
    assert read(peer, run_key, "farm")["sheep"] == 2
    assert restored(peer, run_key, model_context=assembly(REPLAY)) == []
    assert read(peer, run_key, "farm")["sheep"] == 13


def test_a_process_that_dies_in_a_decoder_is_told_at_once(
    peer: Any, farm: str, play: Callable[..., str]
) -> None:
    run_key = play(farm, ("lose", 14))
    peer.result("evict_run", run_key=run_key)
    assert peer.error("restore_run", run_key=run_key)["code"] == "PROCESS_EXITED"


def test_what_became_of_archived_values_is_told(peer: Any, model_root: Any, play: Callable[..., str]) -> None:
    model_file = model_root.add("odd", ODD, json.dumps(assembly(SNAPSHOT)))
    run_key = play(model_file, ("fill",))

    warnings = restored(peer, run_key)

    told = [{"code": "UNKNOWN_VARIABLE", "path": "profit"}, {"code": "NOT_DECODED", "path": "seen"}]
    assert sorted(warnings, key=lambda one: str(one["path"])) == told
    assert read(peer, run_key, "seen") == [1, 2, 3]
    assert [text[:1] * len(text) for text in read(peer, run_key, "big")] == [
        str(place) * 900_000 for place in range(3)
    ]
    listed = assembly({"snapshot": {"variables": ["profit"]}})
    peer.result("evict_run", run_key=run_key)
    error = peer.error("restore_run", run_key=run_key, model_context=listed)
    assert (error["code"], error["information"]["reason"]) == (
        "REPLAY_DIVERGED",
        "the model has no such variable",
    )


def test_a_clone_has_the_archive_and_goes_its_own_way(
    peer: Any, ledger: str, play: Callable[..., str]
) -> None:
    run_key = play(ledger, ("add", 3), ("price", 2.5))
    expected = read(peer, run_key)
    for where in ("live", "archived"):
        clone = peer.result("clone_run", run_key=run_key)["run_key"]
        assert read(peer, clone, "heard") == [["onInitialized", 0], ["onCloned", 3]], where
        peer.result("evict_run", run_key=clone)
        archived = peer.result("read_variables", run_key=clone, names=["count", "words", "prices.bread"])
        assert archived == {"count": 3, "words": ["add 3"], "prices.bread": 2.5}
        assert peer.result("call_operation", run_key=clone, name="add") == 4
        peer.result("evict_run", run_key=run_key)
    assert read(peer, run_key) == expected


@pytest.mark.parametrize("where", ("live", "archived"))
def test_an_earlier_moment_is_replayed(peer: Any, ledger: str, play: Callable[..., str], where: str) -> None:
    run_key = play(ledger, ("add", 1), ("price", 2.5), ("add", 5))
    restored(peer, run_key)
    if where == "archived":
        peer.result("evict_run", run_key=run_key)
    clone = peer.result("clone_run", run_key=run_key, at_seq=3)["run_key"]
    peer.result("rewind_run", run_key=run_key, rewind_count=1)
    for key in (run_key, clone):
        assert read(peer, key) == {"count": 1, "words": ["add 1"], "prices": {"bread": 2.5}}
        peer.result("evict_run", run_key=key)
        assert peer.result("read_variables", run_key=key, names=["count"]) == {"count": 1}
        assert read(peer, key) == {"count": 1, "words": ["add 1"], "prices": {"bread": 2.5}}


def test_what_no_replay_repeats_is_restored_by_snapshot_and_not_rewound(
    peer: Any, model_root: Any, play: Callable[..., str]
) -> None:
    context = assembly(SNAPSHOT, rewind={"name": "still"})
    run_key = play(model_root.add("stubborn", STUBBORN, json.dumps(context)), ("mark",), ("still",))
    marks = read(peer, run_key, "marks")
    assert restored(peer, run_key) == []
    assert read(peer, run_key, "marks") == marks
    error = peer.error("rewind_run", run_key=run_key, rewind_count=1)
    assert error["code"] == "REPLAY_DIVERGED"
    assert "that a snapshot had not kept" in error["message"]
    assert read(peer, run_key, "marks") == marks
    tolerant = {"restorations": {"divergence": "warn"}}
    reply = peer.ask("rewind_run", run_key=run_key, rewind_count=1, model_context=tolerant)
    assert [one["code"] for one in reply["warnings"]] == ["REPLAY_DIVERGED"]
    assert len(read(peer, run_key, "marks")) == 1


def test_an_ephemeral_restore_takes_the_snapshot_and_leaves_the_run_as_it_is(
    peer: Any, ledger: str, play: Callable[..., str]
) -> None:
    run_key = play(ledger, ("add", 3))
    restored(peer, run_key, ephemeral=True)
    assert peer.result("call_operation", run_key=run_key, name="add") == 4
    peer.result("evict_run", run_key=run_key)
    assert read(peer, run_key, "count") == 3


def test_a_restore_under_other_presets_assigns_the_archive_over_them(
    peer: Any, ledger: str, play: Callable[..., str]
) -> None:
    run_key = play(ledger, ("add", 3))
    restored(peer, run_key, execution_context={"presets": {"count": 70, "bonus": 7}})
    assert read(peer, run_key, "count", "bonus") == {"count": 3, "bonus": 7}


# Replay filters


STORY = (("add", 1), ("price", 2.0), ("add", 2), ("spoil",), ("price", 3.0))
BREAD = {"bread": 3.0}


# Filters; what the clone has for count and bread then, and the seqs of its history.
CLONES: tuple[tuple[tuple[tuple[str, str, str], ...], tuple[int, float], list[int]], ...] = (
    ((("stop_before", "execute", "price"),), (1, 1.5), [1, 2]),
    ((("STOP_BEFORE", "ANY", "spoil"),), (3, 2.0), [1, 2, 3, 4]),
    ((("stop_before", "execute", "add"),), (0, 1.5), [1]),
    ((("exclude", "execute", "add"),), (1000, 3.0), [1, 2, 3, 4]),
    ((("exclude", "any", "price"),), (1003, 1.5), [1, 2, 3, 4]),
    ((("exclude", "execute", "add"), ("stop_before", "execute", "spoil")), (0, 2.0), [1, 2]),
    ((("exclude", "set", "add"), ("stop_before", "get", "price")), (1003, 3.0), [1, 2, 3, 4, 5, 6]),
)


@pytest.mark.parametrize("clone_of", CLONES)
def test_a_clone_has_the_history_that_filters_leave(
    peer: Any,
    ledger: str,
    play: Callable[..., str],
    clone_of: tuple[tuple[tuple[str, str, str], ...], tuple[int, float], list[int]],
) -> None:
    filters, (count, bread), seqs = clone_of
    run_key = play(ledger, *STORY)

    run = peer.result("clone_run", run_key=run_key, model_context=filtered(*filters))

    clone = run["run_key"]
    assert run["seq"] == seqs[-1]
    expected = {"count": count, "prices": {"bread": bread}}
    assert read(peer, clone, "count", "prices") == expected
    entries = peer.result("read_history", run_key=clone)["entries"]
    assert [entry["seq"] for entry in entries] == seqs
    for parts in ((SNAPSHOT,), (REPLAY,)):
        restored(peer, clone, model_context=assembly(*parts))
        assert read(peer, clone, "count", "prices") == expected
    assert peer.result("call_operation", run_key=clone, name="add", arguments=[1]) == count + 1
    restored(peer, clone, model_context=assembly(REPLAY))
    assert read(peer, clone, "count") == count + 1
    assert read(peer, run_key, "count", "prices") == {"count": 1003, "prices": BREAD}


def test_a_filter_does_not_see_what_was_taken_back(peer: Any, ledger: str, play: Callable[..., str]) -> None:
    run_key = play(ledger, ("add", 1), ("add", 2), ("price", 3.0))
    peer.result("rewind_run", run_key=run_key, rewind_count=1)
    context = filtered(("stop_before", "execute", "price"))
    clone = peer.result("clone_run", run_key=run_key, model_context=context)
    assert (clone["seq"], read(peer, clone["run_key"], "count")) == (5, 1)


@pytest.mark.parametrize("place", range(len(CLONES)))
@pytest.mark.parametrize("asked", ("in the request", "by the context"))
def test_a_restore_takes_back_what_filters_leave_out(
    peer: Any, model_root: Any, play: Callable[..., str], place: int, asked: str
) -> None:
    filters, (count, bread), _ = CLONES[place]
    context = filtered(*filters)
    own = context if asked == "by the context" else {}
    run_key = play(model_root.add(f"cut{place}{bool(own)}", LEDGER, json.dumps(own)), *STORY)
    expected = {"count": count, "prices": {"bread": bread}}

    if asked == "by the context":
        peer.result("evict_run", run_key=run_key)
        assert read(peer, run_key, "count", "prices") == expected
    else:
        restored(peer, run_key, model_context=context)

    assert read(peer, run_key, "count", "prices") == expected
    assert read(peer, run_key, "heard")[-1] == ["onRestored", count]
    entries = peer.result("read_history", run_key=run_key)["entries"]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert 0 <= peer.result("call_operation", run_key=run_key, name="roll") < 1
    for parts in ((SNAPSHOT,), (REPLAY,), (REPLAY, SNAPSHOT)):
        restored(peer, run_key, model_context=assembly(*parts))
        assert read(peer, run_key, "count", "prices") == expected
    peer.result("evict_run", run_key=run_key)
    archived = peer.result("read_variables", run_key=run_key, names=["count", "prices.bread"])
    assert archived == {"count": count, "prices.bread": bread}


def test_a_filtered_restore_is_a_rewind_that_records_anew_what_it_keeps(
    peer: Any, ledger: str, play: Callable[..., str], fresh_id: Callable[[], str]
) -> None:
    run_key = play(ledger, ("add", 1), ("price", 2.0), ("add", 2))
    request = {
        "run_key": run_key,
        "request_id": fresh_id(),
        "model_context": filtered(("exclude", "execute", "price")),
    }
    peer.result("evict_run", run_key=run_key)

    run = peer.result("restore_run", **request)

    assert run["seq"] == 6
    entries = peer.result("read_history", run_key=run_key)["entries"]
    assert [entry.get("rewound_by") for entry in entries] == [None, None, 5, 5, None, None]
    assert [entries[5][name] for name in ("name", "arguments", "at")] == [
        entries[3][name] for name in ("name", "arguments", "at")
    ]
    assert peer.result("read_events", run_key=run_key)["events"][-1]["kind"] == "rewound"
    peer.result("call_operation", run_key=run_key, name="price", arguments=[9.0])
    peer.result("evict_run", run_key=run_key)
    assert peer.result("restore_run", **request)["seq"] == 6  # the stored answer: it was done, once
    assert read(peer, run_key, "prices") == {"bread": 9.0}
    peer.result("rewind_run", run_key=run_key, rewind_count=1)
    assert read(peer, run_key, "count") == 1


def test_filters_that_leave_out_nothing_change_nothing(
    peer: Any, ledger: str, play: Callable[..., str]
) -> None:
    run_key = play(ledger, ("add", 1))
    restored(peer, run_key, model_context=filtered(("exclude", "any", "price")))
    assert (read(peer, run_key, "count"), len(history(peer, run_key))) == (1, 2)


def test_an_ephemeral_restore_is_filtered_and_leaves_the_run_as_it_is(
    peer: Any, ledger: str, play: Callable[..., str]
) -> None:
    run_key = play(ledger, ("add", 1), ("price", 2.0), ("add", 2))
    restored(peer, run_key, ephemeral=True, model_context=filtered(("exclude", "execute", "add")))
    assert read(peer, run_key, "count", "prices") == {"count": 0, "prices": {"bread": 2.0}}
    peer.result("evict_run", run_key=run_key)
    assert (read(peer, run_key, "count"), len(history(peer, run_key))) == (3, 4)


def test_a_filtered_restore_under_other_presets_keeps_them(
    peer: Any, ledger: str, play: Callable[..., str]
) -> None:
    run_key = play(ledger, ("add", 1), ("add", 2))
    context = filtered(("stop_before", "execute", "add"))
    restored(peer, run_key, model_context=context, execution_context={"presets": {"count": 70}})
    for _ in range(2):
        assert read(peer, run_key, "count") == 70
        restored(peer, run_key, model_context=assembly(REPLAY))


def test_a_rewind_takes_no_filters(peer: Any, ledger: str, play: Callable[..., str]) -> None:
    run_key = play(ledger, ("add", 1), ("add", 2))
    context = filtered(("exclude", "execute", "add"))
    error = peer.error("rewind_run", run_key=run_key, rewind_count=1, model_context=context)
    assert (error["code"], error["information"]["path"]) == ("INVALID_CONTEXT", "restorations.assembly")
    assert read(peer, run_key, "count") == 3


# The rewind marker, and the log


@pytest.mark.parametrize(
    ("arguments", "count"), (({"0": 1}, 2), ({}, 3), ([2], 1), ({"1": 1}, None), ({"0": 9}, None))
)
def test_a_marker_may_name_arguments_by_position(
    peer: Any, ledger: str, play: Callable[..., str], arguments: Any, count: int | None
) -> None:
    run_key = play(ledger, ("add", 1), ("add", 2), ("add", 1), ("add", 3))
    context = {"restorations": {"rewind": {"arguments": arguments}, "log": "temporal"}}
    fields = {"run_key": run_key, "rewind_count": 1, "model_context": context}
    if count is None:
        assert peer.error("rewind_run", **fields)["code"] == "REWIND_INVALID"
    else:
        peer.result("rewind_run", **fields)
        assert len(read(peer, run_key, "words")) == count
