"""The locks a run gets when nobody says, and whom a lock keeps out."""

import pytest

from protocol.entities import Actor, Permit, Role, Scope, ScopeBoundary
from worker.runs.permits import Denial, Right, default_permit, denial, standing

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


# Who passes a lock

LADDER = tuple(Role)
OPEN = {"scope_boundary": "GROUP", "scope_key": "group"}
OWNED = {**OPEN, "user_key": "ada"}
WORLD = {"scope_boundary": "WORLD", "scope_key": "world"}


def permit(lock: Role) -> dict[str, str]:
    return {"read_lock": lock.value, "write_lock": lock.value}


@pytest.mark.parametrize("right", tuple(Right))
@pytest.mark.parametrize("lock", LADDER)
@pytest.mark.parametrize("role", LADDER)
def test_a_lock_lets_in_its_role_and_those_above(role: Role, lock: Role, right: Right) -> None:
    found = denial(Actor(role=role), right, permit(lock), OPEN)

    if LADDER.index(role) <= LADDER.index(lock):
        assert found is None
    else:
        name = "read_lock" if right is Right.READ else "write_lock"
        assert found == Denial(lock=name, needed=lock, role=role)


@pytest.mark.parametrize(
    ("role", "user_key", "counts_as"),
    (
        (Role.PARTICIPANT, "ada", Role.USER),
        (Role.ANONYMOUS, "ada", Role.USER),
        (Role.FACILITATOR, "ada", Role.FACILITATOR),
        (Role.PARTICIPANT, "bob", Role.PARTICIPANT),
        (Role.PARTICIPANT, None, Role.PARTICIPANT),
        (Role.USER, "bob", Role.PARTICIPANT),
        (Role.USER, None, Role.USER),
        (Role.REVIEWER, "bob", Role.REVIEWER),
    ),
)
def test_only_the_user_of_the_scope_counts_as_its_user(
    role: Role, user_key: str | None, counts_as: Role
) -> None:
    assert standing(role, user_key, OWNED) is counts_as


def test_reading_and_changing_have_locks_of_their_own() -> None:
    mixed = {"read_lock": "PARTICIPANT", "write_lock": "FACILITATOR"}
    actor = Actor(role=Role.PARTICIPANT)

    assert denial(actor, Right.READ, mixed, OPEN) is None
    for right in (Right.PLAY, Right.WRITE):
        assert denial(actor, right, mixed, OPEN) == Denial("write_lock", Role.FACILITATOR, Role.PARTICIPANT)


@pytest.mark.parametrize(
    "actor", (None, Actor(), Actor(user_key="bob"), Actor(role=Role.ANONYMOUS, is_system=True))
)
def test_who_has_no_role_or_is_the_system_is_not_judged(actor: Actor | None) -> None:
    assert denial(actor, Right.WRITE, permit(Role.SYSTEM), OWNED) is None


@pytest.mark.parametrize(
    ("world_key", "scope", "right", "passes"),
    (
        ("world", WORLD, Right.PLAY, True),
        ("world", WORLD, Right.WRITE, False),
        ("other", WORLD, Right.PLAY, False),
        (None, WORLD, Right.PLAY, False),
        ("group", OPEN, Right.PLAY, False),
    ),
)
def test_members_of_a_world_play_its_run_with_the_read_lock(
    world_key: str | None, scope: dict[str, str], right: Right, passes: bool
) -> None:
    actor = Actor(role=Role.PARTICIPANT, world_key=world_key)
    locks_of_a_world = {"read_lock": "PARTICIPANT", "write_lock": "FACILITATOR"}

    assert (denial(actor, right, locks_of_a_world, scope) is None) is passes


def test_the_read_lock_holds_for_members_of_a_world_too() -> None:
    actor = Actor(role=Role.ANONYMOUS, world_key="world")
    assert denial(actor, Right.PLAY, permit(Role.PARTICIPANT), WORLD) == Denial(
        "read_lock", Role.PARTICIPANT, Role.ANONYMOUS
    )
