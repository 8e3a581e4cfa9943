"""What the gateway adds to a call of the worker: HTTP on a kept connection against the worker's own client."""

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.rounds import Row, interleaved, p50
from tests.bench.worker import STOP_SECONDS, running_worker

BASE = "/api/v3/bench/bench"
HEADERS = {"Authorization": "Bearer dev", "Content-Type": "application/json"}


@contextlib.contextmanager
def running_gateway(endpoint: str, *arguments: str) -> Iterator[tuple[str, int]]:
    """Start ``model-worker gateway`` in front of a worker, and stop it afterwards; its HOST:PORT and process id."""
    command = [sys.executable, "-m", "worker.cli.main", "gateway", "--listen", "127.0.0.1:0"]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, (Path(folder) / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--endpoint", endpoint, *arguments], stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None
        with process.stdout:
            try:
                line = process.stdout.readline()
                if not line.startswith("ready"):
                    raise RuntimeError((Path(folder) / "log").read_text())
                yield line.strip().removeprefix("ready http://"), process.pid
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(STOP_SECONDS)


@contextlib.contextmanager
def http_echo() -> Iterator[str]:
    """The gateway's server with nothing behind it; its HOST:PORT."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.http_echo"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_SECONDS)


def latency(rounds: int, calls: int) -> Iterator[Row]:
    """Reads, inert and durable operations of one run, by the gateway and past it."""
    with (
        running_worker() as worker,
        worker.client() as client,
        running_gateway(worker.endpoint) as (address, _),
        http_echo() as bare,
    ):
        key = client.create_run("plain/model.py").run_key
        connection, echoes = http.client.HTTPConnection(address), http.client.HTTPConnection(bare)

        def ask(
            method: str, path: str, body: object = None, connection: http.client.HTTPConnection = connection
        ) -> None:
            content = None if body is None else json.dumps(body)
            connection.request(method, BASE + path, content, HEADERS)
            with connection.getresponse() as response:
                text = response.read()
                if response.status != 200:
                    raise RuntimeError(text)

        def operation(name: str) -> None:
            ask("POST", f"/run/operation/{key}", {"name": name, "arguments": [], "objectType": "execute"})

        took = interleaved(
            {
                "echo": lambda: p50(
                    lambda: ask("POST", f"/run/variable/{key}", {"include": "count"}, echoes), calls
                ),
                "read": lambda: p50(lambda: client.read_variables(key, ["count"]), calls),
                "http read": lambda: p50(
                    lambda: ask("POST", f"/run/variable/{key}", {"include": "count"}), calls
                ),
                "inert": lambda: p50(lambda: client.call_operation(key, "look"), calls),
                "http inert": lambda: p50(lambda: operation("look"), calls),
                "durable": lambda: p50(lambda: client.call_operation(key, "step"), calls),
                "http durable": lambda: p50(lambda: operation("step"), calls),
            },
            rounds,
        )
        connection.close()
        echoes.close()
    yield Row("HTTP echo of the gateway's server, nothing behind it, p50", took["echo"] * 1e6, "µs")
    for name in ("read", "inert", "durable"):
        added = took[f"http {name}"] - took[name]
        yield Row(
            f"gateway adds to a call, {name}, p50",
            added * 1e6,
            "µs",
            "the same past the gateway",
            took[f"http {name}"] / took[name],
            "≤ 1 ms",
            added <= 0.001,
        )
        yield Row(
            f"beyond the echo, {name}, p50",
            (added - took["echo"]) * 1e6,
            "µs",
            "HTTP echo",
            added / took["echo"],
        )
