"""The public keys of those who may connect: a folder with one file per client, read again when it changes."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from protocol.keys import PUBLIC_SUFFIX, KeyFileError, read_public_key
from worker.telemetry import Logger

LOOK_SECONDS: Final = 1.0
"""How long a removed key may go unnoticed."""
LOOK_AGAIN_SECONDS: Final = 0.1
"""Between two looks on behalf of keys that are not known: strangers decide when they come."""

Files = dict[str, tuple[int, int, int]]
"""By name what changes when a file does: inode, time of its last change in nanoseconds, bytes."""


class ClientKeys:
    """The keys in ``folder``, from construction on; ``start`` keeps them up to date until ``close``.

    Raises:
        KeyFileError: the folder cannot be read.
    """

    def __init__(self, folder: Path, log: Logger) -> None:
        self._folder = folder
        self._log = log
        self._removed: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._unreadable = False
        self._looked_at = time.monotonic()
        self._names: dict[str, str] = {}
        self._files: Files = {}
        try:
            self._take(self._look())
        except OSError as error:
            raise KeyFileError(f"cannot read the folder {folder}: {error.strerror}") from error
        if not self._names:
            log.warning("no client may connect yet", folder=str(folder))

    def __contains__(self, public_key: object) -> bool:
        """Whether its owner may connect and be served."""
        return public_key in self._names

    def find(self, public_key: str) -> bool:
        """Whether it is there, or was added just now."""
        if public_key not in self and time.monotonic() - self._looked_at >= LOOK_AGAIN_SECONDS:
            self._refresh()
        return public_key in self

    def on_removal(self, callback: Callable[[], None]) -> None:
        """Have something done whenever keys were removed."""
        self._removed.append(callback)

    def start(self) -> None:
        """Look for changes every second from now on."""
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._tick)

    def close(self) -> None:
        """Look no more; idempotent."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self.start()
        self._refresh()

    def _refresh(self) -> None:
        self._looked_at = time.monotonic()
        try:
            files = self._look()
        except OSError as error:
            # Not a word of whom to turn away: those who were known stay known.
            if not self._unreadable:
                self._log.error("client keys stay as they were", folder=str(self._folder), error=str(error))
            self._unreadable = True
            return
        self._unreadable = False
        if files != self._files:
            self._take(files)

    def _look(self) -> Files:
        files: Files = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    files[entry.name] = _identity(entry)
        return files

    def _take(self, files: Files) -> None:
        before, self._names = self._names, self._read(files)
        self._files = files
        added = sorted(name for key, name in self._names.items() if key not in before)
        removed = sorted(name for key, name in before.items() if key not in self._names)
        if added or removed:
            self._log.info("client keys changed", added=added, removed=removed, keys=len(self._names))
        if removed:
            for callback in self._removed:
                callback()

    def _read(self, files: Files) -> dict[str, str]:
        names: dict[str, str] = {}
        for name in sorted(files):
            try:
                names.setdefault(_read_key(self._folder / name), name.removesuffix(PUBLIC_SUFFIX))
            except KeyFileError as error:
                if files[name] != self._files.get(name):
                    self._log.warning("client key ignored", error=str(error))
        return names


def _identity(entry: "os.DirEntry[str]") -> tuple[int, int, int]:
    try:
        status = entry.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def _read_key(path: Path) -> str:
    if path.suffix != PUBLIC_SUFFIX:
        raise KeyFileError(f"{path} is not read: names of public keys end in {PUBLIC_SUFFIX}")
    return read_public_key(path).decode()
