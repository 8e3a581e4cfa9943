"""``python -I schema_program.py PARENT MEMORY_BYTES``: judges JSON Schemas, and values by them, until PARENT ends.

A pattern may keep it busy for ever and a value may need more memory than there is: whoever asks waits as long as he
will, then kills it. A frame on standard input is a 4-byte big-endian length and a msgpack list [schema, value]: msgpack
bytes of the schema, and of the value or None, where only the schema is to be judged. The answer is such a frame with
what is wrong, [with the schema, with the value], both lists of ``{"path", "error"}``, paths being JSON Pointers; the
first frame says that it is ready. What it does not understand ends it.

The only program that imports ``jsonschema``. References that lead out of the schema are refused: nothing is fetched.
"""

import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgpack
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from jsonschema_specifications import REGISTRY
from referencing import Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, specification_with

PR_SET_PDEATHSIG = 1
HEADER = struct.Struct(">I")
MAX_FINDINGS = 20
SHOWN_CHARACTERS = 300
KEPT_SCHEMAS = 64
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")

Finding = dict[str, str]


class Schema:
    """One schema, judged: ``findings`` says what is wrong with it."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._kind = self._dialect()
        self.findings = list(islice(self._judged(), MAX_FINDINGS))

    def findings_in(self, value: Any) -> list[Finding]:
        """What in a value is not as the schema wants it."""
        validator = self._kind(self._schema, registry=REGISTRY)
        return _told(validator.iter_errors(value))

    def _dialect(self) -> Any:
        named = isinstance(self._schema, dict) and "$schema" in self._schema
        if named and not isinstance(self._schema["$schema"], str):
            return None
        return validator_for(self._schema, default=None if named else Draft202012Validator)

    def _judged(self) -> Iterator[Finding]:
        if not isinstance(self._schema, dict | bool):
            yield _finding((), "a schema is an object, or true or false")
        elif self._kind is None:
            yield _finding(("$schema",), "this dialect is not known; leave it out for 2020-12")
        else:
            kind = self._kind
            meta = kind(kind.META_SCHEMA, registry=REGISTRY, format_checker=kind.FORMAT_CHECKER)
            findings = _told(meta.iter_errors(self._schema))
            yield from findings
            if not findings and isinstance(self._schema, dict):
                yield from self._lost_references()

    def _lost_references(self) -> Iterator[Finding]:
        """References that lead nowhere within the schema."""
        specification = specification_with(self._kind.META_SCHEMA["$schema"], default=DRAFT202012)
        root = specification.create_resource(self._schema)
        places = dict(_places(self._schema, ()))
        waiting = [(root, REGISTRY.resolver_with_root(root))]
        while waiting:
            resource_, resolver = waiting.pop()
            yield from _lost(resource_, resolver, places)
            waiting += [(one, resolver.in_subresource(one)) for one in resource_.subresources()]


def _lost(part: "Resource[Any]", resolver: Any, places: dict[int, tuple[Any, ...]]) -> Iterator[Finding]:
    contents = part.contents
    for name in REFERENCES if isinstance(contents, dict) else ():
        reference = contents.get(name)
        if isinstance(reference, str):
            try:
                resolver.lookup(reference)
            except Unresolvable:
                told = f"{reference!r} is not within the schema, and nothing is fetched"
                yield _finding((*places.get(id(contents), ()), name), told)


def _places(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Where each map of a schema is in it."""
    if isinstance(value, dict):
        yield id(value), path
        for key, item in value.items():
            yield from _places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, (*path, index))


def _told(errors: Iterable[Any]) -> list[Finding]:
    return [_finding(error.absolute_path, error.message) for error in islice(errors, MAX_FINDINGS)]


def _finding(path: Iterable[Any], error: str) -> Finding:
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return {
        "path": "".join(f"/{step}" for step in steps)[:SHOWN_CHARACTERS],
        "error": error[:SHOWN_CHARACTERS],
    }


class Judge:
    """Keeps the schemas that were asked for last."""

    def __init__(self) -> None:
        self._schemas: dict[bytes, Schema] = {}

    def findings(self, packed: bytes, value: bytes | None) -> tuple[list[Finding], list[Finding]]:
        """What is wrong with a schema, and with a value that is to fit it."""
        try:
            schema = self._schema(packed)
            if value is None or schema.findings:
                return schema.findings, []
            return [], schema.findings_in(msgpack.unpackb(value, strict_map_key=False))
        except RecursionError:
            return [_finding((), "the schema refers to itself without end")], []
        except Unresolvable as error:
            return [_finding((), f"a reference leads nowhere: {error}")], []

    def _schema(self, packed: bytes) -> Schema:
        if packed not in self._schemas:
            if len(self._schemas) >= KEPT_SCHEMAS:
                del self._schemas[next(iter(self._schemas))]
            self._schemas[packed] = Schema(msgpack.unpackb(packed, strict_map_key=False))
        return self._schemas[packed]


def bound(parent: int, memory_bytes: int) -> None:
    """Take away what judging does not need; end with ``parent``."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def main(parent: int, memory_bytes: int) -> None:
    """Answer until there is nobody to answer."""
    bound(parent, memory_bytes)
    asked, answers, judge = sys.stdin.buffer, sys.stdout.buffer, Judge()
    findings: tuple[list[Finding], list[Finding]] = ([], [])
    while True:
        answer = msgpack.packb(findings)
        answers.write(HEADER.pack(len(answer)) + answer)
        answers.flush()
        header = asked.read(HEADER.size)
        if len(header) < HEADER.size:
            return
        packed, value = msgpack.unpackb(asked.read(*HEADER.unpack(header)))
        findings = judge.findings(packed, value)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
