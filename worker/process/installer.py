"""Installing packages into a folder with ``uv``, as a bounded process that ends with the worker.

By default only wheels are taken: they are unpacked and compiled to bytecode, and nothing in them is run.
"""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from uv import find_uv_bin

from worker.settings import Settings, network_environment

GUARD: Final = Path(__file__).with_name("guard.py")
PACKAGES: Final = "packages"
TAIL_BYTES: Final = 4096
"""Of what the tool says, in an error."""
MEASURE_SECONDS: Final = 0.5
BLOCK_BYTES: Final = 512
ENTRY_BYTES: Final = 4096
"""What a file or folder counts as at least: there are only so many of them on a disk."""
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s]+@")

_CAUSES: Final[tuple[tuple[str, str], ...]] = (
    ("No space left on device", "the disk is full; make room where environments_dir is"),
    ("building from source is disabled", 'there is no wheel for this interpreter and platform; choose a version that has one, put one into package_links, or allow sources with dependency_sources = "any"'),
    ("not found in the package registry", "there is no such package; check its name"),
    ("not found in the provided package locations", "there is no such package where this worker looks (package_index, package_links); check its name, or put a wheel there"),
    ("URL dependenc", "a package asks for another one by URL, which is not served"),
    ("unsatisfiable", "no versions go together; ask for others"),
    ("cannot be used", "no version will do; ask for others"),
    ("ailed to fetch", "the package index cannot be reached; check package_index and the network, or name folders of wheels in package_links"),
    ("rror sending request", "the package index cannot be reached; check package_index and the network, or name folders of wheels in package_links"),
)  # fmt: skip
"""What the tool says, and what to do; the first that is found counts."""


class InstallError(Exception):
    """Packages were not installed; what was, is of no use. ``advice``: what to do. ``tail``: the tool's last words."""

    def __init__(self, advice: str, tail: str = "") -> None:
        super().__init__(advice)
        self.advice = advice
        self.tail = tail


@dataclass(frozen=True, slots=True)
class Installation:
    """What to install. ``folder``: exists, empty; packages go below it. ``pinned``: the set is complete as listed."""

    folder: Path
    requirements: Sequence[str]
    pinned: bool
    sources: str


async def install(wanted: Installation, settings: Settings, grown: Callable[[int], None]) -> Path:
    """Install packages; returns the folder they are in. ``grown`` is told the bytes on disk now and then.

    Raises:
        InstallError: it failed, took too long or grew too large; no process of it is left.
    """
    (wanted.folder / "tmp").mkdir()
    listed = wanted.folder / "requirements.txt"
    listed.write_text("".join(f"{one}\n" for one in wanted.requirements))
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(GUARD), str(os.getpid())),
            *_command(wanted, listed, settings),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=_environment(wanted, settings),
            cwd=wanted.folder,
            start_new_session=True,
        )
    except OSError as error:
        raise InstallError(f"the tool that installs packages cannot be started: {error}") from error
    tail = asyncio.create_task(_tail(process.stdout))
    try:
        await _watched(process, wanted.folder, settings, grown)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        said = _CREDENTIALS.sub("", await tail)
    if process.returncode:
        raise InstallError(advice_on(said, settings), said)
    return wanted.folder / PACKAGES


async def _watched(
    process: asyncio.subprocess.Process, folder: Path, settings: Settings, grown: Callable[[int], None]
) -> None:
    """Wait for the end of the process, as long and while the folder is as large as the settings allow."""
    loop = asyncio.get_running_loop()
    ended, pause = asyncio.create_task(process.wait()), MEASURE_SECONDS
    try:
        async with asyncio.timeout(settings.environment_build_seconds):
            while True:
                done, _ = await asyncio.wait({ended}, timeout=pause)
                began = loop.time()
                size = await asyncio.to_thread(disk_bytes, folder)
                # Looking through many files takes the interpreter from the loop: a tenth of the time at most.
                pause = max(MEASURE_SECONDS, 10 * (loop.time() - began))
                if size > settings.environment_bytes:
                    raise InstallError(
                        f"it takes more than environment_bytes ({settings.environment_bytes}) on disk; ask for less, or raise it"
                    )
                if done:
                    return
                grown(size)
    except TimeoutError:
        raise InstallError(
            f"it took longer than environment_build_seconds ({settings.environment_build_seconds:g} s)"
        ) from None
    finally:
        ended.cancel()


async def _tail(stream: asyncio.StreamReader | None) -> str:
    said = b""
    while stream is not None and (more := await stream.read(TAIL_BYTES)):
        said = (said + more)[-TAIL_BYTES:]
    return said.decode(errors="replace").strip()


def _command(wanted: Installation, listed: Path, settings: Settings) -> list[str]:
    places = (place if "://" in place else str(Path(place).absolute()) for place in settings.package_links)
    links = [word for place in places for word in ("--find-links", place)]
    return [
        *(find_uv_bin(), "pip", "install"),
        *("--python", sys.executable, "--no-python-downloads"),
        *("--target", str(wanted.folder / PACKAGES), "--requirements", str(listed)),
        *("--no-config", "--no-cache", "--link-mode", "copy", "--compile-bytecode"),
        *("--no-progress", "--color", "never"),
        *(["--only-binary", ":all:"] if wanted.sources == "wheels" else []),
        *(["--no-deps"] if wanted.pinned else []),
        *([] if settings.package_index else ["--no-index"]),
        *links,
    ]


def _environment(wanted: Installation, settings: Settings) -> dict[str, str]:
    """Nothing of the worker's own but the way to the network; an index may have credentials in it, so it is no argument."""
    index = {"UV_DEFAULT_INDEX": settings.package_index} if settings.package_index else {}
    return {
        **network_environment(),
        **index,
        "PATH": "/usr/bin:/bin",
        "HOME": str(wanted.folder / "tmp"),
        "TMPDIR": str(wanted.folder / "tmp"),
        "LC_ALL": "C.UTF-8",
        "UV_SYSTEM_CERTS": "1",
    }


def advice_on(said: str, settings: Settings) -> str:
    """What to do about what the tool said when it failed."""
    flat = " ".join(said.split())
    for sign, advice in _CAUSES:
        if sign in flat:
            return advice
    return "the packages cannot be installed" + (
        "" if settings.package_index else " (package_index is empty)"
    )


def disk_bytes(folder: Path) -> int:
    """What a folder takes on disk, an empty file too; what vanishes meanwhile does not count."""
    total = 0
    for where, folders, names in os.walk(folder):
        for name in (*folders, *names):
            with contextlib.suppress(OSError):
                found = os.lstat(f"{where}/{name}")
                total += max(found.st_blocks * BLOCK_BYTES, ENTRY_BYTES)
    return total
