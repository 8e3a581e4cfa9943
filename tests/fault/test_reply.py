"""No reply before its write: while the disk cannot take it, nobody is told that it was done."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from protocol.client import Client
from protocol.errors import ErrorCode, ProtocolError
from tests.fault.programs.lab import CONTEXT, MODEL

WAITED_SECONDS = 0.4


@pytest.fixture(scope="module")
def model(model_root: Any) -> str:
    name: str = model_root.add("ledger", MODEL, CONTEXT)
    return name


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any, model: str) -> Any:
    return make_daemon(model_root.path)


@contextmanager
def nothing_can_be_written(daemon: Any) -> Iterator[None]:
    """Another program has the database; the worker waits for it, for some seconds."""
    with closing(sqlite3.connect(Path(daemon.data) / "worker.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.parametrize(
    ("type_", "fields"),
    (
        ("create_run", {"model_file": "ledger/model.py"}),
        ("call_operation", {"name": "post", "arguments": ["a", 1]}),
        ("call_operation", {"name": "fail", "arguments": ["a", 1]}),
        ("write_variables", {"values": {"note": "a"}}),
        ("update_metadata", {"set": {"a": 1}}),
        ("update_run", {"marked": True}),
        ("rewind_run", {"to_seq": 1}),
        ("clone_run", {}),
        ("migrate_run", {"episode_key": "e"}),
    ),
    ids=("create", "call", "failing call", "set", "metadata", "update", "rewind", "clone", "migrate"),
)
def test_nothing_is_answered_before_it_is_on_disk(
    daemon: Any, model: str, type_: str, fields: dict[str, Any]
) -> None:
    with daemon.client() as client, daemon.client(WAITED_SECONDS) as hasty:
        run_key = client.create_run(model).run_key
        client.call_operation(run_key, "post", ["before", 1])
        named = fields if type_ == "create_run" else {"run_key": run_key, **fields}
        request = {**named, "request_id": f"{type_}/{run_key}"}

        with nothing_can_be_written(daemon), pytest.raises(ProtocolError) as failure:
            hasty.request(type_, **request)

        assert failure.value.code is ErrorCode.DEADLINE_EXCEEDED
        assert failure.value.information["applied"] == "unknown"
        expected = "OPERATION_FAILED" if fields.get("name") == "fail" else "done"
        assert outcome(client, type_, request) == expected
        assert outcome(client, type_, request) == expected


def outcome(client: Client, type_: str, request: dict[str, Any]) -> str:
    try:
        client.request(type_, **request)
    except ProtocolError as error:
        return str(error.code)
    return "done"
