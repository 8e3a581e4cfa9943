"""A run host on a real process whose part of the channel a test plays."""

import asyncio
import os
import socket
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from worker.channel import FrameReader, pack, pack_frame
from worker.log.memory import MemoryStore
from worker.process.environment import Environment
from worker.process.handle import ProcessHandle
from worker.process.limits import Limits
from worker.process.output import OutputReader
from worker.process.rate import MessageRate
from worker.process.schema_judge import SchemaJudge
from worker.process.zygote import Child, ExitReport
from worker.runs.history import LogEntry, ReplayPlan
from worker.runs.record import RunRecord
from worker.runs.stimuli import Origin, Work
from worker.settings import Settings
from worker.supervisor.events import Announcer
from worker.supervisor.host import RunHost
from worker.supervisor.host_services import HostServices
from worker.supervisor.incarnation import Incarnation
from worker.supervisor.memory import MemoryAccount
from worker.supervisor.models import ModelCatalog
from worker.supervisor.providers import Providers
from worker.supervisor.schemas import Schemas
from worker.supervisor.slots import Slots
from worker.telemetry import make_logger
from worker.waiting import awaited

MAX_FRAME_BYTES = 1024 * 1024


class PlayedRun:
    """The host of an ephemeral run that is being created.

    Its process does nothing; the loading of the model and every action are answered when ``booting`` and
    ``performing`` allow it. Close it before the loop ends.
    """

    def __init__(self, model_root: Path) -> None:
        self.booting = asyncio.Event()
        self.performing = asyncio.Event()
        self.asked = asyncio.Event()
        self._released = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._store = MemoryStore()
        settings = Settings()
        services = HostServices(
            settings=settings,
            limits=Limits(),
            log=make_logger("error", "json"),
            replays=Slots(1),
            boots=Slots(1),
            memory=MemoryAccount(1 << 30),
            spawn=self._spawn,
            released=lambda _host, _lost: self._released.set(),
            announcer=Announcer(settings),
            progress=lambda *_: None,
            providers=Providers(),
            schemas=Schemas(SchemaJudge(1.0)),
        )
        self.host = RunHost(self._incarnation(ModelCatalog(model_root)), services)

    def _incarnation(self, catalog: ModelCatalog) -> Incarnation:
        model = catalog.find("model.py")
        context, raw = model.effective_context(None)
        record = RunRecord(
            run_key="0" * 36,
            model_file=model.name,
            model_language="PYTHON_3",
            model_fingerprint=model.fingerprint,
            created_us=1,
            last_modified_us=1,
            seed=1,
            scope={},
            permit={},
            seq=1,
        )

        async def same() -> RunRecord:
            return record

        async def commit(row: RunRecord, _records: Any, _answers: bytes | None) -> RunRecord:
            return row

        return Incarnation(
            origin=Origin.CREATE,
            record=record,
            store=self._store,
            model=model,
            environment=Environment(),
            context=context,
            raw_context=raw,
            execution={},
            presets={},
            plan=ReplayPlan(),
            begin=same,
            pages=lambda: (page async for page in _nothing()),
            commit=commit,
            event="onInitialized",
            ephemeral=True,
            strict_replay=True,
            boot_at_us=1,
        )

    async def _spawn(self, host: RunHost) -> ProcessHandle:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        read_end, write_end = os.pipe()
        popen = _idle_process(write_end)
        os.close(write_end)
        self._tasks.append(asyncio.create_task(self._play(theirs)))
        child = Child(popen.pid, os.pidfd_open(popen.pid), _reaped(popen), None)
        output = OutputReader(
            read_end, budget_bytes=1024, rate=MessageRate(1000), sink=lambda _level, _line: None
        )
        return ProcessHandle(
            child, ours, output, max_frame_bytes=MAX_FRAME_BYTES, rate=MessageRate(1000), listener=host
        )

    async def _play(self, channel: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        frames = FrameReader(MAX_FRAME_BYTES)
        with channel:
            while data := await loop.sock_recv(channel, 65536):
                for kind, *fields in frames.feed(data):
                    answer = await self._answer(kind, fields)
                    await loop.sock_sendall(channel, pack_frame(answer))

    async def _answer(self, kind: str, fields: list[Any]) -> list[Any]:
        if kind == "boot":
            await self.booting.wait()
            return ["booted", {}, []]
        self.asked.set()
        await self.performing.wait()
        return ["outcome", fields[0], "completed", pack(None), {}, []]

    async def come_up(self) -> None:
        """Let it load its model and wait until it is ready."""
        self.booting.set()
        await awaited(partial(self.host.submit, Work("come up")))

    async def close(self) -> None:
        """End the run and wait until nothing of it is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.booting.set()
        if self._tasks:  # it was started, so losing its socket ends it
            await self._released.wait()


def _idle_process(output_fd: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", "600"], stdout=output_fd, stdin=subprocess.DEVNULL)


def _reaped(popen: "subprocess.Popen[bytes]") -> "asyncio.Future[ExitReport]":
    """What a zygote tells about the end of a process that it forked."""
    loop = asyncio.get_running_loop()
    exited: asyncio.Future[ExitReport] = loop.create_future()
    pidfd = os.pidfd_open(popen.pid)

    def reap() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        exited.set_result(ExitReport(-popen.wait(), 0, 0.0))

    loop.add_reader(pidfd, reap)
    return exited


async def _nothing() -> Any:
    pages: tuple[list[LogEntry], ...] = ()
    for page in pages:
        yield page


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[[], PlayedRun]:
    """``make_run()`` within a running loop: the host of a run whose process a test plays."""
    (tmp_path / "model.py").write_text("x = 0\n")
    return lambda: PlayedRun(tmp_path)
