"""The locks a run gets when nobody says, as the reference's table has them."""

import pytest

from protocol.entities import Permit, Role, Scope, ScopeBoundary
from worker.runs.permits import default_permit

ADMINS = (Role.SYSTEM, Role.MONITOR, Role.OWNER, Role.AUTHOR, Role.SUPPORT, Role.ASSOCIATE)
PLAYERS = (Role.USER, Role.LEADER, Role.PARTICIPANT, Role.ANONYMOUS, None)
NOT_WORLD = (ScopeBoundary.PROJECT, ScopeBoundary.GROUP, ScopeBoundary.EPISODE)


def locks(role: Role | None, boundary: ScopeBoundary, user_key: str | None) -> tuple[str, str]:
    permit = default_permit(role, Scope(scope_boundary=boundary, scope_key="key", user_key=user_key))
    assert Permit(**permit).model_dump(mode="json") == permit  # it travels
    return permit["read_lock"], permit["write_lock"]


@pytest.mark.parametrize("boundary", tuple(ScopeBoundary))
@pytest.mark.parametrize("role", ADMINS)
def test_a_run_of_an_admin_is_for_authors(role: Role, boundary: ScopeBoundary) -> None:
    assert locks(role, boundary, "user") == ("AUTHOR", "AUTHOR")


@pytest.mark.parametrize("boundary", tuple(ScopeBoundary))
@pytest.mark.parametrize("role", (Role.FACILITATOR, Role.REVIEWER))
def test_a_run_of_a_facilitator_is_for_facilitators(role: Role, boundary: ScopeBoundary) -> None:
    assert locks(role, boundary, "user") == ("FACILITATOR", "FACILITATOR")


@pytest.mark.parametrize("boundary", NOT_WORLD)
@pytest.mark.parametrize("role", PLAYERS)
def test_a_run_of_a_player_is_for_its_user(role: Role | None, boundary: ScopeBoundary) -> None:
    assert locks(role, boundary, "user") == ("USER", "USER")


@pytest.mark.parametrize("boundary", NOT_WORLD)
@pytest.mark.parametrize("role", PLAYERS)
def test_a_run_without_a_user_is_for_participants(role: Role | None, boundary: ScopeBoundary) -> None:
    assert locks(role, boundary, None) == ("PARTICIPANT", "PARTICIPANT")


@pytest.mark.parametrize("role", PLAYERS)
def test_a_run_of_a_world_is_seen_by_participants_and_changed_by_facilitators(role: Role | None) -> None:
    assert locks(role, ScopeBoundary.WORLD, None) == ("PARTICIPANT", "FACILITATOR")
