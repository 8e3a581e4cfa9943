"""Default names, and which status may follow which."""

from itertools import product

import pytest

from protocol.entities import RunStatus
from worker.runs.profile import NAME_CHARACTERS, RunProfile, StatusChange, changed, default_name
from worker.runs.status import TRANSITIONS, IllegalStatusError

AT_US = 1_764_585_512_345_678
TIME = "2025-12-01T10:38:32Z"


@pytest.mark.parametrize(
    ("model", "action", "name"),
    (
        ("sales.py", None, f"sales.py: {TIME}"),
        ("sales.py", "forecast", f"sales.py: forecast {TIME}"),
        ("a b c d e f g h i j k.py", "x", f"a b c d e f g h i {TIME}"),
        ("m.py", "word " * 20, f"m.py: {'word ' * 8}{TIME}"),
    ),
)
def test_a_default_name_tells_model_action_and_time(model: str, action: str | None, name: str) -> None:
    assert default_name(model, AT_US, action) == name
    assert len(name.split()) <= 10


def test_a_default_name_is_short_enough_and_keeps_its_time() -> None:
    name = default_name("m" * 1000 + ".py", AT_US)
    assert len(name) == NAME_CHARACTERS
    assert name.endswith(" " + TIME)


ALLOWED = {
    ("created", "starting"), ("created", "failed"),
    ("starting", "executing"), ("starting", "ready"), ("starting", "failed"),
    ("executing", "ready"), ("executing", "paused"), ("executing", "failed"),
    ("paused", "executing"), ("paused", "ready"), ("paused", "failed"),
    ("ready", "executing"), ("ready", "starting"),
    ("failed", "starting"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), tuple(product(RunStatus, RunStatus)))
def test_a_status_follows_only_where_the_table_says_so(before: RunStatus, after: RunStatus) -> None:
    profile = RunProfile(
        "run", "", "name", status=before, status_seq=4, finish_reason="closed", error={"code": "X"}
    )
    if (before.value, after.value) in ALLOWED:
        new = changed(profile, StatusChange(after, AT_US))
        assert (new.status, new.status_seq, new.finish_reason, new.error) == (after, 5, None, None)
    else:
        with pytest.raises(IllegalStatusError, match=f"{after} cannot follow {before}"):
            changed(profile, StatusChange(after, AT_US))
    assert profile.status is before


def test_every_status_has_its_row() -> None:
    assert set(TRANSITIONS) == set(RunStatus)
