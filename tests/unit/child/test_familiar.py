import subprocess
import sys
from pathlib import Path

import pytest

from worker.child.familiar import SNIPPETS

ROOT = Path(__file__).parents[3]
TRIED = """
import os, sys, types
from worker.child import familiar
sys.modules["known"] = types.ModuleType("known")
familiar.SNIPPETS.clear()
familiar.SNIPPETS["known"] = sys.argv[1]
familiar.SNIPPETS["unknown"] = "import known; known.unknown = 1"
familiar.use_familiar_packages()
print(len(os.listdir("/proc/self/task")), sorted(name for name in vars(sys.modules["known"]) if name[0] != "_"))
"""
COUNTED = "import known; known.used = 1\n"


@pytest.mark.parametrize("name", SNIPPETS)
def test_a_snippet_runs_through_with_the_package_as_it_is(name: str) -> None:
    pytest.importorskip(name)
    exec(compile(SNIPPETS[name], name, "exec"), {})


@pytest.mark.parametrize(
    ("snippet", "left"),
    (
        (COUNTED, "1 ['used']"),
        (f"{COUNTED}1 / 0", "1 ['used']"),
        (f"{COUNTED}import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()", "1 []"),
        (f"{COUNTED}import os; os.kill(os.getpid(), 11)", "1 []"),
    ),
)
def test_only_what_is_imported_is_used_and_only_if_a_trial_ends_well(snippet: str, left: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRIED, snippet],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == left
