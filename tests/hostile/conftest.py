"""What the hostile tests share: a daemon with small limits, and a bystander that must notice nothing."""

import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import psutil
import pytest

from protocol.client import Client
from protocol.errors import ProtocolError

MODELS = Path(__file__).parent / "models"
MEMORY_BYTES = 320 * 1024 * 1024


@pytest.fixture(scope="module")
def daemon(make_daemon: Any) -> Any:
    """The daemon under attack."""
    daemon = make_daemon(
        MODELS, env={"MODEL_WORKER_MEMORY_BYTES": str(MEMORY_BYTES), "MODEL_WORKER_LOG_MODEL_OUTPUT": "true"}
    )
    with daemon.client() as client:
        # What the first runs of all start stays: zygotes, files of the store.
        for model, operation in (("bystander/model.py", "tick"), ("attack/model.py", "environment")):
            run_key = client.create_run(model).run_key
            client.call_operation(run_key, operation)
            client.read_history(run_key)
            client.evict_run(run_key)
    return daemon


@pytest.fixture(scope="module")
def client(daemon: Any) -> Iterator[Client]:
    with daemon.client() as client:
        client.ping()
        yield client


class Bystander:
    """A run that is used without pause, by a client of its own, while something else goes wrong."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._run_key = client.create_run("bystander/model.py").run_key
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick)
        self.milliseconds: list[float] = []
        self.failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def _tick(self) -> None:
        try:
            for expected in iter(lambda: len(self.milliseconds) + 1, 0):
                began = time.perf_counter()
                answer = self._client.call_operation(self._run_key, "tick")
                self.milliseconds.append((time.perf_counter() - began) * 1000)
                assert answer == expected, f"the bystander answered {answer} instead of {expected}"
                if self._stop.wait(0.002):
                    return
        except (ProtocolError, AssertionError) as error:
            self.failure = error

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self.failure is None:
            self._client.evict_run(self._run_key)

    def report(self) -> str:
        median = statistics.median(self.milliseconds)
        return f"{len(self.milliseconds)} answers, median {median:.1f} ms, longest {max(self.milliseconds):.1f} ms"


def held(worker: psutil.Process) -> tuple[int, list[int]]:
    """How many descriptors a worker has open, and which processes it has started."""
    return worker.num_fds(), sorted(child.pid for child in worker.children(recursive=True))


@pytest.fixture
def bystander(
    daemon: Any,
    client: Client,
    wait_until: Callable[..., None],
    record_property: Callable[[str, object], None],
) -> Iterator[Bystander]:
    """A bystander is at work while the test runs; afterwards nothing of either run may be left over."""
    worker = psutil.Process(daemon.pid)
    before = held(worker)
    with daemon.client(60) as own, Bystander(own) as bystander:
        yield bystander
    assert bystander.failure is None, bystander.failure
    assert bystander.milliseconds, "the bystander was never answered"
    record_property("bystander", bystander.report())
    sys.stdout.write(f"bystander: {bystander.report()}\n")

    try:
        wait_until(lambda: held(worker) == before, within=10)
    except AssertionError:
        assert held(worker) == before, "descriptors and processes, before and after"
    assert "bug" not in daemon.logged()
