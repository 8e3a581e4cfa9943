"""Commands run as a user runs them: arguments in; output, exit status and log out."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from protocol.client import Client

REPOSITORY = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "worker.cli.main")
PATIENCE_SECONDS = 60.0


def environment(variables: dict[str, str]) -> dict[str, str]:
    """This environment without settings of a worker, and with ``variables``."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MODEL_WORKER_")}
    return {**plain, "PYTHONPATH": str(REPOSITORY), **variables}


@dataclass
class Finished:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> dict[str, Any]:
        """The error object that ``call`` writes."""
        found: dict[str, Any] = json.loads(self.err)
        return found


def run_command(*arguments: str, **variables: str) -> Finished:
    """Run ``model-worker`` until it ends."""
    done = subprocess.run(
        [*PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env=environment(variables),
        cwd=REPOSITORY,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


@dataclass
class Served:
    """A running ``model-worker serve``."""

    process: subprocess.Popen[str]
    ready: str
    log: Path
    endpoint: str

    @property
    def pid(self) -> int:
        return self.process.pid

    def client(self) -> Client:
        return Client(self.endpoint, timeout_seconds=30)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log's records of an event."""
        return [record for record in self.records() if record["event"] == event]

    def logged_levels(self, level: str) -> list[dict[str, Any]]:
        """The log's records of a level."""
        return [record for record in self.records() if record["level"] == level]

    def records(self) -> list[dict[str, Any]]:
        """The log; every line must be a JSON object."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def run_processes(self) -> list[psutil.Process]:
        """Its grandchildren: what zygotes have forked."""
        children = psutil.Process(self.pid).children(recursive=True)
        return [child for child in children if child.ppid() != self.pid]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


@dataclass
class Launcher:
    """Starts workers in a folder of its own, which any user may enter."""

    folder: Path
    started: list[Served] = field(default_factory=list)

    def __call__(
        self,
        models: Path,
        *,
        data: str = ":memory:",
        bind: str | None = None,
        program: tuple[str, ...] = PROGRAM,
        arguments: tuple[str, ...] = (),
        cwd: Path = REPOSITORY,
        **variables: str,
    ) -> Served:
        """Start a worker and wait for its first line; without one, ``ready`` is empty and the log tells why."""
        number = len(self.started)
        endpoint = bind or f"ipc://{self.folder}/s{number}"
        log = self.folder / f"log{number}"
        with log.open("w") as err:
            process = subprocess.Popen(
                [
                    *(*program, "serve", "--models", str(models), "--data", data, "--bind", endpoint),
                    *("--events", "", *arguments),
                ],
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                env=environment(variables),
                cwd=cwd,
            )
        assert process.stdout is not None
        served = Served(process, process.stdout.readline(), log, endpoint)
        self.started.append(served)
        return served

    def close(self) -> None:
        for served in self.started:
            if served.process.poll() is None:
                served.process.kill()
            served.process.wait(PATIENCE_SECONDS)
            if served.process.stdout is not None:
                served.process.stdout.close()


@pytest.fixture(scope="session")
def command() -> Callable[..., Finished]:
    """``command(*arguments, **environment)``: run ``model-worker`` until it ends."""
    return run_command


@pytest.fixture(scope="module")
def open_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that every user may read, which pytest's own are not."""

    folder = Path(tempfile.mkdtemp(prefix="mw-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def launch(open_folder: Path, tmp_path: Path) -> Iterator[Launcher]:
    """``launch(models, …)``: a worker; all are ended with the test."""

    launcher = Launcher(Path(tempfile.mkdtemp(dir=open_folder)))
    launcher.folder.chmod(0o755)
    yield launcher
    launcher.close()


@pytest.fixture(scope="session")
def free_port() -> int:
    """A TCP port that nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
