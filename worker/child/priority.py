"""How run processes are put behind the worker, and behind all other programs, in the queue for processors.

Niceness counts among processes that the kernel schedules as one group. Where it makes every session a group of its own
(autogroup), a group has a niceness too, which counts between groups. Who is privileged may set that as often as he
likes, so that each run has a group of its own and no run gets more by having more threads. Other users may set it ten
times a second, all together: there the runs of a zygote stay in its session, which is made nicer once.
"""

import time
from enum import Enum, auto
from typing import Final

from worker.child import kernel
from worker.policy import NICENESS

_GROUP: Final = "/proc/self/autogroup"
_TRIES: Final = 30
_PAUSE_SECONDS: Final = 0.1
"""So long the kernel refuses an ordinary user after anybody's last change."""


class Groups(Enum):
    """Which group of the scheduler a run is in: none, one of its own, or one with all runs of its zygote."""

    NONE = auto()
    OWN = auto()
    SHARED = auto()


def choose_groups() -> Groups:
    """Find out, in a zygote that leads its session, what the kernel grants; a shared group is made nicer here."""
    kernel.set_dumpable(dumpable=True)  # only a dumpable process owns its files in /proc
    try:
        if _try_weigh(NICENESS) and _try_weigh(0):  # two in a row are granted to the privileged only
            return Groups.OWN
        for _ in range(_TRIES):
            if _try_weigh(NICENESS):
                break
            time.sleep(_PAUSE_SECONDS)
    except OSError:
        return Groups.NONE
    finally:
        kernel.set_dumpable(dumpable=False)
    return Groups.SHARED


def weigh_group() -> None:
    """Make the group of this process, which is alone in it, nicer."""
    kernel.write_text(_GROUP, str(NICENESS))


def _try_weigh(niceness: int) -> bool:
    try:
        kernel.write_text(_GROUP, str(niceness))
    except BlockingIOError:
        return False
    return True
