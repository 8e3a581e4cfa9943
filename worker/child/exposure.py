"""Ways for runs with user ids of their own to folders that stand below a private one.

Root's own interpreter often stands in a home that only root may enter. The zygote lays a skeleton over that
home: folders that everybody may pass, holding the exposed ones and nothing else. It does so in a mount name
space of its own, so nobody else sees it, the kernel takes it down with the last run, and no run pays for it.
"""

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from worker.child import kernel, mounts
from worker.child.readable import outermost

_STAGE: Final = "/proc"
"""Where a skeleton is put together before it is moved into place; nothing exposed stands below it."""


def expose(folders: Sequence[str]) -> None:
    """Make ``folders`` reachable, read-only, for this process and its children. Nothing else is opened.

    A folder's own mode, and those of what it holds, stay as they are.

    Raises:
        OSError: the kernel allows no mount name space, or no mount.
    """
    tops = {private_ancestor(folder) for folder in outermost(folders)} - {None, "/"}
    if not tops:
        return
    kernel.unshare(kernel.CLONE_NEWNS)
    mounts.make_private()
    for top in sorted(filter(None, tops)):
        mounts.build_skeleton(_STAGE, folders, within=top)
        mounts.seal(_STAGE)
        kernel.mount(_STAGE, top, "", kernel.MS_MOVE)


def private_ancestor(folder: str) -> str | None:
    """The outermost of the folders above ``folder`` that others may not pass."""
    for parent in reversed(Path(folder).parents):
        if not parent.stat().st_mode & stat.S_IXOTH:
            return str(parent)
    return None
