"""Starts a program as a user whom it is not the home of: ``python -m tests.hostile.programs.launch UID FOLDER... -- COMMAND...``.

Root's own installation may lie under a home that nobody else may enter. In a mount name space of its own, each
FOLDER (of an interpreter, say) is shown under its own name to everybody, with nothing else of what is around it.
"""

import os
import stat
import sys
from pathlib import Path

from worker.child import kernel, mounts


def main(arguments: list[str]) -> None:
    """Never returns."""
    split = arguments.index("--")
    uid, folders, command = int(arguments[0]), arguments[1:split], arguments[split + 1 :]
    kernel.unshare(kernel.CLONE_NEWNS)
    mounts.make_private()
    show(sorted({Path(folder).resolve() for folder in folders}))
    if uid != os.geteuid():
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.environ["HOME"] = "/"
    os.execv(command[0], command)


def show(folders: list[Path]) -> None:
    """Cover every private folder on the way to ``folders``, and let these show through."""
    hidden = {folder: barrier for folder in folders if (barrier := _barrier(folder)) is not None}
    held = {folder: os.open(folder, os.O_PATH) for folder in hidden}
    for barrier in sorted(set(hidden.values())):
        kernel.mount("shown", str(barrier), "tmpfs", kernel.MS_NOSUID, "mode=0755")
    for folder, descriptor in held.items():
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        kernel.mount(f"/proc/self/fd/{descriptor}", str(folder), "", kernel.MS_BIND | kernel.MS_REC)
        os.close(descriptor)


def _barrier(folder: Path) -> Path | None:
    """The outermost folder above that others may not pass."""
    return next((one for one in reversed(folder.parents) if not one.stat().st_mode & stat.S_IXOTH), None)


if __name__ == "__main__":
    main(sys.argv[1:])
