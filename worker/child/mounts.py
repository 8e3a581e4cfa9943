"""What a run process sees of the file system: a scratch of its own, and with ``jail`` nothing but what it needs.

All mounts are made in name spaces that only the calling process is in, so the kernel takes them down when it
ends and nothing is left in the folder they were mounted on.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from worker.child import kernel
from worker.child.readable import outermost

_SKELETON_BYTES: Final = 1 << 20

# statvfs flags that a bind mount must keep, because an ordinary user may not take them away.
_KEPT_FLAGS: Final = {
    os.ST_RDONLY: kernel.MS_RDONLY,
    os.ST_NOSUID: kernel.MS_NOSUID,
    os.ST_NODEV: kernel.MS_NODEV,
    os.ST_NOEXEC: kernel.MS_NOEXEC,
    os.ST_NOATIME: 1 << 10,
    os.ST_NODIRATIME: 1 << 11,
    os.ST_RELATIME: 1 << 21,
}


def enter_user_namespace() -> None:
    """Leave the shared user, network, IPC and mount name spaces; the own user and group stay as they are."""
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWNS)
    kernel.write_text("/proc/self/setgroups", "deny")
    kernel.write_text("/proc/self/uid_map", f"{user} {user} 1")
    kernel.write_text("/proc/self/gid_map", f"{group} {group} 1")


def make_private() -> None:
    """Let no mount made here be seen outside, nor one made outside appear here."""
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)


def mount_scratch(folder: str, *, owner: int, size_bytes: int, inodes: int) -> None:
    """Put an empty file system of bounded size over ``folder``; only ``owner`` (user and group) may enter."""
    options = f"size={size_bytes},nr_inodes={inodes},mode=0700,uid={owner},gid={owner}"
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("scratch", folder, "tmpfs", flags, options)


def map_files(folder: str, pairs: Iterable[tuple[str, str]]) -> None:
    """Mount for each (target, source) in ``folder`` the file ``source`` over the file ``target``, read-only.

    All files are opened before the first is mounted, so that two may stand for each other.

    Raises:
        ValueError: a path leads through a link below the folder by now.
    """
    real = os.path.realpath(folder)
    opened = [
        (f"{real}/{target}", _open_real(f"{real}/{target}"), _open_real(f"{real}/{source}"))
        for target, source in pairs
    ]
    for target, target_fd, source_fd in opened:
        kernel.mount(f"/proc/self/fd/{source_fd}", f"/proc/self/fd/{target_fd}", "", kernel.MS_BIND)
        _make_read_only(target)
    for _, target_fd, source_fd in opened:
        os.close(target_fd)
        os.close(source_fd)


def _open_real(path: str) -> int:
    """A descriptor that only names the file; a link would let a model folder name any file of the host."""
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    real = str(Path(f"/proc/self/fd/{fd}").readlink())
    if real != path or not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ValueError(f"mapped files: {path} is no regular file, or a link led to it")
    return fd


def build_skeleton(root: str, paths: Iterable[str], within: str = "") -> None:
    """Mount an empty file system at ``root`` that holds what of ``paths`` is beneath ``within``, all read-only.

    It can take the place of ``within``, which is "" for the root directory. A path that leads through links is
    there under its real name, with one link from the name given. ``seal`` makes the skeleton itself read-only.
    """
    kernel.mount("skeleton", root, "tmpfs", kernel.MS_NOSUID, f"size={_SKELETON_BYTES},mode=0755")
    named = [path for path in paths if path.startswith(f"{within}/")]
    for path in outermost(paths):
        if path.startswith(f"{within}/"):
            _bind(Path(path), Path(root + path.removeprefix(within)))
    for path in named:
        link = Path(root + path.removeprefix(within))
        if not link.is_symlink() and not link.exists():
            link.parent.mkdir(0o755, parents=True, exist_ok=True)
            link.symlink_to(Path(path).resolve())


def seal(root: str) -> None:
    """Make the skeleton at ``root`` read-only."""
    kernel.mount("none", root, "", kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID)


def close_jail(root: str) -> None:
    """Turn to the skeleton at ``root`` for good: it becomes read-only and the host's tree is detached."""
    seal(root)
    kernel.enter_root(root)


def _bind(source: Path, target: Path) -> None:
    if source.is_dir():
        target.mkdir(0o755, parents=True, exist_ok=True)
    else:
        target.parent.mkdir(0o755, parents=True, exist_ok=True)
        target.touch(0o644)
    kernel.mount(str(source), str(target), "", kernel.MS_BIND | kernel.MS_REC)
    _make_read_only(str(target))


def _make_read_only(target: str) -> None:
    present = os.statvfs(target).f_flag
    kept = sum(flag for name, flag in _KEPT_FLAGS.items() if present & name)
    read_only = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kept
    kernel.mount("none", target, "", read_only)
