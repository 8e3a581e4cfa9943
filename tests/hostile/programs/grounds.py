"""Where the attacks take place: model folders laid out for them, and things outside that they must not reach."""

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.hostile.programs.corpus import MODELS, Attack
from worker.child import syscalls

SECRET = "not for the attacker"
SHARED = (MODELS / "hostile.py", MODELS / "frames.py", Path(syscalls.__file__))
BYSTANDER = MODELS / "bystander.py"


@dataclass(frozen=True)
class Grounds:
    """``folder`` holds ``models`` and, beside it, a file and listeners that nobody may touch."""

    folder: Path
    listeners: tuple[socket.socket, ...]
    before: dict[str, tuple[Any, ...]]

    @property
    def models(self) -> Path:
        return self.folder / "models"

    def world(self, pids: dict[str, int], data: str) -> dict[str, Any]:
        """What an attack is told about its surroundings."""
        tcp, udp, unix, abstract = self.listeners
        return {
            "pids": pids,
            "data": data,
            "models": str(self.models),
            "outside": str(self.folder / "outside"),
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "unix": unix.getsockname(),
            "abstract": abstract.getsockname().decode(),
        }

    def trespasses(self) -> list[str]:
        """What was changed, or connected to, since the beginning."""
        now = _snapshot(self.folder)
        changed = [path for path in sorted({*now, *self.before}) if now.get(path) != self.before.get(path)]
        return changed + [str(one.getsockname()) for one in self.listeners if _was_reached(one)]


@contextmanager
def laid_out(
    corpus: tuple[Attack, ...], owner: int, models: dict[str, dict[str, str]] | None = None
) -> Iterator[Grounds]:
    """Grounds with the folders of all attacks, which belong to ``owner``; removed afterwards.

    ``models``: further ones, by folder and file.
    """
    with TemporaryDirectory(prefix="hostile-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        for attack in corpus:
            _lay_out(attack, folder / "models" / attack.name)
        for model in ("bystander", "other"):
            _plain(folder / "models" / model)
        for model, files in (models or {}).items():
            (folder / "models" / model).mkdir()
            for file, text in files.items():
                (folder / "models" / model / file).write_text(text)
        (folder / "outside").mkdir()
        (folder / "outside" / "secret.txt").write_text(SECRET)
        _give(folder, owner)
        listeners = tuple(stack.enter_context(one) for one in _listeners(folder))
        yield Grounds(folder, listeners, _snapshot(folder))


def _plain(folder: Path) -> None:
    folder.mkdir(parents=True)
    shutil.copy(BYSTANDER, folder / "model.py")
    (folder / "secret.txt").write_text(SECRET)


def _lay_out(attack: Attack, folder: Path) -> None:
    folder.mkdir(parents=True)
    for source in SHARED:
        shutil.copy(source, folder)
    for name, text in attack.beside.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    for name, target in attack.links.items():
        (folder / name).symlink_to(target)
    for name in attack.fifos:
        os.mkfifo(folder / name)
    _place_model(attack, folder / "model.py")
    _place_context(attack, folder / "model.ctx2")


def _place_model(attack: Attack, path: Path) -> None:
    if attack.model_link:
        path.symlink_to(attack.model_link)
    elif attack.place == "fifo":
        os.mkfifo(path)
    elif attack.place == "folder":
        path.mkdir()
    elif attack.place == "file":
        path.write_bytes(attack.source.read_bytes() + _repeated(attack.append).encode("latin-1"))


def _place_context(attack: Attack, path: Path) -> None:
    if attack.context_link:
        path.symlink_to(attack.context_link)
    elif isinstance(attack.context, str):
        path.write_text(attack.context + _repeated(attack.context_append))
    else:
        usual: dict[str, Any] = {
            "version": "V2",
            "operations": {"attack": {"timeoutSeconds": attack.seconds}, "state": {"inert": True}},
            "defaults": {"operations": {"timeoutSeconds": attack.seconds if attack.ask else 30}},
        }
        if attack.when == "create":
            usual["inceptionGracePeriodSeconds"] = attack.seconds
        path.write_text(json.dumps(usual | attack.context))


def _repeated(parts: list[tuple[str, int]]) -> str:
    return "".join(text * times for text, times in parts)


def _give(folder: Path, owner: int) -> None:
    for path in (folder, *folder.rglob("*")):
        if owner != os.geteuid():
            os.chown(path, owner, owner, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)


def _listeners(folder: Path) -> Iterator[socket.socket]:
    yield socket.create_server(("127.0.0.1", 0))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    yield udp
    for kind, address in (
        (socket.SOCK_DGRAM, str(folder / "outside" / "s")),
        (socket.SOCK_STREAM, f"\0hostile-{os.getpid()}-{folder.name}"),
    ):
        unix = socket.socket(socket.AF_UNIX, kind)
        unix.bind(address)
        if kind == socket.SOCK_STREAM:
            unix.listen()
        else:
            Path(address).chmod(0o777)
        yield unix


def _was_reached(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        if listener.type == socket.SOCK_STREAM:
            listener.accept()[0].close()
        else:
            listener.recv(1)
    except BlockingIOError:
        return False
    return True


def _snapshot(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Of all that is below ``folder``: kind, mode, owner, size, times of change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path)] = (
            status.st_mode,
            status.st_uid,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
    return found
