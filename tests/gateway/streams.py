"""What tests of push share: a stream as an EventSource reads it, and a run to which everything happens."""

import contextlib
import json
from dataclasses import dataclass
from typing import Any, Self

import httpx

OPEN = {"readLock": "PARTICIPANT", "writeLock": "PARTICIPANT"}


@dataclass(frozen=True)
class Message:
    """One block of a stream that is not a bare comment."""

    id: str
    event: str
    data: Any


class Stream:
    """One connection to a stream, read as an EventSource reads it."""

    def __init__(
        self, api: Any, path: str, last_id: str | None = None, token: str | None = "dev", **query: Any
    ) -> None:
        self._exits = contextlib.ExitStack()
        self._judge = api.judge
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        streamed = api.root.stream("GET", api.base + path, headers=headers, params=query or None)
        self.response: httpx.Response = self._exits.enter_context(streamed)
        self.last_id = last_id
        self.comments = 0
        self._lines = self.response.iter_lines()
        if self.response.status_code == 200:
            # Where it begins comes before anything happens.
            block = self._block()
            assert "data" not in block
            assert block["retry"] == "1000"
            self.last_id = block["id"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def _block(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in self._lines:
            if not line and found:
                return found
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(": ")
                found[name] = value
        raise EOFError

    def rest(self, heartbeats: int) -> None:
        """Nothing but heartbeats."""
        until = self.comments + heartbeats
        while self.comments < until:
            line = next(self._lines)
            assert not line or line.startswith(":")
            self.comments += bool(line)

    def next(self) -> Message:
        """The next message, which is as the document says."""
        while True:
            block = self._block()
            self.last_id = block.get("id", self.last_id)
            if "data" in block:
                message = Message(str(self.last_id), block.get("event", "message"), json.loads(block["data"]))
                self._judge.message(self.response, message.event, message.data)
                return message

    def take(self, count: int) -> list[Message]:
        return [self.next() for _ in range(count)]


def channel(run_key: str) -> str:
    return f"/run/{run_key}/channel"


def told(messages: list[Message]) -> list[tuple[str, str]]:
    return [(one.id, one.data["type"]) for one in messages]


def play(api: Any, run_key: str) -> None:
    """A scenario of some twenty events, of every kind."""
    run = f"/run/operation/{run_key}"
    for number in range(5):
        api.result("POST", run, {"name": "add", "arguments": [number]})
    api.result("PATCH", f"/run/variable/{run_key}", {"hidden": 6, "guarded": 7})
    api.result("PATCH", f"/run/meta/{run_key}", {"set": {"a": 1, "b": [2]}})
    assert api.fault("POST", run, {"name": "fail", "arguments": ["oh"]}) == (422, "MODEL_ERROR")
    api.result("POST", f"/run/rewind/{run_key}", {"rewindCount": 2})
    api.done("DELETE", f"/run/{run_key}")
    api.result("POST", f"/run/restore/{run_key}", {})
    for number in range(6):
        api.result("POST", run, {"name": "add", "arguments": [number]})
    api.result("PATCH", f"/run/{run_key}", {"closed": True})
