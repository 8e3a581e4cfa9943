"""References to variables, resolved in the root module.

A reference is a global's name and steps into its value: ``name.part``, ``name[3]``, ``name[1,2]``,
``name["a key"]``. A dotted part is an attribute, else a key, else an integer index; an attribute that is a
method or begins with an underscore does not count. ``[i,j]`` is ``[i][j]`` in lists and one index elsewhere.

Variables are the module's globals but names that begin with an underscore, modules, classes, functions
(methods and partials too) and what ``typing`` and ``__future__`` leave behind. Presets are variables.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final, NamedTuple

from worker.child.failures import RefusedError, attempt, type_name
from worker.child.isolation import BUILTINS

__builtins__ = BUILTINS

FUNCTIONS: Final = (FunctionType, BuiltinFunctionType, MethodType, partial)
REMEMBERED_REFERENCES: Final = 4096
MATCHED_NAMES: Final = 1000
_STEP: Final = re.compile(
    r"""\.(?P<part>[^.\[\]]+)
      | \[\s*(?P<indices>-?\d{1,18}(?:\s*,\s*-?\d{1,18})*)\s*\]
      | \["(?P<key>[^"]*)"\]
      | \['(?P<quoted>[^']*)'\]""",
    re.VERBOSE,
)
_ROOT: Final = re.compile(r"[^.\[\]]+")
_MISSING: Final = object()


class Step(NamedTuple):
    """One step inside: a dotted part, a key, or indices; ``text`` is how it was written."""

    kind: str
    value: Any
    text: str


class Reference(NamedTuple):
    """A parsed reference."""

    root: str
    steps: tuple[Step, ...]


def parse(text: str) -> Reference | None:
    """The parts of a reference; None if it is malformed."""
    root = _ROOT.match(text)
    if root is None:
        return None
    steps = []
    place = root.end()
    while place < len(text):
        found = _STEP.match(text, place)
        if found is None:
            return None
        place = found.end()
        steps.append(_step(found))
    return Reference(root[0], tuple(steps))


def _step(found: re.Match[str]) -> Step:
    if found["part"] is not None:
        return Step("part", found["part"], found[0])
    if found["indices"] is not None:
        return Step("indices", tuple(int(index) for index in found["indices"].split(",")), found[0])
    return Step("key", found["key"] if found["key"] is not None else found["quoted"], found[0])


def is_function(value: Any) -> bool:
    """Whether a global is called, not read: functions, and wrappers such as ``lru_cache`` makes."""
    kind = type(value)
    return issubclass(kind, FUNCTIONS) or (
        callable(value) and "__wrapped__" in getattr(value, "__dict__", ())
    )


def is_variable(name: str, value: Any) -> bool:
    """Whether a global counts as a variable."""
    kind = type(value)
    return not (
        name.startswith("_")
        or issubclass(kind, (type, ModuleType))
        or kind.__module__ in {"typing", "__future__"}
        or is_function(value)
    )


def close_matches(name: str, names: Iterable[str]) -> list[str]:
    """Up to three of ``names`` that look like ``name``."""
    candidates = [candidate for candidate in names if type(candidate) is str][:MATCHED_NAMES]
    found, failure = attempt(get_close_matches, name, candidates)
    return [] if failure else list(found)


class Variables:
    """Reads and writes variables of one namespace; remembers parsed references."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._parsed: dict[str, Reference | None] = {}

    def get(self, text: str) -> Any:
        """The value of a reference.

        Raises:
            RefusedError: UNKNOWN_VARIABLE with ``name`` and ``suggestions``.
            BaseException: what the model's own properties or mappings raise.
        """
        reference = self._reference(text)
        value = self._root(text, reference)
        for place in range(len(reference.steps)):
            value = self._inside(value, text, reference, place)
        return value

    def peek(self, text: str) -> Any:
        """The value of a reference; None where there is none yet, as of a key that an assignment adds."""
        try:
            return self.get(text)
        except RefusedError:
            return None

    def set(self, text: str, value: Any) -> None:
        """Assign to a variable, or inside one; a new key of a mapping may be added, nothing else.

        Raises:
            RefusedError: UNKNOWN_VARIABLE.
            TypeError: the container cannot be changed.
        """
        reference = self._reference(text)
        inside = self._root(text, reference)
        if not reference.steps:
            self._namespace[reference.root] = value
            return
        for place in range(len(reference.steps) - 1):
            inside = self._inside(inside, text, reference, place)
        self._assign(inside, value, text, reference)

    def _reference(self, text: str) -> Reference:
        known = self._parsed
        if text not in known:
            if len(known) >= REMEMBERED_REFERENCES:
                known.clear()
            known[text] = parse(text)
        reference = known[text]
        if reference is None:
            raise unknown(text, "it is no reference such as name, name.part, name[0] or name['key']", ())
        return reference

    def _root(self, text: str, reference: Reference) -> Any:
        value = self._namespace.get(reference.root, _MISSING)
        if value is _MISSING or not is_variable(reference.root, value):
            names = [name for name, other in list(self._namespace.items()) if is_variable(name, other)]
            why = "the model has no such global" if value is _MISSING else "it is no variable"
            raise unknown(text, why, close_matches(reference.root, names))
        return value

    def _inside(self, value: Any, text: str, reference: Reference, place: int) -> Any:
        step = reference.steps[place]
        found = _find(value, step)
        if found is not _MISSING:
            return found[1]
        before = reference.root + "".join(earlier.text for earlier in reference.steps[:place])
        matches = close_matches(str(step.value), _names_inside(value)) if step.kind != "indices" else []
        suggestions = [f"{before}.{match}" for match in matches]
        raise unknown(text, f"{before} of type {type_name(value)} has no {step.text}", suggestions)

    def _assign(self, inside: Any, value: Any, text: str, reference: Reference) -> None:
        step = reference.steps[-1]
        found = _find(inside, step)
        if found is _MISSING:
            if step.kind == "indices" or not isinstance(inside, Mapping):
                self._inside(inside, text, reference, len(reference.steps) - 1)
            inside[step.value] = value
        elif found[0] is _MISSING:
            setattr(inside, step.value, value)
        elif type(found[0]) is _Chain:
            _index(inside, found[0].indices[:-1])[found[0].indices[-1]] = value
        elif issubclass(type(inside), (tuple, str)):
            kind = type_name(inside)
            raise TypeError(f"{text}: a {kind} cannot be changed in place; set the variable that holds it")
        else:
            inside[found[0]] = value


class _Chain(NamedTuple):
    """Indices that are applied one after the other."""

    indices: tuple[int, ...]


def unknown(text: str, why: str, suggestions: Sequence[str]) -> RefusedError:
    """The error for a reference that leads nowhere."""
    hint = f"; did you mean {' or '.join(suggestions)}?" if suggestions else ""
    return RefusedError(
        "UNKNOWN_VARIABLE", f"no variable {text!r}: {why}{hint}", name=text, suggestions=list(suggestions)
    )


def _find(value: Any, step: Step) -> Any:
    """``(subscript, item)`` or ``(_MISSING, attribute)`` of a step inside a value; ``_MISSING`` if absent."""
    if step.kind == "indices":
        return _find_index(value, step.value)
    if step.kind == "part":
        attribute = _attribute(value, step.value)
        if attribute is not _MISSING:
            return (_MISSING, attribute)
    found = _find_key(value, step.value)
    if found is _MISSING and step.kind == "part" and step.value.lstrip("-").isdecimal():
        return _find_index(value, (int(step.value),))
    return found


def _attribute(value: Any, name: str) -> Any:
    if name.startswith("_") or not name.isidentifier():
        return _MISSING
    attribute = getattr(value, name, _MISSING)
    return _MISSING if attribute is _MISSING or is_function(attribute) else attribute


def _find_key(value: Any, key: Any) -> Any:
    if issubclass(type(value), (list, tuple, str)) or not hasattr(type(value), "__getitem__"):
        return _MISSING
    try:
        return (key, value[key])
    except (KeyError, IndexError, TypeError, ValueError):
        return _MISSING


def _find_index(value: Any, indices: tuple[int, ...]) -> Any:
    if issubclass(type(value), str) or not hasattr(type(value), "__getitem__"):
        return _MISSING
    try:
        if len(indices) == 1:
            return (indices[0], value[indices[0]])
        if issubclass(type(value), (list, tuple)):
            return (_Chain(indices), _index(value, indices))
    except (KeyError, IndexError):
        return _find_key(value, str(indices[0])) if len(indices) == 1 else _MISSING
    return _find_key(value, indices)


def _index(value: Any, indices: tuple[int, ...]) -> Any:
    for index in indices:
        value = value[index]
    return value


def _names_inside(value: Any) -> list[str]:
    names: list[Any] = list(value) if issubclass(type(value), dict) else list(getattr(value, "__dict__", ()))
    return [name for name in names if type(name) is str and not name.startswith("_")]
