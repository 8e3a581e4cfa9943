"""One attack on one run, from its creation to its last restore, and what was not as its file says."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

from protocol.client import Client
from protocol.errors import ProtocolError
from tests.hostile.programs.corpus import ENDS, Attack

KEPT = 7
SPOILED = 1000
NEVER_BEGAN = frozenset({"UNKNOWN_OPERATION", "UNKNOWN_VARIABLE"})
GONE_SECONDS = 20.0


@dataclass
class Assault:
    """Plays an attack; ``complaints`` are what came out otherwise than its file says."""

    client: Client
    attack: Attack
    world: dict[str, Any]
    complaints: list[str] = field(default_factory=list)

    def play(self) -> list[str]:
        """The complaints; an unexpected error is one."""
        try:
            getattr(self, f"_{self.attack.when}")()
        except ProtocolError as error:
            self.complaints.append(f"unexpected {error.code}: {error.message}")
        return self.complaints

    def _expect(self, what: str, found: Any, wanted: Any) -> None:
        if found != wanted:
            self.complaints.append(f"{what}: {found!r:.600} instead of {wanted!r:.600}")

    def _create_run(self) -> str:
        file = self.attack.model_file or f"{self.attack.name}/model.py"
        return self.client.create_run(file, **self.attack.create).run_key

    def _begin(self) -> str:
        """A run with one acknowledged action."""
        key = self._create_run()
        self._expect("state before", self.client.call_operation(key, "state"), 0)
        self._expect("first action", self.client.call_operation(key, "add", [KEPT]), KEPT)
        return key

    def _judged(self, type_: str, **fields: Any) -> Any:
        """The result of a request that ends as the attack's file says."""
        code, result = "", None
        try:
            result = self.client.request(type_, **fields).result
        except ProtocolError as error:
            code = str(error.code)
            self._expect("code", f"{code}: {error.message}"[: len(self.attack.code)], self.attack.code)
            if self.attack.code and self.attack.says not in error.message:
                self.complaints.append(f"says {error.message!r:.400}, not {self.attack.says!r}")
            if code in ENDS:
                self._expect("applied", error.information.get("applied"), "no")
            if len(error.message) > 4096:
                self.complaints.append(f"a message of {len(error.message)} characters")
        self._expect("code", code, self.attack.code)
        return result

    def _operation(self) -> None:
        key = self._begin()
        ask = self.attack.ask or {"type": "call_operation", "name": "attack", "arguments": [self.world]}
        fields = {name: value for name, value in ask.items() if name != "type"}
        result = self._judged(ask["type"], run_key=key, **fields)
        if not self.attack.code:
            self._expect("result", result, json.loads(self.attack.result))
        undone = self.attack.code in ENDS or self.attack.code in NEVER_BEGAN
        self._expect("head of the history", self.client.read_history(key)["head_seq"], 2 if undone else 3)
        if self.attack.next:
            self._lose(key)
        elif not self.attack.lives and not undone:
            self._wait_for_death(key)
        total = KEPT if undone else KEPT + SPOILED
        if self.attack.restores:
            self._come_back_by_rewind(key)
            total = KEPT
        else:
            source = "memory" if self.attack.lives else "restored"
            self._expect("where the run is", self._state(key), (total, source))
        self._go_on(key, total)

    def _state(self, key: str) -> tuple[int, str]:
        reply = self.client.request(
            "call_operation", run_key=key, name="state", arguments=[], ritual="REVIVE"
        )
        return reply.result, reply.run.served_from if reply.run else ""

    def _wait_for_death(self, key: str) -> None:
        """Until the process that answered is gone; nothing is sent when it is."""
        deadline = time.monotonic() + GONE_SECONDS
        while self.client.get_run(key).live:
            if time.monotonic() > deadline:
                self.complaints.append("its process lives on")
                return
            time.sleep(0.01)

    def _lose(self, key: str) -> None:
        """One more request, which the process does not survive."""
        try:
            self._state(key)
            self.complaints.append(f"the next request is answered, and must be {self.attack.next}")
        except ProtocolError as error:
            self._expect("the next request", str(error.code), self.attack.next)

    def _come_back_by_rewind(self, key: str) -> None:
        try:
            self.client.restore_run(key)
            self.complaints.append(f"was restored, and must be {self.attack.restores}")
        except ProtocolError as error:
            self._expect("restore", str(error.code), self.attack.restores)
        self.client.rewind_run(key, to_seq=2)

    def _go_on(self, key: str, total: int) -> None:
        """The run has the state it must have, goes on, and its history repeats all of it."""
        self._expect("next action", self.client.call_operation(key, "add", [1]), total + 1)
        self.client.evict_run(key)
        self._expect("restored", self._state(key), (total + 1, "restored"))
        self.client.evict_run(key)

    def _create(self) -> None:
        file = self.attack.model_file or f"{self.attack.name}/model.py"
        run = self._judged("create_run", model_file=file, **self.attack.create)
        if self.attack.code or run is None:
            # A path that is refused for its words cannot be asked for either.
            if self.attack.code not in ("INVALID_REQUEST", "MODEL_NOT_FOUND"):
                found = self.client.query_runs(model_file=file)
                self._expect("runs left behind", found["total_results"], 0)
            return
        key = run["run_key"]
        self._expect("first action", self.client.call_operation(key, "add", [KEPT]), KEPT)
        self._go_on(key, KEPT)

    def _restore(self) -> None:
        key = self._begin()
        self.client.evict_run(key)
        self._judged("restore_run", run_key=key)
        if self.attack.code:
            # The handler struck because the run came back; its history is whole.
            self._expect("head of the history", self.client.read_history(key)["head_seq"], 2)
            return
        self._go_on(key, KEPT)

    def _leave(self) -> None:
        key = self._begin()
        self._judged("evict_run", run_key=key)
        self._expect("state", self._state(key), (KEPT, "restored"))
        self._go_on(key, KEPT)
