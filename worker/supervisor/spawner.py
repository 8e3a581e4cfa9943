"""Starts run processes: the zygote that fits the model, a user id, limits, and where its output goes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.process.environment import Environment
from worker.process.handle import Listener, ProcessHandle
from worker.process.isolation import Identity, Isolation, choose_isolation
from worker.process.limits import Limits, UidPool
from worker.process.output import LineSink
from worker.process.pool import ZygotePool
from worker.process.zygote import ForkRequest, ZygoteError
from worker.settings import Settings
from worker.supervisor.host import RunHost
from worker.supervisor.incarnation import Incarnation
from worker.supervisor.models import ModelSource, importable_from
from worker.telemetry import Logger

FRAME_MARGIN_BYTES: Final = 1024 * 1024
ATTEMPTS: Final = 3
_LEVELS: Final = {
    "STDOUT": "info",
    "TRACE": "debug",
    "DEBUG": "debug",
    "INFO": "info",
    "WARN": "warning",
    "ERROR": "error",
    "FATAL": "critical",
}


@dataclass(frozen=True, slots=True)
class Spawner:
    """Forks run processes for hosts; the isolation was probed when the worker started."""

    pool: ZygotePool
    uids: UidPool
    isolation: Isolation
    settings: Settings
    exposed: tuple[str, ...] = ()

    async def spawn(self, host: RunHost) -> ProcessHandle:
        """A run process for a host; raises as ``spawn_for``."""
        sink = _told_sink(host, shown=self.settings.log_model_output)
        return await self.spawn_for(host.incarnation, host, sink, host.limits)

    async def spawn_for(
        self, incarnation: Incarnation, listener: Listener, sink: LineSink, limits: Limits
    ) -> ProcessHandle:
        """A run process for a model with its packages; ``sink`` gets what it prints.

        Raises:
            ZygoteError: none can be started; nothing is left over.
        """
        # A folder that only the worker's user can reach needs the worker's user, in a name space of its own.
        model, packages = incarnation.model, [Path(folder) for folder in incarnation.environment.folders]
        exposed = [*map(Path, self.exposed), *packages]
        isolation = choose_isolation(
            self.isolation.level, model.folder, also_needed=packages, exposed=exposed
        )
        if self.isolation.identity is not Identity.UID:
            isolation = self.isolation
        uid = self.uids.lease() if isolation.identity is Identity.UID else None
        largest = max(self.settings.max_message_bytes, limits.max_result_bytes)
        request = ForkRequest(
            model_folder=str(model.folder),
            isolation=isolation,
            uid=uid,
            limits=limits,
            # A replayed action travels with what external functions answered.
            max_frame_bytes=largest + self.settings.callback_bytes + FRAME_MARGIN_BYTES,
            mapped_files=incarnation.mapped_files,
        )
        try:
            handle = await self._fork(incarnation, listener, sink, request)
        except BaseException:
            if uid is not None:
                self.uids.release(uid)
            raise
        if uid is not None:
            handle.on_gone(lambda: self.uids.release(uid))
        return handle

    async def _fork(
        self, incarnation: Incarnation, listener: Listener, sink: LineSink, request: ForkRequest
    ) -> ProcessHandle:
        preload = _preload(incarnation.model, incarnation.environment, self.settings)
        failure = ZygoteError("never asked")
        for _ in range(ATTEMPTS):
            zygote = await self.pool.get(preload, incarnation.environment)
            try:
                return await ProcessHandle.spawn(zygote, request, listener=listener, sink=sink)
            except ZygoteError as error:
                # It may have died or been retired since; the pool gives another one then.
                failure = error
        raise failure


def _preload(model: ModelSource, environment: Environment, settings: Settings) -> set[str]:
    """What the zygote imports ahead: what can be imported there, and was chosen by somebody who is trusted."""
    if not environment.folders:
        return {*settings.preload, *model.imports}
    if not environment.preloads:
        return set()
    names = {*settings.preload, *model.named_imports}
    return {name for name in names if importable_from(name, environment.folders)}


def log_sink(log: Logger, *, shown: bool) -> LineSink:
    """Where the lines of a run process go that only the log shall have.

    They are of level DEBUG; with ``shown``, of the level that the model gave them.
    """

    def sink(level: str, line: str) -> None:
        write = getattr(log, _LEVELS[level]) if shown else log.debug
        write("model output", model_level=level, text=line)

    return sink


def _told_sink(host: RunHost, *, shown: bool) -> LineSink:
    """Where a run's lines go: into the log, and to those who follow the run."""
    logged = log_sink(host.log, shown=shown)

    def sink(level: str, line: str) -> None:
        logged(level, line)
        host.teller.output(level, line)

    return sink
