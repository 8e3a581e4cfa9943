"""Requests that wait: how they are kept, who decides, what is approved."""

import json

import pytest

from protocol.actions import Execute, Set, encode_action
from protocol.entities import Role
from worker.runs.approvals import Decision, Pending, actions_of, lacks
from worker.runs.guards import Asker

ACTIONS = (Set(name="x", value=1.0), Execute(name="pay", arguments=[2**63, {"b": None, "a": "é"}]))
PENDING = Pending(
    action_id="7",
    request_id="r",
    digest=b"\x00\xff" * 8,
    actor={"user_key": "u"},
    actions=tuple(action.model_dump() for action in ACTIONS),
    place=1,
    asked_us=5,
    roles=("FACILITATOR", "Sales"),
    reason="much",
    of_course=True,
    approvals={0: Decision(True, None, 3)},
)


def test_what_is_kept_comes_back_whole() -> None:
    decided = PENDING.decided(Decision(False, {"user_key": "boss"}, 9))

    for pending in (PENDING, decided):
        assert Pending.from_json(json.loads(json.dumps(pending.to_json()))) == pending


def test_the_actions_come_back_byte_for_byte() -> None:
    again = actions_of(json.loads(json.dumps(PENDING.to_json()))["actions"])

    assert [encode_action(one) for one in again] == [encode_action(one) for one in ACTIONS]


def test_people_see_what_they_decide_on() -> None:
    view = PENDING.view()

    assert (view["action_id"], view["name"], view["reason"]) == ("7", "pay", "much")
    assert view["arguments"] == ACTIONS[1].model_dump()["arguments"]
    assert (view["index"], view["actions"], view["roles"]) == (1, 2, ["FACILITATOR", "Sales"])


@pytest.mark.parametrize(("approved", "places"), ((None, {0}), (True, {0, 1}), (False, {0})))
def test_what_was_approved_is_known_by_place(approved: bool | None, places: set[int]) -> None:
    pending = PENDING if approved is None else PENDING.decided(Decision(approved, None, 9))

    assert set(pending.approved) == places


@pytest.mark.parametrize(
    ("asker", "roles", "may"),
    (
        (Asker(), (), True),
        (Asker(), ("FACILITATOR",), False),
        (Asker(Role.PARTICIPANT), ("FACILITATOR",), False),
        (Asker(Role.FACILITATOR), ("FACILITATOR",), True),
        (Asker(Role.AUTHOR), ("FACILITATOR",), True),
        (Asker(Role.PARTICIPANT, "Sales"), ("FACILITATOR", "Sales"), True),
        (Asker(Role.PARTICIPANT, "sales"), ("FACILITATOR", "Sales"), False),
        (Asker(is_system=True), ("Sales",), True),
    ),
)
def test_who_decides(asker: Asker, roles: tuple[str, ...], may: bool) -> None:
    assert (lacks(asker, roles) is None) is may


def test_the_refusal_names_every_role_that_would_do() -> None:
    assert lacks(Asker(), ("FACILITATOR", "Sales")) == "the role FACILITATOR or above or the world role Sales"
