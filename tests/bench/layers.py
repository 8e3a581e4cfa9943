"""What each layer of the sandbox costs a run that starts; run as a program, it locks children down and times them."""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.bench.rounds import Row

LEVELS = ("strict", "strict+jail")


def layers(children: int) -> Iterator[Row]:
    """One row per layer and level, and one for all of them; medians over freshly forked children."""
    for level in LEVELS:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.layers", level, str(children)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            start_new_session=True,  # as a zygote has
        )
        taken: dict[str, list[float]] = json.loads(done.stdout)
        for layer, times in taken.items():
            yield Row(f"layer {layer} ({level})", 1e6 * statistics.median(times), "us")
        whole = [sum(times) for times in zip(*taken.values(), strict=True)]
        yield Row(f"all layers ({level})", 1e6 * statistics.median(whole), "us")


def _measure(level: str, children: int) -> dict[str, list[float]]:
    """Seconds by layer, one value per child; a step that is done in two parts counts once."""
    from worker.child.sandbox import Lockdown, Order, Walls  # noqa: PLC0415 - only in this program: it locks down
    from worker.process.isolation import Identity, SandboxLevel, choose_isolation  # noqa: PLC0415 - likewise
    from worker.process.limits import FIRST_UID, Limits  # noqa: PLC0415 - likewise

    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("scratch", "model"):
            (folder / part).mkdir(mode=0o755)
        exposed = (sys.prefix, sys.base_prefix, str(folder))
        isolation = choose_isolation(SandboxLevel(level), folder / "model", exposed=map(Path, exposed))
        is_uid = isolation.identity is Identity.UID
        walls = Walls(exposed if is_uid else ())
        order = Order(
            identity=isolation.identity.value,
            walls=isolation.walls,
            private_scratch=isolation.private_scratch,
            jail=isolation.jail,
            uid=FIRST_UID if is_uid else -1,
            model_folder=str(folder / "model"),
            read_paths=(),
            mapped_files=(),
            scratch_folder=str(folder / "scratch"),
            limits=asdict(Limits()),
        )
        for _ in range(children):
            for layer, seconds in _one(Lockdown, walls, order).items():
                taken.setdefault(layer, []).append(seconds)
    return taken


def _one(lockdown: type, walls: object, order: object) -> dict[str, float]:
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            channel, _ = socket.socketpair()
            spent: dict[str, float] = {}
            for layer, act in lockdown(walls, order, channel.fileno(), write_end).steps():
                began = time.perf_counter()
                act()
                spent[layer] = spent.get(layer, 0.0) + time.perf_counter() - began
            os.write(1, json.dumps(spent).encode())  # the lock-down has put the pipe there
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answers:
        told = answers.read()
    os.waitpid(pid, 0)
    spent_there: dict[str, float] = json.loads(told)
    return spent_there


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(sys.argv[1], int(sys.argv[2]))))
