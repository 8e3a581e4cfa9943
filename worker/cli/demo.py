"""``model-worker demo``: a worker of its own, one model, every step of a run's life."""

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Table

from protocol.client import Client
from protocol.entities import Run
from protocol.errors import ErrorCode, ProtocolError

MODEL: Final = "market/model.py"
ROLES: Final = ("Retailer", "Wholesaler", "Distributor", "Factory")
START_SECONDS: Final = 60.0


class DemoError(Exception):
    """A step did not prove what it should."""


def models_folder() -> Path:
    """The example models: beside the package where it is installed, else in the source tree."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "models"
    return installed if installed.is_dir() else package.parent / "models"


@dataclass
class Story:
    """Steps told as they happen, each timed and checked, and the table at the end."""

    console: Console
    rows: list[tuple[str, str, float]] = field(default_factory=list)

    def step(self, title: str, action: Callable[[], Any], proof: Callable[[Any], str]) -> Any:
        """Do one step, and say what it proved."""
        began = time.perf_counter()
        value = action()
        milliseconds = (time.perf_counter() - began) * 1000
        proved = proof(value)
        self.console.print(f"[bold]{title}[/bold]  [dim]{milliseconds:.1f} ms[/dim]\n  {proved}")
        self.rows.append((title, proved, milliseconds))
        return value

    def table(self) -> Table:
        """All steps at a glance."""
        table = Table("step", "what it proved")
        table.add_column("ms", justify="right")
        for title, proved, milliseconds in self.rows:
            table.add_row(title, proved, f"{milliseconds:.1f}")
        return table


def demo() -> None:
    """Host an example model and show what happens, step by step; everything is removed afterwards."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="model-worker-demo-") as folder:
        story = Story(console)
        try:
            with _daemon(Path(folder)) as daemon:
                _tell(story, daemon)
        except (DemoError, ProtocolError) as error:
            console.print(f"[red]The demo failed:[/red] {error}")
            raise typer.Exit(1) from error
    console.print(story.table())


@dataclass
class _Daemon:
    folder: Path
    process: subprocess.Popen[str] | None = None

    @property
    def endpoint(self) -> str:
        return f"ipc://{self.folder}/worker.sock"

    def start(self) -> "_Daemon":
        with (self.folder / "worker.log").open("a") as log:
            self.process = subprocess.Popen(  # noqa: S603 - this very program
                [
                    *(sys.executable, "-m", "worker.cli.main", "serve"),
                    *("--models", str(models_folder())),
                    *("--data", str(self.folder / "data")),
                    *("--bind", self.endpoint),
                    *("--events", ""),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line.startswith("ready"):
            raise DemoError(f"the worker did not start:\n{(self.folder / 'worker.log').read_text()[-2000:]}")
        return self

    def kill(self) -> None:
        self._process().kill()
        self._end()

    def restart(self) -> None:
        self.kill()
        self.start()

    def stop(self) -> int:
        self._process().send_signal(signal.SIGTERM)
        return self._end()

    def _end(self) -> int:
        process, self.process = self._process(), None
        if process.stdout:
            process.stdout.close()
        return process.wait(START_SECONDS)

    def _process(self) -> subprocess.Popen[str]:
        if self.process is None:
            raise DemoError("the worker is not running")
        return self.process


@contextlib.contextmanager
def _daemon(folder: Path) -> Iterator[_Daemon]:
    daemon = _Daemon(folder)
    try:
        yield daemon
    finally:
        if daemon.process is not None:
            daemon.kill()


def _tell(story: Story, daemon: _Daemon) -> None:
    story.step(
        "start the worker", daemon.start, lambda _: f"a daemon listens on {daemon.endpoint}, data on disk"
    )
    with Client(daemon.endpoint) as worker:
        run = _play(story, worker)
        _come_back(story, worker, run)
        before = _state(worker, run)
        story.step(
            "kill -9 the worker, start it again",
            daemon.restart,
            lambda _: "its run processes died with it; the log is on disk",
        )
        story.step(
            "read the run again",
            lambda: _state(worker, run),
            lambda after: _same(before, after, "nothing acknowledged was lost"),
        )
    story.step("stop the worker", daemon.stop, lambda status: _check(status == 0, "drained, exit status 0"))


def _play(story: Story, worker: Client) -> str:
    presets = {"demand_pattern": "random", "rounds": 20}
    run: Run = story.step(
        "create a run",
        lambda: worker.create_run(MODEL, execution_context={"presets": presets}),
        lambda run: _check(
            run.live and run.seq == 1, f"{MODEL} is live in a process of its own, {run.sandbox} sandbox"
        ),
    )
    key = run.run_key

    def week() -> Any:
        for role in ROLES:
            worker.call_operation(key, "order", [8], actor=_actor(role))
        return worker.call_operation(key, "step")

    story.step(
        "play five weeks",
        lambda: [week() for _ in range(5)],
        lambda weeks: _check(len(weeks) == 5, "25 operations, each on disk before its answer"),
    )
    story.step("ask for nonsense", lambda: _refusal(worker, key), str)
    story.step(
        "send a request twice",
        lambda: [worker.call_operation(key, "step", request_id="week-6") for _ in range(2)],
        lambda answers: _check(answers[0] == answers[1], "same request_id, same answer, applied once"),
    )
    return key


def _come_back(story: Story, worker: Client, key: str) -> None:
    before = _state(worker, key)
    story.step(
        "evict the run",
        lambda: (worker.evict_run(key), worker.get_run(key))[1],
        lambda run: _check(not run.live, "its process is gone"),
    )
    story.step(
        "read without a process",
        lambda: worker.request("read_variables", run_key=key, names=["week", "cost"]),
        lambda reply: _check(
            reply.run.served_from == "archive", f"week {reply.result['week']}, from the archive"
        ),
    )
    story.step(
        "restore by replay",
        lambda: worker.restore_run(key),
        lambda run: _same(
            before, _state(worker, key), f"{run.seq - 1} actions replayed, every outcome compared"
        ),
    )
    clone: Run = story.step(
        "clone the run",
        lambda: worker.clone_run(key),
        lambda clone: _same(before, _state(worker, clone.run_key), "a new run with the same state"),
    )
    story.step(
        "rewind the clone two weeks",
        lambda: worker.rewind_run(clone.run_key, rewind_count=2),
        lambda _: _check(
            worker.read_variables(clone.run_key, ["week"])["week"] == before["week"] - 2
            and _state(worker, key) == before,
            f"week {before['week'] - 2} there, week {before['week']} here still",
        ),
    )


def _state(worker: Client, key: str) -> dict[str, Any]:
    names = ["week", "stock", "backlog", "cost", "history"]
    state: dict[str, Any] = worker.read_variables(key, names, ritual="REVIVE")
    return state


def _actor(role: str) -> dict[str, Any]:
    return {"world_role": role}


def _refusal(worker: Client, key: str) -> str:
    try:
        worker.call_operation(key, "order", [-1], actor=_actor(ROLES[0]))
    except ProtocolError as error:
        if error.code is ErrorCode.OPERATION_FAILED:
            return f"{error.code}: {error.message}"
        raise
    raise DemoError("a negative order was accepted")


def _check(holds: bool, proved: str) -> str:
    if not holds:
        raise DemoError(f"not true: {proved}")
    return proved


def _same(before: dict[str, Any], after: dict[str, Any], proved: str) -> str:
    different = [name for name in before if before[name] != after[name]]
    return _check(
        not different, proved if not different else f"{', '.join(different)} differ after: {proved}"
    )
