"""A command imports what it needs, so that short ones are quick."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]


def test_only_serve_loads_the_daemon() -> None:
    program = (
        "import sys, worker.cli.main; print([n for n in sys.modules if n.startswith('worker.supervisor')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=REPOSITORY,
        check=True,
    )
    assert done.stdout == "[]\n"
