"""That the specification tells what the code does: no more, no less."""

import re
from pathlib import Path

import protocol
from protocol._exchange import RETRIED
from protocol.codec import REQUEST_TYPES, decode_reply, decode_request
from protocol.entities import Actor, Address, Permit, Role, Run, RunState, RunStatus, Scope, ScopeBoundary
from protocol.errors import ErrorCode
from protocol.events import COMMON_FIELDS, KIND_FIELDS, PROGRESS_FIELDS, Event, EventKind, Progress
from protocol.messages import ManyRunRequest, Request
from worker.runs.rituals import ritual_table

README = Path(str(protocol.__file__)).with_name("README.md").read_text()
MANY_RUNS = {"run_key", "run_keys"}


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its own heading."""
    rows = re.search(rf"^#+ {heading}\n.*?((?:^\|[^\n]*\n)+)", README, re.MULTILINE | re.DOTALL)
    assert rows is not None, heading
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in rows[1].splitlines()[2:]]


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def fields_of(cls: type[Request | Scope | Permit | Actor | Address | Run]) -> set[str]:
    return {name + ("" if field.is_required() else "?") for name, field in cls.model_fields.items()}


def test_every_request_type_is_told_with_exactly_its_fields() -> None:
    rows = {row[0].removesuffix(" *").strip("`"): row for row in table("Types")}
    assert rows.keys() == REQUEST_TYPES.keys()
    envelope = {name.rstrip("?") for name in fields_of(Request)} | {"type"}
    for kind, cls in REQUEST_TYPES.items():
        title, state, fields, _ = rows[kind]
        many = issubclass(cls, ManyRunRequest)
        assert title.endswith("*") == many
        assert (state == "changes") == cls.changes_state
        hidden = envelope | (MANY_RUNS if many else set())
        assert names(fields) == {name for name in fields_of(cls) if name.rstrip("?") not in hidden}, kind


def test_the_envelope_is_told() -> None:
    told = {row[0].strip("`") for row in table("Requests")}
    assert told == set(Request.model_fields) | {"type"}


def test_every_error_code_is_told_with_status_and_retryable() -> None:
    told = [(row[1].strip("`"), int(row[0]), row[2] == "yes") for row in table("Errors")]
    assert sorted(told) == sorted((str(code), code.status, code.retryable) for code in ErrorCode)


def test_the_errors_that_the_clients_wait_out_are_told() -> None:
    sentence = re.search(r"soon after a lost connection, and on ([^;]*);", README)
    assert sentence is not None
    assert names(sentence[1]) == set(RETRIED)


def test_every_kind_of_event_is_told_with_exactly_its_fields() -> None:
    told = {row[0].strip("`"): names(row[1]) for row in table("Events")}
    assert told == {str(kind): set(fields) for kind, fields in KIND_FIELDS.items()}
    assert set(KIND_FIELDS) == set(EventKind)
    section = README.split("## Events")[1]
    sentence = re.search(r"Every event has (.*), the time it happened", section)
    assert sentence is not None
    assert names(sentence[1]) == set(COMMON_FIELDS)


def test_progress_is_told_with_exactly_its_fields() -> None:
    told = re.search(r"topic `progress/<run_key>`, a map of `version` \(1\) ((?:`\S+` ?)+)", README)
    assert told is not None
    assert ["version", *re.findall(r"`(\S+)`", told[1].rstrip())] == list(PROGRESS_FIELDS)
    plain = [name.rstrip("?") for name in PROGRESS_FIELDS]
    assert set(plain) == set(Progress.model_fields)


def test_the_model_of_an_event_has_the_fields_of_every_kind() -> None:
    travelling = {field.alias or name for name, field in Event.model_fields.items()}
    of_kinds = {name.rstrip("?") for fields in KIND_FIELDS.values() for name in fields}
    assert travelling == {*COMMON_FIELDS, *of_kinds}


def test_a_run_and_the_parts_of_requests_are_told_with_exactly_their_fields() -> None:
    assert {row[0].strip("`") for row in table("Run")} == fields_of(Run)
    parts = {row[0]: names(row[1]) for row in table("Parts of requests")}
    assert parts == {cls.__name__.lower(): fields_of(cls) for cls in (Actor, Scope, Permit, Address)}


def test_enumerations_are_told_in_full() -> None:
    for enumeration in (Role, ScopeBoundary, RunState, RunStatus):
        assert f"one of {', '.join(enumeration)}" in README


def test_the_rituals_are_those_of_the_worker() -> None:
    assert ritual_table() in README


def test_the_example_bytes_are_a_request_and_a_reply() -> None:
    ping, pong = (bytes.fromhex(line) for line in re.findall(r"^frame 2  (.*)$", README, re.MULTILINE))
    assert decode_request(ping).request_id == "r1"
    assert decode_reply(pong).result == {"worker_id": "w", "version": "0.1.0", "uptime_seconds": 1.5}
