"""The lock-down of a forked run process: every right it will not need is given up, in a fixed order.

Each step depends on the ones before it; the first that the kernel refuses ends the process, because a run
behind half a wall is worse than no run. Nothing here may import, start a thread or look anything up that the
zygote could have prepared: ``Walls`` is built there, once.
"""

import os
import resource
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from worker.channel import CHANNEL_FD, EXIT_PARENT_GONE
from worker.child import kernel, mounts
from worker.child.exposure import expose
from worker.child.landlock import READ, SCRATCH, WRITE_DEVICE, Landlock, open_rule
from worker.child.priority import Groups, choose_groups, weigh_group
from worker.child.readable import outermost, read_paths
from worker.child.seccomp import Program
from worker.policy import FORBIDDEN_RESOURCES, LAYERS, NICENESS, RESOURCES, WRITABLE_DEVICE, Part

_OOM_SCORE: Final = "500"
_PRIVATE_UMASK: Final = 0o077


class LockdownError(Exception):
    """The kernel refused a step; the process must not run a model."""


@dataclass(frozen=True, slots=True)
class Order:
    """How one run process is to be locked down; see ``worker.process.isolation`` for the meaning.

    ``identity``: "uid" (take ``uid``), "userns" (a user name space of its own) or "none". ``walls``: Landlock,
    system call filter, no privileges. ``private_scratch``: a file system of its own over ``scratch_folder``;
    otherwise ``scratch_folder`` is a plain folder or, when None, there is no scratch and the model folder is
    the working directory. ``mapped_files``: (file, the one found in its place), relative to the model folder.
    ``limits``: by the names of ``worker.process.limits.Limits``.
    """

    identity: str
    walls: bool
    private_scratch: bool
    jail: bool
    uid: int
    model_folder: str
    read_paths: tuple[str, ...]
    mapped_files: tuple[tuple[str, str], ...]
    scratch_folder: str | None
    limits: Mapping[str, int]

    @classmethod
    def from_map(cls, fields: Mapping[str, Any]) -> Self:
        """Build an order from the map a fork request carries."""
        mapped = tuple((str(target), str(source)) for target, source in fields["mapped_files"])
        return cls(**{**fields, "read_paths": tuple(fields["read_paths"]), "mapped_files": mapped})


class Walls:
    """What all children of a zygote use for their lock-down, prepared before the first fork.

    ``exposed``: folders to make reachable for children with user ids of their own. ``missing`` names, by step,
    what this kernel does not offer; an order that needs one fails there.
    """

    def __init__(self, exposed: Sequence[str] = ()) -> None:
        self.zygote_pid = os.getpid()
        self.missing: dict[str, str] = {}
        try:
            expose(exposed)  # first, so that the rules name what is seen from now on
        except OSError as error:
            self.missing["namespaces"] = str(error)
        self.groups = choose_groups()
        self.null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self.read_paths = read_paths()
        self.rules = [open_rule(path, READ) for path in outermost(self.read_paths)]
        self.rules.append(open_rule(WRITABLE_DEVICE, READ | WRITE_DEVICE))
        self.landlock: Landlock | None = None
        self.program: Program | None = None
        try:
            self.landlock = Landlock()
        except OSError as error:
            self.missing["landlock"] = str(error)
        try:
            self.program = Program()
        except OSError as error:
            self.missing["seccomp"] = str(error)


class Lockdown:
    """One child's way into its sandbox."""

    def __init__(self, walls: Walls, order: Order, channel: int, output: int) -> None:
        self._walls = walls
        self._order = order
        self._channel = channel
        self._output = output
        self._owner = order.uid if order.identity == "uid" else os.geteuid()
        self._socket: socket.socket | None = None

    def run(self) -> socket.socket:
        """Take every step; afterwards only descriptors 0 to 3 are open. Returns the channel, on descriptor 3.

        Raises:
            LockdownError: naming the step; the process is in no defined state and must end.
        """
        for step, act in self.steps():
            try:
                act()
            except (OSError, ValueError) as error:
                raise LockdownError(f"{step}: {error}") from error
        if self._socket is None:
            raise LockdownError("channel: it was not kept")
        return self._socket

    def steps(self) -> list[tuple[str, Callable[[], None]]]:
        """What is to be done, in order, by the name of the layer."""
        acts: dict[str, Callable[[], None]] = {
            "session": self._begin,
            "priority": self._step_back,
            "namespaces": self._leave_namespaces,
            "jail": self._build_jail,
            "scratch": self._mount_scratch,
            "rlimits": self._limit_resources,
            "identity": self._give_up_identity,
            "parent": self._bind_to_parent,
            "no_new_privs": kernel.set_no_new_privileges,
            "folder": self._enter_folder,
            "landlock": self._restrict_files,
            "channel": self._keep_channel,
            "seccomp": self._load_filter,
        }
        return [(layer.step, acts[layer.step]) for layer in LAYERS if self._wants(layer.part)]

    def _wants(self, part: Part) -> bool:
        return part is Part.ALWAYS or bool(getattr(self._order, part.value))

    def _begin(self) -> None:
        if self._walls.groups is Groups.SHARED:
            os.setpgid(0, 0)
        else:
            os.setsid()
        os.dup2(self._walls.null, 0)
        os.dup2(self._output, 1)
        os.dup2(self._output, 2)
        # Undone by _bind_to_parent: only a dumpable process owns the files in /proc that it must write here.
        kernel.set_dumpable(dumpable=True)
        kernel.write_text("/proc/self/oom_score_adj", _OOM_SCORE)

    def _step_back(self) -> None:
        os.nice(NICENESS)
        if self._walls.groups is Groups.OWN:
            weigh_group()

    def _leave_namespaces(self) -> None:
        if self._order.identity == "userns":
            mounts.enter_user_namespace()
        elif "namespaces" in self._walls.missing:
            raise OSError(self._walls.missing["namespaces"])
        else:
            kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC)
        mounts.make_private()
        if self._order.mapped_files:  # before the jail, which takes what is mounted in the model folder along
            mounts.map_files(self._order.model_folder, self._order.mapped_files)

    def _scratch(self) -> str:
        if self._order.scratch_folder is None:
            raise ValueError("the order names no scratch folder")
        return self._order.scratch_folder

    def _build_jail(self) -> None:
        order = self._order
        devices = (WRITABLE_DEVICE,)
        mounts.build_skeleton(
            self._scratch(), [*self._walls.read_paths, *devices, *order.read_paths, order.model_folder]
        )

    def _mount_scratch(self) -> None:
        folder = self._scratch()
        target = folder + folder if self._order.jail else folder
        if self._order.jail:
            Path(target).mkdir(0o755, parents=True, exist_ok=True)
        limits = self._order.limits
        mounts.mount_scratch(
            target, owner=self._owner, size_bytes=limits["scratch_bytes"], inodes=limits["scratch_inodes"]
        )
        if self._order.jail:  # now that its scratch is in it
            mounts.close_jail(folder)

    def _limit_resources(self) -> None:
        limits = self._order.limits
        for name, (kind, gap) in RESOURCES.items():
            _set_limit(kind, limits[name], limits[name] + gap)
        if self._order.identity != "none":
            # Elsewhere the kernel counts all threads of the user, other runs and the worker included.
            _set_limit(resource.RLIMIT_NPROC, limits["threads"], limits["threads"])
        for kind in FORBIDDEN_RESOURCES:
            _set_limit(kind, 0, 0)

    def _give_up_identity(self) -> None:
        if self._order.identity == "uid":
            uid = self._order.uid
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        kernel.drop_capabilities()

    def _bind_to_parent(self) -> None:
        kernel.set_parent_death_signal()
        kernel.set_dumpable(dumpable=False)
        if os.getppid() != self._walls.zygote_pid:
            os._exit(EXIT_PARENT_GONE)

    def _enter_folder(self) -> None:
        os.umask(_PRIVATE_UMASK)
        scratch = self._order.scratch_folder
        folder = scratch or self._order.model_folder
        os.chdir(folder)
        os.environ["HOME"] = folder
        if scratch:
            os.environ["TMPDIR"] = scratch
        else:
            os.environ.pop("TMPDIR", None)

    def _restrict_files(self) -> None:
        landlock = self._walls.landlock
        if landlock is None:
            raise OSError(self._walls.missing["landlock"])
        rules = [*self._walls.rules, open_rule(self._order.model_folder, READ)]
        rules += [open_rule(path, READ) for path in self._order.read_paths]
        if self._order.scratch_folder is not None:
            rules.append(open_rule(self._order.scratch_folder, SCRATCH))
        landlock.restrict(rules)

    def _keep_channel(self) -> None:
        os.dup2(self._channel, CHANNEL_FD)
        kernel.close_from(CHANNEL_FD + 1)
        # Not earlier: the zygote's descriptors, one per child, take up all low numbers until here.
        open_files = self._order.limits["open_files"]
        _set_limit(resource.RLIMIT_NOFILE, open_files, open_files)
        # Now, because the constructor asks the kernel what the filter will not answer.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, CHANNEL_FD)

    def _load_filter(self) -> None:
        if self._walls.program is None:
            raise OSError(self._walls.missing["seccomp"])
        kernel.load_filter(self._walls.program.address(os.getpid()))


def _set_limit(kind: int, soft: int, hard: int) -> None:
    """Lower a limit; where it is already lower than asked, it stays."""
    _, present = resource.getrlimit(kind)
    if present != resource.RLIM_INFINITY:
        soft, hard = min(soft, present), min(hard, present)
    resource.setrlimit(kind, (soft, hard))
