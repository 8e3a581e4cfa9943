"""Who the worker may be, and how far it locks its runs up: what it says is what it does, or it does not start.

What a host cannot offer is not skipped: there the worker must refuse, naming what is missing.
"""

import configparser
import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from protocol.client import Client
from protocol.errors import ProtocolError

REPOSITORY = Path(__file__).parents[2]
FIRST_RUN_UID = 1_900_000_000
ORDINARY_UID = 12345

LOOK = """
import os
import tempfile

count = 0


def step():
    global count
    count += 1
    return count


def look(path):
    try:
        open(path, "rb").read(1)
    except OSError as error:
        return type(error).__name__
    return "read"


def write_scratch(megabytes):
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * (megabytes << 20))
    except OSError as error:
        return type(error).__name__
    return "written"


def start_process():
    try:
        pid = os.posix_spawn("/bin/true", ["true"], {})
    except OSError as error:
        return type(error).__name__
    os.waitpid(pid, 0)
    return "started"


def exists(path):
    return os.path.exists(path)

def who():
    return os.getuid()
"""

IS_ROOT = os.geteuid() == 0


def can(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


AS_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
HAS_USER_NAMESPACES = can(*AS_USER, "true")
PROGRAM = (sys.executable, "-m", "worker.cli.main")


def others_may_read(path: Path) -> bool:
    real = path.resolve()
    return all(part.stat().st_mode & stat.S_IXOTH for part in (real, *real.parents))


INTERPRETER_IS_PUBLIC = all(map(others_may_read, (Path(sys.prefix), Path(sys.base_prefix))))

CAN_GIVE_UIDS = IS_ROOT and can("unshare", "--mount", "--ipc", "true")
HAS_NAMESPACES = HAS_USER_NAMESPACES or CAN_GIVE_UIDS
SETPRIV = ("setpriv", "--ambient-caps=-all", "--inh-caps=-all")


def without_namespaces() -> tuple[str, ...]:
    """A worker that can make none: an ordinary user at a limit of 0, or root without the capability."""
    if HAS_USER_NAMESPACES:
        forbid = f'echo 0 > /proc/sys/user/max_user_namespaces && exec {" ".join(SETPRIV)} "$@"'
        return (*AS_USER, "--keep-caps", "sh", "-c", forbid, "sh", *PROGRAM)
    if HAS_NAMESPACES:
        return (*SETPRIV, "--bounding-set=-sys_admin", *PROGRAM)
    return PROGRAM


@pytest.fixture(scope="module")
def models(open_folder: Path) -> Path:
    folder = open_folder / "models"
    (folder / "look").mkdir(parents=True)
    (folder / "look/model.py").write_text(LOOK)
    return folder


@pytest.fixture(scope="module")
def public_python(open_folder: Path) -> str:
    """An interpreter with the project installed that every user may read."""
    base = sys.executable if INTERPRETER_IS_PUBLIC else shutil.which("python3", path="/usr/bin") or ""
    version = subprocess.run(
        [base, "-c", "import sys; print(*sys.version_info[:2], sep='.')"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    if version != ".".join(map(str, sys.version_info[:2])):
        pytest.skip(f"{base} is Python {version}: the packages of {sys.executable} do not fit it")
    venv = open_folder / "venv"
    subprocess.run([base, "-m", "venv", "--without-pip", str(venv)], check=True)
    packages = venv / f"lib/python{version}/site-packages"
    for folder in ("worker", "protocol"):
        shutil.copytree(REPOSITORY / folder, packages / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for source in distribution_files():
        if source.is_dir():
            shutil.copytree(source, packages / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, packages)
    for path in (venv, *venv.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o444 | (0o111 if path.is_dir() else 0))
    return str(venv / "bin/python")


def distribution_files() -> set[Path]:
    """The folders and files of everything the project needs at run time."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    seen: set[str] = set()
    found: set[Path] = set()
    while wanted:
        name = re.split(r"[^A-Za-z0-9._-]", wanted.pop(), maxsplit=1)[0]
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system or Python
        if name in seen:
            continue
        seen.add(name)
        wanted += [need for need in distribution.requires or () if "extra ==" not in need]
        tops = {
            file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")
        }
        found |= {Path(str(distribution.locate_file(top))) for top in tops}
    return {path for path in found if path.exists()}


def used(client: Client) -> str:
    """A run that works: created, used, evicted, restored."""
    run = client.create_run("look/model.py")
    assert client.call_operation(run.run_key, "step") == 1
    client.evict_run(run.run_key)
    assert client.call_operation(run.run_key, "step") == 2
    return run.run_key


def assert_level(served: Any, client: Client, level: str, identity: str, *, holds: bool) -> None:
    """The log, ``worker_status`` and every Run say the same."""
    (record,) = served.logged("worker ready")
    assert record["sandbox"] == f"{level} ({identity})"
    status = client.worker_status()["sandbox"]
    assert status == {"level": level, "identity": identity, "holds_hostile_models": holds}
    run = client.create_run("look/model.py")
    assert run.sandbox == level
    assert client.get_run(run.run_key).sandbox == level
    client.evict_run(run.run_key)


def assert_walls(
    client: Client, run_key: str, *, scratch: bool = True, hides: str = "PermissionError"
) -> None:
    assert client.call_operation(run_key, "look", ["/etc/passwd"]) == hides
    assert client.call_operation(run_key, "start_process") == "PermissionError"
    if scratch:
        assert client.call_operation(run_key, "write_scratch", [1]) == "written"
        assert client.call_operation(run_key, "write_scratch", [20]) == "OSError"


def assert_refused(served: Any, level: str) -> None:
    assert served.ready == ""
    assert served.process.wait(30) == 1
    told = served.log.read_text()
    assert f"the sandbox level {level} does not hold on this host" in told
    assert "namespaces: " in told
    assert "strict-noquota" in told, "the way out is named"


needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can give runs user ids of their own")


@pytest.mark.parametrize("level", ("strict", "strict+jail"))
def test_as_the_user_of_these_tests(launch: Any, models: Path, level: str) -> None:
    served = launch(models, MODEL_WORKER_SANDBOX=level)
    if not HAS_NAMESPACES:
        assert_refused(served, level)
        return
    identity = "uid" if IS_ROOT else "userns"
    with served.client() as client:
        assert_level(served, client, level, identity, holds=True)
        assert_walls(
            client, used(client), hides="FileNotFoundError" if level == "strict+jail" else "PermissionError"
        )
    assert served.stop() == 0


@pytest.mark.parametrize("level", ("strict", "strict+jail"))
def test_as_an_ordinary_user(launch: Any, models: Path, level: str) -> None:
    if not HAS_USER_NAMESPACES:
        assert_refused(launch(models, MODEL_WORKER_SANDBOX=level), level)
        return
    served = launch(models, program=(*AS_USER, *PROGRAM), MODEL_WORKER_SANDBOX=level)
    with served.client() as client:
        assert_level(served, client, level, "userns", holds=True)
        key = used(client)
        assert_walls(client, key, hides="FileNotFoundError" if level == "strict+jail" else "PermissionError")
    assert served.stop() == 0


@needs_root
def test_as_root_with_a_user_id_for_each_run(launch: Any, models: Path, public_python: str) -> None:
    served = launch(models, program=(public_python, "-m", "worker.cli.main"), cwd=Path("/"), PYTHONPATH="")
    if not CAN_GIVE_UIDS:
        assert_refused(served, "strict")
        return
    with served.client() as client:
        assert_level(served, client, "strict", "uid", holds=True)
        keys = [used(client) for _ in range(2)]
        uids = {client.call_operation(key, "who") for key in keys}
        assert len(uids) == 2
        assert min(uids) >= FIRST_RUN_UID
        assert {process.uids().real for process in served.run_processes()} == uids
        assert_walls(client, keys[0])
    assert served.stop() == 0


@needs_root
def test_as_root_with_models_that_only_root_may_read(
    launch: Any, models: Path, public_python: str, open_folder: Path
) -> None:
    private = open_folder / "private"
    shutil.copytree(models, private)
    private.chmod(0o700)
    served = launch(private, program=(public_python, "-m", "worker.cli.main"), cwd=Path("/"), PYTHONPATH="")
    if not HAS_USER_NAMESPACES:
        assert_refused(served, "strict")
        return
    with served.client() as client:
        assert_level(served, client, "strict", "userns", holds=True)
        assert_walls(client, used(client))
    assert served.stop() == 0


@needs_root
def test_as_root_with_models_below_a_home_that_only_root_may_enter(
    launch: Any, models: Path, open_folder: Path
) -> None:
    home = open_folder / "home"
    shutil.copytree(models, home / "models")
    (home / "beside").mkdir()
    home.chmod(0o700)
    served = launch(home / "models", MODEL_WORKER_SANDBOX="strict")
    if not CAN_GIVE_UIDS:
        assert_refused(served, "strict")
        return
    with served.client() as client:
        assert_level(served, client, "strict", "uid", holds=True)
        key = used(client)
        assert client.call_operation(key, "who") >= FIRST_RUN_UID
        assert_walls(client, key)
        assert client.call_operation(key, "exists", [str(home / "models")]) is True
        assert client.call_operation(key, "exists", [str(home / "beside")]) is False
    assert served.stop() == 0


@needs_root
def test_as_an_ordinary_user_of_this_very_system(launch: Any, models: Path, public_python: str) -> None:
    drop = ("setpriv", f"--reuid={ORDINARY_UID}", f"--regid={ORDINARY_UID}", "--clear-groups")
    os.chown(launch.folder, ORDINARY_UID, ORDINARY_UID)
    program = (*drop, public_python, "-m", "worker.cli.main")
    served = launch(models, data=str(launch.folder / "data"), program=program, cwd=Path("/"), PYTHONPATH="")
    if not can(*drop, *AS_USER, "true"):
        assert_refused(served, "strict")
        return
    with served.client() as client:
        assert_level(served, client, "strict", "userns", holds=True)
        assert psutil.Process(served.pid).uids().real == ORDINARY_UID
        assert_walls(client, used(client))
    assert served.stop() == 0


def test_walls_without_scratch_by_setting(launch: Any, models: Path) -> None:
    served = launch(models, MODEL_WORKER_SANDBOX="strict-noquota")
    identity = "uid" if IS_ROOT and INTERPRETER_IS_PUBLIC else "none"
    with served.client() as client:
        assert_level(served, client, "strict-noquota", identity, holds=True)
        key = used(client)
        assert_walls(client, key, scratch=False)
        assert client.call_operation(key, "write_scratch", [1]) != "written"
    (warning,) = [record for record in served.logged_levels("warning") if "sandbox" in record]
    assert "no scratch" in warning["event"]
    assert served.stop() == 0


def test_no_walls_by_setting_is_said_everywhere(launch: Any, models: Path) -> None:
    served = launch(models, MODEL_WORKER_SANDBOX="process-only")
    with served.client() as client:
        assert_level(served, client, "process-only", "none", holds=False)
        key = used(client)
        assert client.call_operation(key, "look", ["/etc/passwd"]) == "read"
        assert client.call_operation(key, "write_scratch", [1]) == "written"
    (warning,) = [record for record in served.logged_levels("warning") if "sandbox" in record]
    assert "hostile models are not held" in warning["event"]
    assert served.stop() == 0


@pytest.mark.parametrize("level", ("strict", "strict+jail"))
def test_without_name_spaces_a_level_that_needs_them_is_refused(
    launch: Any, models: Path, level: str
) -> None:
    assert_refused(launch(models, program=without_namespaces(), MODEL_WORKER_SANDBOX=level), level)


def test_without_name_spaces_a_lower_level_works_when_it_is_asked_for(launch: Any, models: Path) -> None:
    served = launch(models, program=without_namespaces(), MODEL_WORKER_SANDBOX="strict-noquota")
    with served.client() as client:
        assert client.worker_status()["sandbox"]["level"] == "strict-noquota"
        assert_walls(client, used(client), scratch=False)
    assert served.stop() == 0


def test_a_refusal_leaves_nothing_behind(launch: Any, models: Path, open_folder: Path) -> None:
    temporary = open_folder / "temporary"
    temporary.mkdir()
    served = launch(models, program=without_namespaces(), TMPDIR=str(temporary))
    assert_refused(served, "strict")
    assert list(temporary.iterdir()) == []


def test_an_unknown_level_is_no_level(command: Callable[..., Any], models: Path) -> None:
    done = command("serve", "--models", str(models), "--data", ":memory:", MODEL_WORKER_SANDBOX="off")
    assert done.status == 1
    assert "sandbox" in done.err


def test_a_model_learns_of_a_refusal_as_an_exception_of_its_own(launch: Any, models: Path) -> None:
    """Not by the end of its process: a library that looks around must find a closed door, no trap."""
    served = launch(models)
    if served.ready == "":
        assert_refused(served, "strict")
        return
    with served.client() as client:
        key = client.create_run("look/model.py").run_key
        assert client.call_operation(key, "look", ["/etc/shadow"]) == "PermissionError"
        with pytest.raises(ProtocolError) as caught:
            client.call_operation(key, "look", [])
        assert caught.value.information["type"] == "TypeError"


# The recipes under config/


def with_capabilities(*names: str) -> tuple[str, ...]:
    """Start a program as with a container's or unit's bounding set and no new privileges."""
    kept = ",".join(["-all", *(f"+{name.lower()}" for name in names)])
    return ("setpriv", "--no-new-privs", f"--bounding-set={kept}", "--inh-caps=-all")


@needs_root
def test_strict_holds_with_the_capabilities_of_the_container_and_with_none_less(
    launch: Any, models: Path
) -> None:
    names = re.findall(r"--cap-add=(\w+)", (REPOSITORY / "config" / "Containerfile").read_text())
    if not CAN_GIVE_UIDS:
        pytest.skip("this host grants root no mounts, whatever the recipe says")
    served = launch(models, program=(*with_capabilities(*names), *PROGRAM), MODEL_WORKER_SANDBOX="strict")
    with served.client() as client:
        assert_level(served, client, "strict", "uid", holds=True)
        assert_walls(client, used(client))
    assert served.stop() == 0
    for missing in names:
        fewer = [name for name in names if name != missing]
        refused = launch(
            models, program=(*with_capabilities(*fewer), *PROGRAM), MODEL_WORKER_SANDBOX="strict"
        )
        assert refused.ready == "", f"without {missing}"
        assert refused.process.wait(30) == 1
        assert "the sandbox level strict does not hold on this host" in refused.log.read_text()


@needs_root
def test_strict_holds_for_the_user_of_the_unit(launch: Any, models: Path, public_python: str) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[method-assign,assignment]  # names of directives keep their case
    unit.read(REPOSITORY / "config" / "model-worker.service")
    service = unit["Service"]
    assert (service["CapabilityBoundingSet"], service["NoNewPrivileges"]) == ("", "yes")
    assert set(service["RestrictNamespaces"].split()) == {"user", "mnt", "net", "ipc"}
    drop = ("setpriv", f"--reuid={ORDINARY_UID}", f"--regid={ORDINARY_UID}", "--clear-groups")
    if not can(*drop, *AS_USER, "true"):
        pytest.skip("this host allows ordinary users no name spaces, which the unit says it needs")
    os.chown(launch.folder, ORDINARY_UID, ORDINARY_UID)
    program = (*drop, *with_capabilities()[1:], public_python, "-m", "worker.cli.main")
    served = launch(models, data=str(launch.folder / "data"), program=program, cwd=Path("/"), PYTHONPATH="")
    with served.client() as client:
        assert_level(served, client, "strict", "userns", holds=True)
        assert_walls(client, used(client))
    assert served.stop() == 0
