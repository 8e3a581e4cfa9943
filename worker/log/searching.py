"""The port for searches of runs by their profiles; part of ``worker.log.base.Store``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from worker.runs.fields import Place
from worker.runs.profile import RunProfile
from worker.runs.record import RunRecord
from worker.runs.search import FacetCounts, ProfileQuery

SEARCH_SECONDS: Final = 5.0
"""How long one search may take."""


@dataclass(frozen=True, slots=True)
class FoundProfile:
    """A run that a search found, with all metadata it has."""

    run: RunRecord
    profile: RunProfile
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProfilePage:
    """The part of what a search found that it asked for, and how many runs match in all."""

    total: int
    found: tuple[FoundProfile, ...]


class Searches(Protocol):
    """Runs are found by what their profiles say; what is in memory of them counts for nothing."""

    async def search(self, query: ProfileQuery) -> ProfilePage:
        """The runs that match, as they are at one moment.

        Raises ``TooSlowError`` where it takes longer than ``SEARCH_SECONDS``, and then gives nothing.
        """

    async def count_facets(self, query: ProfileQuery, places: Sequence[Place]) -> FacetCounts:
        """How many runs match, and how often each field has which values; else as ``search``."""
