"""What the hosts of one worker share."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.process.handle import ProcessHandle
from worker.process.limits import Limits
from worker.settings import Settings
from worker.supervisor.events import Announcer
from worker.supervisor.memory import MemoryAccount
from worker.supervisor.observe import Observe, unobserved
from worker.supervisor.providers import Providers
from worker.supervisor.schemas import Schemas
from worker.supervisor.slots import Slots
from worker.telemetry import Logger

if TYPE_CHECKING:
    from worker.supervisor.host import RunHost


@dataclass(frozen=True, slots=True)
class HostServices:
    """What all hosts share."""

    settings: Settings
    limits: Limits
    log: Logger
    replays: Slots
    boots: Slots
    memory: MemoryAccount
    spawn: Callable[["RunHost"], Coroutine[Any, Any, ProcessHandle]]
    released: Callable[["RunHost", bool], None]
    announcer: Announcer
    progress: Callable[[str, str | None, int, int], None]
    providers: Providers
    schemas: Schemas
    observe: Observe = unobserved
