"""Fifty runs are used while attacks go on beside them: every answer is right; how late they are is told, not judged."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.hostile.programs.campaign import Bystander, pids_of
from tests.hostile.programs.corpus import read_corpus
from tests.hostile.programs.crowd import measure, p99
from tests.hostile.programs.users import User

pytestmark = pytest.mark.alone
THIRD = read_corpus()[::3]
QUIET_SECONDS = 3.0


def test_fifty_bystanders_are_answered_while_attacks_go_on(
    besiege: Any, record_property: Callable[[str, object], None]
) -> None:
    with besiege(User.ORDINARY, THIRD) as siege:
        with siege.daemon.client() as client, Bystander(client):
            world = siege.grounds.world(pids_of(siege.daemon), siege.daemon.data)
        crowd = measure(siege.daemon.endpoint, world, THIRD, QUIET_SECONDS)

    quiet, attacked = p99(crowd.quiet), p99(crowd.attacked)
    told = f"p99 {quiet * 1000:.1f} ms quiet, {attacked * 1000:.1f} ms attacked: {attacked / quiet:.1f} ×"
    sys.stdout.write(f"{len(crowd.quiet)} and {len(crowd.attacked)} answers, {told}\n")
    record_property("p99_ratio", attacked / quiet)
    assert len(crowd.attacked) > len(THIRD)
