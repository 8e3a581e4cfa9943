"""Which revision of a model file a name means."""

import pytest

from protocol.profiles import interaction_of
from worker.runs.revisions import revision_problem

FINGERPRINT = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("name", "parts"),
    (
        ("m/model.py", ("m/model.py", None)),
        ("m/model.py@2", ("m/model.py", "2")),
        ("m/model.py@latest", ("m/model.py", "latest")),
        ("m/model.py@", ("m/model.py", "")),
        ("a@b/model.py", ("a@b/model.py", None)),
        ("a@b/model.py@1", ("a@b/model.py", "1")),
        ("m@2", ("m@2", None)),
    ),
)
def test_a_revision_stands_behind_the_last_at_sign(name: str, parts: tuple[str, str | None]) -> None:
    assert interaction_of(name) == parts


@pytest.mark.parametrize("tag", (None, "latest", "3", "3.0", "01234567", FINGERPRINT))
def test_what_there_is_is_served(tag: str | None) -> None:
    assert revision_problem(tag, FINGERPRINT, 3.0) is None


@pytest.mark.parametrize(
    ("tag", "version", "reason"),
    (
        ("2", 3.0, "version 2 is not there: the model's context says modelVersion 3"),
        ("2", None, "modelVersion none"),
        ("89abcdef01", 3.0, "fingerprint"),
        ("0123456", 3.5, "version 0123456"),
        ("draft", 3.0, "'draft' is no revision"),
        ("", 3.0, "'' is no revision"),
        ("LATEST", 3.0, "is no revision"),
        ("x" * 1000, 3.0, "is no revision"),
    ),
)
def test_anything_else_is_refused_with_a_reason(tag: str, version: float | None, reason: str) -> None:
    problem = revision_problem(tag, FINGERPRINT, version)
    assert problem is not None
    assert reason in problem
    assert len(problem) < 300
