"""Counting: what is kept of a host ends with it, and who else looks on still does."""

from typing import Any

from protocol.errors import ErrorCode
from worker.errors import RunLostError
from worker.runs import stimuli as s
from worker.supervisor.meters import Meters
from worker.supervisor.observe import Moment


class Replaying:
    """Stands where a host does: a restore that has applied so many actions."""

    def __init__(self, applied: int) -> None:
        self.replay_progress = (applied, 10)
        self.incarnation = self
        self.origin = s.Origin.RESTORE


def fed(meters: Meters, host: Any, *what: object) -> None:
    for one in what:
        for moment in (Moment.BEFORE, Moment.AFTER):
            meters.observe(moment, one, host)


def lost(limit: str) -> s.Lost:
    return s.Lost(RunLostError(ErrorCode.LIMIT_EXCEEDED, "over", limit=limit))


def test_a_replay_counts_while_it_goes_on_and_once_when_it_is_over() -> None:
    now = [100.0]
    meters = Meters(clock=lambda: now[0])
    host = Replaying(4)
    fed(meters, host, s.Boot(), s.Replay())
    now[0] += 2
    going_on = meters.tallies()
    assert (going_on.replayed_actions, going_on.replay_seconds) == (4, 2)
    host.replay_progress = (10, 10)
    now[0] += 1
    fed(
        meters,
        host,
        s.Replayed(),
        s.EvictAsked("capacity"),
        s.Stop("capacity"),
        s.Released("capacity", lost=False),
    )
    over = meters.tallies()
    assert (over.replayed_actions, over.replay_seconds) == (10, 3)
    assert over.starts["restore"].total_seconds == 3
    assert over.evictions == {"capacity": 1}


def test_a_replay_that_is_cut_short_counts_what_it_did_and_is_no_start() -> None:
    meters = Meters()
    fed(
        meters,
        Replaying(4),
        s.Boot(),
        s.Replay(),
        lost("cpu_seconds"),
        s.Stop("x"),
        s.Released("x", lost=True),
    )
    tallies = meters.tallies()
    assert tallies.replayed_actions == 4
    assert tallies.starts == {}
    assert tallies.losses == {("LIMIT_EXCEEDED", "cpu_seconds", "starting"): 1}
    assert tallies.evictions == {}


def test_only_the_first_error_of_an_incarnation_counts_and_the_next_one_begins_anew() -> None:
    meters, host = Meters(), Replaying(0)
    for _ in range(2):
        fed(meters, host, s.Boot(), s.Replay(), s.Replayed(), lost("threads"), lost("open_files"))
        fed(meters, host, s.Released("LIMIT_EXCEEDED", lost=True))
    assert meters.tallies().losses == {("LIMIT_EXCEEDED", "threads", "live"): 2}


def test_a_limit_that_is_no_setting_has_no_label_of_its_own() -> None:
    meters = Meters()
    for number in range(3):
        host = Replaying(0)
        fed(meters, host, s.Boot(), lost(f"projects.p{number}.live_run_limit"), s.Released("x", lost=True))
    assert meters.tallies().losses == {("LIMIT_EXCEEDED", "other", "starting"): 3}


def test_what_was_told_does_not_change_any_more() -> None:
    meters = Meters()
    before = meters.tallies()
    fed(
        meters, Replaying(1), s.Boot(), s.Append(s.Work("r")), s.Appended(), s.Released("request", lost=False)
    )
    assert sum(before.appends.counts) == 0
    assert sum(meters.tallies().appends.counts) == 1


def test_who_else_looks_on_is_told_everything() -> None:
    told: list[object] = []
    meters = Meters()
    observe = meters.looking_on(lambda moment, what, _host: told.append((moment, what)))
    boot = s.Boot()
    observe(Moment.BEFORE, boot, None)
    observe(Moment.AFTER, boot, None)
    assert told == [(Moment.BEFORE, boot), (Moment.AFTER, boot)]
