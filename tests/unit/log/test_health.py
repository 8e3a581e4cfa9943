"""What the log's health tells: an outage from the first refusal to the first probe, two lines, however it flickers."""

import asyncio
import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr
from typing import Any

import pytest

from worker.errors import LogUnavailableError
from worker.log.health import LogHealth
from worker.telemetry import make_logger


class Disk:
    """A disk that takes probes or refuses them."""

    def __init__(self) -> None:
        self.refusal: LogUnavailableError | None = None
        self.probes = 0

    def probe(self) -> "asyncio.Future[None]":
        self.probes += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.refusal is None:
            future.set_result(None)
        else:
            future.set_exception(self.refusal)
        return future


def refused(reason: str = "SQLITE_FULL") -> LogUnavailableError:
    return LogUnavailableError(f"worker.db: {reason}", reason=reason, applied="no")


def test_nothing_is_probed_while_nothing_is_wrong() -> None:
    async def main() -> None:
        disk = Disk()
        health = LogHealth(disk.probe, None)

        await health.check()

        assert disk.probes == 0
        assert health.view() == {}
        await health.stop()

    asyncio.run(main())


def test_an_outage_lasts_until_a_probe_succeeds_and_all_who_ask_at_once_share_one() -> None:
    async def main() -> None:
        disk = Disk()
        health = LogHealth(disk.probe, None)
        disk.refusal = refused()
        health.write_failed(refused(), 2)
        health.write_failed(refused(), 3)
        answers = await asyncio.gather(*(health.check() for _ in range(5)), return_exceptions=True)
        assert disk.probes == 1
        for answer in answers:
            assert isinstance(answer, LogUnavailableError)
            assert answer.information["applied"] == "no"
            assert answer.information["since"] == health.view()["outage"]["since"]
        assert health.view()["outage"]["count"] == 5

        disk.refusal = None
        await health.check()

        assert health.view() == {}
        await health.stop()

    asyncio.run(main())


def test_an_outage_that_flickers_is_two_lines_and_ends_without_anybody_asking(
    wait_until: Callable[..., None],
) -> None:
    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in written.getvalue().splitlines()]

    async def main() -> None:
        disk = Disk()
        health = LogHealth(disk.probe, make_logger("info", "json"))
        for _ in range(20):
            health.write_failed(refused(), 1)
            await health.check()
        health.write_failed(refused(), 1)
        await asyncio.to_thread(wait_until, lambda: len(lines()) == 2)
        assert health.outage is None
        await health.stop()

    written = io.StringIO()
    with redirect_stderr(written):
        asyncio.run(main())
    assert [(line["level"], line["event"]) for line in lines()] == [
        ("error", "log unavailable"),
        ("warning", "log available again"),
    ]


@pytest.mark.parametrize(
    ("reason", "suspect"),
    (
        ("SQLITE_FULL", False),
        ("SQLITE_BUSY", False),
        ("SQLITE_IOERR_FSYNC", True),
        ("SQLITE_CORRUPT_INDEX", True),
    ),
)
def test_files_are_suspect_after_what_a_disk_should_not_do(reason: str, suspect: bool) -> None:
    async def main() -> None:
        health = LogHealth(Disk().probe, None)
        health.write_failed(refused(reason), 1)
        assert health.is_suspect is suspect
        await health.stop()
        health = LogHealth(Disk().probe, None)
        health.read_failed(refused(reason))
        assert health.is_suspect is suspect
        assert health.view()["read_failures"]["count"] == 1

    asyncio.run(main())
