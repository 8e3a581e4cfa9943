"""What a model's source tells without being run: what cannot be replayed, what is changed, what is recorded.

Run as a program of its own (``python -m worker.cli.source MODEL.py``), because compiling hostile source may
crash or exhaust the process that does it; it prints ``Source`` as JSON. Nothing here runs the model.
"""

import ast
import json
import resource
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from worker.cli.unreplayable import Imports, Oddity, oddities

MAX_FILES: Final = 200
MAX_BYTES: Final = 4 * 1024 * 1024
"""Of one file; a larger one is left out."""
CPU_SECONDS: Final = 20
MEMORY_BYTES: Final = 1024**3
MUTATORS: Final = frozenset(
    [
        "add",
        "append",
        "appendleft",
        "clear",
        "discard",
        "extend",
        "fill",
        "insert",
        "pop",
        "popitem",
        "popleft",
        "remove",
        "reverse",
        "setdefault",
        "sort",
        "update",
    ]
)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Source:
    """``error``: line and reason, if the model file is no Python.

    ``operations`` and ``globals_``: name to line; ``changed``: globals that functions change, to the line
    where; ``recorded``: names that are recorded literally; ``records_others``: whether there are records under
    names that only a run can tell.
    """

    error: tuple[int | None, str] | None = None
    functions: dict[str, int] = field(default_factory=dict)
    globals_: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    recorded: list[str] = field(default_factory=list)
    records_others: bool = False
    oddities: list[Oddity] = field(default_factory=list)


def examine(path: Path) -> Source:
    """Look at a model file, and at the other Python files of its folder."""
    source = Source()
    try:
        tree = ast.parse(path.read_bytes(), path.name)
    except SyntaxError as error:
        source.error = (error.lineno, f"{type(error).__name__}: {error.msg}")
        return source
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        source.error = (None, f"{type(error).__name__}: {error}")
        return source
    _globals(tree, source)
    _changes(tree, source)
    for name, parsed in [(path.name, tree), *_others(path)]:
        imports = Imports(parsed)
        _records(parsed, imports, source)
        source.oddities += oddities(parsed, imports, name)
    return source


def _others(path: Path) -> Iterator[tuple[str, ast.Module]]:
    files = sorted(path.parent.rglob("*.py"))[:MAX_FILES]
    for file in files:
        if file == path or not file.is_file() or file.stat().st_size > MAX_BYTES:
            continue
        try:
            yield str(file.relative_to(path.parent)), ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError):
            continue  # only a run can tell whether it is ever imported


def _globals(tree: ast.Module, source: Source) -> None:
    """What the module's body binds, inside ``if`` and ``with`` too."""
    for node in _own_nodes(tree):
        if isinstance(node, Function):
            source.functions.setdefault(node.name, node.lineno)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            source.globals_.setdefault(node.id, node.lineno)


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope without those of the functions and classes in it."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield from _own_nodes(child)


def _changes(tree: ast.Module, source: Source) -> None:
    for function in ast.walk(tree):
        if isinstance(function, Function):
            for name, line in _changed_by(function, source.globals_):
                source.changed.setdefault(name, line)


def _changed_by(function: Function, known: dict[str, int]) -> Iterator[tuple[str, int]]:
    nodes = list(_own_nodes(function))
    declared = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    arguments = {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}
    local = (bound - declared) | arguments
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and node.id in declared:
            yield node.id, node.lineno
        changed = _changed_inside(node)
        root = None if changed is None else _root(changed)
        if root is not None and root in known and root not in local:
            yield root, getattr(node, "lineno", 0)


def _changed_inside(node: ast.AST) -> ast.expr | None:
    """The container that a node changes in place."""
    if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
        return node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
        return node.func.value
    return None


def _root(node: ast.expr) -> str | None:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _records(tree: ast.Module, imports: Imports, source: Source) -> None:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = imports.dotted(node.func)
        if called.startswith("epicenter.") and called.endswith(".record"):
            named = [keyword.value for keyword in node.keywords if keyword.arg == "name"]
            name = next(iter([*node.args[:1], *named]), None)
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                source.recorded.append(name.value)
            else:
                source.records_others = True


def to_json(source: Source) -> str:
    """``Source`` as the program prints it."""
    return json.dumps(asdict(source))


def from_json(text: str) -> Source:
    """What the program printed.

    Raises:
        ValueError, TypeError, KeyError: it is something else.
    """
    fields: dict[str, Any] = json.loads(text)
    fields["oddities"] = [Oddity(**oddity) for oddity in fields["oddities"]]
    fields["error"] = None if fields["error"] is None else tuple(fields["error"])
    return Source(**fields)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sys.stdout.write(to_json(examine(Path(sys.argv[1]))))
