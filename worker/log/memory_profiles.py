"""The profiles of runs; the part of ``MemoryStore`` that makes them findable."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from protocol.entities import RunStatus
from worker.log import rules
from worker.log.base import NewEvent
from worker.log.memory_outbox import MemoryOutbox
from worker.runs.deliveries import delivery_of
from worker.runs.profile import FinishReason, RunProfile, StatusChange, changed
from worker.runs.status import UNFINISHED


class MemoryProfiles:
    """One profile for each run; copied on the way in and out, as a database would.

    What is to be told of a status goes to ``outbox``, with the ``metadata`` that the run has then.
    """

    def __init__(self, outbox: MemoryOutbox, metadata: Callable[[str], Mapping[str, Any]]) -> None:
        self._outbox = outbox
        self._metadata = metadata
        self._profiles: dict[str, RunProfile] = {}
        self._by_run_id: dict[tuple[str, str], str] = {}

    def get(self, run_key: str) -> RunProfile | None:
        """The profile of a run."""
        return deepcopy(self._profiles.get(run_key))

    def status_of(self, run_key: str) -> RunStatus:
        """The status of a run."""
        return self._profiles[run_key].status

    def find(self, project: str, run_id: str) -> str | None:
        """The key of the run that has an id in a project."""
        return self._by_run_id.get((project, run_id))

    def refuse_taken(self, profile: RunProfile) -> None:
        """Refuse a profile whose id another run has.

        Raises:
            FencedError: another run of its project has it.
        """
        found = None if profile.run_id is None else self.find(profile.project, profile.run_id)
        if found is not None:
            raise rules.run_id_taken(profile, found)

    def add(self, profile: RunProfile) -> None:
        """Add the profile of a new run."""
        self._profiles[profile.run_key] = deepcopy(profile)
        if profile.run_id is not None:
            self._by_run_id[profile.project, profile.run_id] = profile.run_key

    def tell_created(self, run_key: str, at_us: int) -> None:
        """Have it told that a run is there that has yet to take its course."""
        profile = self._profiles[run_key]
        if profile.status is RunStatus.CREATED:
            self._deliver(None, profile, at_us)

    def edited(self, run_key: str, edit: Callable[[RunProfile], RunProfile]) -> tuple[RunProfile, RunProfile]:
        """A profile as it is and as an edit makes it; nothing is changed yet."""
        old = self._profiles[run_key]
        new = edit(deepcopy(old))
        rules.check_profile_edit(old, new)
        return old, new

    def put(self, profile: RunProfile) -> None:
        """Replace a profile."""
        self._profiles[profile.run_key] = deepcopy(profile)

    def close(self, run_key: str) -> None:
        """Nothing more comes of a run."""
        self._profiles[run_key] = replace(self._profiles[run_key], finish_reason=FinishReason.CLOSED.value)

    def turned(
        self, run_key: str, changes: Sequence[StatusChange]
    ) -> tuple[RunProfile, tuple[NewEvent, ...]]:
        """A profile as changes of its status make it, and what tells of them; nothing is changed yet.

        Raises:
            IllegalStatusError: one may not follow.
        """
        profile = self._profiles[run_key]
        events: tuple[NewEvent, ...] = ()
        for change in changes:
            new = changed(profile, change)
            events += rules.status_events(profile, new, change)
            profile = new
        return profile, events

    def turn(self, run_key: str, changes: Sequence[StatusChange]) -> RunProfile:
        """Make changes that ``turned`` has judged, and have them told."""
        profile = self._profiles[run_key]
        for change in changes:
            new = changed(profile, change)
            self._deliver(profile, new, change.at_us)
            profile = new
        self.put(profile)
        return deepcopy(profile)

    def _deliver(self, old: RunProfile | None, new: RunProfile, at_us: int) -> None:
        delivery = delivery_of(old, new, at_us, self._metadata(new.run_key))
        if delivery is not None:
            self._outbox.add(delivery)

    def unfinished(self) -> list[str]:
        """The keys of runs that somebody waits for, oldest first."""
        return sorted(key for key, profile in self._profiles.items() if profile.status in UNFINISHED)

    def take_expired(self, at_us: int, limit: int, modified_us: Callable[[str], int]) -> list[str]:
        """The keys of runs whose time is over, the first to end first; ``modified_us``: of a run's row."""
        ends = []
        for run_key, profile in list(self._profiles.items()):
            if profile.expires_us is not None and profile.ttl_seconds is not None:
                expires_us = profile.expires_us
                if expires_us <= at_us:
                    expires_us = modified_us(run_key) + profile.ttl_seconds * 1_000_000
                    self._profiles[run_key] = replace(profile, expires_us=expires_us)
                ends.append((expires_us, run_key))
        return [run_key for expires_us, run_key in sorted(ends) if expires_us <= at_us][:limit]

    def next_expiry(self) -> int | None:
        """When the first run may end."""
        ends = (profile.expires_us for profile in self._profiles.values() if profile.expires_us is not None)
        return min(ends, default=None)

    def removed(self, run_key: str) -> None:
        """Forget the profile of a run."""
        self._outbox.removed(run_key)
        profile = self._profiles.pop(run_key, None)
        if profile is not None and profile.run_id is not None:
            del self._by_run_id[profile.project, profile.run_id]
