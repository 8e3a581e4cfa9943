"""What a model is told of its run and of the call at hand: an immutable view, made anew for whoever asks.

A replayed action sees what it saw when it was recorded, in a clone too.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgpack

from worker.child.isolation import BUILTINS

__builtins__ = BUILTINS

ACTOR_KEYS: Final = ("pseudonym_key", "group_key", "group_mandate", "world_key", "world_role")
BOOT_SEQ: Final = 1
APPROVAL: Final = "approval"
_unpack: Final = msgpack.unpackb


class ApprovalRequired(BaseException):
    """Raised by an operation that must not go on unless somebody approves it; ``reason`` is shown to who decides.

    What the operation did so far is taken back. It is no Exception, so that no handler of the model's own errors
    takes it for one.
    """

    __module__ = "epicenter"

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Run(NamedTuple):
    """The run, and the call at hand; all of it is frozen."""

    context: Mapping[str, Any]
    auth: Mapping[str, Any] | None
    approved: bool
    run_key: str
    action_id: str | None


class Told:
    """What the host says: of the run once, of each call before it. ``seq``: of the entry that will record it, or 0."""

    def __init__(self) -> None:
        self.actor_bytes: bytes | None = None
        self.seq = 0
        self._run_key = ""
        self._lineage: list[list[Any]] = []
        self._context: bytes | None = None

    def start(self, run_key: str, lineage: list[list[Any]], context: bytes | None) -> None:
        """Take what belongs to the run; ``lineage`` says whose its first entries were, the boot entry among them."""
        self._run_key = run_key
        self._lineage = lineage
        self.seq = BOOT_SEQ
        self._context = context

    def nobody_asks(self) -> None:
        """What follows is no call of anybody."""
        self.actor_bytes = None
        self.seq = 0

    @property
    def is_approved(self) -> bool:
        """Whether somebody approved the call at hand."""
        return APPROVAL in self._recorded()

    def run(self) -> Run:
        """The view of this moment."""
        recorded = self._recorded()
        context = {} if self._context is None else _unpack(self._context, raw=False)
        return Run(
            context=_frozen(context),
            auth=None if self.actor_bytes is None else _frozen(_without_approval(recorded)),
            approved=APPROVAL in recorded,
            run_key=self._recorder(),
            action_id=str(self.seq) if self.seq > BOOT_SEQ else None,
        )

    def actor(self) -> dict[str, Any]:
        """Who asks."""
        return _without_approval(self._recorded())

    def require_approval(self, reason: str = "") -> None:
        """Go on only if the call at hand was approved.

        Raises:
            ApprovalRequired: it was not.
        """
        if not self.is_approved:
            raise ApprovalRequired(reason)

    def _recorder(self) -> str:
        """The run that the call at hand is recorded by."""
        for through_seq, run_key in self._lineage:
            if 0 < self.seq <= through_seq:
                return str(run_key)
        return self._run_key

    def _recorded(self) -> dict[str, Any]:
        if self.actor_bytes is None:
            return {}
        return _unpack(self.actor_bytes, raw=False, strict_map_key=False) or {}


def _without_approval(recorded: dict[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in recorded.items() if key != APPROVAL}
    return {**dict.fromkeys(ACTOR_KEYS), **given}


def _frozen(value: Any) -> Any:
    if type(value) is dict:
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    return tuple(map(_frozen, value)) if type(value) is list else value
