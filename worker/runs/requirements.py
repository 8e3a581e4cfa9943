"""Packages that a model asks for: ``dependencies`` of a model context, and the lists of named environments.

A requirement is a name and a version specifier, nothing else: what a tool that installs packages would take for
a path, a URL or an option of its own never gets that far.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as ParsedRequirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

MAX_REQUIREMENTS: Final = 100
MAX_CHARACTERS: Final = 200
"""Of a name, and of a version specifier."""
PYPI: Final = "pypi"
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_VERSION: Final = re.compile(r"[A-Za-z0-9.*+!<>=~, _-]+", re.ASCII)

NOT_SERVED: Final[Mapping[str, str]] = {
    "apt": "packages of the operating system are not installed for a model; have them installed where the worker runs",
    "cran": "this worker runs no R",
    "git": "code is not fetched from repositories; put it into the model folder, or publish it as a package",
    "julia": "this worker runs no Julia",
    "npm": "this worker runs no JavaScript",
    "shell": "scripts are not run for a model; have done where the worker runs what they would do",
}
"""Why dependencies of the kinds that Epicenter knows besides are refused, and what to do instead."""


@dataclass(frozen=True, slots=True, order=True)
class Requirement:
    """A package by its canonical name, and the versions that will do; "" is any."""

    name: str
    specifier: str = ""

    def __str__(self) -> str:
        return f"{self.name}{self.specifier}"

    def fits(self, version: str) -> bool:
        """Whether a version will do; an installed pre-release is one that somebody chose."""
        return SpecifierSet(self.specifier).contains(version, prereleases=True)

    @classmethod
    def of(cls, name: Any, version: Any) -> Self:
        """A requirement from what a context says; ``version``: None, a version, or a specifier.

        Raises:
            ValueError: what is wrong, and what to write instead.
        """
        if not isinstance(name, str) or len(name) > MAX_CHARACTERS or not _NAME.fullmatch(name):
            raise ValueError(
                f"package {name!r:.60} is no name of a package: letters, digits, '.', '-' and '_'"
            )
        if version is None:
            return cls(canonicalize_name(name))
        if not isinstance(version, str):
            raise ValueError(f'version {version!r:.60} must be a string: "1.10" and 1.10 are not the same')  # noqa: TRY004 - one error for all that is wrong
        return cls(canonicalize_name(name), _specifier(version))

    @classmethod
    def parse(cls, text: str) -> Self:
        """A requirement as operators write it, ``numpy>=2,<3``.

        Raises:
            ValueError: it is none, or has a URL, extras or a marker.
        """
        try:
            parsed = ParsedRequirement(text)
        except InvalidRequirement as error:
            raise ValueError(f'{text!r:.80} is no requirement such as "numpy>=2,<3"') from error
        if parsed.url or parsed.extras or parsed.marker:
            raise ValueError(
                f"{text!r:.80}: URLs, extras and markers are not served; write name and versions"
            )
        return cls.of(parsed.name, str(parsed.specifier) or None)


def _specifier(version: str) -> str:
    text = version.strip()
    reason = f'version {version!r:.60} is none; write "1.2.3" or a specifier such as ">=2,<3"'
    if len(text) > MAX_CHARACTERS or not _VERSION.fullmatch(text) or "===" in text:
        raise ValueError(reason)
    try:
        return str(SpecifierSet(f"=={text}" if text[0] not in "<>=!~" else text))
    except InvalidSpecifier as error:
        raise ValueError(reason) from error


def requirement_of(kind: str, options: Mapping[str, Any]) -> Requirement:
    """The requirement that one entry of ``dependencies`` states.

    Raises:
        ValueError: it cannot be served; why, and what to do instead.
    """
    if kind != PYPI:
        known = NOT_SERVED.get(kind, "only pypi ones are")
        raise ValueError(f"{kind or 'this'} dependencies are not served: {known}"[:MAX_CHARACTERS])
    surplus = sorted(set(options) - {"package", "version"})
    if surplus:
        raise ValueError(f"{surplus[0]!r:.60} is not served; a pypi dependency has package and version")
    return Requirement.of(options.get("package"), options.get("version"))


def dependency_problems(parts: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterable[tuple[str, str]]:
    """What is wrong with the entries of ``dependencies``, as (path behind it, reason)."""
    if len(parts) > MAX_REQUIREMENTS:
        yield "", f"{len(parts)} dependencies, allowed are {MAX_REQUIREMENTS}"
        return
    for index, (kind, options) in enumerate(parts):
        try:
            requirement_of(kind, options)
        except ValueError as error:
            yield f"[{index}]", str(error)
