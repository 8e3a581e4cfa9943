"""Queries and searches of ``MemoryStore``: every run of the project is looked at."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, cast

from worker.log import rules
from worker.log.base import RunPage
from worker.log.memory_profiles import MemoryProfiles
from worker.log.memory_query import MemoryRun, search, unpacked
from worker.log.searching import FoundProfile, ProfilePage
from worker.runs.fields import Place, Sought
from worker.runs.profile import RunProfile
from worker.runs.query import RunQuery
from worker.runs.search import LARGE, FacetCounts, ProfileQuery, count_values, matches, sort_profiles


class MemorySearches(ABC):
    """The port ``Searches``, and queries, over what a store holds."""

    _runs: dict[str, MemoryRun]
    _profiles: MemoryProfiles

    @abstractmethod
    def _refuse_closed(self) -> None:
        """Raise where the store is closed."""

    async def query(self, query: RunQuery) -> RunPage:
        """The runs that match: each is looked at."""
        self._refuse_closed()
        return search(self._runs.values(), query, self._profiles.status_of)

    async def search(self, query: ProfileQuery) -> ProfilePage:
        """The runs that match: each is looked at."""
        matching = sort_profiles(list(self._matching(query)), query.sort)
        page = matching[query.first : query.first + query.count]
        found = (FoundProfile(deepcopy(one.run), _shown(one.profile, query), one.metadata) for one in page)
        return ProfilePage(len(matching), tuple(rules.profiles_within_bytes(found, query.max_bytes)))

    async def count_facets(self, query: ProfileQuery, places: Sequence[Place]) -> FacetCounts:
        """How many runs match, and how often each field has which values: each is looked at."""
        matching = list(self._matching(query))
        return FacetCounts(len(matching), tuple(count_values(matching, place) for place in places))

    def _matching(self, query: ProfileQuery) -> Iterator[Sought]:
        self._refuse_closed()
        for run_key, run in self._runs.items():
            profile = self._profiles.get(run_key)
            if run.record.project == query.project and profile is not None:
                sought = Sought(run.record, profile, unpacked(run.metadata))
                if matches(query, sought):
                    yield sought


def _shown(profile: RunProfile, query: ProfileQuery) -> RunProfile:
    return profile if query.whole else replace(profile, **cast("dict[str, Any]", dict.fromkeys(LARGE)))
