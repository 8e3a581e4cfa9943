"""A real worker for the benchmarks, with its data on disk and its endpoint on ipc."""

import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from protocol.client import Client

MODELS = Path(__file__).parent / "models"
STOP_SECONDS = 120


@dataclass(frozen=True)
class Worker:
    """A running worker."""

    endpoint: str
    pid: int

    def client(self) -> Client:
        return Client(self.endpoint, timeout_seconds=600)


@contextlib.contextmanager
def running_worker(*arguments: str, data: Path | None = None) -> Iterator[Worker]:
    """Start ``model-worker serve``, and stop it afterwards; ``data`` is kept where it is given."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        endpoint = f"ipc://{folder}/s"
        command = [sys.executable, "-m", "worker.cli.main", "serve", "--models", str(MODELS)]
        with (Path(folder) / "log").open("w") as log:
            process = subprocess.Popen(
                [
                    *command,
                    "--data",
                    str(data or f"{folder}/data"),
                    "--bind",
                    endpoint,
                    "--events",
                    "",
                    *arguments,
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert process.stdout is not None
        with process.stdout:
            try:
                line = process.stdout.readline()
                if not line.startswith("ready"):
                    raise RuntimeError((Path(folder) / "log").read_text())
                yield Worker(endpoint, process.pid)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(STOP_SECONDS)
