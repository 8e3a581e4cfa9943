"""The guard of an installer: what it bounds, what it says, whom it belongs to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.process import guard

TELL = (
    "import os, resource; print(resource.getrlimit(resource.RLIMIT_AS)[1], "
    "resource.getrlimit(resource.RLIMIT_CORE)[1], oct(os.umask(0)), os.nice(0))"
)


def guarded(parent: int, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", str(Path(guard.__file__)), str(parent), *command],
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        timeout=60,
    )


def test_a_command_is_bounded_and_gives_way() -> None:
    done = guarded(os.getpid(), sys.executable, "-c", TELL)
    bytes_, core, mask, niceness = done.stdout.split()
    assert done.returncode == 0, done.stderr
    assert 0 < int(bytes_) <= guard.ADDRESS_SPACE_BYTES
    assert (core, mask) == ("0", "0o22")
    assert int(niceness) > os.nice(0)


@pytest.mark.parametrize("script", ("raise SystemExit(3)", "import os; os.abort()"))
def test_a_command_that_fails_or_dies_is_a_failure(script: str) -> None:
    assert guarded(os.getpid(), sys.executable, "-c", script).returncode == 1


def test_without_its_parent_nothing_is_begun(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    done = guarded(1, sys.executable, "-c", f"open({str(begun)!r}, 'w').close()")
    assert done.returncode == 1
    assert not begun.exists()
