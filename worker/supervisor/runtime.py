"""The runtime folder: where the scratch of runs is, for as long as the worker lives.

Its owner holds a lock on a file in it, which the kernel releases however the owner ends. So whoever starts next
can tell the folders of the dead, of workers that kept nothing on disk too, from those of its living neighbours.
"""

import contextlib
import fcntl
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

PREFIX: Final = "model-worker-"
LOCK_FILE: Final = "owner"
NOTE_FILE: Final = "runtime"
"""In the data folder: the path of the runtime folder of the worker that has it, then its ipc sockets, one a line.

They stand here because any worker that starts may remove the runtime folder of a dead one.
"""


class StartError(Exception):
    """The worker cannot start; the message names what is wrong and what to do."""


@contextlib.contextmanager
def runtime_folder(data: Path | None, sockets: Iterable[str]) -> Iterator[Path]:
    """A new folder that runs can reach; what dead workers left is removed first.

    ``data``: the data folder, None where nothing is kept. The caller holds its lock, so the ``sockets`` (ipc paths)
    of the last worker that had it are removed, too, unless somebody listens there again.

    Raises:
        StartError: the data folder does not take the note of it.
    """
    note = None if data is None else data / NOTE_FILE
    if note is not None and note.is_file():
        _remove_predecessor(note)
    _remove_folders_of_the_dead()
    folder, lock = _make_folder()
    try:
        if note is not None:
            _write_note(note, [str(folder), *sockets])
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        if note is not None:
            # Where it cannot be removed, it names a folder that is gone: that harms nobody.
            with contextlib.suppress(OSError):
                note.unlink(missing_ok=True)


def _write_note(note: Path, lines: Iterable[str]) -> None:
    try:
        note.write_text("\n".join(lines))
    except OSError as error:
        raise StartError(
            f"{note} cannot be written: {error.strerror}; check the data folder's disk, owner and mode"
        ) from error


def is_listening(path: str) -> bool:
    """Whether a process listens on a socket file."""
    with socket.socket(socket.AF_UNIX) as peer:
        try:
            peer.connect(path)
        except OSError:
            return False
    return True


def remove_stale_socket(path: str) -> None:
    """Remove a socket file of this user that nobody listens on; anything else stays."""
    with contextlib.suppress(OSError):
        found = Path(path).lstat()
        if stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid() and not is_listening(path):
            Path(path).unlink()


def _make_folder() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Whoever starts at the same moment may take it for a dead one's before it is locked.
        with contextlib.suppress(FileNotFoundError):
            folder.chmod(0o755)
            lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if _lock(lock):
                return folder, lock
            os.close(lock)


def _lock(descriptor: int) -> bool:
    """Take the lock; False where somebody else has it, or has removed the file as that of a dead worker."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0


def _remove_folders_of_the_dead() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # What cannot be judged or removed is not ours to insist on.
        with contextlib.suppress(OSError):
            _remove_if_dead(folder)


def _remove_if_dead(folder: Path) -> None:
    if not _is_own_folder(folder):
        return
    try:
        lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        folder.rmdir()  # its worker ended right after making it; one that has anything in it stays
        return
    try:
        if _lock(lock):
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _remove_predecessor(note: Path) -> None:
    """Remove the folder and the sockets of the last worker that had the data folder, which is dead."""
    with contextlib.suppress(OSError, UnicodeDecodeError, ValueError):  # a note that is none names nothing
        name, *sockets = note.read_text().splitlines()
        for path in sockets:
            remove_stale_socket(path)
        folder = Path(name)
        if folder.name.startswith(PREFIX) and _is_own_folder(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_own_folder(folder: Path) -> bool:
    """Whether it is a folder, no link to one, of this user."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
