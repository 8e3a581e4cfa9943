"""What a host says about the run that a process is to be, in its first message."""

from dataclasses import dataclass
from typing import Any

from worker.channel import ChannelError
from worker.child.isolation import BUILTINS

__builtins__ = BUILTINS


@dataclass(frozen=True, slots=True)
class BootSpec:
    """What the host says about the run; fields as in the channel's boot message, all required."""

    run_key: str
    model_folder: str
    model_file: str
    seed: int
    at_us: int
    actor: dict[str, Any] | None
    presets: dict[str, Any]
    worker_context: str
    clock: str
    entropy: str
    minimum_log_level: str
    redirect_standard_out: bool
    max_result_bytes: int
    max_result_depth: int
    max_result_values: int
    record_bytes: int
    callback_bytes: int
    answers: bytes | None
    event: str | None
    scratch: str | None
    archive: dict[str, Any] | None
    lineage: list[list[Any]]
    context: bytes | None
    attached: list[str]
    judged: bool


def parse_boot(message: list[Any]) -> BootSpec:
    """The spec in the first message of a host.

    Raises:
        ChannelError: it is none, or lacks something.
    """
    match message:
        case ["boot", dict(spec)]:
            names = BootSpec.__slots__
            missing = [name for name in names if name not in spec]
            if not missing:
                return BootSpec(**{name: spec[name] for name in names})
            raise ChannelError(f"boot: missing {', '.join(missing)}")
        case _:
            raise ChannelError(f"the first message must be boot, not {message[0]!r:.40}")
