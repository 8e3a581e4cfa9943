"""Environments: sets of packages that zygotes import instead of the worker's own, and the folder they are kept in.

In the folder, for an environment with the key K: ``K`` is the environment, complete as it was renamed to that name;
``K.json`` its record, with the version of every package in it, which outlives it: built anew it gets the same;
``K.building`` what a build has so far; ``K.busy`` an empty file that who builds keeps locked.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from packaging.utils import canonicalize_name

from worker.clock import iso, now_us
from worker.process.installer import PACKAGES, disk_bytes

LOCK_POLL_SECONDS: Final = 0.2
KEY_CHARACTERS: Final = 32
INTERPRETER: Final = (
    f"{sys.implementation.cache_tag} {'.'.join(map(str, sys.version_info[:3]))} "
    f"{sysconfig.get_config_var('SOABI')} {sysconfig.get_platform()}"
)


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a model's packages are imported from.

    ``folders``: absolute; they take the place of the worker's own packages, which none leaves as they are.
    ``build`` differs where the folders' content may. ``preloads``: whether zygotes may import what models import.
    ``packages``: name to version, of all that is in the folders, or of what was asked for among the worker's own.
    """

    folders: tuple[str, ...] = ()
    build: str = ""
    preloads: bool = True
    packages: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)


def environment_key(requirements: Iterable[str], sources: str) -> str:
    """What is built under one name: the same requirements, interpreter, platform and kinds of packages."""
    facts = json.dumps([sorted(requirements), INTERPRETER, sources])
    return hashlib.sha256(facts.encode()).hexdigest()[:KEY_CHARACTERS]


def installed_packages(folders: Iterable[str]) -> dict[str, str]:
    """Canonical name and version of what is installed in folders; of two of one name, that which is imported."""
    found: dict[str, str] = {}
    for distribution in distributions(path=list(folders)):
        name, version = distribution.metadata["Name"], distribution.metadata["Version"]
        if name and version:
            found.setdefault(canonicalize_name(name), version)
    return dict(sorted(found.items()))


class EnvironmentFolder:
    """The folder. Everything here blocks, but for ``locked``; nothing raises but OSError."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def prepare(self) -> None:
        """Make the folder; remove what builds left whose worker is dead."""
        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        for leftover in self.root.glob("*.building"):
            busy = os.open(leftover.with_suffix(".busy"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            with contextlib.closing(os.fdopen(busy)), contextlib.suppress(BlockingIOError):
                fcntl.flock(busy, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(leftover, ignore_errors=True)

    def find(self, key: str, *, preloads: bool) -> Environment | None:
        """An environment that is complete; None where it must be built."""
        packages = self.recorded(key)
        folder = self.root / key / PACKAGES
        if packages is None or not folder.is_dir():
            return None
        return Environment((str(folder),), _build_of(folder.stat()), preloads, packages)

    def is_current(self, environment: Environment) -> bool:
        """Whether an environment that was found is still there, and is not another build of the same."""
        try:
            found = Path(environment.folders[0]).stat()
        except OSError:
            return False
        return environment.build == _build_of(found)

    def recorded(self, key: str) -> dict[str, str] | None:
        """The versions that an environment has, or had when it was first built; None where nobody knows."""
        try:
            packages = json.loads((self.root / f"{key}.json").read_bytes())["packages"]
            return {str(name): str(version) for name, version in packages.items()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def records(self) -> list[dict[str, Any]]:
        """All that is known of the environments in the folder, built or not."""
        found = []
        for path in sorted(self.root.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
                record = json.loads(path.read_bytes())
                told = {
                    name: record.get(name) for name in ("requirements", "interpreter", "built", "size_bytes")
                }
                built = (self.root / path.stem).is_dir()
                count = len(record.get("packages", ()))
                found.append({"environment": path.stem, "on_disk": built, "packages": count, **told})
        return found

    @contextlib.asynccontextmanager
    async def locked(self, key: str) -> AsyncIterator[None]:
        """Be the only one, of all workers, who builds this environment; the kernel lets go for who dies."""
        busy = os.open(self.root / f"{key}.busy", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            while not _try_lock(busy):  # noqa: ASYNC110 - another process holds it, which sets no event here
                await asyncio.sleep(LOCK_POLL_SECONDS)
            yield
        finally:
            os.close(busy)

    def begin(self, key: str) -> Path:
        """An empty folder to build in; the caller holds the lock."""
        folder = self.root / f"{key}.building"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o755)
        return folder

    def finish(self, key: str, requirements: Iterable[str], *, keep_record: bool) -> None:
        """Record what was built, then give it its name; the caller holds the lock."""
        folder = self.root / f"{key}.building"
        shutil.rmtree(folder / "tmp", ignore_errors=True)
        (folder / PACKAGES).mkdir(mode=0o755, exist_ok=True)
        if not keep_record:
            record = {
                "requirements": sorted(requirements),
                "interpreter": INTERPRETER,
                "built": iso(now_us()),
                "size_bytes": disk_bytes(folder),
                "packages": installed_packages([str(folder / PACKAGES)]),
            }
            (folder / "record").write_text(json.dumps(record, indent=2) + "\n")
            (folder / "record").replace(self.root / f"{key}.json")
        shutil.rmtree(self.root / key, ignore_errors=True)
        folder.rename(self.root / key)

    def discard(self, key: str) -> None:
        """Remove what a build has so far; the caller holds the lock."""
        shutil.rmtree(self.root / f"{key}.building", ignore_errors=True)


def _build_of(found: os.stat_result) -> str:
    return f"{found.st_ino}-{found.st_ctime_ns}"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
