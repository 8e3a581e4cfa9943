"""Nothing is left over: not after many runs came and went, and not after a worker was killed.

``--cycles 10000`` makes the long version of the first test; ``-s`` shows its figures.
"""

import itertools
import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from protocol.client import Client
from protocol.errors import ErrorCode, ProtocolError

MODEL = """
import os
import tempfile
import time

from epicenter import Epicenter

total = 0


def add(amount):
    global total
    total += amount
    Epicenter.record("total", total)
    with open(os.path.join(os.environ["TMPDIR"], "note"), "w") as note:
        note.write("x" * 10_000)
    print(total)
    return total


def fail():
    raise ValueError("no")


def gorge():
    return len([bytearray(2**20) for _ in range(10**6)])


def hang():
    while True:
        pass


def die():
    os._exit(3)


def wait():
    with open(os.path.join(os.path.dirname(__file__), "seconds.txt")) as seconds:
        time.sleep(float(seconds.read()))
"""
CONTEXT = """{
  "version": "V2",
  "operations": {"hang": {"timeoutSeconds": 0.2}, "gorge": {"timeoutSeconds": 30}, "wait": {"timeoutSeconds": 90}},
  "restorations": {"rewind": {"name": "add"}}
}"""
SLOW_TO_BOOT = "import time\ntime.sleep(60)\n"
CLIENTS = 4
NAMESPACES = ("mnt", "pid", "net", "ipc", "user", "uts")
MIB = 1024 * 1024
ALLOWED_GROWTH_BYTES = 4 * MIB
"""For page caches of the store, which fill up as the database grows, and for the allocator's ups and downs."""
ALLOWED_PER_CYCLE_BYTES = 150


@pytest.fixture(scope="module")
def models(model_root: Any) -> Path:
    model_root.add("plain", MODEL, CONTEXT)
    model_root.add("broken", "import math\nraise RuntimeError('never loads')\n")
    model_root.add("sleepy", SLOW_TO_BOOT)
    path: Path = model_root.path
    return path


# --- what a worker holds ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Footprint:
    """All that a worker holds of the system; equal footprints mean that nothing was left over."""

    children: int
    zombies: int
    descriptors: dict[str, Counter[str]]
    threads: dict[str, int]
    mounts: dict[str, int]
    namespaces: int
    scratch: tuple[str, ...]
    data: tuple[str, ...]
    tables: dict[str, Any]


def _descriptors(pid: int) -> Counter[str]:
    """How many of each kind a process has open, a kind being what they point to without its number."""
    found: Counter[str] = Counter()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[re.sub(r"\d+", "N", str(link.readlink()))] += 1
        except FileNotFoundError:
            continue
    return found


def _namespaces(pids: list[int]) -> int:
    """Different name spaces that processes are in, or hold open."""
    held = {str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for pid in pids for kind in NAMESPACES}
    for pid in pids:
        targets = (str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir())
        held |= {target for target in targets if target.partition(":")[0] in NAMESPACES}
    return len(held)


def _tables(status: dict[str, Any]) -> dict[str, Any]:
    """What the worker itself counts, without what only ever grows."""
    runs = {name: value for name, value in status["runs"].items() if name not in ("stored", "archived")}
    zygotes = [zygote["runs"] for zygote in status["zygotes"]]
    return {
        "runs": runs,
        "zygotes": zygotes,
        "requests": status["requests"],
        "restores": status["restores"],
        "log": status["log"],
    }


def footprint(daemon: Any, client: Client) -> Footprint:
    tables = _tables(client.worker_status())
    supervisor = psutil.Process(daemon.pid)
    zygotes = sorted(supervisor.children(), key=lambda child: child.pid)
    names = {"supervisor": supervisor.pid} | {f"zygote {n}": one.pid for n, one in enumerate(zygotes)}
    every = supervisor.children(recursive=True)
    runtime = runtime_folder(daemon)
    return Footprint(
        children=len(every),
        zombies=sum(one.status() == psutil.STATUS_ZOMBIE for one in every),
        descriptors={name: _descriptors(pid) for name, pid in names.items()},
        threads={name: len(list(Path(f"/proc/{pid}/task").iterdir())) for name, pid in names.items()},
        mounts={
            name: len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines()) for name, pid in names.items()
        },
        namespaces=_namespaces(list(names.values())),
        scratch=tuple(sorted(str(path.relative_to(runtime)) for path in runtime.rglob("*"))),
        data=tuple(sorted(path.name for path in Path(daemon.data).iterdir())),
        tables=tables,
    )


def runtime_folder(daemon: Any) -> Path:
    return Path((Path(daemon.data) / "runtime").read_text().splitlines()[0])


def private_bytes(daemon: Any) -> dict[str, int]:
    """Memory that the supervisor, and all its zygotes, share with nobody."""
    supervisor = psutil.Process(daemon.pid)
    return {
        "supervisor": _private_bytes(supervisor.pid),
        "zygotes": sum(_private_bytes(child.pid) for child in supervisor.children()),
    }


def _private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


# --- many lives -------------------------------------------------------------------------------------------


def expecting(code: ErrorCode, ask: Callable[[], object]) -> None:
    with pytest.raises(ProtocolError) as raised:
        ask()
    assert raised.value.code is code, raised.value


def ended_by(name: str, code: ErrorCode) -> Callable[[Client], None]:
    """A life in which an operation ends its process."""

    def live(client: Client) -> None:
        key = client.create_run("plain/model.py").run_key
        expecting(code, lambda: client.call_operation(key, name))
        client.evict_run(key)

    return live


def plain(client: Client) -> None:
    key = client.create_run("plain/model.py").run_key
    assert client.call_operation(key, "add", [2]) == 2
    client.evict_run(key)


def unloadable(client: Client) -> None:
    expecting(ErrorCode.MODEL_LOAD_FAILED, lambda: client.create_run("broken/model.py"))


def closed(client: Client) -> None:
    key = client.create_run("plain/model.py").run_key
    client.call_operation(key, "add", [1])
    client.update_run(key, closed=True)


def cloned(client: Client) -> None:
    key = client.create_run("plain/model.py").run_key
    client.call_operation(key, "add", [1])
    clone = client.clone_run(key).run_key
    assert client.call_operation(clone, "add", [1]) == 2
    client.evict_run(clone)
    client.evict_run(key)


def rewound(client: Client) -> None:
    key = client.create_run("plain/model.py").run_key
    for _ in range(2):
        client.call_operation(key, "add", [1])
    client.rewind_run(key, rewind_count=1)
    assert client.call_operation(key, "add", [1]) == 2
    client.evict_run(key)


def ephemeral(client: Client) -> None:
    key = client.create_run("plain/model.py", ephemeral=True).run_key
    client.call_operation(key, "add", [1])
    expecting(ErrorCode.PROCESS_EXITED, lambda: client.call_operation(key, "die"))
    assert client.call_operation(key, "add", [1]) == 2
    expecting(ErrorCode.PROCESS_EXITED, lambda: client.call_operation(key, "die"))
    client.evict_run(key)


def restored(client: Client) -> None:
    key = client.create_run("plain/model.py").run_key
    client.call_operation(key, "add", [1])
    client.evict_run(key)
    client.restore_run(key, ephemeral=True)
    client.call_operation(key, "add", [5])
    client.evict_run(key)
    assert client.call_operation(key, "add", [1], ritual="RESURRECT") == 2


def asked_about(client: Client) -> None:
    key = client.create_run("plain/model.py", metadata={"team": "red"}).run_key
    expecting(ErrorCode.OPERATION_FAILED, lambda: client.call_operation(key, "fail"))
    client.introspect_run(key)
    client.update_metadata(key, push={"list": 1})
    client.read_events(key)
    client.evict_run(key)
    client.read_history(key)


LIVES: tuple[Callable[[Client], None], ...] = (
    unloadable,
    ended_by("hang", ErrorCode.OPERATION_TIMEOUT),
    ended_by("gorge", ErrorCode.LIMIT_EXCEEDED),
    ended_by("die", ErrorCode.PROCESS_EXITED),
    closed,
    cloned,
    rewound,
    ephemeral,
    restored,
    asked_about,
)
PERIOD = 3 * len(LIVES)
"""Of so many cycles, one is each of the lives above; all others are plain."""


def live_many(daemon: Any, cycles: int) -> None:
    numbers = itertools.count()
    lock = threading.Lock()

    def take() -> int:
        with lock:
            return next(numbers)

    def work() -> None:
        with daemon.client(90) as client:
            while (number := take()) < cycles:
                kind = number % PERIOD
                (LIVES[kind] if kind < len(LIVES) else plain)(client)

    with ThreadPoolExecutor(CLIENTS) as threads:
        for future in [threads.submit(work) for _ in range(CLIENTS)]:
            future.result()


def test_runs_that_came_and_went_leave_nothing_over(
    make_daemon: Any, models: Path, wait_until: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    cycles: int = request.config.getoption("--cycles")
    daemon = make_daemon(models, env={"MODEL_WORKER_MEMORY_BYTES": str(256 * MIB)})
    with daemon.client() as client:
        live_many(daemon, PERIOD + cycles // 3)
        wait_until(lambda: footprint(daemon, client).children == len(client.worker_status()["zygotes"]))
        wait_until(lambda: client.worker_status()["log"]["pending_writes"] == 0)
        base = footprint(daemon, client)
        assert not base.zombies
        memory = [private_bytes(daemon)]
        for _ in range(2):
            live_many(daemon, cycles // 3)
            wait_until(lambda: footprint(daemon, client) == base)
            memory.append(private_bytes(daemon))

    told = {name: [one[name] for one in memory] for name in memory[0]}
    grown = {name: (values[2] - values[1]) for name, values in told.items()}
    third = cycles // 3
    sys.stdout.write(f"{cycles} cycles: {base}\nprivate bytes after each third {json.dumps(told)}\n")
    sys.stdout.write(
        f"last third, bytes a cycle: { {name: value / third for name, value in grown.items()} }\n"
    )
    for name, bytes_ in grown.items():
        assert bytes_ < ALLOWED_GROWTH_BYTES + ALLOWED_PER_CYCLE_BYTES * third, (name, told)


# --- a killed worker --------------------------------------------------------------------------------------


def of_runtime(folder: Path) -> set[psutil.Process]:
    """Processes forked for the worker that has a runtime folder; root sees it in their environment."""
    found = set()
    for process in psutil.process_iter():
        try:
            if process.environ().get("HOME", "").startswith(f"{folder}/"):
                found.add(process)
        except psutil.Error:
            continue
    return found


def in_states(client: Client, wanted: dict[str, int]) -> bool:
    states = client.worker_status()["runs"]["states"]
    return all(states.get(state, 0) == count for state, count in wanted.items())


@pytest.fixture
def slow_history(make_daemon: Any, models: Path) -> tuple[str, str]:
    """A data folder with a run whose replay takes a minute, and its key."""
    seconds = models / "plain" / "seconds.txt"
    seconds.write_text("0")
    daemon = make_daemon(models)
    with daemon.client(90) as client:
        key = client.create_run("plain/model.py").run_key
        client.call_operation(key, "wait")
    assert daemon.stop() == 0
    seconds.write_text("60")
    return daemon.data, key


@pytest.fixture
def busy(
    make_daemon: Any, models: Path, slow_history: tuple[str, str], wait_until: Callable[..., None]
) -> Iterator[Any]:
    """A daemon with an idle, a busy, a restoring and a booting run."""
    data, key = slow_history
    daemon = make_daemon(models, data=data)
    asks: list[Callable[[Client], object]] = [
        lambda client: client.call_operation(client.create_run("plain/model.py").run_key, "wait"),
        lambda client: client.create_run("sleepy/model.py"),
        lambda client: client.restore_run(key),
    ]

    def ask(one: Callable[[Client], object]) -> None:
        with daemon.client(8) as client, pytest.raises(ProtocolError):
            one(client)

    with daemon.client() as client:
        client.create_run("plain/model.py")
        threads = [threading.Thread(target=ask, args=(one,)) for one in asks]
        for thread in threads:
            thread.start()
        wait_until(lambda: in_states(client, {"idle": 1, "busy": 1, "booting": 1, "replaying": 1}))
    yield daemon
    daemon.close()
    for thread in threads:
        thread.join()


def test_a_killed_worker_leaves_no_process_and_its_successor_removes_the_rest(
    busy: Any, make_daemon: Any, models: Path, wait_until: Callable[..., None]
) -> None:
    neighbour = make_daemon(models)
    with neighbour.client() as client:
        kept = client.create_run("plain/model.py").run_key
        client.call_operation(kept, "add", [7])
        before = footprint(neighbour, client)
    folder, others = runtime_folder(busy), runtime_folder(neighbour)
    processes = {*busy.descendants(), *of_runtime(folder)}
    assert len(processes) >= 5, "a zygote and four run processes"
    sockets = [Path(name.removeprefix("ipc://")) for name in (busy.endpoint, busy.events)]

    busy.process.kill()
    busy.process.wait()

    wait_until(lambda: not busy.survivors(list(processes)))
    wait_until(lambda: not of_runtime(folder))
    assert folder.is_dir()
    assert all(path.is_socket() for path in sockets), "nobody was there to remove them"

    busy.start()
    assert not folder.exists()
    assert not any(path.exists() for path in sockets)
    assert runtime_folder(busy).is_dir()
    assert runtime_folder(busy) != folder
    with busy.client() as client:
        assert client.worker_status()["runs"]["states"] == {}
        client.create_run("plain/model.py")

    assert others.is_dir()
    with neighbour.client() as client:
        assert footprint(neighbour, client) == before
        reply = client.request("call_operation", run_key=kept, name="add", arguments=[1])
        assert (reply.result, reply.run and reply.run.served_from) == (8, "memory")
    assert busy.stop() == 0
    assert not Path(busy.data, "runtime").exists()
    assert (Path(busy.data) / "worker.lock").read_text() == "", "closed cleanly"


def test_a_killed_worker_that_kept_nothing_on_disk_is_cleaned_up_by_the_next_one(
    make_daemon: Any, models: Path
) -> None:
    first = make_daemon(models, data=":memory:")
    folder = next(Path(process.environ()["HOME"]) for process in first.descendants()).parent
    assert folder.is_dir()
    neighbour = make_daemon(models, data=":memory:")
    assert folder.is_dir(), "its owner lives"
    first.kill()
    first.start()
    assert not folder.exists()
    with neighbour.client() as client:
        assert client.call_operation(client.create_run("plain/model.py").run_key, "add", [1]) == 1
