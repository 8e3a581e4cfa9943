"""Files mapped into run processes, under each identity that a run may have; and links that appear meanwhile."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.programs import bench
from tests.integration.programs.bench import Interpreter, running_zygote, start_run
from worker.process.isolation import Identity, Isolation, SandboxLevel

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives runs user ids of their own")


@pytest.fixture
def workspace() -> Iterator[Path]:
    with bench.workspace() as folder:
        (folder / "models" / "a.txt").write_text("a")
        (folder / "models" / "b.txt").write_text("b")
        yield folder


@pytest.fixture(params=(SandboxLevel.STRICT, SandboxLevel.STRICT_JAIL))
def level(request: pytest.FixtureRequest) -> Any:
    return request.param


def interpreter_for(identity: Identity, workspace: Path) -> Interpreter:
    if identity is Identity.USERNS:
        return Interpreter(sys.executable, ())
    found = bench.open_interpreter(workspace)
    if found is None:
        pytest.skip("this host has no Python of this version that other users can read")
    return found


async def ask(workspace: Path, isolation: Isolation, files: tuple[tuple[str, str], ...], source: str) -> Any:
    """The answer of a run with these files, or what a run that did not come up said."""
    interpreter = interpreter_for(isolation.identity, workspace)
    async with running_zygote(
        workspace, python=interpreter.python, import_roots=interpreter.import_roots
    ) as zygote:
        run = await start_run(zygote, isolation, workspace / "models", mapped_files=files)
        try:
            kind, *rest = await run.ask(source)
            return rest[0] if kind == "answer" else (kind, run.output() or rest)
        finally:
            await run.end()


@pytest.mark.parametrize("identity", (pytest.param(Identity.UID, marks=needs_root), Identity.USERNS))
def test_a_run_reads_the_mapped_file_and_cannot_write_it(
    workspace: Path, level: SandboxLevel, identity: Identity
) -> None:
    folder = workspace / "models"
    for file in folder.iterdir():
        file.chmod(0o666)  # nothing but the sandbox keeps it from writing
    source = f"""
answer = [open({str(folder / "a.txt")!r}).read(), open({str(folder / "b.txt")!r}).read()]
try:
    open({str(folder / "a.txt")!r}, "w")
except OSError:
    answer.append("refused")
"""
    answer = asyncio.run(ask(workspace, Isolation(level, identity), (("a.txt", "b.txt"),), source))
    assert answer == ["b", "b", "refused"]
    assert [(folder / name).read_text() for name in ("a.txt", "b.txt")] == ["a", "b"]


@pytest.mark.parametrize(
    "files", ((("a.txt", "link.txt"),), (("link.txt", "a.txt"),), (("a.txt", "up/hostname"),))
)
def test_a_link_that_appeared_since_it_was_judged_ends_the_lock_down(
    workspace: Path, level: SandboxLevel, files: tuple[tuple[str, str], ...]
) -> None:
    (workspace / "models" / "link.txt").symlink_to("/etc/hostname")
    (workspace / "models" / "up").symlink_to("/etc")
    kind, said = asyncio.run(ask(workspace, Isolation(level, Identity.USERNS), files, "answer = 1"))
    assert kind == "gone"
    assert "mapped files: " in said


def test_a_model_folder_behind_a_link_is_mapped_in(workspace: Path, level: SandboxLevel) -> None:
    (workspace / "models").rename(workspace / "real")
    (workspace / "models").symlink_to(workspace / "real")
    source = f"answer = open({str(workspace / 'models' / 'a.txt')!r}).read()"
    isolation = Isolation(level, Identity.USERNS)
    assert asyncio.run(ask(workspace, isolation, (("a.txt", "b.txt"),), source)) == "b"
