"""What there is to start a run from, as replies carry it: model files, and what a model offers."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Offer(BaseModel):
    """A part of an answer: fields that are not here are refused, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Models(Offer):
    """Paths of model files below the root of a project, in order; ``truncated``: there are more."""

    models: list[str]
    truncated: bool


class Argument(Offer):
    """One argument of an operation; ``default`` is null where it has none, or none that can be told."""

    name: str
    required: bool
    default: Any


class Function(Offer):
    """One operation; ``arguments`` is null where it does not tell them."""

    name: str
    arguments: list[Argument] | None
    doc: str | None


class Variable(Offer):
    """One variable; ``type`` is the name of its value's class."""

    name: str
    type: str
    readable: bool
    writable: bool


class Introspection(Offer):
    """What a model offers."""

    language: Literal["PYTHON_3"] = "PYTHON_3"
    functions: list[Function]
    variables: list[Variable]
