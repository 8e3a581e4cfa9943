"""What a crowd of runs notices while the hostile corpus is played beside it."""

import os
from collections.abc import Iterator

import psutil

from tests.bench.rounds import Row
from tests.bench.worker import Worker, running_worker
from tests.hostile.programs.corpus import read_corpus
from tests.hostile.programs.crowd import ATTACKERS, MEMBERS, measure, p99
from tests.hostile.programs.grounds import laid_out

SETTINGS = "memory_bytes = 268435456\ncpu_seconds = 2\n"


def attacked(share: int, quiet_seconds: float) -> Iterator[Row]:
    """The 99th percentile of a small durable operation, beside one attack in ``share``."""
    corpus = read_corpus()[::share]
    with laid_out(corpus, os.geteuid()) as grounds:
        config = grounds.folder / "worker.toml"
        config.write_text(SETTINGS)
        with running_worker("--models", str(grounds.models), "--config", str(config)) as worker:
            world = grounds.world(_pids(worker), str(grounds.folder))
            crowd = measure(worker.endpoint, world, corpus, quiet_seconds)
    quiet, beside = p99(crowd.quiet), p99(crowd.attacked)
    name = f"operation of one of {MEMBERS} runs, p99, {ATTACKERS} attacks at once beside them"
    yield Row(
        name,
        beside * 1e3,
        "ms",
        floor="quiet",
        ratio=beside / quiet,
        goal="≤ 3 × quiet",
        met=beside <= 3 * quiet,
        detail={"attacks": len(corpus), "answers": len(crowd.attacked), "quiet_ms": quiet * 1e3},
    )


def _pids(worker: Worker) -> dict[str, int]:
    """Whom attacks aim at; a run is made, so that there is a zygote."""
    with worker.client() as client:
        client.create_run("bystander/model.py")
    (zygote, *_) = psutil.Process(worker.pid).children()
    return {"daemon": worker.pid, "zygote": zygote.pid, "bystander": zygote.children()[0].pid}
