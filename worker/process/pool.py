"""The zygotes: one per environment and set of preloaded modules, started when first asked for, replaced when they die."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from worker.process.environment import Environment
from worker.process.zygote import Zygote, ZygoteConfig
from worker.telemetry import Logger

OWN: Final = Environment()
"""The worker's own packages."""

_Key = tuple[frozenset[str], tuple[str, ...], str]


class ZygotePool:
    """Starts, shares and retires zygotes. Concurrent requests for one set start one zygote.

    ``make_config`` takes the modules to preload and the folders of packages.

    At most ``limit`` zygotes take new runs; beyond it the one longest unused is retired and ends with its
    last run.
    """

    def __init__(
        self,
        make_config: Callable[[tuple[str, ...], tuple[str, ...]], ZygoteConfig],
        *,
        limit: int,
        log: Logger,
    ) -> None:
        self._make_config = make_config
        self._limit = limit
        self._log = log
        self._zygotes: dict[_Key, asyncio.Task[Zygote]] = {}
        self._retired: set[Zygote] = set()

    async def get(self, preload: Iterable[str], environment: Environment = OWN) -> Zygote:
        """A zygote with these packages that has (tried to) import exactly these modules.

        Raises:
            ZygoteError: it does not start.
        """
        key = (frozenset(preload), environment.folders, environment.build)
        task = self._zygotes.pop(key, None)
        if task is None or self._is_spent(task):
            task = asyncio.create_task(self._start(key))
        self._zygotes[key] = task  # behind all others: most recently used
        self._retire_surplus()
        return await asyncio.shield(task)

    def _is_spent(self, task: "asyncio.Task[Zygote]") -> bool:
        """Whether a zygote failed to start or ended; one that still cleans up after its runs is kept in view."""
        if not task.done():
            return False
        if task.exception() is not None:
            return True
        zygote = task.result()
        if not zygote.takes_forks and not zygote.closed.done():
            self._retired.add(zygote)
        return not zygote.takes_forks

    @property
    def active(self) -> int:
        """Zygotes that take new runs, starting ones included."""
        return len(self._zygotes)

    def zygotes(self) -> list[Zygote]:
        """All zygotes that live, retired ones included."""
        active = [
            task.result()
            for task in self._zygotes.values()
            if task.done() and task.exception() is None and not task.result().closed.done()
        ]
        return [*active, *(zygote for zygote in self._retired if not zygote.closed.done())]

    async def close(self) -> None:
        """End all zygotes and with them every run process; idempotent."""
        tasks, self._zygotes = list(self._zygotes.values()), {}
        started = await asyncio.gather(*tasks, return_exceptions=True)
        retired, self._retired = self._retired, set()
        zygotes = [zygote for zygote in started if isinstance(zygote, Zygote)]
        await asyncio.gather(*(zygote.close() for zygote in [*zygotes, *retired]))

    async def _start(self, key: _Key) -> Zygote:
        loop = asyncio.get_running_loop()
        began = loop.time()
        zygote = await Zygote.start(self._make_config(tuple(sorted(key[0])), key[1]))
        ready = loop.time()
        self._log.info(
            "zygote started",
            pid=zygote.pid,
            duration_seconds=round(ready - began, 4),
            preloaded=list(zygote.preloaded),
            failed=dict(zygote.failed),
            **({"packages": list(key[1])} if key[1] else {}),
        )
        zygote.closed.add_done_callback(
            lambda _: self._log.info(
                "zygote ended", pid=zygote.pid, duration_seconds=round(loop.time() - ready, 4)
            )
        )
        return zygote

    def _retire_surplus(self) -> None:
        while len(self._zygotes) > self._limit:
            key = next(iter(self._zygotes))
            self._zygotes.pop(key).add_done_callback(self._retire)

    def _retire(self, task: "asyncio.Task[Zygote]") -> None:
        if task.cancelled() or task.exception() is not None:
            return
        zygote = task.result()
        self._retired = {old for old in self._retired if not old.closed.done()} | {zygote}
        zygote.retire()
