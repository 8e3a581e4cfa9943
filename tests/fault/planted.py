"""Planted bugs: ``python -m tests.fault.planted [--only NAME] [--whole]``.

Each bug is planted into a copy of the repository; the tests named with it, or with ``--whole`` all, must fail
there. Exit status 1 if a bug survives, or its tests end by anything but a failed test.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

ROOT: Final = Path(__file__).parents[2]
NOT_COPIED: Final = (".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")
FAILED: Final = 1
"""pytest's exit status when tests ran and some failed; others mean that nothing was proved."""

PER_TEST_SECONDS: Final = 120


class NotPlantableError(Exception):
    """The text to replace is not in its file exactly once: the bug must be written anew."""


@dataclass(frozen=True)
class Edit:
    """One exact replacement; ``old`` stands exactly once in ``file``."""

    file: str
    old: str
    new: str

    def applied(self, root: Path) -> str:
        """The text of the file with the bug.

        Raises:
            NotPlantableError: the text is not there, or not once.
        """
        text = (root / self.file).read_text()
        if (count := text.count(self.old)) != 1:
            raise NotPlantableError(f"{self.file} has {count} times {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Bug:
    """``tests``: arguments for pytest; the quickest that must notice."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


_RUNTIME: Final = "worker/supervisor/runtime.py"
_REMOVED: Final = "shutil.rmtree(folder, ignore_errors=True)"

BUGS: Final = (
    Bug(
        "synchronous-normal",
        (Edit("worker/log/sqlite_files.py", "PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"),),
        ("tests/contract/test_sqlite.py",),
    ),
    Bug(
        "reply-before-commit",
        (
            Edit(
                "worker/supervisor/host.py",
                "self.incarnation.store.submit(append, ended)\n",
                "self.incarnation.store.submit(append, lambda _: None)\n        ended(None)\n",
            ),
        ),
        ("tests/fault/test_reply.py",),
    ),
    Bug(
        "seq-check-dropped",
        (
            Edit("worker/log/sqlite_writes.py", " AND run.seq = moved.column3", ""),
            Edit("worker/log/sqlite_writes.py", "AND epoch = ? AND seq = ?", "AND epoch = ? AND ? >= 0"),
        ),
        ("tests/contract/test_store.py", "tests/property/test_log.py"),
    ),
    Bug(
        "request-id-check-dropped",
        (
            Edit(
                "worker/supervisor/access.py",
                "return self.stores.durable.find_request(request_id) + self.stores",
                "return [] and self.stores",
            ),
        ),
        ("tests/integration/test_idempotency.py",),
    ),
    Bug(
        "replay-without-digests",
        (Edit("worker/supervisor/replay.py", "if digest != entry[5] and", "if entry is None and"),),
        ("tests/integration/test_determinism.py",),
    ),
    Bug(
        "answers-not-recorded",
        (
            Edit(
                "worker/supervisor/calls.py",
                "return None if caller is None or not caller.recorded else pack(caller.recorded)",
                "return None",
            ),
        ),
        ("tests/integration/test_callbacks.py",),
    ),
    Bug(
        "answer-of-anybody",
        (
            Edit(
                "worker/supervisor/providers.py",
                "provider = self._providers.get(peer.route)\n        call =",
                "provider = next(iter(self._providers.values()), None)\n        call =",
            ),
        ),
        ("tests/unit/supervisor/test_providers.py",),
    ),
    Bug(
        "timed-out-process-reused",
        (
            Edit(
                "worker/supervisor/host.py",
                "    def _lose(self, error: WorkerError) -> None:\n",
                "    def _lose(self, error: WorkerError) -> None:\n"
                "        if error.code == 'OPERATION_TIMEOUT':\n"
                "            self._end_step()\n"
                "            value = {'code': str(error.code), 'message': error.message, 'information': {}}\n"
                "            failed = s.OutcomeStatus.ERROR, __import__('msgpack').packb(value), now_us()\n"
                "            self._feed(s.Performed(Outcome(*failed, error_code=error.code)))\n"
                "            return\n",
            ),
        ),
        ("tests/integration/test_deadlines.py",),
    ),
    Bug(
        "no-parent-death-signal",
        (Edit("worker/child/kernel.py", "_prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)", "pass"),),
        ("tests/integration/test_zygote.py",),
    ),
    Bug(
        "scratch-not-removed",
        (
            Edit(_RUNTIME, f"finally:\n        {_REMOVED}", "finally:\n        pass"),
            Edit(_RUNTIME, f"if _lock(lock):\n            {_REMOVED}", "if _lock(lock):\n            pass"),
            Edit(
                _RUNTIME,
                f"_is_own_folder(folder):\n            {_REMOVED}",
                "_is_own_folder(folder):\n            pass",
            ),
        ),
        ("tests/fault/test_daemon_kill.py",),
    ),
    Bug(
        "random-not-reseeded",
        (Edit("worker/child/determinism.py", "        _seed_random(seed)\n", ""),),
        ("tests/integration/test_determinism.py",),
    ),
    Bug(
        "evict-forgets-the-archive",
        (
            Edit(
                "worker/supervisor/table.py",
                "        self._memory.drop(host)\n",
                "        self._memory.drop(host)\n"
                "        writer = getattr(self._stores.durable, '_writer', None)\n"
                "        if writer is not None:\n"
                "            statement = 'DELETE FROM variable WHERE run_key = ?'\n"
                "            writer.submit(lambda db: db.execute(statement, (run_key,)) and None)\n",
            ),
        ),
        ("tests/integration/test_determinism.py", "tests/integration/test_rituals.py"),
    ),
    Bug(
        "shared-runs-without-gate",
        (
            Edit(
                "worker/supervisor/finding.py",
                "        async with gate:",
                "        async with asyncio.Lock():",
            ),
        ),
        ("tests/integration/test_shared_crowd.py",),
    ),
    Bug(
        "world-without-its-run",
        (
            Edit(
                "worker/log/sqlite_writes.py",
                "        bind_new(db, creation.binding, run_key)",
                "        pass",
            ),
        ),
        ("tests/contract/test_bindings.py",),
    ),
)


def plant(bug: Bug, root: Path) -> None:
    """Edit a copy of the repository.

    Raises:
        NotPlantableError: a text to replace is not there exactly once.
    """
    for edit in bug.edits:
        (root / edit.file).write_text(edit.applied(root))


def run_tests(root: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    """pytest's exit status and the last line it wrote."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--timeout", str(PER_TEST_SECONDS)]
    done = subprocess.run(
        [*command, *tests], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    lines = done.stdout.strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return done.returncode, (failed or lines or ["nothing was written"])[0 if failed else -1]


def try_bug(bug: Bug, *, whole: bool) -> tuple[bool, str]:
    """Whether the tests fail with the bug, and what they said."""
    with tempfile.TemporaryDirectory(prefix="planted-", ignore_cleanup_errors=True) as folder:
        # Others may pass through it, as runs with a user id of their own must.
        Path(folder).chmod(0o755)
        copy = Path(folder) / "checkout"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)
        try:
            plant(bug, copy)
        except NotPlantableError as error:
            return False, str(error)
        status, line = run_tests(copy, () if whole else bug.tests)
        return status == FAILED, line


def main() -> None:
    """Plant each bug, print a table of what noticed it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.planted", description=main.__doc__)
    parser.add_argument("--only", choices=[bug.name for bug in BUGS], help="one bug instead of all")
    parser.add_argument("--whole", action="store_true", help="run the whole suite against each bug")
    options = parser.parse_args()
    console = Console()
    table = Table("bug", "outcome", "seconds")
    table.add_column("first failure", overflow="fold")
    survivors = 0
    for bug in BUGS:
        if options.only not in (None, bug.name):
            continue
        started = time.monotonic()
        noticed, line = try_bug(bug, whole=options.whole)
        survivors += not noticed
        outcome = "noticed" if noticed else "SURVIVED"
        console.print(f"{bug.name}: {outcome}", style="green" if noticed else "red", highlight=False)
        table.add_row(bug.name, outcome, f"{time.monotonic() - started:.0f}", line)
    console.print(table)
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
