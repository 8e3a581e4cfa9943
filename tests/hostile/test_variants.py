"""What the walls hold, they hold in every variant of the sandbox that has them."""

import os
from typing import Any

import pytest

from tests.hostile.programs.campaign import run_round
from tests.hostile.programs.corpus import read_corpus
from tests.hostile.programs.users import User

pytestmark = pytest.mark.alone
WALLS = ("files/", "network/", "processes/", "kernel/")
HELD = tuple(attack for attack in read_corpus() if attack.name.startswith(WALLS))
LEAKS_METADATA = "files/probe_by_stat"
"""Where the root directory is not replaced; in the jail there is nothing to be seen."""
JAIL = {"MODEL_WORKER_SANDBOX": "strict+jail"}
VARIANTS = (
    (User.ORDINARY, JAIL),
    *(((User.ROOT, JAIL), (User.ROOT_AT_HOME, {})) if os.geteuid() == 0 else ()),
)


@pytest.mark.parametrize(("user", "settings"), VARIANTS)
def test_the_walls_hold(besiege: Any, user: User, settings: dict[str, str]) -> None:
    with besiege(user, HELD, **settings) as siege:
        found = run_round(siege.daemon, siege.grounds, HELD)
        trespasses = siege.grounds.trespasses()

    complaints = {name: told for name, told in found.complaints.items() if told}
    seen = complaints.pop(LEAKS_METADATA, [])
    assert seen == (["result: [] instead of ['size']"] if settings else [])
    assert complaints == {}
    assert trespasses == []
    assert found.bystander.failure is None
