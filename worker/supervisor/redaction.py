"""What guards hide of a history and of events: values of variables that the asker may not read.

Pages stay whole; of what is hidden the names are told, under ``guarded``, as paths within the entry or event.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from protocol.entities import Actor
from worker.runs.guards import Access, Guard, asker_of, judge
from worker.runs.record import RunRecord

MAX_PATH: Final = 200
"""Characters of a path; names are the model's and may be long."""


class Redaction:
    """What one asker does not see of one run; each name is judged once."""

    def __init__(self, actor: Actor | None, record: RunRecord, guards: Callable[[], Sequence[Guard]]) -> None:
        asker = asker_of(actor, record.scope)
        # No guard on reads holds the platform itself, not even where the guards cannot be made out.
        self._guards = () if asker.is_system else tuple(guards())
        self._asker = asker
        self._hidden: dict[str, bool] = {}

    def hides(self, name: str) -> bool:
        """Whether the value of a variable is hidden."""
        if name not in self._hidden:
            self._hidden[name] = judge(self._guards, self._asker, Access.READ, name) is not None
        return self._hidden[name]

    def entry(self, view: dict[str, Any]) -> dict[str, Any]:
        """An entry of a history; a digest would let the value be guessed, so it goes too."""
        if not self._guards or view["kind"] != "set" or not self.hides(view["name"]):
            return view
        del view["value"], view["outcome_digest"]
        key = "error" if "error" in view["outcome"] else "result"
        del view["outcome"][key]
        return {**view, "guarded": ["value", f"outcome.{key}"]}

    def event(self, view: dict[str, Any]) -> dict[str, Any]:
        """An event as its body is; only those of kind created and state hold values of variables."""
        if not self._guards or view["kind"] not in ("created", "state"):
            return view
        guarded = []
        for index, action in enumerate(view.get("actions", ())):
            if action["kind"] != "set" or not self.hides(action["name"]):
                continue
            keys = [key for key in ("value", "error") if key in action]
            guarded += [f"actions[{index}].{key}" for key in keys]
            view["actions"][index] = {key: action[key] for key in action if key not in keys}
        # What was recorded by a worker of before, which told of no variables here, has none.
        for name in [name for name in view.get("variables", ()) if self.hides(name)]:
            del view["variables"][name]
            guarded.append(f"variables.{name}"[:MAX_PATH])
        return {**view, "guarded": guarded} if guarded else view
