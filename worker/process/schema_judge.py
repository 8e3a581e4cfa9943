"""Judges JSON Schemas, and values by them, in processes of their own: bounded, kept warm, killed when they are late.

None is started before one is needed. A judgement that takes too long costs those of others nothing but a processor:
they get another process, up to ``PROCESSES``.
"""

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.channel import HEADER, ChannelError, pack, unpack

PROGRAM: Final = Path(__file__).with_name("schema_program.py")
PROCESSES: Final = 4
"""At once; one of them stays when there is nothing to do."""
START_SECONDS: Final = 30.0
MEMORY_BYTES: Final = 512 * 1024 * 1024
"""Address space of each."""
MAX_ANSWER_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and where: ``path`` is a JSON Pointer into the schema or the value, "" the whole."""

    path: str
    error: str


class NotJudgedError(Exception):
    """There is no judgement; the message says why. The process that was to give it is gone."""


class SchemaJudge:
    """The processes of one worker. ``seconds``: how long one judgement may take."""

    def __init__(self, seconds: float, memory_bytes: int = MEMORY_BYTES) -> None:
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._places = asyncio.Semaphore(PROCESSES)
        self._warm: list[asyncio.subprocess.Process] = []
        self._at_work: set[asyncio.subprocess.Process] = set()

    @property
    def pids(self) -> list[int]:
        """Ids of the processes that there are."""
        return [process.pid for process in (*self._warm, *self._at_work)]

    async def of_schema(self, schema: bytes) -> list[Finding]:
        """What is wrong with a schema (msgpack); nothing: values can be judged by it.

        Raises:
            NotJudgedError: it took too long or too much memory, or no process can be started.
        """
        wrong, _ = await self._judged([schema, None])
        return wrong

    async def of_value(self, schema: bytes, value: bytes) -> list[Finding]:
        """What of a value does not fit a schema, both msgpack; at most some 20 findings.

        Raises:
            NotJudgedError: as ``of_schema``, or it is no schema.
        """
        wrong, findings = await self._judged([schema, value])
        if wrong:
            raise NotJudgedError(
                f"the schema itself is wrong: {wrong[0].path or 'all of it'}: {wrong[0].error}"
            )
        return findings

    async def close(self) -> None:
        """End all; those who wait for a judgement get none."""
        for process in (*self._warm, *self._at_work):
            _kill(process)
        for process in (*self._warm, *self._at_work):
            await process.wait()
        self._warm.clear()

    async def _judged(self, asked: list[bytes | None]) -> list[list[Finding]]:
        async with self._places:
            process = self._warm.pop() if self._warm else await _started(self._memory_bytes)
            self._at_work.add(process)
            try:
                async with asyncio.timeout(self._seconds):
                    findings = await _exchange(process, asked)
            except TimeoutError:
                reason = f"it cannot be judged within {self._seconds:g} s (schema_seconds); make it simpler"
                raise NotJudgedError(reason) from None
            except (OSError, EOFError, ChannelError):
                reason = f"its judge ended: it may use {self._memory_bytes} bytes of memory"
                raise NotJudgedError(reason) from None
            else:
                self._keep(process)
            finally:
                self._at_work.discard(process)
                if process not in self._warm:
                    await _end(process)
        return findings

    def _keep(self, process: asyncio.subprocess.Process) -> None:
        if not self._warm and process.returncode is None:
            self._warm.append(process)


async def _started(memory_bytes: int) -> asyncio.subprocess.Process:
    """A process that is ready.

    Raises:
        NotJudgedError: there is none.
    """
    command = (sys.executable, "-I", str(PROGRAM), str(os.getpid()), str(memory_bytes))
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise NotJudgedError(f"no judge can be started: {error}") from error
    try:
        async with asyncio.timeout(START_SECONDS):
            await _answer(process)
    except BaseException as error:
        await _end(process)
        if isinstance(error, TimeoutError | OSError | EOFError | ChannelError):
            raise NotJudgedError("no judge can be started") from error
        raise
    return process


async def _exchange(process: asyncio.subprocess.Process, asked: list[bytes | None]) -> list[list[Finding]]:
    if process.stdin is None:
        raise EOFError
    body = pack(asked)
    process.stdin.write(HEADER.pack(len(body)) + body)
    await process.stdin.drain()
    return [[Finding(one["path"], one["error"]) for one in found] for found in await _answer(process)]


async def _answer(process: asyncio.subprocess.Process) -> Any:
    if process.stdout is None:
        raise EOFError
    (size,) = HEADER.unpack(await process.stdout.readexactly(HEADER.size))
    if size > MAX_ANSWER_BYTES:
        raise ChannelError(f"an answer of {size} bytes")
    return unpack(await process.stdout.readexactly(size))


async def _end(process: asyncio.subprocess.Process) -> None:
    _kill(process)
    await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
