"""Whatever a model does, it costs its own run at most: a typed error, and the state of the last acknowledged action.

Each behaviour is a file below ``models``, which says itself what must come of it. All of them are played twice in a
row on one worker, several at once, beside a bystander.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.hostile.programs.campaign import Round, run_round
from tests.hostile.programs.corpus import PUBLISHED, read_corpus
from tests.hostile.programs.holdings import Holdings, holdings, private_bytes
from tests.hostile.programs.users import USERS

pytestmark = pytest.mark.alone
CORPUS = read_corpus()
LEAST = 110
ROUNDS = 2
MAX_ROUNDS = 5
"""Further rounds where the memory has grown: what leaks grows in each, an allocator comes to rest."""
MIB = 1024 * 1024
ALLOWED_GROWTH_BYTES = 16 * MIB
"""For pages of the store's cache and of the allocator: less than one attack in a hundred would leave behind."""
ALLOWED_LOG_BYTES = 32 * MIB
"""Of two rounds, in which gigabytes are printed."""


def test_the_corpus_covers_what_was_published_and_more() -> None:
    covered = {row for attack in CORPUS for row in attack.rows}

    assert sorted(set(PUBLISHED) - covered) == []
    assert len(CORPUS) >= LEAST


@dataclass(frozen=True)
class Campaign:
    """``rounds`` through the corpus; ``held`` before them and after each; ``memory`` likewise."""

    rounds: list[Round]
    held: list[Holdings]
    memory: list[int]
    trespasses: list[str]
    log: str


@pytest.fixture(scope="module", params=USERS)
def campaign(
    request: pytest.FixtureRequest, besiege: Any, wait_until: Callable[..., None]
) -> Iterator[Campaign]:
    with besiege(request.param, CORPUS) as siege, siege.daemon.client(60) as client:
        # What the first runs of all start stays: zygotes (by what models import), connections to the store.
        importing = [attack for attack in CORPUS if attack.name.startswith("import/")]
        run_round(siege.daemon, siege.grounds, [*importing, *CORPUS[::40]])
        wait_until(lambda: holdings(siege.daemon, client).live == {})
        rounds: list[Round] = []
        held, memory = [holdings(siege.daemon, client)], [private_bytes(siege.daemon)]
        while len(rounds) < ROUNDS or (_grows(memory) and len(rounds) < MAX_ROUNDS):
            rounds.append(run_round(siege.daemon, siege.grounds, CORPUS))
            wait_for(siege.daemon, client, held[0], wait_until)
            held.append(holdings(siege.daemon, client))
            memory.append(private_bytes(siege.daemon))
        yield Campaign(rounds, held, memory, siege.grounds.trespasses(), siege.daemon.logged())


def _grows(memory: list[int]) -> bool:
    return memory[-1] - memory[-2] >= ALLOWED_GROWTH_BYTES


def wait_for(daemon: Any, client: Any, wanted: Holdings, wait_until: Callable[..., None]) -> None:
    """Until the worker holds what it held; the comparison is left to a test."""
    try:
        wait_until(lambda: holdings(daemon, client) == wanted)
    except AssertionError:
        return


@pytest.mark.parametrize("attack", CORPUS, ids=str)
@pytest.mark.timeout(300)  # the first one waits for all
def test_comes_out_as_its_file_says(campaign: Campaign, attack: Any) -> None:
    for number, one in enumerate(campaign.rounds, 1):
        assert one.complaints[attack.name] == [], f"round {number}"


def test_a_bystander_is_answered_throughout(
    campaign: Campaign, record_property: Callable[[str, object], None]
) -> None:
    for one in campaign.rounds:
        sys.stdout.write(f"{one.seconds:.1f} s, bystander: {one.bystander.report()}\n")
        record_property("bystander", one.bystander.report())
        assert one.bystander.failure is None
        assert len(one.bystander.milliseconds) > 100


def test_nothing_outside_is_touched(campaign: Campaign) -> None:
    assert campaign.trespasses == []


def test_nothing_is_left_over(campaign: Campaign) -> None:
    before, *after = campaign.held
    for one in after:
        assert one == before
    assert not _grows(campaign.memory), campaign.memory


def test_a_flood_of_output_does_not_become_a_flood_of_log(campaign: Campaign) -> None:
    assert len(campaign.log) < ALLOWED_LOG_BYTES


def test_the_worker_meets_no_bug_of_its_own(campaign: Campaign) -> None:
    assert [line for line in campaign.log.splitlines() if '"event": "bug' in line] == []
