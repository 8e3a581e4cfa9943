"""What one run's own stream gives: the results of its actions as chunks, then how it ended.

An id is ``event.place``: the number of an event, and which of its actions. The table of events is the truth; a
stream that broke goes on behind the last id it has seen, on this gateway or another.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from protocol.entities import RunStatus
from protocol.vocabularies import Words
from worker.gateway.bell import Bell
from worker.gateway.endpoints import Ask
from worker.gateway.feeds import REREAD_SECONDS, Reading
from worker.gateway.push_views import invalid_id
from worker.gateway.vocabulary import OVER, word_of

_ID: Final = re.compile(r"(0|[1-9][0-9]{0,17})(?:\.([0-9]{1,5}))?")
_WHOLE: Final = 99_999
"""Behind every action of an event."""
TRACES_AT_ONCE: Final = 1000
LOOK_BACK_EVENTS: Final = 1000
"""How many events are asked for at once where a beginning is looked for."""
EXTRAS: Final = frozenset({"status", "trace", "variable"})
"""What a stream tells besides, to who asks for it by name."""


@dataclass(frozen=True, slots=True)
class Told:
    """One message: its id, what it is, and its data."""

    id: str
    name: str
    data: Any


class CourseFeed(Reading):
    """The stream of one run, for one reader.

    ``words``: how statuses are told. ``follow``: it goes on when the run has come to rest, until it is closed; a run
    that only leaves memory comes back. ``is_closed``: as it was when the stream was asked for. ``extras``: of ``EXTRAS``.
    """

    def __init__(
        self,
        ask: Ask,
        bell: Bell,
        turns: asyncio.Semaphore,
        *,
        run_key: str,
        words: Words,
        follow: bool,
        is_closed: bool,
        extras: frozenset[str],
    ) -> None:
        super().__init__(ask, bell, turns)
        self._run_key = run_key
        self._words = words
        self._follow = follow
        self._is_closed = is_closed
        self._extras = extras
        self._event, self._done = 0, _WHOLE

    @property
    def position(self) -> str:
        """The id of the last thing that was told."""
        return f"{self._event}.{self._done}"

    async def open(self, last_id: str | None) -> bool:
        """Begin behind an id, or with what the run does now; False where it is over and all of it was told before.

        Raises:
            Fault: 403 or 404 as any other request, 400 INVALID_EVENT_ID.
        """
        if last_id is None:
            self._event, self._done = await self._began(), _WHOLE
            return True
        found = _ID.fullmatch(last_id)
        if found is None:
            raise invalid_id(last_id, "it is an id that this stream sent")
        self._event, self._done = int(found[1]), int(found[2] or _WHOLE)
        head = await self._head(self._run_key)
        if self._event > head:
            raise invalid_id(last_id, f"run {self._run_key} has {head} events")
        is_behind = self._event < head or self._done != _WHOLE
        return is_behind or self._goes_on or await self._status() not in OVER

    @property
    def _goes_on(self) -> bool:
        """Whether it does not end with the run's coming to rest."""
        return self._follow and not self._is_closed

    async def items(self) -> AsyncGenerator[Told, None]:
        """What comes, until the run is over.

        Raises:
            Fault: the run is gone, or may not be read any more.
        """
        with self._bell.telling(self, self._run_key):
            while True:
                self._rung.clear()
                page = await self._page(self._run_key, self._event - (self._done != _WHOLE))
                for event in page["events"]:
                    for told in self._of_event(event, await self._traces(event)):
                        yield told
                if self._event < page["head_event"]:
                    continue
                if not self._goes_on:
                    status = await self._status()
                    if status in OVER and not await self._is_behind():
                        yield Told(self.position, "close", {"status": word_of(status, self._words)})
                        return
                await self._wait(REREAD_SECONDS)

    async def _is_behind(self) -> bool:
        """Whether something happened before the run came to rest that was not told yet."""
        return self._event < await self._head(self._run_key)

    async def _traces(self, event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """What the actions of an event took and changed, of a run that has it written down, if it is asked for.

        A rewind that deletes its tail deletes these, and other actions may have their numbers.
        """
        if "trace" not in self._extras or event["kind"] != "state":
            return []
        last = event["seq"]
        after, found = last - len(event["actions"]), list[Mapping[str, Any]]()
        while after < last:
            page = await self._patiently(
                "read_traces", run_key=self._run_key, after_seq=after, limit=min(last - after, TRACES_AT_ONCE)
            )
            traces = [trace for trace in page["traces"] if trace["seq"] <= last]
            if not traces:
                break
            found += [trace for trace in traces if trace.get("request_id") == event.get("request_id")]
            after = traces[-1]["seq"]
        return found

    def _of_event(self, event: Mapping[str, Any], traces: Sequence[Mapping[str, Any]]) -> Iterator[Told]:
        number = event["event"]
        skipped = self._done if number == self._event else -1
        self._event = number
        for place, (name, data) in enumerate(self._messages(event, traces)):
            if place > skipped:
                self._done = place
                yield Told(self.position, name, data)
        self._done = _WHOLE

    def _messages(
        self, event: Mapping[str, Any], traces: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[str, Any]]:
        if event["kind"] == "state":
            for index, action in enumerate(event["actions"]):
                yield "chunk", chunk_of(event, action, index)
            if "variable" in self._extras:
                for name, value in event.get("variables", {}).items():
                    yield "variable", {"name": name, "value": value}
            for trace in traces:
                yield "trace", trace
        elif event["kind"] == "closed":
            self._is_closed = True
        elif event["kind"] == "status" and "status" in self._extras:
            yield "status", {"status": word_of(event["to"], self._words)}

    async def _began(self) -> int:
        """The event behind which what the run does now begins: where it last left rest, or was created.

        Looked for from the end on, as a run may have done a lot.
        """
        end = await self._head(self._run_key)
        later: list[tuple[int, bool]] = []
        while end > 0:
            found = [*await self._rests(max(0, end - LOOK_BACK_EVENTS), end), *later]
            for (_, was_over), (number, is_over) in reversed([*pairwise(found)]):
                if was_over and not is_over:
                    return number - 1
            later, end = found[:1], end - LOOK_BACK_EVENTS
        return 0

    async def _rests(self, after: int, end: int) -> list[tuple[int, bool]]:
        """The events between two that are statuses, each with whether the run was over then."""
        found: list[tuple[int, bool]] = []
        while after < end:
            page = await self._page(self._run_key, after, end - after)
            if not page["events"]:
                break
            found += [
                (one["event"], RunStatus(one["to"]) in OVER)
                for one in page["events"]
                if one["kind"] == "status"
            ]
            after = page["events"][-1]["event"]
        return found

    async def _status(self) -> RunStatus:
        profile = await self._result("get_profile", run_key=self._run_key)
        return RunStatus(profile["status"])

    def heard(self, _run_key: str) -> None:
        """The bell rang."""
        self._rung.set()


def chunk_of(event: Mapping[str, Any], action: Mapping[str, Any], index: int) -> Any:
    """What an action came to: its result, the value that it set, or its error."""
    if "error" in action:
        return {"error": action["error"]}
    key = "result" if action["kind"] == "execute" else "value"
    if key in action:
        return action[key]
    return {"omitted": f"actions[{index}].{key}", "seq": event["seq"], "runKey": event["run_key"]}
