"""The durable row of a run, as the run directory keeps it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Everything about a run but its history, archive and metadata.

    Times are microseconds since 1970. ``seq`` is the head of the history, ``epoch`` the fencing token of its
    current host, ``seed`` the seed of its random streams (non-negative, below 2**63). Outcomes of entries up to
    ``compare_after_seq`` were recorded under another execution context; a replay need not repeat them.
    ``project`` is ``account/project``, "" for the default project; it never changes. The last four tell what the
    run's actions took, in microseconds and bytes, and how many were recorded.
    """

    run_key: str
    model_file: str
    model_language: str
    model_fingerprint: str
    created_us: int
    last_modified_us: int
    seed: int
    scope: dict[str, Any]
    permit: dict[str, Any]
    model_version: float | None = None
    morphology: str = "MANY"
    execution_context: dict[str, Any] = field(default_factory=dict)
    tracking_key: str | None = None
    marked: bool = False
    hidden: bool = False
    closed: bool = False
    allow_channel: bool = False
    ephemeral: bool = False
    perpetual: bool = False
    grammar: str | None = None
    address: dict[str, Any] | None = None
    user: dict[str, Any] | None = None
    last_operated_us: int | None = None
    seq: int = 0
    epoch: int = 0
    cloned_from: str | None = None
    compare_after_seq: int = 0
    project: str = ""
    wall_us: int = 0
    cpu_us: int = 0
    peak_rss_bytes: int = 0
    actions: int = 0
