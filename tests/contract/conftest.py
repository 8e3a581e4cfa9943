"""What the suites of all ports share: stores of every kind, and values to put into them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from worker.log.base import Append, Creation, Store, StoredRequest
from worker.log.memory import MemoryStore
from worker.log.sqlite import SqliteStore
from worker.runs.history import EntryKind, LogEntry, OutcomeStatus
from worker.runs.record import RunRecord

Scenario = Callable[[Store], Awaitable[None]]
DIGEST = b"d" * 16


@pytest.fixture(params=["memory", "sqlite"])
def on_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario], None]:
    """Runs a scenario on a fresh store of each kind."""

    async def play(scenario: Scenario) -> None:
        store: Store = MemoryStore() if request.param == "memory" else await SqliteStore.open(tmp_path)
        try:
            await scenario(store)
        finally:
            await store.close()

    return lambda scenario: asyncio.run(play(scenario))


def make_run(run_key: str = "run", **fields: Any) -> RunRecord:
    given: dict[str, Any] = {
        "run_key": run_key,
        "model_file": "model.py",
        "model_language": "python",
        "model_fingerprint": "f" * 64,
        "created_us": 10,
        "last_modified_us": 10,
        "seed": 7,
        "scope": {"scope_boundary": "PROJECT", "scope_key": "project"},
        "permit": {"read_lock": "USER"},
        "epoch": 1,
    }
    return RunRecord(**(given | fields))


def make_entry(seq: int, **fields: Any) -> LogEntry:
    given: dict[str, Any] = {
        "seq": seq,
        "epoch": 1,
        "kind": EntryKind.EXECUTE if seq > 1 else EntryKind.BOOT,
        "at_us": 1000 + seq,
        "action": f"action {seq}".encode(),
        "actor": None,
        "status": OutcomeStatus.COMPLETED,
        "outcome": f"outcome {seq}".encode(),
        "digest": DIGEST,
        "request_id": f"request {seq}",
        "answers": f"answers {seq}".encode() if seq % 2 else None,
    }
    return LogEntry(**(given | fields))


def make_append(
    head_seq: int, run_key: str = "run", *, count: int = 1, epoch: int = 1, **fields: Any
) -> Append:
    """``count`` entries behind the head under one request named after the first of them."""
    first, last = head_seq + 1, head_seq + count
    request_id = f"request {first}"
    entries = tuple(
        make_entry(seq, epoch=epoch, request_id=request_id, batch=seq - first)
        for seq in range(first, last + 1)
    )
    given: dict[str, Any] = {
        "run_key": run_key,
        "epoch": epoch,
        "head_seq": head_seq,
        "entries": entries,
        "at_us": 1000 + last,
        "request": StoredRequest(request_id, run_key, DIGEST, first, last),
    }
    return Append(**(given | fields))


async def grow(store: Store, seq: int, run_key: str = "run", **creation: Any) -> None:
    """Create a run and append one entry at a time until its head is ``seq``."""
    await store.create(Creation(make_run(run_key), (), **creation))
    for head in range(seq):
        await store.append(make_append(head, run_key))


@pytest.fixture
def run() -> Callable[..., RunRecord]:
    return make_run


@pytest.fixture
def entry() -> Callable[..., LogEntry]:
    return make_entry


@pytest.fixture
def appending() -> Callable[..., Append]:
    return make_append


@pytest.fixture
def grown() -> Callable[..., Awaitable[None]]:
    return grow
