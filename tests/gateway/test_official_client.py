"""What Epicenter's own JavaScript client sends, and what it must be answered.

``official_client/recorded.jsonl`` holds what the client sent over the wire while ``acceptance.mjs`` drove it, and the
answers that it understood. Replayed here they hold the gateway to it without the client. ``--epicenter-client BUNDLE``
drives the client itself instead.
"""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).with_name("official_client")
_PLACE_HOLDER = re.compile(r"<key \d+>")
_PATTERNS = {
    "<time>": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"),
    "<fingerprint>": re.compile(r"[0-9a-f]{64}"),
    "<word>": re.compile(r"\w+"),
}
_KEY = re.compile(r"[0-9a-f]{36}")


class Replay:
    """Sends recorded requests again; ``keys`` are the run keys of this time, by their place holders."""

    def __init__(self, api: Any) -> None:
        self._client = api.root
        self.keys: dict[str, str] = {}

    def exchange(self, recorded: dict[str, Any]) -> None:
        """One request, judged by its recorded answer."""
        body = recorded["body"]
        content = None if body is None else self._filled(json.dumps(body, separators=(",", ":"))).encode()
        url = self._filled(f"{recorded['path']}?{recorded['query']}".rstrip("?"))
        response = self._client.request(recorded["method"], url, content=content, headers=recorded["headers"])
        told = f"{recorded['step']}: {recorded['method']} {url}: {response.text}"
        assert response.status_code == recorded["status"], told
        assert response.headers.get("content-type") == recorded["type"], told
        answer: Any = response.json() if response.content else None
        if recorded["status"] >= 400:
            assert answer.pop("message"), told
            del recorded["answer"]["message"]
        self._compare(answer, recorded["answer"], told)

    def _filled(self, text: str) -> str:
        return _PLACE_HOLDER.sub(lambda found: self.keys[found[0]], text)

    def _compare(self, found: Any, expected: Any, told: str) -> None:
        """Equal but for what differs each time; a run may have come to tell more of itself."""
        if isinstance(expected, dict):
            assert isinstance(found, dict), told
            names = {self._filled(name): name for name in expected}
            more = found.keys() - names.keys()
            assert not names.keys() - found.keys(), told
            assert not more or "modelFile" in expected, f"{told}: {more}"
            for name, recorded in names.items():
                self._compare(found[name], expected[recorded], told)
        elif isinstance(expected, list):
            assert isinstance(found, list), told
            for one, recorded in zip(found, expected, strict=True):
                self._compare(one, recorded, told)
        elif expected in _PATTERNS:
            assert _PATTERNS[expected].fullmatch(found), told
        elif isinstance(expected, str) and _PLACE_HOLDER.fullmatch(expected) and expected not in self.keys:
            assert _KEY.fullmatch(found), told
            assert found not in self.keys.values(), told
            self.keys[expected] = found
        else:
            wanted = self._filled(expected) if isinstance(expected, str) else expected
            # 3 and 3.0 are one number to the client, 1 and true are not.
            assert (found, isinstance(found, bool)) == (wanted, isinstance(wanted, bool)), told


def replay(api: Any) -> None:
    """All that the client sent, in its order."""
    session = Replay(api)
    for line in (FOLDER / "recorded.jsonl").read_text().splitlines():
        session.exchange(json.loads(line))
    assert len(session.keys) > 10


def drive(bundle: Path) -> Callable[[Any], None]:
    """The client itself, in Node."""

    def driven(api: Any) -> None:
        command = ["node", str(FOLDER / "acceptance.mjs"), str(bundle), str(api.root.base_url)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return driven


def test_the_official_client_is_understood(api: Any, pytestconfig: pytest.Config) -> None:
    bundle: Path | None = pytestconfig.getoption("--epicenter-client")
    (replay if bundle is None else drive(bundle))(api)
