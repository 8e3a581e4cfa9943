"""What models may ask for: names and versions, and nothing that an installer would take for something else."""

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement as ParsedRequirement

from worker.runs.requirements import (
    MAX_REQUIREMENTS,
    NOT_SERVED,
    Requirement,
    dependency_problems,
    requirement_of,
)

NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True)
VERSIONS = st.from_regex(r"(0|[1-9][0-9]{0,3})(\.(0|[1-9][0-9]{0,3})){0,3}((a|b|rc)[0-9])?", fullmatch=True)
OPERATORS = st.sampled_from(("", "==", ">=", "<=", "<", ">", "!="))
PLAIN_LINE = re.compile(r"[a-z0-9][a-z0-9-]*([<>=!~][A-Za-z0-9.*+!<>=~,_ -]*)?")


@given(NAMES, st.none() | st.lists(st.tuples(OPERATORS, VERSIONS), min_size=1, max_size=3))
def test_what_is_well_formed_is_told_to_the_installer_as_it_was_meant(
    name: str, parts: list[tuple[str, str]] | None
) -> None:
    version = None if parts is None else ",".join(f"{sign or '=='}{at}" for sign, at in parts)
    line = str(Requirement.of(name, version))
    parsed = ParsedRequirement(line)
    assert re.sub(r"[-_.]+", "-", name).lower() == parsed.name
    assert parsed.specifier == ParsedRequirement(f"x{version or ''}").specifier
    assert (parsed.url, parsed.extras, parsed.marker) == (None, set(), None)
    assert Requirement.parse(line) == Requirement.of(name, version)


@given(st.text() | st.integers() | st.none(), st.none() | st.text() | st.floats())
def test_whatever_is_asked_for_becomes_one_plain_line_or_is_refused(name: Any, version: Any) -> None:
    with contextlib.suppress(ValueError):
        assert PLAIN_LINE.fullmatch(str(Requirement.of(name, version)))


@pytest.mark.parametrize(
    "name",
    ("", "-r", "--index-url", "../x", "./x", "a/b", "a b", "x[extra]", "x @ https://a", "x\n--pre", "é", "x;y", None, 7),
)  # fmt: skip
def test_what_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="is no name of a package"):
        Requirement.of(name, None)


@pytest.mark.parametrize(
    "version",
    ("", " ", "latest", ">=", "=>1", "1 --pre", "1\n--index-url=x", "===x", "@ https://a", ">=1; python_version>'3'", "1" * 300),
)  # fmt: skip
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="is none; write"):
        Requirement.of("x", version)


@pytest.mark.parametrize("version", (1.10, 2, True, ["1"]))
def test_a_version_must_be_a_string(version: Any) -> None:
    with pytest.raises(ValueError, match="must be a string"):
        Requirement.of("x", version)


@pytest.mark.parametrize("text", ("x[a]", "x @ https://a/b.whl", 'x; python_version > "3"'))
def test_what_operators_write_has_no_url_extra_or_marker(text: str) -> None:
    with pytest.raises(ValueError, match="are not served"):
        Requirement.parse(text)


@pytest.mark.parametrize(
    ("wanted", "found", "fits"),
    (
        (None, "0.1", True),
        ("1.2", "1.2", True),
        ("1.2", "1.2.0", True),
        ("1.2", "1.2.1", False),
        (">=2,<3", "2.9", True),
        (">=2,<3", "3.0", False),
        (">=2", "3.0rc1", True),
        ("~=1.4", "1.5", True),
    ),
)
def test_an_installed_version_fits_or_not(wanted: str | None, found: str, fits: bool) -> None:
    assert Requirement.of("x", wanted).fits(found) is fits


def test_the_order_of_specifiers_and_the_spelling_of_a_name_make_no_difference() -> None:
    assert Requirement.of("Tiny_Thing", ">=1,<2") == Requirement.of("tiny.thing", "<2, >=1")


@pytest.mark.parametrize("kind", (*NOT_SERVED, "conda", ""))
def test_other_kinds_are_refused_with_the_reason_of_each(kind: str) -> None:
    reason = NOT_SERVED.get(kind, "only pypi")
    with pytest.raises(
        ValueError, match=f"{kind or 'this'} dependencies are not served: {re.escape(reason)}"
    ):
        requirement_of(kind, {"package": "x"})


def test_an_option_that_would_be_ignored_is_refused() -> None:
    with pytest.raises(ValueError, match="'index' is not served"):
        requirement_of("pypi", {"package": "x", "index": "https://a"})


def test_problems_are_told_with_their_place() -> None:
    parts = [("pypi", {"package": "x"}), ("apt", {"package": "y"})]
    ((path, reason),) = dependency_problems(parts)
    assert (path, reason[:16]) == ("[1]", "apt dependencies")
    ((path, reason),) = dependency_problems(parts[:1] * (MAX_REQUIREMENTS + 1))
    assert (path, f"allowed are {MAX_REQUIREMENTS}" in reason) == ("", True)
