"""Each layer of the sandbox holds something of its own: an attack that is refused gets through when just it is gone.

Where another layer stands in front of it, that one is off in both tries.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
MIB = 1024 * 1024
IS_ROOT = os.geteuid() == 0


@dataclass(frozen=True)
class Layer:
    """``identity``: "uid" needs root; "any" is tried with whatever there is. ``without``: what comes of it then."""

    name: str
    attack: str
    identity: str = "any"
    off: tuple[str, ...] = ()
    limits: dict[str, int] = field(default_factory=dict)
    beyond: float = 0
    jail: bool = False
    without: str = "through"

    def __str__(self) -> str:
        return f"{self.name}-{self.attack}"


FILTER = ("seccomp",)
LAYERS = (
    Layer("seccomp", "fork"),
    Layer("landlock", "read_foreign"),
    Layer("jail", "see_foreign", jail=True),
    Layer("identity", "read_private", "uid"),
    Layer("capabilities", "change_root", "userns", off=FILTER),
    Layer("network", "send_datagram", "userns", off=FILTER),
    Layer("ipc", "share_memory", off=FILTER),
    Layer("mounts", "mount_outside", "uid"),
    # An ordinary user's lock-down does not come past a missing name space.
    Layer("mounts", "mount_outside", "userns", without="closed: namespaces"),
    Layer("no_new_privs", "become_owner", "uid", off=("seccomp", "landlock")),
    # With the walls that need it, it cannot be forgotten.
    Layer("no_new_privs", "fork", without="closed: landlock"),
    Layer("priority", "crowd_out", "uid"),
    Layer("priority", "crowd_out", "userns"),
    Layer("parent death", "outlive"),
    Layer("dumpable", "be_looked_into"),
    Layer("descriptors", "read_inherited"),
    Layer("scratch_bytes", "fill_bytes", beyond=12 * MIB),
    Layer("scratch_inodes", "fill_inodes", beyond=400),
    Layer("memory_bytes", "allocate", limits={"memory_bytes": 512 * MIB}, beyond=1024 * MIB),
    Layer("cpu_seconds", "burn", limits={"cpu_seconds": 1}, beyond=1.5),
    Layer("file_bytes", "fill_bytes", limits={"file_bytes": MIB}, beyond=2 * MIB),
    Layer("threads", "start_threads", "uid", beyond=40),
    Layer("open_files", "open_files", beyond=100),
    Layer("stack_bytes", "raise_stack", off=FILTER),
    Layer("pending_signals", "queue_signals", off=FILTER, beyond=200),
    Layer("core", "raise_core", "uid", off=FILTER),
    Layer("memlock", "lock_memory", "uid", off=FILTER),
    Layer("msgqueue", "make_queue", "uid", off=("seccomp", "landlock")),
    Layer("nice", "be_preferred", "uid", off=FILTER),
    Layer("rtprio", "be_real_time", "uid", off=FILTER),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can reach, with a program in it that gives root's rights to whoever executes it."""
    with tempfile.TemporaryDirectory(prefix="layers-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_an_attack_gets_through_when_just_its_layer_is_gone(layer: Layer, folder: Path) -> None:
    if layer.identity == "uid" and not IS_ROOT:
        pytest.skip("only root can give a process a user id of its own")
    if layer.name in ("nice", "rtprio") and not may_be_granted(layer.name):
        pytest.skip("this host grants nobody a better priority, so that there is nothing to take away")
    outcome = tried(layer, folder)

    assert outcome["with"] == "refused"
    assert outcome["without"].startswith(layer.without)


def may_be_granted(name: str) -> bool:
    """Whether the limit is above zero for this user, or could be."""
    kind = getattr(resource, f"RLIMIT_{name.upper()}")
    soft, hard = resource.getrlimit(kind)
    try:
        resource.setrlimit(kind, (hard or 1, hard or 1))
    except ValueError:
        return False
    resource.setrlimit(kind, (soft, hard or 1))
    return True


def tried(layer: Layer, folder: Path) -> dict[str, str]:
    identity = ("uid" if IS_ROOT else "userns") if layer.identity == "any" else layer.identity
    facts: dict[str, Any] = {"beyond": layer.beyond if layer.name == "cpu_seconds" else int(layer.beyond)}
    if layer.attack == "become_owner":
        facts["privileged"] = privileged_program(folder)
    asked = {
        "layer": layer.name,
        "attack": layer.attack,
        "identity": identity,
        "off": list(layer.off),
        "limits": layer.limits,
        "jail": layer.jail,
        "folder": str(folder),
        "facts": facts,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.programs.layers", json.dumps(asked)],
        cwd="/",
        env={"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"], "MALLOC_ARENA_MAX": "2"},
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # whose group in the scheduler it may change
    )
    assert done.returncode == 0, done.stderr
    outcome: dict[str, str] = json.loads(done.stdout)
    return outcome


def privileged_program(folder: Path) -> str:
    """A copy of ``id`` that runs with its owner's rights."""
    program = folder / "id"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    program.chmod(0o4755)
    return str(program)
