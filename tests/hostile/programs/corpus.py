"""The corpus: one file per hostile or broken behaviour, which says itself what must come of it.

The head of each file below ``models`` is a comment block of TOML, read as text and never by importing the file::

    # /// attack
    # rows = [59]                 numbers of the published list of 101 behaviours that it covers
    # lives = false               whether its process is still there afterwards
    # code = "PROCESS_EXITED"     the error; without it the attack is to complete
    # ///

Other fields are those of ``Attack``. To add an attack, add a file.
"""

import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

MODELS = Path(__file__).parents[1] / "models"
PUBLISHED = range(1, 102)
ENDS = frozenset({"PROCESS_EXITED", "OPERATION_TIMEOUT", "LIMIT_EXCEEDED"})
"""Errors behind which the process is gone, and what it did never happened."""

_HEAD = re.compile(rb"^# /// attack\n(?P<toml>(?:#(?: .*)?\n)+?)# ///$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Attack:
    """One behaviour and what must come of it.

    ``when``: "operation" (its operation ``attack`` is called), "create" (it strikes while the run is made),
    "restore" (while it comes back) or "leave" (while it is evicted). ``lives``: whether the process outlives it.
    ``code``: error it ends with, "" if none. ``says``: part of the message. ``result``: what ``attack`` returns,
    as JSON; by habit a list of what got through. ``next``: the error of the request behind it,
    where that ends the process. ``restores``: the error of every later restore, where a model can no
    longer be replayed; a rewind then gives it back. ``ask``: a request other than the call of ``attack``.
    ``seconds``: its time limit. How it is laid out: ``place`` of the model file ("file", "fifo", "folder" or
    "missing"), ``model_file``, ``model_link``, ``append`` (texts and how often), ``beside`` (further files),
    ``links``, ``fifos``, ``context`` (a table laid over the usual one, or text), ``context_link``.
    ``create``: fields of create_run.
    """

    name: str
    source: Path
    rows: tuple[int, ...]
    lives: bool
    when: Literal["operation", "create", "restore", "leave"] = "operation"
    code: str = ""
    says: str = ""
    result: str = "[]"
    next: str = ""
    restores: str = ""
    ask: dict[str, Any] = field(default_factory=dict)
    seconds: float = 30.0
    place: Literal["file", "fifo", "folder", "missing"] = "file"
    model_file: str = ""
    model_link: str = ""
    append: list[tuple[str, int]] = field(default_factory=list)
    beside: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    fifos: list[str] = field(default_factory=list)
    context: dict[str, Any] | str = field(default_factory=dict)
    context_append: list[tuple[str, int]] = field(default_factory=list)
    context_link: str = ""
    create: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def read_attack(source: Path) -> Attack:
    """The attack in a file.

    Raises:
        ValueError: it has no head, or one with unknown, missing or senseless fields.
    """
    name = str(source.relative_to(MODELS).with_suffix(""))
    found = _HEAD.search(source.read_bytes())
    if found is None:
        raise ValueError(f"{name}: no block '# /// attack ... # ///'")
    text = "\n".join(line[2:] for line in found["toml"].decode().splitlines())
    head = tomllib.loads(text)
    unknown = head.keys() - {one.name for one in fields(Attack)}
    if unknown or not {"rows", "lives"} <= head.keys():
        raise ValueError(f"{name}: rows and lives are needed; unknown fields: {sorted(unknown)}")
    if not all(row in PUBLISHED for row in head["rows"]):
        raise ValueError(f"{name}: rows must be among the published numbers")
    if head.get("code") in ENDS and head["lives"]:
        raise ValueError(f"{name}: no process lives after {head['code']}")
    return Attack(name=name, source=source, **{**head, "rows": tuple(head["rows"])})


def read_corpus() -> tuple[Attack, ...]:
    """All attacks, in the order of their names."""
    return tuple(read_attack(path) for path in sorted(MODELS.glob("*/*.py")))
