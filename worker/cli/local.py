"""A worker for the duration of a command: a process of its own, reached through a temporary folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final, Self

STOP_SECONDS: Final = 60.0
LOG_SHOWN: Final = 2000
"""Characters of the worker's log in an error."""


class LocalWorkerError(Exception):
    """The worker did not start, or is not running."""


def program(module: str) -> list[str]:
    """The command line of one of our modules; the working directory is nowhere to import from."""
    return [sys.executable, "-P", "-m", module]


def environment() -> dict[str, str]:
    """The environment of this command, in which our own package can be imported from where it is."""
    here = Path(__file__).absolute().parents[2]
    if here.name in ("site-packages", "dist-packages"):
        return dict(os.environ)  # found without help, and not to be searched before the standard library
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), *others])}


class LocalWorker:
    """One ``model-worker serve``, started by ``start``; leaving the context ends it.

    ``folder`` holds its socket and its log, and is the caller's. ``data`` as in the settings.
    """

    def __init__(self, folder: Path, models: Path, *, data: str) -> None:
        self._folder = folder
        self._models = models
        self._data = data
        self._process: subprocess.Popen[str] | None = None

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"ipc://{self._folder}/worker.sock"

    def start(self) -> Self:
        """Start it and wait until it accepts requests.

        Raises:
            LocalWorkerError: it ended instead; the message has the end of its log.
        """
        log_path = self._folder / "worker.log"
        with log_path.open("a") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this very program
                [
                    *(*program("worker.cli.main"), "serve"),
                    *("--models", str(self._models)),
                    *("--data", self._data),
                    *("--bind", self.endpoint),
                    *("--events", f"ipc://{self._folder}/events.sock"),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(),
            )
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line.startswith("ready"):
            raise LocalWorkerError(f"the worker did not start:\n{log_path.read_text()[-LOG_SHOWN:]}")
        return self

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self._running().kill()
        self._end()

    def restart(self) -> None:
        """Kill it and start another one on its data."""
        self.kill()
        self.start()

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        self._running().send_signal(signal.SIGTERM)
        return self._end()

    def _end(self) -> int:
        process, self._process = self._running(), None
        if process.stdout:
            process.stdout.close()
        return process.wait(STOP_SECONDS)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise LocalWorkerError("the worker is not running")
        return self._process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()
