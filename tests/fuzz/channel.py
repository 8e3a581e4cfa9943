"""Fuzz the supervisor's side of a run's channel, guided by the supervisor's own coverage.

``python -m tests.fuzz.channel --seconds 60``, with the extra ``test`` installed. A whole worker runs in this
process, with real zygotes and run processes; each input is bytes that a model writes to its channel while it is
loaded, or during an operation, before the true answer or instead of it. Whatever they are, the request gets a
result or a typed error that is no internal one, a bystander's run answers, and nothing is left over. An input
that breaks this is saved as ``crash-*`` in the working directory, and given again as the argument reproduces it.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import atheris

with atheris.instrument_imports(include=["worker"]):
    from protocol.client import AsyncClient
    from protocol.errors import ErrorCode, ProtocolError
    from worker.channel import HEADER, pack, pack_frame
    from worker.settings import Settings
    from worker.supervisor.worker import run_worker
    from worker.telemetry import make_logger

MODEL: Final = """
import os

def strike(payload, answers):
    os.write(3, bytes.fromhex(payload))
    if not answers:
        os._exit(0)
    return 1

if globals().get("payload"):
    os.write(3, bytes.fromhex(payload))
"""
BYSTANDER: Final = "def add(n):\n    return n + 1\n"
CONTEXT: Final = '{"externalFunctions": {"price": {"market": {}}}}'
PAYLOAD_BYTES: Final = 4096
BARE: Final = 3
HALF_FRAME_SECONDS: Final = 0.3
"""The limits of operations and of loading: half a frame swallows the true answer behind it."""
EXPECTED: Final = frozenset(
    {
        ErrorCode.PROCESS_EXITED,
        ErrorCode.MODEL_LOAD_FAILED,
        ErrorCode.OPERATION_FAILED,
        ErrorCode.LIMIT_EXCEEDED,
        ErrorCode.UNENCODABLE_VALUE,
        ErrorCode.RESULT_TOO_LARGE,
        ErrorCode.UNKNOWN_OPERATION,
        ErrorCode.UNKNOWN_VARIABLE,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.BOOT_TIMEOUT,
        ErrorCode.OPERATION_TIMEOUT,
    }
)
_ERROR: Final = {"code": "OPERATION_FAILED", "message": "no", "information": {"exception": "E"}}
SEEDS: Final[tuple[list[Any], ...]] = (
    ["booted", {}, []],
    ["booted", {"a": pack(1)}, [{"code": "NON_FINITE", "path": "a"}]],
    ["boot_failed", {"code": "MODEL_LOAD_FAILED", "message": "no", "information": {}}],
    ["outcome", 1, "completed", pack([1, {"a": None}]), {"x": pack(2)}, []],
    ["outcome", 1, "error", pack(_ERROR), {}, []],
    ["outcome", 2, "completed", pack(1), {}, []],
    ["replayed", 1, [bytes(16)], True],
    ["assigned", 1, [{"code": "NOT_ASSIGNED", "path": "a", "type": "T", "message": "m"}]],
    ["settled", 1, {}, []],
    ["terminated"],
    ["fault", 1, "memory", "all of it"],
    ["call", 1, "price", pack([1])],
    ["call", 1, "unknown", pack([])],
)


class Target:
    """A worker, a client and a bystander's run, all on one loop that runs while an input is judged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._start())
        self._count = 0

    async def _start(self) -> None:
        for name, source in (("hostile", MODEL), ("bystander", BYSTANDER)):
            folder = self._folder / "models" / name
            folder.mkdir(parents=True)
            (folder / "model.py").write_text(source)
            (folder / "model.ctx2").write_text(CONTEXT)
        endpoint = f"ipc://{self._folder}/s"
        settings = Settings.load(
            None,
            models_dir=self._folder / "models",
            data=":memory:",
            bind=[endpoint],
            events="",
            operation_timeout_seconds=HALF_FRAME_SECONDS,
            inception_grace_seconds=HALF_FRAME_SECONDS,
        )
        log = make_logger("error", "json")
        ready: asyncio.Future[None] = self._loop.create_future()
        self._worker = self._loop.create_task(
            run_worker(settings, log, lambda _endpoints: ready.set_result(None))
        )
        await ready
        self._client = AsyncClient(endpoint)
        self._bystander = (await self._client.create_run("bystander/model.py", perpetual=True)).run_key

    def judge(self, data: bytes) -> None:
        """Have one input written to a channel."""
        if data:
            body = data[1 : PAYLOAD_BYTES + 1]
            # Most inputs get a true length, so that what is in a frame is tried and not only where it ends.
            framed = body if data[0] % 4 == BARE else HEADER.pack(len(body)) + body
            self._loop.run_until_complete(self._judge(data[0] // 4 % 3, framed))

    async def _judge(self, how: int, payload: bytes) -> None:
        presets = {"payload": payload.hex()} if how == 0 else {}
        run_key = None
        try:
            run = await self._client.create_run(
                "hostile/model.py", ephemeral=True, execution_context={"presets": presets}
            )
            run_key = run.run_key
            if how:
                await self._client.call_operation(run_key, "strike", [payload.hex(), how == 1])
            await self._client.call_operation(run_key, "strike", ["", True])
        except ProtocolError as error:
            if error.code not in EXPECTED:
                raise
        self._count += 1
        if run_key is not None:
            with contextlib.suppress(ProtocolError):
                await self._client.evict_run(run_key)
        assert await self._client.call_operation(self._bystander, "add", [self._count]) == self._count + 1
        if self._count % 100 == 0:
            status: dict[str, Any] = await self._client.worker_status()
            assert status["runs"]["live"] == 1, status["runs"]
            gc.collect()


def main() -> None:
    """Fuzz for some seconds, or judge one saved input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("inputs", nargs="*", help="saved inputs to judge instead")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        seeds = folder / "seeds"
        seeds.mkdir()
        for number, message in enumerate(SEEDS):
            for how in range(3):
                (seeds / f"{number}-{how}").write_bytes(bytes([4 * how + BARE]) + pack_frame(message))
                (seeds / f"{number}-{how}-framed").write_bytes(bytes([4 * how]) + pack(message))
        target = Target(folder)
        options = [f"-max_total_time={arguments.seconds}", f"-max_len={PAYLOAD_BYTES}", "-timeout=60"]
        atheris.Setup([sys.argv[0], *options, *(arguments.inputs or [str(seeds)])], target.judge)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
