"""Many web clients at once: ``python -m tests.bench.load [--connections 500] [--seconds 60]``.

Each has a connection and a run of its own, and reads, calls and pauses as a page does that is being played. What must hold:
no error, and a gateway whose memory does not grow. Latencies are reported.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psutil

from tests.bench.gateway import BASE, HEADERS, running_gateway
from tests.bench.worker import running_worker

PAUSE_SECONDS = 1.0
"""Between two requests of one client, on average."""


@dataclass
class Tally:
    """What all clients saw: seconds by kind of request, and what went wrong."""

    took: dict[str, list[float]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, seconds: float, status: int) -> None:
        """One answer."""
        self.took.setdefault(kind, []).append(seconds)
        if status != 200:
            self.errors[f"{kind} {status}"] += 1


class Page:
    """One client: one connection, one request at a time."""

    def __init__(self, address: str, tally: Tally) -> None:
        self._host, _, self._port = address.rpartition(":")
        self._tally = tally
        self.begun = asyncio.Event()
        """Its run is there, or never will be."""

    async def play(self, until: "asyncio.Future[float]") -> None:
        """Start a run, wait for the others, then ask until the time (``time.monotonic``) that they agreed on."""
        try:
            self._reader, self._writer = await asyncio.open_connection(self._host, int(self._port))
        except OSError:
            self.begun.set()
            raise
        try:
            scope = {"scopeBoundary": "GROUP", "scopeKey": "load"}
            run = await self._ask("create", "POST", "/run", {"modelFile": "plain/model.py", "scope": scope})
            key = run["runKey"]
            self.begun.set()
            end = await until
            draw = random.Random(key)
            while time.monotonic() < end:
                await asyncio.sleep(draw.expovariate(1 / PAUSE_SECONDS))
                if draw.random() < 0.5:
                    await self._ask("read", "POST", f"/run/variable/{key}", {"include": "count"})
                else:
                    await self._ask("operation", "POST", f"/run/operation/{key}", {"name": "step"})
        finally:
            self.begun.set()
            self._writer.close()

    async def _ask(self, kind: str, method: str, path: str, body: Any) -> Any:
        content = json.dumps(body).encode()
        lines = [f"{method} {BASE}{path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in HEADERS.items()]
        began = time.perf_counter()
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        status = int(head.split(" ", 2)[1])
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        answer = json.loads(await self._reader.readexactly(int(fields["content-length"])))
        self._tally.add(kind, time.perf_counter() - began, status)
        return answer


async def load(address: str, pid: int, connections: int, seconds: float) -> bool:
    """Play, and tell; whether nothing went wrong."""
    tally = Tally()
    process = psutil.Process(pid)
    until: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    pages = [Page(address, tally) for _ in range(connections)]
    tasks = [asyncio.create_task(page.play(until)) for page in pages]
    for page in pages:
        await page.begun.wait()
    before = process.memory_info().rss
    until.set_result(time.monotonic() + seconds)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            tally.errors[repr(outcome)[:200]] += 1
    _tell(tally, before, process.memory_info().rss)
    return not tally.errors


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _tell(tally: Tally, before: int, after: int) -> None:
    for kind, took in tally.took.items():
        took.sort()
        shown = ", ".join(f"p{share} {1e3 * took[len(took) * share // 100]:.1f}" for share in (50, 90, 99))
        _say(f"{kind}: {len(took)} requests, {shown}, most {1e3 * took[-1]:.1f} ms")
    _say(f"gateway: {before / 2**20:.1f} MiB when the runs were there, {after / 2**20:.1f} MiB at the end")
    _say(f"errors: {dict(tally.errors) or 'none'}")


def main() -> None:
    """Start a worker and a gateway, play, tell; exit status 1 after an error."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description=main.__doc__)
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with running_worker() as worker, running_gateway(worker.endpoint) as (address, pid):
        good = asyncio.run(load(address, pid, options.connections, options.seconds))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
