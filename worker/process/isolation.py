"""How far a run process is locked up, and which of the kernel's means give it an identity of its own."""

import os
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class SandboxLevel(StrEnum):
    """What the operator asks for; never lowered silently.

    strict: Landlock, system call filter, limits, own identity, private scratch with a quota. strict+jail: in
    addition a root directory that holds nothing else. strict-noquota: the same walls without name spaces and
    without any scratch, for hosts that refuse both. process-only: limits and an own process; protects against
    faults, not against a hostile author.
    """

    STRICT = "strict"
    STRICT_JAIL = "strict+jail"
    STRICT_NOQUOTA = "strict-noquota"
    PROCESS_ONLY = "process-only"


class Identity(StrEnum):
    """Whom the kernel takes a run process for.

    uid: a user id of its own (the worker is root). userns: the worker's user, in a user name space of its own,
    without any capability. none: the worker's user.
    """

    UID = "uid"
    USERNS = "userns"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Isolation:
    """The level together with the identity that this host and model allow."""

    level: SandboxLevel
    identity: Identity

    def __str__(self) -> str:
        return f"{self.level} ({self.identity})"

    @property
    def walls(self) -> bool:
        """Whether Landlock, the system call filter and the loss of all privileges apply."""
        return self.level is not SandboxLevel.PROCESS_ONLY

    @property
    def jail(self) -> bool:
        """Whether the root directory is replaced."""
        return self.level is SandboxLevel.STRICT_JAIL

    @property
    def private_scratch(self) -> bool:
        """Whether the run has a file system of its own, bounded in bytes and inodes."""
        return self.level in (SandboxLevel.STRICT, SandboxLevel.STRICT_JAIL)


def choose_isolation(
    level: SandboxLevel,
    model_folder: Path,
    *,
    also_needed: Iterable[Path] = (),
    exposed: Iterable[Path] = (),
) -> Isolation:
    """The strongest identity for runs of the models beneath ``model_folder`` at ``level``.

    A user id of its own needs root, and an interpreter and model folder that other users can reach; where they
    cannot, a user name space is used instead. ``also_needed``: further folders a run must reach, such as the
    scratch folder or another interpreter's prefix. ``exposed``: folders that zygotes make reachable.
    """
    if level is SandboxLevel.PROCESS_ONLY:
        return Isolation(level, Identity.NONE)
    folders: tuple[str | Path, ...] = (sys.prefix, sys.base_prefix, model_folder, *also_needed)
    ends = _real_paths(exposed) if can_expose(level) else frozenset()
    if os.geteuid() == 0 and all(_others_can_read(folder, ends) for folder in folders):
        return Isolation(level, Identity.UID)
    if level is SandboxLevel.STRICT_NOQUOTA:
        return Isolation(level, Identity.NONE)
    return Isolation(level, Identity.USERNS)


def can_expose(level: SandboxLevel) -> bool:
    """Whether zygotes can make folders reachable to runs: as root, at a level with name spaces."""
    return os.geteuid() == 0 and level in (SandboxLevel.STRICT, SandboxLevel.STRICT_JAIL)


def others_can_read(folder: Path, exposed: Iterable[Path] = ()) -> bool:
    """Whether a user who is neither owner nor in the group may list ``folder`` and pass all folders above it.

    Above one that is ``exposed``, every folder can be passed.
    """
    return _others_can_read(folder, _real_paths(exposed))


def _real_paths(folders: Iterable[Path]) -> frozenset[str]:
    return frozenset(map(os.path.realpath, folders))


def _others_can_read(folder: str | Path, ends: frozenset[str]) -> bool:
    # Asked at each start of a run, where paths as objects take several times as long.
    place = os.path.realpath(folder)
    needed = stat.S_IROTH | stat.S_IXOTH
    try:
        while os.stat(place).st_mode & needed == needed:  # noqa: PTH116 - see above
            above = os.path.dirname(place)  # noqa: PTH120 - see above
            if place in ends or above == place:
                return True
            place, needed = above, stat.S_IXOTH
    except OSError:
        pass
    return False
