"""What is measured: each function gives rows of the report, held against floors measured beside it."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from protocol.client import AsyncClient, Client
from tests.bench.floors import disk, echo, fork
from tests.bench.histories import write_histories
from tests.bench.peers import peers
from tests.bench.rounds import Row, interleaved, p50, seconds
from tests.bench.worker import Worker, running_worker

_NOT_DURABLE = {
    "ping": "ping",
    "read": "read_variables, live",
    "inert": "call_operation, inert: nothing is recorded",
}
PLAIN, NUMERIC, FRAMES = "plain/model.py", "numeric/model.py", "frames/model.py"


def latency(rounds: int, calls: int) -> Iterator[Row]:
    """Durable operation, read, ping and create against an echo, a fork and a disk; the peers beside them."""
    with running_worker() as worker, worker.client() as client, echo() as round_trip, disk() as write:
        key = client.create_run(PLAIN).run_key
        client.create_run(NUMERIC)  # its zygote starts once

        def create() -> float:
            return statistics.median(_created(client) for _ in range(max(calls // 20, 5)))

        took = interleaved(
            {
                "echo": lambda: p50(round_trip, calls),
                "disk": lambda: p50(write, calls),
                "fork": lambda: p50(fork, max(calls // 20, 5)),
                "ping": lambda: p50(client.ping, calls),
                "read": lambda: p50(lambda: client.read_variables(key, ["count"]), calls),
                "inert": lambda: p50(lambda: client.call_operation(key, "look"), calls),
                "operation": lambda: p50(lambda: client.call_operation(key, "step"), calls),
                "create": create,
            },
            rounds,
        )
    yield Row("ZeroMQ REQ/REP echo, p50", took["echo"] * 1e6, "µs")
    yield Row("write and fdatasync of a page, p50", took["disk"] * 1e6, "µs")
    yield Row("bare fork, p50", took["fork"] * 1e3, "ms")
    for name, label in _NOT_DURABLE.items():
        yield Row(f"{label}, p50", took[name] * 1e6, "µs", "echo", took[name] / took["echo"])
    ratio = took["operation"] / took["echo"]
    name = "durable call_operation, p50"
    yield Row(name, took["operation"] * 1e6, "µs", "echo", ratio, "≤ 3 × echo", ratio <= 3)
    floors = took["echo"] + took["disk"]
    yield Row(name, took["operation"] * 1e6, "µs", "(echo + disk)", took["operation"] / floors)
    yield Row(
        "create_run, numpy model, p50",
        took["create"] * 1e3,
        "ms",
        "fork",
        took["create"] / took["fork"],
        "≤ 10 ms",
        took["create"] <= 0.010,
    )
    yield from _peers(took["create"], took["operation"], calls)


def _created(client: Client) -> float:
    began = time.perf_counter()
    run = client.create_run(NUMERIC)
    took = time.perf_counter() - began
    client.evict_run(run.run_key)
    return took


def _peers(create: float, operation: float, calls: int) -> Iterator[Row]:
    for peer in peers():
        starts, executions = [], []
        for _ in range(3):
            one = peer()
            starts.append(seconds(one.start))
            executions.append(p50(one.call, max(calls // 10, 10)))
            one.stop()
        held = peer.name == "Jupyter kernel"
        faster = statistics.median(starts) / create
        row = Row(f"{peer.name}, start", statistics.median(starts) * 1e3, "ms", "create_run", faster)
        if held:
            row.goal, row.met = "create ≥ 50 × faster", faster >= 50
        yield row
        faster = statistics.median(executions) / operation
        row = Row(f"{peer.name}, call", statistics.median(executions) * 1e6, "µs", "call_operation", faster)
        if held:
            row.goal, row.met = "call ≥ 20 × faster", faster >= 20
        yield row


def throughput(rounds: int, operations: int) -> Iterator[Row]:
    """Durable operations over eight runs, many under way at once."""

    async def pipelined(endpoint: str, keys: list[str], each: int, depth: int) -> float:
        async with AsyncClient(endpoint, timeout_seconds=600) as client:

            async def caller(key: str) -> None:
                for _ in range(each // depth):
                    await client.call_operation(key, "step")

            began = time.perf_counter()
            await asyncio.gather(*(caller(key) for key in keys for _ in range(depth)))
            return len(keys) * (each // depth) * depth / (time.perf_counter() - began)

    with running_worker() as worker, worker.client() as client:
        keys = [client.create_run(PLAIN).run_key for _ in range(8)]
        each = operations // len(keys)
        rates = [asyncio.run(pipelined(worker.endpoint, keys, each, 8)) for _ in range(rounds)]
    rate = statistics.median(rates)
    yield Row("pipelined durable operations, 8 runs", rate, "/s", goal="≥ 10,000/s", met=rate >= 10_000)


def memory(runs: int) -> Iterator[Row]:
    """What one more idle run that has worked once costs the host.

    Counted per run process: its proportional set size (its own pages, and its share of those it has in common with
    the zygote and the other runs) and its page tables, which are the kernel's and its alone. Not counted: what the
    supervisor keeps of a run (some 20 kB), and the kernel's other structures (its stack of 16 kB, name spaces,
    mounts; 300 to 500 kB of slab), which no process shows; ``detail`` has the parts.
    """
    for model, name, goal in ((PLAIN, "plain", 3.0), (FRAMES, "numpy and pandas used", 6.0)):
        with running_worker("--config", _many_runs()) as worker, worker.client() as client:
            for _ in range(runs):
                client.call_operation(client.create_run(model).run_key, "step")
            parts = _memory_parts(worker)
            each = parts["proportional"] + parts["page_tables"]
            name_row = f"memory of an idle run, {name} ({runs} runs)"
            yield Row(
                name_row, each / 1e6, "MB", goal=f"≤ {goal:g} MB", met=each <= goal * 1e6, detail={**parts}
            )


def idle(runs: int) -> Iterator[Row]:
    """What many idle runs cost in CPU."""
    with running_worker("--config", _many_runs()) as worker, worker.client() as client:
        for _ in range(runs):
            client.call_operation(client.create_run(PLAIN).run_key, "step")
        share = _cpu_share(worker, 10.0) * 100
    yield Row(f"{runs} idle runs", share, "% of a core", goal="< 1 %", met=share < 1)


def _many_runs() -> str:
    return str(__file__).replace("measures.py", "many.toml")


def _processes(worker: Worker) -> list[psutil.Process]:
    return [run for zygote in psutil.Process(worker.pid).children() for run in zygote.children()]


def _memory_parts(worker: Worker) -> dict[str, float]:
    """Mean bytes per run process: proportional and private set size, page tables.

    Raises:
        PermissionError: run processes are not to be looked into but by root.
    """
    processes = _processes(worker)
    found: dict[str, list[int]] = {"proportional": [], "private": [], "page_tables": []}
    for process in processes:
        rollup = _kilobytes(Path(f"/proc/{process.pid}/smaps_rollup"))
        found["proportional"].append(rollup["Pss"])
        found["private"].append(rollup["Private_Clean"] + rollup["Private_Dirty"])
        found["page_tables"].append(_kilobytes(Path(f"/proc/{process.pid}/status"))["VmPTE"])
    return {name: statistics.mean(values) * 1024 for name, values in found.items()}


def _kilobytes(file: Path) -> dict[str, int]:
    """The lines of a file in /proc that read ``name: number kB``."""
    lines = [line.split() for line in file.read_text().splitlines()]
    return {words[0].rstrip(":"): int(words[1]) for words in lines if words[2:] == ["kB"]}


def _cpu_share(worker: Worker, over_seconds: float) -> float:
    """Share of one core that the worker and all its processes use while nobody asks anything."""
    daemon = psutil.Process(worker.pid)
    everybody = [daemon, *daemon.children(recursive=True)]
    time.sleep(2.0)  # what the last requests left to be done is not idling

    def used_ns() -> int:
        return sum(_cpu_ns(process.pid) for process in everybody)

    before = used_ns()
    time.sleep(over_seconds)
    return (used_ns() - before) / 1e9 / over_seconds


def _cpu_ns(pid: int) -> int:
    """Nanoseconds that all threads of a process have run; its clock ticks would hide what takes less than one."""
    return sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def replay(lengths: list[int]) -> Iterator[Row]:
    """Restores of growing histories of trivial actions: each, and the fixed part and the rate that they show."""
    took: dict[int, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        data = Path(folder) / "data"
        with running_worker(data=data) as worker, worker.client() as client:
            keys = {length: client.create_run(PLAIN).run_key for length in lengths}
        asyncio.run(write_histories(data, keys))
        with running_worker(data=data) as worker, worker.client() as client:
            client.create_run(PLAIN)  # its zygote starts once
            before = _kilobytes(Path(f"/proc/{worker.pid}/status"))["VmRSS"]
            for length, key in keys.items():
                rounds = 5 if length <= 10_000 else 1
                took[length] = statistics.median(_restored(client, key) for _ in range(rounds))
                rate = length / took[length]
                row = Row(f"restore of {length:,} actions", rate, "actions/s", goal="≥ 100,000/s")
                row.met = rate >= 100_000 if length >= 100_000 else None
                row.detail["seconds"] = took[length]
                yield row
            grown = _kilobytes(Path(f"/proc/{worker.pid}/status"))["VmHWM"] - before
    least, most = min(took), max(took)
    per_action = (took[most] - took[least]) / (most - least)
    yield Row("restore, fixed part", (took[least] - per_action * least) * 1e3, "ms")
    rate = 1 / per_action
    yield Row("restore, rate beyond it", rate, "actions/s", goal="≥ 100,000/s", met=rate >= 100_000)
    yield Row("restore, growth of the supervisor at its peak", grown * 1024 / 1e6, "MB")


def _restored(client: Client, run_key: str) -> float:
    took = seconds(lambda: client.restore_run(run_key))
    client.evict_run(run_key)
    return took
