"""The round trip of a check: a run is played, taken out of memory, brought back, and compared."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from protocol.client import Client
from protocol.errors import ErrorCode, ProtocolError
from worker.cli.findings import Call, RoundTrip
from worker.cli.progress import progress_shown

SHOWN: Final = 60
"""Characters of a value in a table or a message."""
# A divergence shall be told together with the variables it led to, so it must not end the restore.
_TOLERANT: Final = {"restorations": {"divergence": "warn"}}
_AUTHOR: Final = {"is_system": True}
"""Who asks where check.json does not say: nobody whom guards keep out."""


@dataclass(slots=True)
class Scripted:
    """One call to make; ``asked`` tells whether the author asked for it in check.json."""

    name: str
    arguments: list[Any] = field(default_factory=list)
    actor: dict[str, Any] | None = None
    asked: bool = False


@dataclass(slots=True)
class Played:
    """What came of a round trip.

    ``errors``: the calls that failed, with their error. ``unreadable``: variable to the reason. ``before`` and
    ``after``: values at the end of the play, and after the restore. ``changed``: what the calls changed.
    ``archived``: what can be read without a process. ``diverged``: calls that did not repeat their outcome.
    ``warnings``: those of the restore.
    """

    trip: RoundTrip = field(default_factory=RoundTrip)
    errors: list[tuple[Scripted, ProtocolError]] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    first: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    archived: set[str] = field(default_factory=set)
    diverged: list[str] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)

    @property
    def changed(self) -> set[str]:
        """Variables that the calls gave another value."""
        return {name for name, value in self.before.items() if _differ(self.first.get(name), value)}


def play(
    client: Client,
    model_file: str,
    script: list[Scripted],
    names: list[str],
    played: Played,
    *,
    restart: Callable[[], None],
) -> None:
    """Do the round trip for variables ``names``; ``played`` holds what was done when this raises, too.

    ``restart`` starts the worker anew between eviction and restore: processes of one worker are forked from
    one process and share its addresses, so that what depends on them would look as if it were restored.

    Raises:
        ProtocolError: it came to grief.
    """
    run_key = client.create_run(model_file).run_key
    played.first = read_all(client, run_key, names, played.unreadable)
    for call in script:
        done = Call(call.name, call.arguments)
        played.trip.calls.append(done)
        try:
            client.call_operation(run_key, call.name, call.arguments, actor=call.actor or _AUTHOR)
        except ProtocolError as error:
            done.error = f"{error.code}: {error.message}"
            played.errors.append((call, error))
    played.before = read_all(client, run_key, names, played.unreadable)
    client.evict_run(run_key)
    played.archived = _archived(client, run_key, list(played.before))
    restart()
    with progress_shown(client.endpoint, run_key):
        reply = client.request("restore_run", run_key=run_key, model_context=_TOLERANT)
    played.warnings = reply.warnings
    played.diverged = [str(w["action"]) for w in reply.warnings if w["code"] == ErrorCode.REPLAY_DIVERGED]
    played.after = read_all(client, run_key, names, played.unreadable)
    trip = played.trip
    trip.differing = [
        name for name, value in played.before.items() if _differ(value, played.after.get(name, _Absent))
    ]
    trip.equal = not trip.differing and not played.diverged


class _Absent:
    """Stands for the value of a variable that is not there."""


def _differ(one: Any, other: Any) -> bool:
    """1 and 1.0 and True are different values here."""
    return other is _Absent or json.dumps(one) != json.dumps(other)


def read_all(client: Client, run_key: str, names: list[str], unreadable: dict[str, str]) -> dict[str, Any]:
    """The values of variables that have one; those that have no encoding are added to ``unreadable``.

    Raises:
        ProtocolError: for any other reason.
    """
    wanted = [name for name in names if name not in unreadable]
    while wanted:
        try:
            return client.read_variables(run_key, wanted, ritual="REVIVE", actor=_AUTHOR)
        except ProtocolError as error:
            culprits = _culprits(error, wanted)
            if error.code is ErrorCode.RESULT_TOO_LARGE and not culprits and len(wanted) > 1:
                half = len(wanted) // 2
                parts = (
                    read_all(client, run_key, part, unreadable) for part in (wanted[:half], wanted[half:])
                )
                return {name: value for part in parts for name, value in part.items()}
            if not culprits:
                raise
            if error.code is not ErrorCode.UNKNOWN_VARIABLE:
                unreadable.update(dict.fromkeys(culprits, error.message))
            wanted = [name for name in wanted if name not in culprits]
    return {}


def _culprits(error: ProtocolError, names: list[str]) -> set[str]:
    """The variables that an error is about."""
    if error.code is ErrorCode.UNKNOWN_VARIABLE:
        return set(error.information.get("names", ())) & set(names)
    path = str(error.information.get("path", ""))
    return {name for name in names if path == name or path.startswith((f"{name}.", f"{name}["))}


def _archived(client: Client, run_key: str, names: list[str]) -> set[str]:
    if not names:
        return set()
    try:
        client.read_variables(run_key, names, ritual="NONE", actor=_AUTHOR)
    except ProtocolError as error:
        if error.code is not ErrorCode.UNRECORDED_VARIABLE:
            raise
        return set(names) - set(error.information["names"])
    return set(names)


def shown(value: Any) -> str:
    """A value as JSON text, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
