"""Rules of one run: what may be asked of it, whoever asks, as it was said when the run was started.

They never widen. ``judge`` decides before anything of a request is performed; its refusal is of the whole request.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from protocol.errors import ErrorCode
from worker.channel import pack
from worker.runs.profile import RunProfile
from worker.runs.stimuli import Step, StepKind

PRIVATE_MARK: Final = "_"
"""How names begin of functions that are no operations unless they are attached."""
STRICT: Final = "strict"


@dataclass(frozen=True, slots=True)
class RunRules:
    """What a run was started with.

    ``attached``: the operations that may be called, None for all that are not private. ``interactive``: whether
    anything may be asked that changes the run, but by the run's own course. ``context``: msgpack of what the model
    finds in its calls, None for nothing. ``result_schema``: msgpack of what the run's result must fit.
    """

    attached: frozenset[str] | None = None
    interactive: bool = True
    context: bytes | None = None
    result_schema: bytes | None = None
    is_strict: bool = False

    @property
    def hidden_operations(self) -> list[str]:
        """Functions that are operations of this run although their names say otherwise."""
        return sorted(name for name in self.attached or () if name.startswith(PRIVATE_MARK))


NO_RULES: Final = RunRules()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused as a whole; ``name``: the operation that it is about, where it is about one."""

    code: ErrorCode
    message: str
    information: Mapping[str, Any]
    name: str = ""


def rules_of(profile: RunProfile | None) -> RunRules:
    """The rules that a run was started with; ``NO_RULES`` where there are none."""
    if profile is None:
        return NO_RULES
    attached = profile.attached_functions
    rules = RunRules(
        attached=None if attached is None else frozenset(one["function"] for one in attached),
        interactive=profile.interactive,
        context=None if profile.context is None else pack(profile.context),
        result_schema=None if profile.result_schema is None else pack(profile.result_schema),
        is_strict=profile.result_mode == STRICT,
    )
    return NO_RULES if rules == NO_RULES else rules


def judge(
    rules: RunRules, private: Collection[str], steps: Iterable[Step], *, own: bool = False
) -> Refusal | None:
    """What keeps steps from being performed; ``private``: operations that must be attached.

    ``own``: the run's course asks, so that it need not be interactive.
    """
    if rules is NO_RULES and not private:
        return None
    for index, step in enumerate(steps):
        if step.kind in (StepKind.EXECUTE, StepKind.SET) and not (rules.interactive or own):
            return _not_interactive()
        if step.kind is StepKind.EXECUTE:
            refusal = _not_attached(rules, private, step.name, index)
            if refusal is not None:
                return refusal
    return None


def refusal_of_action(
    rules: RunRules, private: Collection[str], action: Mapping[str, Any], index: int
) -> Refusal | None:
    """What keeps an initial action from being performed; ``action`` is its map."""
    if action["kind"] != StepKind.EXECUTE.value:
        return None
    return _not_attached(rules, private, action["name"], index)


def _not_attached(rules: RunRules, private: Collection[str], name: str, index: int) -> Refusal | None:
    if rules.attached is None:
        if name not in private:
            return None
        reason = "is private: a run reaches it only if it was started with it among its attached functions"
    elif name in rules.attached:
        return None
    else:
        reason = (
            "is not among the functions that the run was started with; start another run, or call what is"
        )
    information = {"name": name, "index": index, "applied": "no"}
    message = f"operation {name!r} {reason}"
    return Refusal(ErrorCode.OPERATION_NOT_ATTACHED, message, information, name)


def _not_interactive() -> Refusal:
    message = (
        "the run is not interactive: it was started to perform its initial actions and nothing else; read it, clone "
        "it, or start another run"
    )
    return Refusal(ErrorCode.NOT_INTERACTIVE, message, {"applied": "no"})


def rewind_refusal(rules: RunRules) -> Refusal | None:
    """What keeps a run from being rewound."""
    return None if rules.interactive else _not_interactive()


def narrowed(
    attached: list[dict[str, Any]] | None, asked: list[dict[str, Any]] | None
) -> list[dict[str, Any]] | None:
    """The list of a clone: that of its source, or ``asked``, which must be a part of it.

    Raises:
        ValueError: something is asked for that the source must not call; the message is the operation's name.
    """
    if asked is None:
        return attached
    allowed = None if attached is None else {one["function"] for one in attached}
    for one in asked:
        if allowed is not None and one["function"] not in allowed:
            raise ValueError(one["function"])
    return asked


def own_functions(listed: Iterable[tuple[str | None, str]], model_file: str) -> list[dict[str, Any]]:
    """A list of attached functions as a profile keeps it, each once.

    Raises:
        ValueError: one belongs to another model; the message says which.
    """
    kept: dict[str, dict[str, Any]] = {}
    for service, function in listed:
        if service not in (None, model_file):
            raise ValueError(
                f"{function!r} of {service!r}: a run calls operations of its own model, {model_file!r}; leave "
                "service out, or name that"
            )
        kept.setdefault(
            function,
            {"function": function} if service is None else {"service": service, "function": function},
        )
    return list(kept.values())
