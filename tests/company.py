"""Who of the processes of one test run may run a test now: any number of them, or one alone."""

import fcntl
from pathlib import Path


class Company:
    """One process of a test run; ``folder`` is one that they share. The kernel lets go of what a dead one held."""

    def __init__(self, folder: Path) -> None:
        self._entrance = (folder / "entrance").open("w")
        self._inside = (folder / "inside").open("w")
        self._alone = False

    def join(self, *, alone: bool) -> None:
        """Wait until a test may run; who is alone already stays so.

        Who wants to be alone lets nobody in while it waits, so that its turn comes.
        """
        if self._alone:
            return
        fcntl.flock(self._entrance, fcntl.LOCK_EX)
        fcntl.flock(self._inside, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._entrance, fcntl.LOCK_UN)
        self._alone = alone

    def leave(self) -> None:
        """Let others in."""
        fcntl.flock(self._inside, fcntl.LOCK_UN)
        self._alone = False

    def close(self) -> None:
        """Leave for good."""
        self._inside.close()
        self._entrance.close()
