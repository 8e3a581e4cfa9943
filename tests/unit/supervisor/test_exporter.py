"""Metrics and health while the loop hangs: said, and not waited for."""

import asyncio
import threading
import urllib.error
import urllib.request
from typing import Any

import pytest

from worker.settings import Settings
from worker.supervisor.exporter import exporter
from worker.supervisor.figures import Sources
from worker.supervisor.meters import Meters


def fetched(url: str, into: list[int]) -> None:
    try:
        with urllib.request.urlopen(url, timeout=30) as reply:
            into.append(reply.status)
    except urllib.error.HTTPError as refused:
        with refused:
            into.append(refused.code)


@pytest.mark.parametrize("path", ("livez", "readyz", "metrics"))
def test_a_loop_that_hangs_is_told_by_every_path(path: str) -> None:
    nothing: Any = None  # a loop that hangs gets to none of it
    settings = Settings(metrics="127.0.0.1:0", data=":memory:")

    async def hang() -> list[int]:
        sources = Sources(settings, Meters(), nothing, nothing, nothing)
        statuses: list[int] = []
        async with exporter(sources, loop_seconds=0.2) as url:
            asking = threading.Thread(target=fetched, args=(url.replace("metrics", path), statuses))
            asking.start()
            asking.join()  # which keeps the loop from everything else
            if path == "livez":
                await asyncio.to_thread(fetched, url.replace("metrics", path), statuses)
        return statuses

    assert asyncio.run(hang()) == ([503, 200] if path == "livez" else [503])
