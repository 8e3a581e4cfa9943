"""A worker that ends or stops a process of its own exactly at a crash point.

``python -m tests.fault.programs.faulty_worker FOLDER`` reads one line of JSON settings per worker from standard
input, forks it (the imports cost most of a start), prints ``ready PID`` when it accepts requests and ``ended
STATUS`` when it is gone. The worker takes plans as JSON datagrams on FOLDER/plans and tells what it did on
FOLDER/told: ``{"armed": …}``, ``{"fired": …}``.
"""

import asyncio
import contextlib
import json
import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from worker.settings import Settings
from worker.supervisor.observe import Moment, Observed, Publish, Reply
from worker.supervisor.worker import run_worker
from worker.telemetry import make_logger

ANSWERS: Final = {"Booted": "Boot", "Replayed": "Replay", "Performed": "Send", "Stopped": "Stop"}
"""The stimulus that says that an asynchronous effect is done."""

WRITES: Final = ("Append", "Commit", "Pause")
"""All are answered by ``Appended``."""

BEGUN_ONLY: Final = {*ANSWERS.values(), *WRITES}
EXIT_SECONDS: Final = 10.0
REPLY_SECONDS: Final = 0.001
"""How long the thread of ZeroMQ needs to put a reply on its way, so that the client has it from a dead worker."""


@dataclass
class Plan:
    """Where ``key`` (a run's tracking key) reaches the point for the n-th time: send ``number`` to the victim."""

    key: str
    effect: str
    moment: str
    victim: str
    number: int
    nth: int = 1

    def reached(self, effect: str, moment: str, key: str | None) -> bool:
        """Whether this is the time."""
        if (self.effect, self.moment, self.key) != (effect, moment, key):
            return False
        self.nth -= 1
        return self.nth == 0


@dataclass
class Dice:
    """Victims by chance: the share of crash points at which each kind is killed.

    ``left`` kills in all, the last of which is the supervisor's.
    """

    random: random.Random
    left: int
    shares: dict[str, float]

    def victim(self) -> str | None:
        """Whom to kill at this crash point."""
        draw = self.random.random()
        if self.left == 1:
            return "supervisor" if draw < sum(self.shares.values()) else None
        for victim, share in self.shares.items():
            draw -= share
            if draw < 0:
                return victim
        return None


def run_process(host: Observed | None) -> int | None:
    """The process of a host, unless it has ended."""
    pid = None if host is None else host.pid
    with contextlib.suppress(psutil.NoSuchProcess):
        if pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            return pid
    return None


def zygote(_host: Observed | None) -> int | None:
    """The zygote of this worker, unless it has ended."""
    for child in psutil.Process().children():
        if child.status() != psutil.STATUS_ZOMBIE:
            return child.pid
    return None


def supervisor(_host: Observed | None) -> int | None:
    """This process."""
    return os.getpid()


VICTIMS: Final[dict[str, Callable[[Observed | None], int | None]]] = {
    "supervisor": supervisor,
    "run process": run_process,
    "zygote": zygote,
}


def strike(pid: int, number: int) -> None:
    """Send a signal and wait until it has had its effect: the worker goes on with the victim dead or stopped."""
    if pid == os.getpid():
        signal.raise_signal(number)
        return
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, number)
        if number == signal.SIGKILL:
            ended = select.poll()
            ended.register(descriptor, select.POLLIN)
            ended.poll(EXIT_SECONDS * 1000)
        else:
            while psutil.Process(pid).status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                os.sched_yield()
    finally:
        os.close(descriptor)


class Saboteur:
    """The observer: carries out plans."""

    def __init__(self, folder: Path) -> None:
        self._told = str(folder / "told")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        plans = folder / "plans"
        plans.unlink(missing_ok=True)
        self._socket.bind(str(plans))
        self._plans: list[Plan] = []
        self._dice: Dice | None = None
        self._hosts: dict[str, Observed] = {}
        self._writing: dict[str, str] = {}

    def listen(self) -> None:
        """Take plans as they come; needs a running loop."""
        asyncio.get_running_loop().add_reader(self._socket, self._take)

    def observe(self, moment: Moment, what: object, host: Observed | None) -> None:
        """Judge one observation; see ``worker.supervisor.observe``."""
        name = type(what).__name__
        host = self._host_of(what) if host is None else host
        if host is not None:
            self._hosts[host.record.run_key] = host
            if name in WRITES:
                self._writing[host.record.run_key] = name
        if name == "Appended" and host is not None:
            self._reach(self._writing[host.record.run_key], Moment.AFTER, host)
        elif name in ANSWERS:
            self._reach(ANSWERS[name], Moment.AFTER, host)
        elif not (moment is Moment.AFTER and name in BEGUN_ONLY):
            self._reach(name, moment, host)

    def _host_of(self, what: object) -> Observed | None:
        if isinstance(what, Publish):
            return self._hosts.get(what.event.run_key)
        if isinstance(what, Reply):
            run = what.reply.get("run") or {}
            return self._hosts.get(run.get("run_key", ""))
        return None

    def _reach(self, effect: str, moment: Moment, host: Observed | None) -> None:
        key = None if host is None else host.record.tracking_key
        for plan in self._plans:
            if plan.reached(effect, moment, key):
                self._plans.remove(plan)
                self._fire(plan, host)
                return
        if self._dice is not None and (victim := self._dice.victim()) is not None:
            plan = Plan("", effect, moment, victim, signal.SIGKILL)
            self._dice.left -= self._fire(plan, host)

    def _fire(self, plan: Plan, host: Observed | None) -> bool:
        """Whether there was a victim; where it was left to chance, only then something is told."""
        pid = VICTIMS[plan.victim](host)
        if pid is None and not plan.key:
            return False
        ends = plan.victim == "supervisor"
        family = [child.pid for child in psutil.Process().children(recursive=True)] if ends else []
        self._tell({"fired": vars(plan), "pid": pid, "family": family})
        if (plan.effect, plan.moment, plan.victim) == ("Reply", Moment.AFTER, "supervisor"):
            time.sleep(REPLY_SECONDS)
        if pid is not None:
            strike(pid, plan.number)
        return pid is not None

    def _take(self) -> None:
        message = json.loads(self._socket.recv(65536))
        if "dice" in message:
            seed, left, shares = message["dice"]
            self._dice = Dice(random.Random(seed), left, shares)
        else:
            self._plans.append(Plan(**message["plan"]))
        self._tell({"armed": message})

    def _tell(self, message: dict[str, Any]) -> None:
        self._socket.sendto(json.dumps(message).encode(), self._told)


async def serve(folder: Path, overrides: dict[str, Any]) -> None:
    """Run one worker."""
    saboteur = Saboteur(folder)
    saboteur.listen()
    settings = Settings.load(None, **overrides)
    log = make_logger("info", "json")

    def ready(_endpoints: list[str]) -> None:
        sys.stdout.write(f"ready {os.getpid()}\n")
        sys.stdout.flush()

    await run_worker(settings, log, ready, saboteur.observe)


def run_child(folder: Path, overrides: dict[str, Any]) -> None:
    """Be the worker; never returns."""
    status = 1
    try:
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 2)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        asyncio.run(serve(folder, overrides))
        status = 0
    finally:
        if status:
            sys.excepthook(*sys.exc_info())
        os._exit(status)


def main(folder: Path) -> None:
    """Serve standard input until it ends."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            run_child(folder, json.loads(line))
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"ended {os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
