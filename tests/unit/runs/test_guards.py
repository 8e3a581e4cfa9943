"""Guards: what each kind refuses to whom, under every spelling of a name."""

from typing import Any

import pytest

from protocol.entities import Actor, Role
from worker.channel import pack, unpack
from worker.errors import RequestError
from worker.runs.contexts import context_problems, model_context
from worker.runs.guards import (
    MAX_GUARDS,
    Access,
    Asker,
    Condition,
    Guard,
    asker_of,
    compare,
    conditions_of,
    guard_of,
    judge,
    judge_current,
)
from worker.runs.history import OutcomeStatus
from worker.runs.lifecycle import Run
from worker.runs.naming import MAX_DEPTH, names_of
from worker.runs.outcomes import Outcome
from worker.runs.overrides import override_context
from worker.runs.patterns import MAX_PATTERN_CHARACTERS, checked
from worker.runs.stimuli import (
    Append,
    Appended,
    Booted,
    Origin,
    Performed,
    Requested,
    Resolve,
    Rested,
    Send,
    Step,
    StepKind,
    Work,
)

LADDER = tuple(Role)
SALES = {"regex": "^Price$", "role": "Sales", "domain": "variable"}


def guard(kind: str, **options: Any) -> Guard:
    return guard_of(kind, options)


def needed(
    guards: list[Guard], asker: Asker, access: Access, name: str = "Price", value: Any = None
) -> str | None:
    found = judge(guards, asker, access, name, value)
    return None if found is None else found.needed


# Role


@pytest.mark.parametrize(
    ("grants", "world_role", "refusal"),
    (
        ({"Sales": "allow"}, "Sales", None),
        ({"Sales": "allow"}, "Boss", "the world role Sales"),
        ({"Sales": "allow"}, None, "the world role Sales"),
        ({"Sales": "allow", "Boss": "allow"}, "Boss", None),
        ({"Sales": "allow", "Boss": "allow"}, "Crew", "the world role Boss or Sales"),
        ({"Sales": "disallow"}, "Sales", "a world role other than Sales"),
        ({"Sales": "disallow"}, "Boss", None),
        ({"Sales": "disallow"}, None, None),
        ({"Sales": "allow", "Boss": "disallow"}, "Boss", "the world role Sales"),
    ),
)
def test_a_role_guard_is_for_world_roles(
    grants: dict[str, str], world_role: str | None, refusal: str | None
) -> None:
    guards = [guard("role", **{**SALES, "role": role}, grant=grant) for role, grant in grants.items()]
    asker = Asker(Role.FACILITATOR, world_role)

    assert needed(guards, asker, Access.WRITE) == refusal
    assert needed(guards, asker, Access.READ) is None
    assert needed(guards, asker, Access.EXECUTE) is None
    assert needed(guards, asker, Access.WRITE, "Other") is None
    assert needed(guards, Asker(is_system=True), Access.WRITE) is None


def test_a_role_guard_of_the_domain_operation_is_for_calls() -> None:
    for domain in ("operation", "procedure", "OPERATION"):
        guards = [guard("role", regex="^step$", role="Boss", domain=domain, grant="allow")]
        assert needed(guards, Asker(), Access.EXECUTE, "step") == "the world role Boss"
        assert needed(guards, Asker(world_role="Boss"), Access.EXECUTE, "step") is None
        assert needed(guards, Asker(), Access.WRITE, "step") is None


# Privilege


@pytest.mark.parametrize("access", tuple(Access))
@pytest.mark.parametrize("grant", ("allow", "disallow"))
@pytest.mark.parametrize("bound", LADDER)
@pytest.mark.parametrize("role", LADDER)
def test_a_privilege_guard_cuts_the_ladder_at_its_role(
    role: Role, bound: Role, grant: str, access: Access
) -> None:
    domain = "operation" if access is Access.EXECUTE else "variable"
    options = {"regex": "^Price$", "domain": domain, "grant": grant, access.value: bound.value}
    height, cut = LADDER.index(role), LADDER.index(bound)

    refusal = needed([guard("privilege", **options)], Asker(role), access)

    if grant == "allow":
        assert refusal == (None if height <= cut else f"the role {bound} or above")
    else:
        assert refusal == (None if height < cut else f"a role above {bound}")


def test_a_privilege_guard_holds_only_what_it_names() -> None:
    guards = [guard("privilege", regex="^Price$", domain="variable", grant="allow", write="author")]
    assert needed(guards, Asker(), Access.READ) is None
    assert needed(guards, Asker(), Access.WRITE) == "the role AUTHOR or above"
    assert needed(guards, Asker(is_system=True), Access.WRITE) is None
    assert needed(guards, Asker(), Access.EXECUTE) is None


# Input, overwrite, relative


def test_an_input_guard_is_for_values_and_for_everybody() -> None:
    guards = [guard("input", regex="^Price$", operator="<=", operand=10)]
    for asker in (Asker(), Asker(is_system=True)):
        assert needed(guards, asker, Access.WRITE, value=10) is None
        assert needed(guards, asker, Access.WRITE, value=11) == "a value <= 10"
        assert needed(guards, asker, Access.READ) is None
    closed = [guard("input", regex="^Price$")]
    assert needed(closed, Asker(is_system=True), Access.WRITE, value=1) is not None


@pytest.mark.parametrize(
    ("operator", "left", "right", "holds"),
    (
        ("==", 1, 1.0, True),
        ("==", 1, True, False),
        ("==", [1, {"a": None}], [1, {"a": None}], True),
        ("==", [1], [True], False),
        ("!=", 1, 2, True),
        ("!=", 1, 1, False),
        ("<", 1, 2, True),
        ("<", 2, 2, False),
        ("<=", 2, 2, True),
        (">", "b", "a", True),
        (">=", "a", "a", True),
        ("<", None, 2, False),
        ("<", True, 2, False),
        ("<", "1", 2, False),
        ("<", 1, "2", False),
        ("in", 1, [1, 2], True),
        ("in", True, [1, 2], False),
        ("not in", 3, [1, 2], True),
        ("not in", 1, [1, 2], False),
    ),
)
def test_values_are_compared_as_json_values(operator: str, left: Any, right: Any, holds: bool) -> None:
    assert compare(operator, left, right) is holds


def test_an_overwrite_guard_asks_for_the_variable_itself_and_a_relative_one_for_its_key() -> None:
    guards = [
        guard("overwrite", regex="^Price$", initial=None),
        guard("relative", regex="^Price", key="step", operator="<", value=5),
    ]
    once, while_early = (
        Condition("overwrite", "Price[1]", "Price", "==", None),
        Condition("relative", "Price[1]", "step", "<", 5),
    )

    assert conditions_of(guards, "Price[1]") == (once, while_early)
    assert conditions_of(guards, "Other") == ()
    assert judge_current((once, while_early), {"Price": None, "step": 4}) is None
    for values, kind in (
        ({"Price": 1, "step": 4}, "overwrite"),
        ({"Price": None, "step": 5}, "relative"),
        ({"Price": None, "step": None}, "relative"),
        (None, "overwrite"),
    ):
        found = judge_current((once, while_early), values)
        assert found is not None
        assert (found.kind, found.name, found.access) == (kind, "Price[1]", Access.WRITE)


# Names


@pytest.mark.parametrize(
    "spelling", ("a.b", 'a["b"]', "a['b']", "a.b[0]", "a.b.0", 'a["b"].c[1,2]', "a.b" + ".c" * 100)
)
def test_a_guard_on_something_holds_what_is_inside_however_it_is_spelled(spelling: str) -> None:
    for regex in (r"^a\.b$", r'^a\["b"\]$'):
        guards = [guard("privilege", regex=regex, domain="variable", grant="allow", read="AUTHOR")]
        assert needed(guards, Asker(), Access.READ, spelling) is not None
        assert needed(guards, Asker(), Access.READ, "a.bc") is None


@pytest.mark.parametrize("spelling", ("m[1,2]", "m[1][2]", "m[ 1 , 2 ]", "m.1.2", "m[01][2]"))
def test_a_guard_on_an_element_knows_its_spellings(spelling: str) -> None:
    for name in ("m[1,2]", "m[1][2]", "m.1.2"):
        assert name in names_of(spelling)


def test_the_names_of_a_deep_reference_are_bounded() -> None:
    assert len(names_of("a" + ".b" * 127)) <= 4 * MAX_DEPTH + 1


# Patterns


@pytest.mark.parametrize(
    "pattern",
    (
        "",
        "[",
        "(",
        "(a+)+",
        "(a|a)*",
        "(a*)*",
        "((a?))+",
        "(){9}{9}",
        "((){999}){999}",
        "a?" * 20 + "a" * 20,
        "(a|a)" * 20,
        ".*.*.*x",
        r"(a)\1",
        "(?=a)",
        "(?i)a",
        "a" * (MAX_PATTERN_CHARACTERS + 1),
    ),
)
def test_a_pattern_that_could_take_long_or_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        checked(pattern)


@pytest.mark.parametrize(
    "pattern",
    (r"^(Price|Demand)(\[.*\])?$", "^creator$", "Price", r"^m\[\d+,\d+\]$", r"^[^.\[]+$", "^(?:a|b)$"),
)
def test_ordinary_patterns_are_taken(pattern: str) -> None:
    assert checked(pattern) == pattern


# Who asks


@pytest.mark.parametrize(
    ("actor", "asker"),
    (
        (None, Asker()),
        (Actor(), Asker()),
        (Actor(world_role="Sales"), Asker(world_role="Sales")),
        (Actor(role=Role.AUTHOR), Asker(Role.AUTHOR)),
        (Actor(role=Role.PARTICIPANT, user_key="ada"), Asker(Role.USER)),
        (Actor(group_mandate="FACILITATOR"), Asker(Role.FACILITATOR)),
        (Actor(group_mandate="captain"), Asker()),
        (Actor(role=Role.SYSTEM), Asker(Role.SYSTEM, is_system=True)),
        (Actor(is_system=True), Asker(is_system=True)),
    ),
)
def test_an_actor_is_what_it_says_and_nobody_otherwise(actor: Actor | None, asker: Asker) -> None:
    assert asker_of(actor, {"scope_boundary": "GROUP", "scope_key": "g", "user_key": "ada"}) == asker


# The context


@pytest.mark.parametrize(
    ("part", "words"),
    (
        ({"mystery": {}}, "'mystery' is not a known guard"),
        ({}, "'this' is not a known guard"),
        ({"role": {}}, "role.regex"),
        ({"role": {**SALES, "grant": "maybe"}}, "role.grant"),
        ({"role": {**SALES, "grant": "allow", "until": 1}}, "role.until"),
        ({"role": {**SALES, "grant": "allow", "kind": "role"}}, "role.kind"),
        (
            {"privilege": {"regex": "a", "domain": "variable", "grant": "allow", "read": "KING"}},
            "privilege.read",
        ),
        ({"input": {"regex": "a", "operator": "<"}}, "belong together"),
        ({"input": {"regex": "a", "operand": 1}}, "belong together"),
        ({"input": {"regex": "a", "operator": "~", "operand": 1}}, "input.operator"),
        ({"input": {"regex": "a", "operator": "in", "operand": 1}}, "needs a list"),
        ({"input": {"regex": "a", "operator": "<", "operand": True}}, "needs a number"),
        ({"relative": {"regex": "a", "key": "b", "operator": "<", "value": None}}, "needs a number"),
        ({"overwrite": {"regex": "a"}}, "overwrite.initial"),
        ({"overwrite": {"regex": "(", "initial": 1}}, "overwrite.regex"),
        ({"overwrite": {"regex": "a", "initial": 1, "dialect": "X"}}, "overwrite.dialect"),
    ),
)
def test_a_guard_that_is_not_understood_refuses_the_context(part: dict[str, Any], words: str) -> None:
    raw = {"protections": {"guards": [{"input": {"regex": "a"}}, part]}}
    ((path, reason),) = context_problems(raw)
    assert path == "protections.guards[1]"
    assert words in reason


def test_both_encodings_are_taken_and_their_number_is_bounded() -> None:
    parts = [{"input": {"regex": "a"}}, {"objectType": "input", "regex": "a"}]
    first, second = model_context("x", {"protections": {"guards": parts}}).guards
    assert first == second
    with pytest.raises(RequestError, match="guards, allowed are"):
        model_context("x", {"protections": {"guards": parts[:1] * (MAX_GUARDS + 1)}})


def test_an_override_adds_guards_and_takes_none_away() -> None:
    own = [{"input": {"regex": "a"}}]
    base = {"protections": {"guards": own, "other": 1}}
    more = [{"input": {"regex": "b"}}]
    for given, guards in (([], own), (more, own + more)):
        merged = override_context(base, {"protections": {"guards": given}})
        assert merged["protections"] == {"guards": guards, "other": 1}
    assert override_context(base, {})["protections"] == base["protections"]
    assert override_context({}, {"protections": {"guards": more}})["protections"]["guards"] == more


# In the life cycle


LOOK = Step(StepKind.READ, "x", b"", 1.0, names=("x",), ignorable=True, is_look=True)
WRITE = Step(StepKind.SET, "x", b"set", 1.0, conditions=(Condition("overwrite", "x", "x", "==", 0),))


def busy(*steps: Step) -> tuple[Run, Work]:
    run, work = Run(Origin.CREATE, inbox_limit=9), Work("request", steps)
    for stimulus in (Requested(work), Booted(), Appended()):
        run.handle(stimulus)
    return run, work


def test_a_write_follows_a_look_that_lets_it_through() -> None:
    run, work = busy(LOOK, WRITE)
    looked = Outcome(OutcomeStatus.COMPLETED, pack({"x": 0}), 1)

    assert run.handle(Performed(looked)) == [Send(work, WRITE)]
    assert run.handle(Performed(Outcome(OutcomeStatus.COMPLETED, b"\x01", 1))) == [Append(work)]


@pytest.mark.parametrize(
    "looked",
    (
        Outcome(OutcomeStatus.COMPLETED, pack({"x": 1}), 1),
        Outcome(OutcomeStatus.ERROR, pack({}), 1),
    ),
)
def test_a_write_that_a_look_does_not_let_through_is_never_sent(looked: Outcome) -> None:
    run, work = busy(LOOK, WRITE, WRITE)

    assert run.handle(Performed(looked)) == [Resolve(work), Rested()]
    assert unpack(work.outcomes[-1].value)["code"] == "GUARD_VIOLATION"
    assert not work.leaves_trace


def test_a_refused_step_ends_the_list_and_what_came_before_is_recorded() -> None:
    refusal = judge([guard("input", regex="x")], Asker(), Access.WRITE, "x", 1)
    plain = Step(StepKind.SET, "y", b"set", 1.0)
    run, work = busy(plain, Step(StepKind.SET, "x", b"set", 1.0, refusal=refusal))

    assert run.handle(Performed(Outcome(OutcomeStatus.COMPLETED, b"\x01", 1))) == [Append(work)]
    assert [outcome.recorded for outcome in work.outcomes] == [True, False]
