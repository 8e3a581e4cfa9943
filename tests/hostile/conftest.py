"""What the hostile tests share: a worker on hostile grounds, as root or as an ordinary user."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.programs.corpus import Attack
from tests.hostile.programs.grounds import Grounds, laid_out
from tests.hostile.programs.users import User

REPOSITORY = Path(__file__).parents[2]
ORDINARY_USER = 1_800_000_007
"""Nobody's number on any system."""
MEMORY_BYTES = 256 * 1024 * 1024
LIMITS = {
    "MODEL_WORKER_MEMORY_BYTES": str(MEMORY_BYTES),
    "MODEL_WORKER_CPU_SECONDS": "2",
    "MODEL_WORKER_LOG_MODEL_OUTPUT": "true",
}


@dataclass(frozen=True)
class Siege:
    """A worker, and the grounds that its models stand on."""

    daemon: Any
    grounds: Grounds


@pytest.fixture(scope="module")
def besiege(make_daemon: Any) -> Callable[..., Any]:
    """``besiege(user, corpus)``: a context with a worker of that user. ``models``: further ones, by folder and file; ``mark``: what the names of the
    worker's own folders and its settings begin with.
    """

    @contextmanager
    def start(
        user: User,
        corpus: tuple[Attack, ...] = (),
        *,
        models: dict[str, dict[str, str]] | None = None,
        mark: str = "home",
        **env: str,
    ) -> Iterator[Siege]:
        uid = ORDINARY_USER if user is User.ORDINARY and os.geteuid() == 0 else os.geteuid()
        folder = Path(tempfile.mkdtemp(prefix="siege-"))
        try:
            home = folder / f"{mark}folder"
            home.mkdir()
            config = home / f"{mark}file.toml"
            config.write_text(f"# {mark}settings\nworker_id = '{mark}id'\n")
            if uid != os.geteuid():
                for path in (folder, home, config):
                    os.chown(path, uid, uid)
            with laid_out(corpus, uid, models or {}) as grounds:
                daemon = make_daemon(
                    grounds.models,
                    data=str(home / "data"),
                    sockets=home,
                    arguments=("--config", str(config)),
                    env={**LIMITS, **env},
                    command=(*_as(user, uid), sys.executable, "-m", "worker.cli.main"),
                )
                yield Siege(daemon, grounds)
                daemon.close()
        finally:
            shutil.rmtree(folder)

    return start


def _as(user: User, uid: int) -> tuple[str, ...]:
    """How root starts a program so that all can read its interpreter; an ordinary user's own is open to him."""
    if os.geteuid() != 0 or user is User.ROOT_AT_HOME:
        return ()
    shown = (sys.prefix, sys.base_prefix, str(REPOSITORY))
    return (sys.executable, "-m", "tests.hostile.programs.launch", str(uid), *shown, "--")
