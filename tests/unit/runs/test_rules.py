"""Rules of one run: what may be asked of it, and what a clone may narrow."""

from typing import Any

import pytest

from protocol.errors import ErrorCode
from worker.channel import unpack
from worker.runs.profile import RunProfile
from worker.runs.rules import NO_RULES, RunRules, judge, narrowed, own_functions, rewind_refusal, rules_of
from worker.runs.stimuli import Step, StepKind


def step(kind: StepKind, name: str = "x") -> Step:
    return Step(kind, name, b"", 1.0)


def profile(**given: Any) -> RunProfile:
    return RunProfile("k" * 36, "", "name", **given)


CALL, HIDDEN = step(StepKind.EXECUTE, "step"), step(StepKind.EXECUTE, "_reset")
WRITE, GET, READ = step(StepKind.SET), step(StepKind.GET), step(StepKind.READ)


def test_a_run_that_was_told_nothing_has_no_rules() -> None:
    assert rules_of(profile()) is NO_RULES
    assert rules_of(None) is NO_RULES
    assert judge(NO_RULES, (), (CALL, HIDDEN, WRITE)) is None


def test_rules_are_read_from_the_profile() -> None:
    rules = rules_of(
        profile(
            attached_functions=[{"function": "step"}, {"service": "m.py", "function": "_reset"}],
            interactive=False,
            context={"a": [1]},
            result_schema={"type": "object"},
            result_mode="strict",
        )
    )

    assert rules.attached == frozenset({"step", "_reset"})
    assert rules.hidden_operations == ["_reset"]
    assert not rules.interactive
    assert rules.is_strict
    assert unpack(rules.context or b"") == {"a": [1]}
    assert unpack(rules.result_schema or b"") == {"type": "object"}


@pytest.mark.parametrize(
    ("rules", "private", "steps", "index"),
    (
        (RunRules(attached=frozenset({"step"})), (), (CALL, GET, WRITE), None),
        (RunRules(attached=frozenset({"step"})), (), (CALL, step(StepKind.EXECUTE, "other")), 1),
        (RunRules(attached=frozenset({"step"})), (), (HIDDEN,), 0),
        (RunRules(attached=frozenset({"_reset"})), (), (HIDDEN,), None),
        (RunRules(attached=frozenset({"step"})), ("step",), (CALL,), None),
        (NO_RULES, ("step",), (GET, CALL), 1),
        (NO_RULES, ("other",), (CALL,), None),
    ),
)
def test_a_call_must_be_attached_where_it_is_private_or_a_list_is_there(
    rules: RunRules, private: tuple[str, ...], steps: tuple[Step, ...], index: int | None
) -> None:
    refusal = judge(rules, private, steps)

    assert (None if refusal is None else refusal.information["index"]) == index
    if refusal is not None:
        assert refusal.code is ErrorCode.OPERATION_NOT_ATTACHED
        assert refusal.name == refusal.information["name"]
        assert repr(refusal.name) in refusal.message


@pytest.mark.parametrize(("steps", "passes"), (((READ, GET), True), ((CALL,), False), ((GET, WRITE), False)))
def test_a_run_that_is_not_interactive_is_only_read(steps: tuple[Step, ...], passes: bool) -> None:
    rules = RunRules(interactive=False)

    refusal = judge(rules, (), steps)

    assert (refusal is None) is passes
    assert judge(rules, (), steps, own=True) is None
    if refusal is not None:
        assert refusal.code is ErrorCode.NOT_INTERACTIVE


def test_its_own_course_is_held_by_its_list_all_the_same() -> None:
    assert judge(RunRules(attached=frozenset(), interactive=False), (), (CALL,), own=True) is not None


def test_only_an_interactive_run_is_rewound() -> None:
    assert rewind_refusal(NO_RULES) is None
    refusal = rewind_refusal(RunRules(interactive=False))
    assert refusal is not None
    assert refusal.code is ErrorCode.NOT_INTERACTIVE


def test_a_clone_has_the_list_of_its_source_or_less() -> None:
    source = [{"function": "a"}, {"function": "b"}]

    assert narrowed(source, None) == source
    assert narrowed(source, [{"function": "b"}]) == [{"function": "b"}]
    assert narrowed(None, [{"function": "c"}]) == [{"function": "c"}]
    with pytest.raises(ValueError, match=r"^c$"):
        narrowed(source, [{"function": "a"}, {"function": "c"}])


def test_attached_functions_are_those_of_the_run_s_own_model() -> None:
    listed = [(None, "a"), ("m.py", "b"), (None, "a")]

    assert own_functions(listed, "m.py") == [{"function": "a"}, {"service": "m.py", "function": "b"}]
    with pytest.raises(ValueError, match=r"'a' of 'other.py'.*'m.py'"):
        own_functions([("other.py", "a")], "m.py")
