"""Which operations a check calls: those of check.json, else all that can be called without arguments."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from worker.cli.roundtrip import Scripted


class ScriptError(Exception):
    """check.json is not what it must be; ``line`` is where, if that is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=256)]
    arguments: list[Any] = Field(default_factory=list)
    actor: dict[str, Any] | None = None


_SCRIPT = TypeAdapter(list[_Line])


def read_script(path: Path) -> list[Scripted] | None:
    """The calls of a check.json, in order; None if there is no such file.

    Raises:
        ScriptError: it is no list of ``{name, arguments?, actor?}``.
    """
    if not path.exists():
        return None
    try:
        lines = _SCRIPT.validate_python(json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise ScriptError(f"not JSON: {error.msg} at column {error.colno}", error.lineno) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "all of it"
        message = f"must be a list of {{name, arguments, actor}} maps; {where}: {first['msg']}"
        raise ScriptError(message) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ScriptError(f"cannot be read: {error}") from error
    return [Scripted(line.name, line.arguments, line.actor, asked=True) for line in lines]


def default_script(functions: list[dict[str, Any]]) -> tuple[list[Scripted], list[str]]:
    """A call of each operation that needs no arguments, and the names of the others."""
    needy = [function["name"] for function in functions if _needs_arguments(function)]
    names = [function["name"] for function in functions if function["name"] not in needy]
    return [Scripted(name) for name in names], needy


def _needs_arguments(function: dict[str, Any]) -> bool:
    arguments = function["arguments"]
    return arguments is None or any(argument["required"] for argument in arguments)


def signature(function: dict[str, Any]) -> str:
    """How an introspected operation is called, such as ``step(weeks, rate=0.5)``."""
    arguments = function["arguments"]
    if arguments is None:
        return f"{function['name']}(…)"
    return f"{function['name']}({', '.join(map(_argument, arguments))})"


def _argument(argument: dict[str, Any]) -> str:
    name: str = argument["name"]
    if argument["required"] or name.startswith("*"):
        return name
    return f"{name}={json.dumps(argument['default'], ensure_ascii=False)}"
