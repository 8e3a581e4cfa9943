"""The rehearsal: a zygote plays one run to itself before the first fork.

What Python does the first time (compile types, specialised code, method caches, lazy state) is done then in memory that
all children share, instead of once in each.
"""

import os
import random
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from worker.channel import MAX_DEPTH, MAX_VALUES, pack, pack_frame
from worker.child.isolation import BUILTINS

__builtins__ = BUILTINS

MODEL: Final = "rehearsed"
FOLDER: Final = __file__.rpartition("/")[0]
ROUNDS: Final = 12
"""Code is specialised after eight calls."""

_MAX_FRAME_BYTES: Final = 1 << 20
_BOOT: Final = {
    "run_key": "rehearsal",
    "model_folder": FOLDER,
    "model_file": f"{MODEL}.py",
    "seed": 1,
    "at_us": 0,
    "actor": {"role": "USER"},
    "presets": {"preset": 1},
    "worker_context": "{}",
    "clock": "stamped",
    "entropy": "seeded",
    "minimum_log_level": "INFO",
    "redirect_standard_out": False,
    "max_result_bytes": _MAX_FRAME_BYTES // 2,
    "max_result_depth": MAX_DEPTH,
    "max_result_values": MAX_VALUES,
    "record_bytes": 1 << 30,
    "callback_bytes": _MAX_FRAME_BYTES // 2,
    "answers": None,
    "event": "onInitialized",
    "scratch": None,
    "archive": None,
    "lineage": [],
    "context": None,
    "attached": [],
    "judged": False,
}


def rehearse(serve: Callable[[socket.socket, int], Any]) -> None:
    """Have ``serve(channel, max_frame_bytes)`` play a run whose requests are all there; then its peer is gone.

    Raises:
        BaseException: what ``serve`` raises then.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs, _unchanged_process():
        for message in _script():
            ours.sendall(pack_frame(message))
        ours.shutdown(socket.SHUT_WR)
        serve(theirs, _MAX_FRAME_BYTES)


def _script() -> Iterator[list[Any]]:
    actor = pack({"role": "USER"})
    actions: list[dict[str, Any]] = [
        {"kind": "execute", "name": "step", "arguments": [2]},
        {"kind": "execute", "name": "show", "arguments": []},
        {"kind": "execute", "name": "fail", "arguments": []},
        {"kind": "set", "name": "count", "value": 5},
        {"kind": "get", "name": "values.list[0]"},
    ]
    yield ["boot", _BOOT]
    for n in range(ROUNDS):
        for action in actions:
            yield ["perform", n, n, actor, pack(action), action["kind"] == "get", n + 1]
        yield ["read", n, ["count", "values"], True]
    yield ["replay", ROUNDS, [[n, n, None, pack(actions[0]), None] for n in range(ROUNDS)]]
    yield ["settle", ROUNDS, ROUNDS, "onRestored"]


@contextmanager
def _unchanged_process() -> Iterator[None]:
    """Undo what a run changes in its process."""
    environment, path, finders = dict(os.environ), sys.path[:], sys.meta_path[:]
    state = random.getstate()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = path
        sys.meta_path[:] = finders
        sys.modules.pop(MODEL, None)
        random.setstate(state)
