"""What fault tests share: a worker that can be sabotaged, players that insist, and the judge of invariants."""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from protocol.client import AsyncClient
from protocol.errors import ErrorCode, ProtocolError
from protocol.messages import Reply

ROOT: Final = Path(__file__).parents[3]
MODEL: Final = """
import time

from epicenter import Epicenter

entries = []
total = 0
note = None


def post(key, amount):
    global total
    entries.append(key)
    total += amount
    Epicenter.record("total", total)
    return [len(entries), total]


def fail(key, amount):
    post(key, amount)
    raise ValueError(key)


def pay(key, amount):
    posted = post(key, amount)
    Epicenter.require_approval("to pay")
    return posted


def linger(key):
    time.sleep(0.1)
    return post(key, 0)


def stall(key):
    entries.append(key)
    time.sleep(60)
"""
CONTEXT: Final = json.dumps(
    {
        "version": "V2",
        "operations": {"stall": {"timeoutSeconds": 0.2}},
        "restorations": {"rewind": {"name": "post"}},
    }
)
AGAIN: Final = frozenset(
    {
        ErrorCode.PROCESS_EXITED,
        ErrorCode.BOOT_TIMEOUT,
        ErrorCode.OPERATION_TIMEOUT,
        ErrorCode.DEADLINE_EXCEEDED,
        ErrorCode.OUTCOME_UNKNOWN,
    }
)
"""What may come of a fault: the same request is asked again, under the same id."""

PATIENCE_SECONDS: Final = 60.0
ENDED: Final = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


async def eventually_gone(pids: list[int], within_seconds: float = 20.0) -> None:
    """Wait until none of the processes runs; they are no children of ours, so nothing tells."""
    async with asyncio.timeout(within_seconds):
        while any(_runs(pid) for pid in pids):  # noqa: ASYNC110 - the end of a foreign process sets no event
            await asyncio.sleep(0.005)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in ENDED
    except psutil.NoSuchProcess:
        return False


class Lab:
    """One worker after another on one endpoint and one data folder, all children of one nursery."""

    def __init__(self, folder: Path, models: Path, **settings: Any) -> None:
        self.folder = folder
        self.endpoint = f"ipc://{folder}/s"
        self.settings = {
            "bind": [self.endpoint],
            "events": f"ipc://{folder}/e",
            "models_dir": str(models),
            "data": str(folder / "data"),
            **settings,
        }
        self.pid = 0
        self.bystander = ""
        self._fired: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.struck: list[dict[str, Any]] = []
        self._armed: asyncio.Queue[None] = asyncio.Queue()
        self._telling = asyncio.Lock()
        self._runtime: Path | None = None
        self._nursery: asyncio.subprocess.Process | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Lab"]:
        """A started worker; at the end it is drained and must have left nothing."""
        command = (sys.executable, "-m", "tests.fault.programs.faulty_worker", str(self.folder))
        pipe = asyncio.subprocess.PIPE
        self._nursery = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=ROOT)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.setblocking(False)
            told.bind(str(self.folder / "told"))
            listening = asyncio.create_task(self._listen(told))
            try:
                await self.start()
                yield self
                await self._stop()
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
                await self._close()
        (self.folder / "told").unlink()

    def client(self, **options: Any) -> AsyncClient:
        """A client of this worker and of its successors."""
        return AsyncClient(self.endpoint, **options)

    async def start(self) -> None:
        """Start a worker; what its killed predecessor left in the file system is removed by then."""
        nursery = self._process()
        assert nursery.stdin is not None
        nursery.stdin.write(json.dumps(self.settings).encode() + b"\n")
        word, _, pid = (await self._line()).partition(" ")
        assert word == "ready", self.logged()
        assert self._runtime is None or not self._runtime.exists(), "the scratch of a killed worker stayed"
        self._runtime = Path((self.folder / "data" / "runtime").read_text().splitlines()[0])
        assert self._runtime.is_dir()
        self.pid = int(pid)

    async def died(self, family: list[int]) -> None:
        """Wait for the end of a killed worker: nothing of its family survives it."""
        assert await self._line() == "ended -9", self.logged()
        await eventually_gone(family)

    async def arm(self, key: str, **plan: Any) -> None:
        """Have a signal sent where the run with this tracking key reaches a point; see ``Plan``."""
        self._fired[key] = asyncio.get_running_loop().create_future()
        await self._tell({"plan": {"key": key, **plan}})

    async def roll(self, seed: int, kills: int, shares: dict[str, float]) -> None:
        """Have processes killed by chance at crash points, ``kills`` in all, the last one the supervisor.

        ``struck`` lists them; ``fired("")`` gives the last.
        """
        self._fired[""] = asyncio.get_running_loop().create_future()
        await self._tell({"dice": [seed, kills, shares]})

    def fired(self, key: str) -> "asyncio.Future[dict[str, Any]]":
        """What was done for a plan, once it is reached: ``pid`` of the victim, ``family`` of the worker."""
        return self._fired[key]

    def logged(self) -> str:
        """What all workers logged."""
        return (self.folder / "log").read_text()

    async def _tell(self, message: dict[str, Any]) -> None:
        # One at a time: the queue of a socket is short, and sending would block.
        async with self._telling:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as plans:
                plans.sendto(json.dumps(message).encode(), str(self.folder / "plans"))
            await self._armed.get()

    async def _listen(self, told: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            message = json.loads(await loop.sock_recv(told, 65536))
            if "armed" in message:
                self._armed.put_nowait(None)
                continue
            fired = message["fired"]
            if not fired["key"]:
                self.struck.append(fired)
            if fired["key"] or fired["victim"] == "supervisor":
                self._fired[fired["key"]].set_result(message)

    async def _stop(self) -> None:
        family = [child.pid for child in psutil.Process(self.pid).children(recursive=True)]
        psutil.Process(self.pid).terminate()
        assert await self._line() == "ended 0", self.logged()
        assert self._runtime is not None
        assert not self._runtime.exists()
        assert not (self.folder / "data" / "runtime").exists()
        await eventually_gone(family)

    async def _close(self) -> None:
        nursery = self._process()
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            for child in psutil.Process(nursery.pid).children(recursive=True):
                child.kill()
            nursery.kill()
        await nursery.communicate()

    async def _line(self) -> str:
        nursery = self._process()
        assert nursery.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            return (await nursery.stdout.readline()).decode().strip()

    def _process(self) -> asyncio.subprocess.Process:
        assert self._nursery is not None
        return self._nursery


@dataclass
class Ask:
    """One intent of a player; ``seq`` is where the answer said that it stands, None before that."""

    request_id: str
    run_key: str | None
    steps: int
    seq: int | None = None
    answered: bool = False


@dataclass
class Player:
    """Asks until it is answered, always under the same request_id."""

    client: AsyncClient
    key: str
    asks: list[Ask] = field(default_factory=list)
    retries: int = 0

    async def ask(
        self,
        type_: str,
        run_key: str | None,
        *,
        steps: int = 1,
        error: ErrorCode | None = None,
        request_id: str | None = None,
        **fields: Any,
    ) -> Reply | None:
        """The reply; None where it is the ``error`` that was expected. ``request_id``: of what was asked before."""
        ask = Ask(request_id or f"{self.key}/{len(self.asks)}", run_key, steps)
        self.asks.append(ask)
        named = fields if run_key is None else {"run_key": run_key, **fields}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    reply = await self.client.request(type_, **named, request_id=ask.request_id)
                except ProtocolError as failure:
                    if failure.code is error:
                        ask.answered = True
                        return None
                    if failure.code not in AGAIN:
                        raise
                    self.retries += 1
                else:
                    ask.answered = True
                    ask.seq = None if reply.run is None or not steps else reply.run.seq
                    return reply

    async def pay(self, run_key: str, amount: int, action_id: str) -> Reply | None:
        """Call an operation that asks for approval, approve it, and give what became of it."""
        key = f"{self.key}/{len(self.asks)}"
        fields: dict[str, Any] = {"name": "pay", "arguments": [key, amount], "request_id": key}
        await self.ask("call_operation", run_key, error=ErrorCode.PENDING_APPROVAL, **fields)
        await self.ask("decide_action", run_key, steps=0, action_id=action_id, approved=True)
        return await self.ask("call_operation", run_key, **fields)

    async def post(self, run_key: str, amount: int, name: str = "post", **fields: Any) -> Reply | None:
        """Call an operation that leaves its request_id in the model."""
        key = f"{self.key}/{len(self.asks)}"
        arguments = [key] if name in ("linger", "stall") else [key, amount]
        return await self.ask("call_operation", run_key, name=name, arguments=arguments, **fields)


async def history(client: AsyncClient, run_key: str) -> list[dict[str, Any]]:
    """All entries."""
    entries: list[dict[str, Any]] = []
    while True:
        after = entries[-1]["seq"] if entries else 0
        page = await client.read_history(run_key, after_seq=after, limit=1000)
        if not page["entries"]:
            assert page["head_seq"] == len(entries)
            return entries
        entries += page["entries"]


def state_of(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """What the model must hold after a history."""
    state: dict[str, Any] = {"entries": [], "total": 0, "note": None}
    for entry in entries:
        if "rewound_by" in entry:
            continue
        if entry["kind"] == "set":
            state[entry["name"]] = entry["value"]
        elif entry["kind"] == "execute":
            key, amount = [*entry["arguments"], 0][:2]
            state["entries"].append(key)
            state["total"] += amount
    return state


async def judge(client: AsyncClient, run_key: str, asks: list[Ask]) -> list[dict[str, Any]]:
    """All invariants that one run shows; gives its history.

    Acknowledged: in the log, at its seq. No request twice. No gaps, in entries and in events. One epoch after
    the other. The live state, the archive, and the state after a fresh replay are the history's.
    """
    entries = await history(client, run_key)
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1)), "gaps"
    epochs = [entry["epoch"] for entry in entries]
    assert epochs == sorted(epochs), "an older writer wrote after a newer one"
    seqs: dict[str, list[int]] = {}
    for entry in entries:  # those that a clone took over name no request
        seqs.setdefault(entry.get("request_id", ""), []).append(entry["seq"])
    for ask in asks:
        found = seqs.get(ask.request_id, [])
        assert len(found) == ask.steps or not (found or ask.answered), f"{ask}: {found}"
        assert ask.seq in (None, *found[-1:]), f"{ask}: {found}"
    expected = state_of(entries)
    names = list(expected)
    live = await client.read_variables(run_key, names, ritual="REVIVE")
    assert live == expected, "the live state is not the history's"
    await client.evict_run(run_key)
    if expected["total"]:
        assert await client.read_variables(run_key, ["total"]) == {"total": expected["total"]}, "archive"
    replayed = await client.read_variables(run_key, names, ritual="REVIVE")
    assert replayed == expected, "the replayed state is not the live one"
    events: list[int] = []
    while page := (await client.read_events(run_key, after_event=len(events), limit=1000))["events"]:
        events += [event["event"] for event in page]
    assert events == list(range(1, len(events) + 1)), "events with holes"
    return entries
