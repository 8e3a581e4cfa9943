"""Every way to end has a cause that a person can act on."""

import signal

import pytest

from protocol.errors import ErrorCode
from worker.channel import EXIT_LOCKDOWN_FAILED, EXIT_PARENT_GONE
from worker.process.exits import classify_exit
from worker.process.limits import Limits
from worker.process.zygote import ExitReport


def signalled(number: int, *, cpu_seconds: float = 0.5, counted_seconds: float = 0.5) -> ExitReport:
    return ExitReport(number, 1 << 20, cpu_seconds, counted_seconds)


def exited(code: int) -> ExitReport:
    return ExitReport(code << 8, 1 << 20, 0.5)


@pytest.mark.parametrize(
    ("number", "words"),
    (
        (signal.SIGSEGV, "crashed"),
        (signal.SIGBUS, "mapped file"),
        (signal.SIGFPE, "division by zero"),
        (signal.SIGABRT, "last lines of output"),
        (signal.SIGSYS, "sandbox"),
        (signal.SIGKILL, "out of memory"),
        (signal.SIGTERM, "SIGTERM"),
    ),
)
def test_a_signal_is_named_and_explained(number: signal.Signals, words: str) -> None:
    cause = classify_exit(signalled(number), killed_for=None)
    assert cause.code == "PROCESS_EXITED"
    assert words in cause.message
    assert cause.information["signal"] == number.name


@pytest.mark.parametrize(
    ("code", "words"),
    (
        (0, "os._exit"),
        (1, "exit code 1"),
        (EXIT_LOCKDOWN_FAILED, "locked down"),
        (EXIT_PARENT_GONE, "zygote"),
    ),
)
def test_an_exit_code_is_explained(code: int, words: str) -> None:
    cause = classify_exit(exited(code), killed_for=None)
    assert cause.code == "PROCESS_EXITED"
    assert words in cause.message
    assert cause.information["exit_code"] == code


def test_a_kill_by_the_worker_tells_its_reason() -> None:
    cause = classify_exit(signalled(signal.SIGKILL), killed_for="deadline of 30 s")
    assert cause.code == "PROCESS_EXITED"
    assert "the worker ended the process: deadline of 30 s" in cause.message


def test_a_crash_before_the_workers_kill_stays_a_crash() -> None:
    cause = classify_exit(signalled(signal.SIGSEGV), killed_for="closed its socket")
    assert cause.information["signal"] == "SIGSEGV"
    assert "crashed" in cause.message


@pytest.mark.parametrize("number", (signal.SIGXCPU, signal.SIGKILL))
def test_spent_cpu_time_is_a_limit(number: int) -> None:
    report = signalled(number, cpu_seconds=12.34567, counted_seconds=10.0)
    cause = classify_exit(report, killed_for=None, limits=Limits(cpu_seconds=10))
    assert cause.code == "LIMIT_EXCEEDED"
    assert {"limit": "cpu_seconds", "used": 12.346, "allowed": 10}.items() <= dict(cause.information).items()


def test_what_counts_towards_the_limit_is_what_the_kernel_counts() -> None:
    """It counts in ticks, and ends a process that by the exact clock has used less, or leaves one that used more."""
    limits = Limits(cpu_seconds=10)
    early = signalled(signal.SIGKILL, cpu_seconds=6.2, counted_seconds=15.0)
    cause = classify_exit(early, killed_for=None, limits=limits)
    assert cause.code == "LIMIT_EXCEEDED"
    assert {"used": 15.0, "cpu_seconds": 6.2}.items() <= dict(cause.information).items()
    late = signalled(signal.SIGKILL, cpu_seconds=12.0, counted_seconds=9.9)
    assert classify_exit(late, killed_for=None, limits=limits).code == "PROCESS_EXITED"


def test_spent_cpu_time_is_a_limit_even_when_the_limit_is_not_at_hand() -> None:
    cause = classify_exit(signalled(signal.SIGXCPU), killed_for=None)
    assert cause.code == "LIMIT_EXCEEDED"
    assert "allowed" not in cause.information


def test_an_unnamed_real_time_signal_is_still_told() -> None:
    assert classify_exit(signalled(40), killed_for=None).information["signal"] == "SIG40"


@pytest.mark.parametrize("report", (signalled(signal.SIGXCPU), signalled(signal.SIGKILL), exited(0)))
def test_the_code_is_one_of_the_protocols(report: ExitReport) -> None:
    cause = classify_exit(report, killed_for=None)
    assert ErrorCode(cause.code) in (ErrorCode.PROCESS_EXITED, ErrorCode.LIMIT_EXCEEDED)
    assert cause.information["max_rss_bytes"] == 1 << 20
