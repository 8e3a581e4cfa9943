"""Schemas and values judged by real processes of their own, some of which hang, run out of memory or are killed."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import psutil
import pytest

from tests.conftest import eventually, has_ended
from worker.channel import pack
from worker.process.schema_judge import Finding, NotJudgedError, SchemaJudge

SLOW = {"type": "string", "pattern": "^(a+)+$"}
SLOW_TEXT = "a" * 40 + "!"
DRAFT_04 = "http://json-schema.org/draft-04/schema#"
T = TypeVar("T")
DRAFT_07 = "http://json-schema.org/draft-07/schema#"


class Court:
    """A judge that all tests of a loop share."""

    def __init__(self, runner: asyncio.Runner, judge: SchemaJudge) -> None:
        self._run = runner.run
        self._judge = judge

    def of_schema(self, schema: Any) -> list[Finding]:
        return self._run(self._judge.of_schema(pack(schema)))

    def of_values(self, schema: Any, *values: Any) -> list[list[Finding]]:
        return [self._run(self._judge.of_value(pack(schema), pack(value))) for value in values]


@pytest.fixture(scope="module")
def court() -> Iterator[Court]:
    with asyncio.Runner() as runner:

        async def summoned() -> SchemaJudge:
            return SchemaJudge(20.0)

        judge = runner.run(summoned())
        yield Court(runner, judge)
        runner.run(judge.close())


def judged(asked: Callable[[SchemaJudge], Awaitable[T]], seconds: float = 20.0, **limits: Any) -> T:
    """What a judge of one's own says; nothing of it is left."""

    async def play() -> T:
        judge = SchemaJudge(seconds, **limits)
        try:
            return await asked(judge)
        finally:
            pids = judge.pids
            await judge.close()
            assert not any(psutil.pid_exists(pid) for pid in pids)

    return asyncio.run(play())


def test_a_value_that_fits_has_no_findings_and_others_say_where_they_do_not(court: Court) -> None:
    schema = {
        "type": "object",
        "properties": {"rows": {"items": {"type": "integer"}}, "a/b": {"const": 1}},
        "required": ["rows"],
    }
    fits, wrong, missing = court.of_values(schema, {"rows": [1, 2.0]}, {"rows": [1, "2"], "a/b": True}, {})

    assert fits == []
    assert [finding.path for finding in wrong] == ["/rows/1", "/a~1b"]
    assert wrong[0].error == "'2' is not of type 'integer'"
    assert missing == [Finding("", "'rows' is a required property")]


@pytest.mark.parametrize(
    ("schema", "paths"),
    (
        ({"type": "string"}, []),
        (True, []),
        ({"type": "strong", "minimum": "1"}, ["/type", "/minimum"]),
        ({"properties": {"a": {"pattern": "("}}}, ["/properties/a/pattern"]),
        ({"$schema": "https://example.org/mine"}, ["/$schema"]),
        ({"$schema": 5}, ["/$schema"]),
        ([], [""]),
    ),
)
def test_a_schema_is_judged_part_by_part(court: Court, schema: Any, paths: list[str]) -> None:
    assert sorted(finding.path for finding in court.of_schema(schema)) == sorted(paths)


@pytest.mark.parametrize(
    "reference", ("https://example.org/other.json", "file:///etc/passwd", "#/$defs/absent", "other.json#/a")
)
def test_a_reference_that_leads_out_of_the_schema_is_refused(court: Court, reference: str) -> None:
    schema = {"$defs": {"b": {}}, "properties": {"a": {"items": {"$ref": reference}}}}

    (finding,) = court.of_schema(schema)

    assert finding.path == "/properties/a/items/$ref"
    assert repr(reference) in finding.error


def test_references_within_the_schema_are_followed_also_by_identifier(court: Court) -> None:
    schema = {
        "$id": "https://example.org/root",
        "$defs": {"n": {"type": "integer"}, "t": {"$id": "text", "type": "string"}},
        "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "text"}},
    }

    assert court.of_schema(schema) == []
    fits, wrong = court.of_values(schema, {"a": 1, "b": ""}, {"a": "", "b": 1})
    assert fits == []
    assert [finding.path for finding in wrong] == ["/a", "/b"]


def test_an_identifier_may_be_used_by_two_schemas(court: Court) -> None:
    (first,) = court.of_values({"$id": "https://example.org/one", "type": "string"}, 1)
    (second,) = court.of_values({"$id": "https://example.org/one", "type": "integer"}, 1)

    assert len(first) == 1
    assert second == []


def test_the_dialect_is_the_one_that_the_schema_names(court: Court) -> None:
    tuple_ = {"items": [{"type": "integer"}], "additionalItems": False}

    assert court.of_schema({**tuple_, "$schema": DRAFT_07}) == []
    assert court.of_schema(tuple_) != []
    assert court.of_values({**tuple_, "$schema": DRAFT_07}, [1], [1, 2])[1] != []
    exclusive = {"$schema": DRAFT_04, "minimum": 1, "exclusiveMinimum": True}
    assert [bool(found) for found in court.of_values(exclusive, 1, 2)] == [True, False]


@pytest.mark.parametrize(
    ("schema", "reason"),
    (
        ({"$ref": "#"}, "all of it: the schema refers to itself without end"),
        ({"properties": {"a": {"type": 1}}}, "/properties/a/type: 1 is not valid"),
    ),
)
def test_nothing_is_judged_by_what_is_no_schema(court: Court, schema: Any, reason: str) -> None:
    with pytest.raises(NotJudgedError, match=f"the schema itself is wrong: {reason}"):
        court.of_values(schema, 1)


def test_a_pattern_that_takes_for_ever_is_given_up_while_others_are_judged() -> None:
    async def ask(judge: SchemaJudge) -> tuple[Any, list[list[Finding]]]:
        await judge.of_schema(pack(SLOW))
        slow = asyncio.create_task(judge.of_value(pack(SLOW), pack(SLOW_TEXT)))
        await asyncio.sleep(0)
        others = [await judge.of_value(pack({"type": "integer"}), pack(n)) for n in range(20)]
        assert not slow.done()
        (error,) = await asyncio.gather(slow, return_exceptions=True)
        assert await judge.of_value(pack(SLOW), pack("aa")) == []
        return error, others

    error, others = judged(ask, seconds=3.0)

    assert isinstance(error, NotJudgedError)
    assert "3 s (schema_seconds)" in str(error)
    assert others == [[]] * 20


def test_a_value_that_needs_too_much_memory_ends_its_judge_and_no_other_judgement() -> None:
    async def ask(judge: SchemaJudge) -> tuple[Any, list[Finding]]:
        large = pack([[n] for n in range(900_000)])
        (error,) = await asyncio.gather(judge.of_value(pack(True), large), return_exceptions=True)
        return error, await judge.of_value(pack(True), pack(1))

    error, after = judged(ask, memory_bytes=120 * 1024 * 1024)

    assert isinstance(error, NotJudgedError)
    assert after == []


def test_a_judge_that_was_killed_is_replaced() -> None:
    async def ask(judge: SchemaJudge) -> list[Finding]:
        await judge.of_schema(pack(True))
        (pid,) = judge.pids
        process = psutil.Process(pid)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: has_ended(process))
        await asyncio.gather(judge.of_schema(pack(True)), return_exceptions=True)
        found = await judge.of_value(pack({"type": "integer"}), pack("1"))
        assert judge.pids != [pid]
        return found

    assert len(judged(ask)) == 1


def test_one_process_stays_warm_and_none_is_there_before_it_is_needed() -> None:
    async def ask(judge: SchemaJudge) -> tuple[list[int], list[int]]:
        before = judge.pids
        await asyncio.gather(*(judge.of_value(pack(True), pack(n)) for n in range(8)))
        return before, judge.pids

    before, after = judged(ask)

    assert before == []
    assert len(after) == 1
