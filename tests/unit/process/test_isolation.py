"""Which identity a run is given, judged on real folders."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.process.isolation import Identity, Isolation, SandboxLevel, choose_isolation, others_can_read
from worker.process.limits import Limits
from worker.process.zygote import ForkRequest


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can reach; pytest's own are private."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_a_folder_with_an_open_chain_can_be_read_by_others(open_folder: Path) -> None:
    assert others_can_read(open_folder)


@pytest.mark.parametrize("mode", (0o700, 0o750, 0o754, 0o751))
def test_a_closed_folder_cannot_be_read_by_others(open_folder: Path, mode: int) -> None:
    inner = open_folder / "inner"
    inner.mkdir()
    inner.chmod(mode)
    assert not others_can_read(inner)


def test_a_closed_parent_hides_an_open_folder(open_folder: Path) -> None:
    inner = open_folder / "closed" / "inner"
    inner.mkdir(parents=True)
    inner.chmod(0o755)
    inner.parent.chmod(0o700)
    assert not others_can_read(inner)


def test_a_link_is_judged_by_where_it_leads(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    link = open_folder / "link"
    link.symlink_to(closed)
    assert not others_can_read(link)


def test_an_exposed_folder_below_a_closed_one_can_be_read(open_folder: Path) -> None:
    inner = open_folder / "closed" / "exposed" / "inner"
    inner.mkdir(parents=True)
    (open_folder / "closed").chmod(0o700)
    exposed = [open_folder / "closed" / "exposed"]
    assert others_can_read(inner, exposed)
    assert not others_can_read(open_folder / "closed", exposed)
    inner.parent.chmod(0o750)
    assert not others_can_read(inner, exposed), "an exposed folder keeps its own mode"


def test_a_missing_folder_cannot_be_read(open_folder: Path) -> None:
    assert not others_can_read(open_folder / "missing")


@pytest.mark.parametrize("level", (SandboxLevel.STRICT, SandboxLevel.STRICT_JAIL))
def test_a_private_model_folder_is_isolated_by_a_user_namespace(
    open_folder: Path, level: SandboxLevel
) -> None:
    open_folder.chmod(0o700)
    assert choose_isolation(level, open_folder) == Isolation(level, Identity.USERNS)


def test_a_private_folder_leaves_strict_noquota_without_an_identity(open_folder: Path) -> None:
    open_folder.chmod(0o700)
    chosen = choose_isolation(SandboxLevel.STRICT_NOQUOTA, open_folder)
    assert chosen == Isolation(SandboxLevel.STRICT_NOQUOTA, Identity.NONE)


def test_process_only_never_changes_identity(open_folder: Path) -> None:
    assert choose_isolation(SandboxLevel.PROCESS_ONLY, open_folder).identity is Identity.NONE


def test_further_folders_count(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    chosen = choose_isolation(SandboxLevel.STRICT, open_folder, also_needed=[closed])
    assert chosen.identity is Identity.USERNS


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give runs user ids")
def test_root_gives_user_ids_when_others_can_read_the_interpreter(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("prefix", "base_prefix"):
        monkeypatch.setattr(f"sys.{name}", str(open_folder))
    assert choose_isolation(SandboxLevel.STRICT, open_folder).identity is Identity.UID


@pytest.mark.parametrize(
    ("level", "walls", "jail", "scratch"),
    (
        (SandboxLevel.STRICT, True, False, True),
        (SandboxLevel.STRICT_JAIL, True, True, True),
        (SandboxLevel.STRICT_NOQUOTA, True, False, False),
        (SandboxLevel.PROCESS_ONLY, False, False, False),
    ),
)
def test_a_level_says_what_it_adds(level: SandboxLevel, *, walls: bool, jail: bool, scratch: bool) -> None:
    isolation = Isolation(level, Identity.USERNS)
    assert (isolation.walls, isolation.jail, isolation.private_scratch) == (walls, jail, scratch)


@pytest.mark.parametrize(
    ("identity", "uid", "folder", "complaint"),
    (
        (Identity.UID, None, "/models", "uid None"),
        (Identity.USERNS, 5000, "/models", "uid 5000"),
        (Identity.USERNS, None, "models", "not absolute"),
    ),
)
def test_a_senseless_fork_request_is_refused(
    identity: Identity, uid: int | None, folder: str, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        ForkRequest(
            model_folder=folder,
            isolation=Isolation(SandboxLevel.STRICT, identity),
            uid=uid,
            limits=Limits(),
            max_frame_bytes=1000,
        )


def test_files_cannot_be_mapped_without_mounts_of_the_runs_own() -> None:
    with pytest.raises(ValueError, match="cannot be mapped at strict-noquota"):
        ForkRequest(
            model_folder="/models",
            isolation=Isolation(SandboxLevel.STRICT_NOQUOTA, Identity.NONE),
            uid=None,
            limits=Limits(),
            max_frame_bytes=1000,
            mapped_files=(("a", "b"),),
        )
