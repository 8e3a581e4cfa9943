"""Finds in a model's source what another process would not repeat: real clocks, addresses, sets of objects.

A value counts where it may reach state or an answer: a global, something assigned inside a container, what is
returned, recorded or appended. Local variables pass it on; what only steers the flow is not seen.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_CLOCKS: Final = frozenset(
    f"time.{name}{suffix}"
    for name in ("monotonic", "perf_counter", "process_time", "thread_time")
    for suffix in ("", "_ns")
)
_KEEPERS: Final = frozenset(
    ["add", "append", "appendleft", "extend", "insert", "record", "setdefault", "update"]
)
_REAL_NOW: Final = "datetime.datetime.now()"
Function = ast.FunctionDef | ast.AsyncFunctionDef
Scope = ast.Module | Function


@dataclass(frozen=True)
class Oddity:
    """One place: ``what`` is written there, ``why`` it cannot be replayed, and what to write instead."""

    code: str
    file: str
    line: int
    what: str
    why: str
    advice: str


class Imports:
    """What the names of a module stand for, as far as its imports tell."""

    def __init__(self, tree: ast.Module) -> None:
        self._names: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    self._names[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    self._names[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def dotted(self, node: ast.expr) -> str:
        """The full name of what an expression names, ``""`` if it is no name."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            before = self.dotted(node.value)
            return f"{before}.{node.attr}" if before else ""
        return ""


def oddities(tree: ast.Module, imports: Imports, file: str) -> list[Oddity]:
    """All there are in one module, in the order of its lines."""
    finder = _Finder(tree, imports, file)
    scopes = [node for node in ast.walk(tree) if isinstance(node, Scope)]
    found = {oddity for scope in scopes for oddity in finder.find(scope)}
    return sorted(found, key=lambda oddity: (oddity.line, oddity.what))


class _Finder:
    def __init__(self, tree: ast.Module, imports: Imports, file: str) -> None:
        self._imports = imports
        self._file = file
        nodes = list(ast.walk(tree))
        defined = {node.name for node in nodes if isinstance(node, ast.ClassDef | Function)}
        stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        self._own = defined | stored
        classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
        self._by_address = {node.name for node in classes if _hashed_by_address(node)}
        self._objects = {
            target.id
            for node in nodes
            if isinstance(node, ast.Assign) and self._makes_object(node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self._sets = {
            _last_name(target) for node in nodes if _makes_set(node) for target in _targets(node)
        } - {""}

    def find(self, scope: ast.AST) -> Iterator[Oddity]:
        """The oddities of one scope, without those of the functions inside it."""
        tainted: dict[str, Oddity] = {}
        is_module = isinstance(scope, ast.Module)
        nodes = list(_statements_first(scope))
        shared = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
        for node in nodes:
            yield from self._always(node)
            sources = [*self._sources(node, tainted)] if _may_keep(node) else []
            if not sources:
                continue
            names = _local_targets(node)
            if not is_module and names and not names & shared:
                tainted.update(dict.fromkeys(names, sources[0]))
            else:
                yield from sources

    def _always(self, node: ast.AST) -> Iterator[Oddity]:
        if isinstance(node, ast.Call) and self._imports.dotted(node.func) == "numpy.datetime64":
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and first.value in ("now", "today"):
                what = f"numpy.datetime64({first.value!r})"
                advice = f"write numpy.datetime64({_REAL_NOW}): during an action that is the recorded time"
                yield self._oddity("REAL_CLOCK", node, what, "reads the real clock, also in a replay", advice)
        if any(self._is_object(element) for element in self._set_elements(node)):
            why = "holds objects that are ordered by their address, which differs in every process"
            advice = "keep them in a list or a dict, or give their class __hash__ and __eq__"
            yield self._oddity("SET_OF_OBJECTS", node, "this set", why, advice)

    def _sources(self, node: ast.AST, tainted: dict[str, Oddity]) -> Iterator[Oddity]:
        """What must not be kept, among what ``node`` keeps."""
        for part in _kept(node):
            for inner in ast.walk(part):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load) and inner.id in tainted:
                    yield tainted[inner.id]
                elif isinstance(inner, ast.Call):
                    yield from self._source(inner)

    def _source(self, call: ast.Call) -> Iterator[Oddity]:
        name = self._imports.dotted(call.func)
        if name in _CLOCKS:
            advice = "keep time.time(), which during an action is the recorded time, or do not keep it"
            yield self._oddity("REAL_CLOCK", call, f"{name}()", "is another time in every replay", advice)
        elif name == "id" and name not in self._own:
            advice = "number your objects yourself"
            yield self._oddity("ADDRESS", call, "id()", "is another number in every process", advice)
        elif name == "hash" and name not in self._own and not all(map(_has_own_hash, call.args)):
            why = "is another number in every process for objects that are hashed by their address"
            advice = "hash strings, numbers and tuples of them only, or number your objects yourself"
            yield self._oddity("ADDRESS", call, "hash()", why, advice)

    def _oddity(self, code: str, node: ast.expr | ast.AST, what: str, why: str, advice: str) -> Oddity:
        return Oddity(code, self._file, getattr(node, "lineno", 0), what, why, advice)

    def _set_elements(self, node: ast.AST) -> list[ast.expr]:
        """The elements of what certainly is a set."""
        if isinstance(node, ast.Set):
            return node.elts
        if isinstance(node, ast.SetComp):
            return [node.elt]
        if isinstance(node, ast.Call) and node.args:
            if isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset"):
                return _elements(node.args[0])
            if isinstance(node.func, ast.Attribute) and node.func.attr == "add":
                return node.args[:1] if _last_name(node.func.value) in self._sets else []
        return []

    def _is_object(self, node: ast.expr) -> bool:
        return self._makes_object(node) or (isinstance(node, ast.Name) and node.id in self._objects)

    def _makes_object(self, node: ast.expr) -> bool:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in self._by_address
        )


def _hashed_by_address(node: ast.ClassDef) -> bool:
    """Whether a class has nothing but ``object``'s hash, as far as its own text tells."""
    methods = {part.name for part in node.body if isinstance(part, Function)}
    plain = all(isinstance(base, ast.Name) and base.id == "object" for base in node.bases)
    return plain and not node.decorator_list and not node.keywords and not methods & {"__hash__", "__eq__"}


def _statements_first(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope in the order of its source, without those of the functions inside it."""
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, Function):
            yield child
            yield from _statements_first(child)


def _may_keep(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr in _KEEPERS
    return isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr, ast.Return, ast.Yield))


def _kept(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions whose value a node keeps; a subscript it assigns to is one of them."""
    if isinstance(node, ast.Call):
        yield from node.args
        yield from (keyword.value for keyword in node.keywords)
    elif isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr, ast.Return, ast.Yield)):
        if node.value is not None:
            yield node.value
        yield from (target.slice for target in _targets(node) if isinstance(target, ast.Subscript))


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, (ast.AugAssign, ast.AnnAssign, ast.NamedExpr)) else []


def _local_targets(node: ast.AST) -> set[str]:
    """The names that a node assigns; empty if it assigns anything else too."""
    names: set[str] = set()
    for target in _targets(node):
        parts = target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
        if not all(isinstance(part, ast.Name) for part in parts):
            return set()
        names |= {part.id for part in parts if isinstance(part, ast.Name)}
    return names


def _last_name(node: ast.expr) -> str:
    """``c`` of ``c`` and of ``a.b.c``."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _makes_set(node: ast.AST) -> bool:
    """Whether a node assigns what certainly is a set."""
    value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
    return isinstance(value, (ast.Set, ast.SetComp)) or (
        isinstance(value, ast.Call) and _last_name(value.func) in ("set", "frozenset")
    )


def _elements(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return node.elts
    return [node.elt] if isinstance(node, (ast.GeneratorExp, ast.ListComp, ast.SetComp)) else []


def _has_own_hash(node: ast.expr) -> bool:
    """Whether an expression certainly has a hash that every process repeats."""
    if isinstance(node, ast.Tuple):
        return all(map(_has_own_hash, node.elts))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("str", "int", "float", "repr", "len", "round")
    return isinstance(node, (ast.Constant, ast.JoinedStr))
