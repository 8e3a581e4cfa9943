"""Why a run process ended, and what to do about it."""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from worker.channel import EXIT_LOCKDOWN_FAILED, EXIT_PARENT_GONE
from worker.process.limits import Limits
from worker.process.zygote import ExitReport

_EXITED: Final = "PROCESS_EXITED"
_LIMIT: Final = "LIMIT_EXCEEDED"

_ZYGOTE_GONE: Final = (
    "the zygote that the process was forked from ended, and the process with it; something outside the worker "
    "killed it, or the host ran out of memory"
)
_BY_SIGNAL: Final[Mapping[int, str]] = {
    signal.SIGSEGV: "the model crashed (SIGSEGV): a fault in compiled code, or recursion deeper than the stack; "
    "look at extension modules, ctypes and sys.setrecursionlimit",
    signal.SIGBUS: "the model crashed (SIGBUS): a mapped file became shorter than its mapping, or its scratch "
    "is full; write mapped files in whole before mapping them",
    signal.SIGFPE: "the model crashed (SIGFPE): an integer division by zero in compiled code; look at extension "
    "modules",
    signal.SIGILL: "the model crashed (SIGILL): compiled code uses instructions this machine lacks; install "
    "packages built for this processor",
    signal.SIGABRT: "the model gave up (SIGABRT): the interpreter or a library met a state it cannot go on from; "
    "its last lines of output say which",
    signal.SIGSYS: "the sandbox ended the process (SIGSYS): code of another architecture made a system call; use "
    "packages built for this machine",
}


@dataclass(frozen=True, slots=True)
class ExitCause:
    """``code``: PROCESS_EXITED or LIMIT_EXCEEDED. ``message``: what happened and what to do, for a person.

    ``information``: "signal" (name) or "exit_code", "cpu_seconds", "max_rss_bytes"; for a limit also "limit"
    (its name in the settings) and, where known, "used" and "allowed".
    """

    code: str
    message: str
    information: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def classify_exit(report: ExitReport, *, killed_for: str | None, limits: Limits | None = None) -> ExitCause:
    """Name the cause of an exit. ``killed_for``: the reason if the worker itself sent SIGKILL.

    What the kernel reports goes first: a process that had crashed before the worker's kill reached it, crashed.
    """
    if report.with_zygote and not killed_for:
        return ExitCause(_EXITED, _ZYGOTE_GONE, {"signal": "SIGKILL"})
    facts: dict[str, Any] = {
        "cpu_seconds": round(report.cpu_seconds, 3),
        "max_rss_bytes": report.max_rss_bytes,
    }
    if os.WIFSIGNALED(report.wait_status):
        number = os.WTERMSIG(report.wait_status)
        facts |= {"signal": _signal_name(number)}
        spent = limits is not None and report.counted_seconds >= limits.cpu_seconds
        if number == signal.SIGXCPU or (number == signal.SIGKILL and not killed_for and spent):
            return _cpu_limit(facts, max(report.cpu_seconds, report.counted_seconds), limits)
        return _by_signal(number, facts, killed_for)
    code = os.waitstatus_to_exitcode(report.wait_status)
    return ExitCause(_EXITED, _exit_message(code), facts | {"exit_code": code})


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def _by_signal(number: int, facts: dict[str, Any], killed_for: str | None) -> ExitCause:
    if number == signal.SIGKILL and killed_for:
        return ExitCause(
            _EXITED, f"the worker ended the process: {killed_for}", facts | {"killed_for": killed_for}
        )
    if number == signal.SIGKILL:
        message = (
            "something outside the worker killed the process (SIGKILL): most likely the host ran out of memory; "
            "lower memory_bytes, run fewer runs at once, and look for 'out of memory' in the kernel's log"
        )
        return ExitCause(_EXITED, message, facts)
    name = facts["signal"]
    message = _BY_SIGNAL.get(number, f"the process was ended by {name}; the worker did not send it")
    return ExitCause(_EXITED, message, facts)


def _cpu_limit(facts: dict[str, Any], used: float, limits: Limits | None) -> ExitCause:
    allowed = {"allowed": limits.cpu_seconds} if limits else {}
    bound = f" of {limits.cpu_seconds} s" if limits else ""
    return ExitCause(
        _LIMIT,
        f"the run used up its CPU time{bound} (cpu_seconds); look for a loop that does not end, or raise the limit",
        facts | {"limit": "cpu_seconds", "used": round(used, 3), **allowed},
    )


def _exit_message(code: int) -> str:
    if code == EXIT_LOCKDOWN_FAILED:
        return (
            "the process could not be locked down and ran no model code (exit 97); its output names the step, and "
            "the worker's start-up probe what the host lacks"
        )
    if code == EXIT_PARENT_GONE:
        return "the process found its zygote or the worker's end of its socket gone (exit 98); it can be tried again"
    if code == 0:
        return (
            "the model ended its own process (exit 0); a model must return from its operations and not call "
            "os._exit"
        )
    return f"the process ended itself with exit code {code}; its last lines of output may say why"
