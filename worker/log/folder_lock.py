"""One worker per data folder: an flock on ``worker.lock``, which process death releases.

The file is never deleted. While held it names the holder; after a clean close it is empty. So what a new
holder finds in it tells whether the last one closed.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self

from worker.clock import iso, now_us
from worker.log.sqlite_errors import StoreRefusedError

_CONTENT_BYTES = 200


class FolderLock:
    """Held from ``acquire`` until ``release``. The descriptor is close-on-exec; never fork while it is held."""

    def __init__(self, descriptor: int, *, closed_cleanly: bool) -> None:
        self._descriptor = descriptor
        self.closed_cleanly = closed_cleanly
        """Whether the last holder is known to have closed the store."""

    @classmethod
    def acquire(cls, path: Path) -> Self:
        """Take the lock without waiting.

        Raises:
            StoreRefusedError: another process holds it (named by pid and start), or the file cannot be used.
        """
        known = path.exists()
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            last_holder = os.pread(descriptor, _CONTENT_BYTES, 0)
            _write(descriptor, f"pid {os.getpid()}, started {iso(now_us())}\n".encode())
        except BlockingIOError as error:
            holder = os.pread(descriptor, _CONTENT_BYTES, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise StoreRefusedError(
                f"{path.parent} is in use by another worker ({holder or 'just starting'}); "
                "end that worker or give this one another data folder",
                path=str(path),
                holder=holder,
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise _unusable(path, error) from error
        return cls(descriptor, closed_cleanly=known and not last_holder)

    def release(self, *, closed_cleanly: bool) -> None:
        """Let go; with ``closed_cleanly`` the next holder need not check the database.

        On a disk that refuses even this, the next holder will.
        """
        if closed_cleanly:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _write(descriptor: int, content: bytes) -> None:
    """Replace the content durably; at no moment is the file empty, for that would mean a clean close."""
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))
    os.fsync(descriptor)


def _unusable(path: Path, error: OSError) -> StoreRefusedError:
    return StoreRefusedError(
        f"{path} cannot be locked: {error.strerror}; check the folder's owner, its mode and its disk",
        path=str(path),
    )
