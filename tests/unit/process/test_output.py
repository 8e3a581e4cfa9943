"""What comes through a real output pipe: lines of the author, bounded and printable."""

import asyncio
import os
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from worker.process.output import BYTES_PER_LINE, CHUNK_BYTES, LINE_BYTES, OutputReader
from worker.process.rate import BURST_SECONDS, MessageRate

Line = tuple[str, str]
BUDGET = 4 * LINE_BYTES


class Pipe:
    """A pipe with its reader; ``lines`` is what was reported."""

    def __init__(self, budget_bytes: int, rate: int = 1000) -> None:
        self.lines: list[Line] = []
        self._read_end, self._write_end = os.pipe()
        self._news = asyncio.Event()
        self.reader = OutputReader(
            self._read_end, budget_bytes=budget_bytes, rate=MessageRate(rate), sink=self._sink
        )

    def _sink(self, level: str, text: str) -> None:
        self.lines.append((level, text))
        self._news.set()

    def write(self, data: bytes) -> None:
        os.write(self._write_end, data)

    async def pour(self, data: bytes, times: int) -> None:
        """Write more than a pipe holds, from a thread as a model would from its process."""
        await asyncio.to_thread(self._write_all, data, times)

    def _write_all(self, data: bytes, times: int) -> None:
        for _ in range(times):
            written = 0
            while written < len(data):
                written += os.write(self._write_end, data[written:])

    async def until(self, count: int) -> list[Line]:
        """Wait for so many lines."""
        await self._until(lambda: len(self.lines) >= count)
        return self.lines

    async def until_notice(self) -> None:
        """Wait for the notice that output was cut."""
        await self._until(lambda: any(level == "WARN" for level, _ in self.lines))

    async def _until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not reached():
                self._news.clear()
                await self._news.wait()

    def hang_up(self) -> None:
        os.close(self._write_end)
        self._write_end = -1

    def is_released(self) -> bool:
        try:
            os.fstat(self._read_end)
        except OSError:
            return True
        return False

    def destroy(self) -> None:
        self.reader.close()
        if self._write_end >= 0:
            os.close(self._write_end)


Scenario = Callable[[Pipe], Awaitable[None]]


@contextmanager
def _pipe(budget_bytes: int, rate: int = 1000) -> Iterator[Pipe]:
    pipe = Pipe(budget_bytes, rate)
    try:
        yield pipe
    finally:
        pipe.destroy()


def play(scenario: Scenario, budget_bytes: int = BUDGET) -> list[Line]:
    """Run a scenario on a pipe; all that was reported until after its end."""

    async def main() -> list[Line]:
        with _pipe(budget_bytes) as pipe:
            await scenario(pipe)
        return pipe.lines

    return asyncio.run(main())


def printed(data: bytes) -> list[Line]:
    async def scenario(pipe: Pipe) -> None:
        pipe.write(data)

    return play(scenario)


def test_lines_come_one_by_one_as_they_are_ended() -> None:
    async def scenario(pipe: Pipe) -> None:
        pipe.write(b"first\nsec")
        assert await pipe.until(1) == [("STDOUT", "first")]
        pipe.write(b"ond\n\n")
        assert await pipe.until(3) == [("STDOUT", "first"), ("STDOUT", "second"), ("STDOUT", "")]

    play(scenario)


def test_a_line_without_an_end_is_reported_at_the_end() -> None:
    assert printed(b"whole\nrest") == [("STDOUT", "whole"), ("STDOUT", "rest")]


@pytest.mark.parametrize(
    ("data", "line"),
    (
        (b"\x1eINFO\x1fhello", ("INFO", "hello")),
        (b"\x1eFATAL\x1f", ("FATAL", "")),
        (b"\x1eTRACE\x1ftwo\\nlines", ("TRACE", "two\nlines")),
        (b"\x1eINFO\x1fa\x1fb", ("INFO", "a\\x1fb")),
        (b"\x1eLOUD\x1fhello", ("STDOUT", "\\x1eLOUD\\x1fhello")),
        (b"\x1eINFO hello", ("STDOUT", "\\x1eINFO hello")),
        (b" \x1eINFO\x1fhello", ("STDOUT", " \\x1eINFO\\x1fhello")),
        (b"two\\nlines", ("STDOUT", "two\\nlines")),
    ),
)
def test_a_log_line_carries_its_level(data: bytes, line: Line) -> None:
    assert printed(data + b"\n") == [line]


@pytest.mark.parametrize(
    ("data", "text"),
    (
        (b"\x1b[2J\x07\x00\x7f", "\\x1b[2J\\x07\\x00\\x7f"),
        (b"progress\rbar", "progress\\rbar"),
        ("tab\tÄ€\U0001f600".encode(), "tab\tÄ€\U0001f600"),
        ("\u202eright to left\u2028".encode(), "\\u202eright to left\\u2028"),
        (b"\xff\xfe latin \xe4", "\\xff\\xfe latin \\xe4"),
        ("\ud800".encode("utf-8", "surrogatepass"), "\\xed\\xa0\\x80"),
    ),
)
def test_what_is_not_printable_is_shown_escaped(data: bytes, text: str) -> None:
    assert printed(data + b"\n") == [("STDOUT", text)]


@pytest.mark.parametrize("character", ("x", "ä", "€", "\U0001f600"))
@pytest.mark.parametrize("end", (b"", b"\n"))
def test_a_long_line_comes_in_pieces_and_whole(character: str, end: bytes) -> None:
    text = character * (3 * LINE_BYTES // len(character.encode()))
    lines = printed(b"." + text.encode() + end)
    assert "".join(line for _, line in lines) == f".{text}"
    assert 1 < len(lines) <= 4 or character != "x"
    assert all(len(line) <= LINE_BYTES for _, line in lines)


def test_a_long_log_line_keeps_its_level() -> None:
    async def scenario(pipe: Pipe) -> None:
        pipe.write(b"\x1eWARN\x1f" + b"x" * (2 * LINE_BYTES) + b"\n")

    assert {level for level, _ in play(scenario)} == {"WARN"}


def test_a_flood_is_cut_with_one_notice() -> None:
    flood = b"x" * 99 + b"\n"

    async def scenario(pipe: Pipe) -> None:
        await pipe.pour(flood * 1000, 50)  # would block for ever if it were not drained

    lines = play(scenario)
    kept = BUDGET // 100
    assert lines[:kept] == [("STDOUT", "x" * 99)] * kept
    assert [level for level, _ in lines].count("WARN") == 1
    dropped = 50_000 * 100 - BUDGET
    assert lines[-1][1].startswith(f"output cut: {dropped} bytes dropped, over the limit of {BUDGET} bytes")


def test_a_flood_of_empty_lines_is_cut_too() -> None:
    async def scenario(pipe: Pipe) -> None:
        pipe.write(b"\n" * BUDGET)

    lines = play(scenario)
    kept = BUDGET // BYTES_PER_LINE
    assert lines[:-1] == [("STDOUT", "")] * kept
    assert lines[-1][1].startswith(f"output cut: {BUDGET - kept} bytes dropped")


def test_a_flood_does_not_stay_in_memory() -> None:
    async def scenario(pipe: Pipe) -> None:
        tracemalloc.start()
        try:
            await pipe.pour(b"x" * CHUNK_BYTES, 400)
            pipe.reader.drain()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 20 * CHUNK_BYTES

    play(scenario)


def test_each_request_has_a_budget_of_its_own() -> None:
    async def scenario(pipe: Pipe) -> None:
        pipe.write(b"a" * (BUDGET + 7) + b"\n")
        pipe.reader.drain()
        before = len(pipe.lines)
        pipe.reader.renew()
        assert [level for level, _ in pipe.lines[before:]] == ["WARN"]
        assert "output cut: 8 bytes dropped" in pipe.lines[before][1]
        pipe.write(b"next\n")
        assert (await pipe.until(before + 2))[-1] == ("STDOUT", "next")
        pipe.reader.renew()
        assert len(pipe.lines) == before + 2  # nothing was lost this time

    play(scenario)


def test_what_comes_after_a_cut_is_not_glued_to_what_came_before() -> None:
    async def scenario(pipe: Pipe) -> None:
        pipe.write(b"x" * (BUDGET - 3) + b"\nabcdef\n")
        pipe.reader.drain()
        pipe.reader.renew()
        pipe.write(b"next\n")
        pipe.reader.drain()

    texts = [text for _, text in play(scenario)]
    assert texts[-1] == "next"
    assert "ab" in texts


def test_muted_output_is_drained_and_never_seen() -> None:
    async def scenario(pipe: Pipe) -> None:
        pipe.reader.mute()
        await pipe.pour(b"replayed\n" * 1000, 50)
        pipe.write(b"replayed, half a line")
        pipe.reader.unmute()
        pipe.write(b"heard\n")
        assert await pipe.until(1) == [("STDOUT", "heard")]

    assert play(scenario) == [("STDOUT", "heard")]


def test_lines_beyond_the_rate_are_dropped_and_counted_whatever_the_budget_is() -> None:
    async def main() -> list[Line]:
        with _pipe(1 << 20, rate=2) as pipe:
            for _ in range(10):  # requests, each with a budget of its own
                pipe.write(b"line\n" * 100)
                pipe.reader.drain()
                pipe.reader.renew()
        return pipe.lines

    lines = asyncio.run(main())
    kept = [text for level, text in lines if level == "STDOUT"]
    assert 2 * BURST_SECONDS <= len(kept) < 200
    assert set(kept) == {"line"}
    dropped = [int(text.split()[2]) for level, text in lines if level == "WARN"]
    assert sum(dropped) == 5 * (1000 - len(kept))
    assert all("2 lines a second (message_rate)" in text for level, text in lines if level == "WARN")


def test_unmuting_begins_a_new_budget() -> None:
    async def scenario(pipe: Pipe) -> None:
        pipe.write(b"x" * (BUDGET + 1))
        pipe.reader.drain()
        pipe.reader.mute()
        pipe.reader.unmute()
        pipe.lines.clear()
        pipe.write(b"y" * 10 + b"\n")
        assert await pipe.until(1) == [("STDOUT", "y" * 10)]

    assert [level for level, _ in play(scenario)] == ["STDOUT"]


@pytest.mark.parametrize("seen_by_the_loop", (False, True))
def test_the_end_of_the_pipe_reports_the_rest_and_releases_it(seen_by_the_loop: bool) -> None:
    async def scenario(pipe: Pipe) -> None:
        pipe.write(b"x" * BUDGET + b"lost\nrest")
        pipe.hang_up()
        if seen_by_the_loop:
            await pipe.until_notice()
        pipe.reader.close()
        assert pipe.is_released()
        assert pipe.lines[-1][0] == "WARN"
        assert "9 bytes dropped" in pipe.lines[-1][1]
        pipe.reader.close()
        pipe.reader.renew()
        pipe.reader.drain()

    assert [level for level, _ in play(scenario)].count("WARN") == 1


def test_closing_takes_the_last_words_and_releases_the_pipe_though_others_hold_it() -> None:
    async def scenario(pipe: Pipe) -> None:
        pipe.write(b"last words")
        pipe.reader.close()
        assert pipe.lines == [("STDOUT", "last words")]
        assert pipe.is_released()

    play(scenario)


def test_closing_in_the_midst_of_a_flood_is_clean() -> None:
    async def scenario(pipe: Pipe) -> None:
        pipe.write(b"x" * (BUDGET + 1))
        await pipe.until(1)
        pipe.reader.close()  # while it pauses
        assert pipe.is_released()

    assert play(scenario)[-1][0] == "WARN"
