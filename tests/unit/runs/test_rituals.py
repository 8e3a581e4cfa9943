"""The ritual table of the reference, row by row."""

import pytest

from protocol.entities import Ritual
from worker.runs.rituals import POLICIES, Access, ritual_table, route

P, A, N, C = Access.PROCESS, Access.ARCHIVE, Access.NOT_LIVE, Access.CLOSED

# For reads and for changes: in memory; not in memory; not in memory and closed; closed while still in memory.
TABLE: dict[Ritual, dict[str, tuple[Access, Access, Access, Access]]] = {
    Ritual.NONE: {"read": (P, A, A, A), "change": (P, N, N, N)},
    Ritual.INTER: {"read": (P, N, N, N), "change": (P, N, N, N)},
    Ritual.REANIMATE: {"read": (P, A, A, A), "change": (P, P, C, C)},
    Ritual.REVIVE: {"read": (P, P, C, C), "change": (P, P, C, C)},
    Ritual.EXORCISE: {"read": (P, A, A, A), "change": (P, P, C, C)},
    Ritual.RESURRECT: {"read": (P, P, C, C), "change": (P, P, C, C)},
}
SITUATIONS = ((True, False), (False, False), (False, True), (True, True))

CASES = tuple(
    (ritual, kind, live, closed, access)
    for ritual, rows in TABLE.items()
    for kind, row in rows.items()
    for (live, closed), access in zip(SITUATIONS, row, strict=True)
)


@pytest.mark.parametrize(("ritual", "kind", "live", "closed", "access"), CASES)
def test_a_request_is_served_where_its_ritual_says(
    ritual: Ritual, kind: str, live: bool, closed: bool, access: Access
) -> None:
    assert route(ritual, live=live, closed=closed, needs_process=kind == "change") is access


def test_the_table_has_every_ritual() -> None:
    assert set(TABLE) == set(Ritual) == set(POLICIES)


def test_only_two_rituals_end_the_run() -> None:
    assert {ritual for ritual, policy in POLICIES.items() if policy.ends} == {
        Ritual.EXORCISE,
        Ritual.RESURRECT,
    }


def test_the_documentation_shows_every_policy() -> None:
    assert ritual_table().splitlines() == [
        "| ritual | may restore | may read the archive | ends the run afterwards |",
        "|---|---|---|---|",
        "| NONE | never | yes | no |",
        "| INTER | never | no | no |",
        "| REANIMATE | for changes | yes | no |",
        "| REVIVE | always | no | no |",
        "| EXORCISE | for changes | yes | yes |",
        "| RESURRECT | always | no | yes |",
    ]
