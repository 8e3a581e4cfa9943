"""What a run process may do, as data: the layers of its sandbox, in the order in which they close.

Nothing decides here and nothing is enforced here: ``worker.child`` carries the layers out in a run process, and
``model-worker check --sandbox`` prints them. Whoever judges the sandbox reads this page and the tests in
``tests/hostile``, which take each layer away and see an attack get through.
"""

import resource
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Part(StrEnum):
    """When a layer is there: what of a sandbox level it belongs to.

    always: at every level. walls: at every level but process-only. scratch: with a private scratch, at strict
    and strict+jail. jail: at strict+jail.
    """

    ALWAYS = "always"
    WALLS = "walls"
    SCRATCH = "private_scratch"
    JAIL = "jail"


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer. ``step``: its name where it fails. ``stops``: what gets through without it."""

    step: str
    part: Part
    needs: str
    stops: str


LAYERS: Final = (
    Layer(
        "session",
        Part.ALWAYS,
        "nothing",
        "signals of the worker's terminal; as the first to go when the host runs out of memory, harm to others",
    ),
    Layer(
        "priority",
        Part.ALWAYS,
        "nothing",
        "keeping processors from the worker, from zygotes and from other programs, as long as these want them",
    ),
    Layer(
        "namespaces",
        Part.SCRATCH,
        "root, or user name spaces",
        "mounts and shared memory of others; where the run has a user name space, all networks too",
    ),
    Layer("jail", Part.JAIL, "the same", "names, sizes and times of files that cannot be read anyway"),
    Layer(
        "scratch",
        Part.SCRATCH,
        "the same",
        "filling the disk: bytes and files are bounded, and gone with the run",
    ),
    Layer(
        "rlimits",
        Part.ALWAYS,
        "nothing",
        "using up memory, processor time, descriptors, threads, core dumps, locked memory, message queues",
    ),
    Layer(
        "identity",
        Part.WALLS,
        "root, for a user id of its own",
        "acting as the worker's user: its files, its processes, every capability",
    ),
    Layer(
        "parent",
        Part.ALWAYS,
        "nothing",
        "outliving the worker; being looked into by other processes of the same user",
    ),
    Layer(
        "no_new_privs",
        Part.WALLS,
        "nothing",
        "gaining rights by set-user-id programs; landlock and seccomp need it",
    ),
    Layer(
        "folder",
        Part.ALWAYS,
        "nothing",
        "the worker's working directory, and others reading what the run writes",
    ),
    Layer(
        "landlock",
        Part.WALLS,
        "Linux 6.2 with Landlock",
        "opening any file but the interpreter's, the system's libraries, the model's and the scratch; where the "
        "kernel knows them also TCP, abstract sockets and signals to processes outside",
    ),
    Layer("channel", Part.ALWAYS, "nothing", "descriptors of the worker, of the zygote and of other runs"),
    Layer(
        "seccomp",
        Part.WALLS,
        "seccomp, on x86_64 or aarch64",
        "new processes and programs, sockets of every kind, tracing, mounting, changing metadata, keys, io_uring, "
        "bpf, and what else of the kernel a numeric program never calls",
    ),
)
"""In the order in which they close; each depends on those before it."""

NICENESS: Final = 5
"""How much nicer runs are than the worker: where both want a processor, a run gets a third of what the worker gets."""

# What a run may read besides its own interpreter, its packages and its model's folder.
READABLE: Final = (
    "/usr/lib",
    "/usr/lib64",
    "/lib",
    "/lib64",
    "/usr/share/zoneinfo",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/sys/devices/system/cpu",
    "/dev/zero",
    "/dev/urandom",
)
WRITABLE_DEVICE: Final = "/dev/null"
"""All that a run may write besides its scratch."""

# By name of the limit in an order: the resource, and how far the hard limit lies above the soft one. With
# soft equal to hard, exhausted CPU time is an unexplained SIGKILL; with a gap, SIGXCPU comes first.
RESOURCES: Final = {
    "memory_bytes": (resource.RLIMIT_AS, 0),
    "cpu_seconds": (resource.RLIMIT_CPU, 5),
    "file_bytes": (resource.RLIMIT_FSIZE, 0),
    "stack_bytes": (resource.RLIMIT_STACK, 0),
    "pending_signals": (resource.RLIMIT_SIGPENDING, 0),
}
FORBIDDEN_RESOURCES: Final = (
    resource.RLIMIT_CORE,
    resource.RLIMIT_MEMLOCK,
    resource.RLIMIT_MSGQUEUE,
    resource.RLIMIT_NICE,
    resource.RLIMIT_RTPRIO,
)

# System calls by name, of every machine; those of BY_ARGUMENT are judged by what they are called with.
ALLOWED: Final = """
    read write readv writev pread64 pwrite64 preadv pwritev lseek close fstat newfstatat stat lstat statx
    fstatfs statfs open openat access faccessat faccessat2 readlink readlinkat getdents64 getcwd chdir fchdir
    dup dup2 dup3 close_range ftruncate truncate fsync fdatasync unlink unlinkat rename renameat renameat2
    mkdir mkdirat rmdir umask flock fadvise64 fallocate creat mmap munmap mprotect mremap madvise brk
    membarrier msync futex set_robust_list get_robust_list rseq set_tid_address sched_yield
    sched_getaffinity sched_getparam sched_getscheduler getcpu nanosleep clock_nanosleep clock_gettime
    clock_getres gettimeofday time times getrusage sysinfo uname getrandom getpid gettid getppid getuid
    geteuid getgid getegid getgroups getresuid getresgid getpgrp getpgid getsid getrlimit rt_sigaction
    rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack restart_syscall pause
    alarm setitimer getitimer poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait
    eventfd2 pipe pipe2 recvfrom shutdown getsockname exit exit_group wait4 waitid mbind sendfile
    copy_file_range
"""

# Answered with success and not carried out: copying a file or making a temporary one calls them, and no
# other wall judges them (Landlock does not cover metadata).
PRETENDED: Final = "chmod fchmod fchmodat fchmodat2 utime utimes futimesat fchown"

UNSUPPORTED: Final = """
    setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr
    lremovexattr fremovexattr setxattrat getxattrat listxattrat removexattrat
"""
