"""SIGKILL at a random moment: what was acknowledged is in the log, once, at its seq, and nothing is half there.

Started as a program, this module is the worker that is killed.
"""

import asyncio
import os
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import msgpack
import pytest

from worker.log.base import Append, Creation, StoredRequest
from worker.log.sqlite import SqliteStore
from worker.runs.history import EntryKind, LogEntry, OutcomeStatus
from worker.runs.record import RunRecord

ROOT = Path(__file__).parents[2]
KEYS = [f"run {n}" for n in range(12)]
DIGEST = b"d" * 16
CYCLES = 25
MOST_ACKNOWLEDGED = 600


def next_append(run: RunRecord, head: int, count: int) -> Append:
    request_id = f"{run.run_key}/{run.epoch}/{head + 1}"
    entries = tuple(
        LogEntry(
            seq,
            run.epoch,
            EntryKind.EXECUTE,
            seq,
            b"action",
            None,
            OutcomeStatus.COMPLETED,
            bytes(seq % 3000),
            DIGEST,
            request_id,
            seq - head - 1,
        )
        for seq in range(head + 1, head + count + 1)
    )
    last = head + count
    records = {"head": msgpack.packb(last)}
    request = StoredRequest(request_id, run.run_key, DIGEST, head + 1, last)
    return Append(run.run_key, run.epoch, head, entries, last, records, request)


async def append_for_ever(store: SqliteStore, run_key: str) -> None:
    run = await store.claim(run_key)
    head = run.seq
    while True:
        append = next_append(run, head, 1 + head % 3)
        await store.append(append)
        head = append.entries[-1].seq
        assert append.request is not None
        # One write call for one line: the pipe holds whole acknowledgements only.
        os.write(1, f"{run_key}\t{append.entries[0].seq}\t{head}\t{append.request.request_id}\n".encode())


async def worker(folder: Path) -> None:
    store = await SqliteStore.open(folder)
    async with asyncio.TaskGroup() as tasks:
        for key in KEYS:
            tasks.create_task(append_for_ever(store, key))


def killed_worker(folder: Path, acknowledged: int) -> list[list[str]]:
    """Run a worker, kill it after so many acknowledgements, return all that it gave."""
    with subprocess.Popen(
        [sys.executable, __file__, folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(acknowledged)]
        process.kill()
        lines += process.stdout.read().splitlines(keepends=True)
    assert all(line.endswith(b"\n") for line in lines), "the worker ended by itself"
    return [line.decode().rstrip("\n").split("\t") for line in lines]


async def create_runs(folder: Path) -> None:
    store = await SqliteStore.open(folder)
    for key in KEYS:
        await store.create(Creation(RunRecord(key, "m", "python", "f", 1, 1, 1, {}, {}), ()))
    await store.close()


async def judge(folder: Path, acknowledged: dict[str, list[list[str]]]) -> None:
    store = await SqliteStore.open(folder)
    for key in KEYS:
        entries = await store.read(key, limit=1_000_000)
        run = await store.get(key)
        assert run is not None
        assert [entry.seq for entry in entries] == list(range(1, run.seq + 1))
        epochs = [entry.epoch for entry in entries]
        assert epochs == sorted(epochs)
        for _, first, last, request_id in acknowledged[key]:
            own = [
                entry.seq for entry in entries[int(first) - 1 : int(last)] if entry.request_id == request_id
            ]
            assert own == list(range(int(first), int(last) + 1))
        # Acknowledged or not, an append is there with everything of it or not at all.
        seqs = defaultdict(list)
        for entry in entries:
            seqs[entry.request_id].append(entry.seq)
        for of_request_id, of_request in seqs.items():
            assert of_request_id is not None
            (request,) = store.find_request(of_request_id)
            assert of_request == list(range(request.first_seq, request.last_seq + 1))
        expected = {"head": msgpack.packb(run.seq)} if run.seq else {}
        assert await store.read_variables(key) == expected
    await store.close()


@pytest.mark.parametrize("seed", (20261122,))
def test_what_was_acknowledged_survives_sigkill(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    asyncio.run(create_runs(tmp_path))
    acknowledged: dict[str, list[list[str]]] = defaultdict(list)
    for _ in range(CYCLES):
        for line in killed_worker(tmp_path, chance.randint(0, MOST_ACKNOWLEDGED)):
            acknowledged[line[0]].append(line)
        if chance.random() < 0.5:
            # The other half of the kills is recovered by the next worker itself.
            asyncio.run(judge(tmp_path, acknowledged))
    asyncio.run(judge(tmp_path, acknowledged))
    assert sum(map(len, acknowledged.values())) > CYCLES


if __name__ == "__main__":
    asyncio.run(worker(Path(sys.argv[1])))
