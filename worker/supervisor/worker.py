"""The composition root: builds one worker from its settings, runs it, takes it down."""

import asyncio
import contextlib
import os
import resource
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from worker import VERSION
from worker.log.base import Store
from worker.log.memory import MemoryStore
from worker.log.sqlite import SqliteStore
from worker.process.isolation import Isolation, SandboxLevel, choose_isolation
from worker.process.limits import Limits, UidPool
from worker.process.pool import ZygotePool
from worker.process.sandbox import probe
from worker.process.zygote import ZygoteConfig
from worker.settings import Settings
from worker.supervisor.access import StateAccess
from worker.supervisor.births import Births
from worker.supervisor.events import Announcer
from worker.supervisor.host import HostServices, RunHost
from worker.supervisor.incarnation import Incarnation
from worker.supervisor.introspection import Introspector
from worker.supervisor.models import ModelCatalog
from worker.supervisor.observe import Observe, observed_listener, observed_submit, unobserved
from worker.supervisor.publisher import Publisher, publisher
from worker.supervisor.replay import ReplaySlots
from worker.supervisor.router import Router
from worker.supervisor.spawner import Spawner
from worker.supervisor.supervisor import Supervisor
from worker.supervisor.table import RunTable, Stores
from worker.telemetry import Logger

RUNTIME_PREFIX: Final = "model-worker-"
DESCRIPTORS_PER_RUN: Final = 3
"""Its socket, its output pipe, its pidfd."""
OTHER_DESCRIPTORS: Final = 200
"""For clients, zygotes, the store and runs that are just being started."""


class StartError(Exception):
    """The worker cannot start; the message says why and what to do."""


async def run_worker(
    settings: Settings, log: Logger, ready: Callable[[list[str]], None], observe: Observe = unobserved
) -> None:
    """Run one worker until SIGTERM, SIGINT or a drain request; ``ready`` is told the bound endpoints.

    ``observe`` is told what hosts do, and of each reply and published event.

    Raises:
        StartError, BindError, LogUnavailableError: it could not start; nothing is left behind.
    """
    root = settings.models_dir
    if not root.is_dir():
        raise StartError(f"the model root {root} is no folder; name one with --models or models_dir")
    _refuse_served_sockets([*settings.bind, *([settings.events] if settings.events else [])])
    _raise_open_files(settings, log)
    _log_bugs_in_callbacks(log)
    async with contextlib.AsyncExitStack() as stack:
        # Outlives the store, whose last writes have events too.
        told = stack.enter_context(publisher(settings.events, log))
        store = await stack.enter_async_context(_store(settings))
        runtime = stack.enter_context(_runtime_folder(settings))
        config = _zygote_config(runtime)
        isolation = await _judge_sandbox(settings, config, log)
        supervisor = await stack.enter_async_context(
            _supervisor(settings, (store, told), config, isolation, log, observe=observe)
        )
        router = Router(
            settings.bind,
            observed_submit(supervisor.submit, observe),
            max_message_bytes=settings.max_message_bytes,
            log=log,
        )
        stack.callback(router.close)
        _drain_on_signals(supervisor, settings)
        log.info(
            "worker ready",
            version=VERSION,
            endpoints=router.endpoints,
            events=told.endpoint,
            models=str(root),
            data=settings.data,
            sandbox=str(isolation),
            pid=os.getpid(),
        )
        ready(router.endpoints)
        await supervisor.drained.wait()
        await supervisor.settle()
        log.info("worker stopped")


def _refuse_served_sockets(endpoints: Sequence[str]) -> None:
    """ZeroMQ takes an ipc path over from a worker that still listens on it, without a word to either."""
    for endpoint in endpoints:
        scheme, _, path = endpoint.partition("://")
        if scheme != "ipc" or path.startswith("@"):
            continue
        with socket.socket(socket.AF_UNIX) as peer, contextlib.suppress(OSError):
            peer.connect(path)
            raise StartError(
                f"cannot bind {endpoint}: another process listens there. Choose another endpoint with --bind"
            )


def _raise_open_files(settings: Settings, log: Logger) -> None:
    """Take all the descriptors that the system grants: a run in memory needs several."""
    _, granted = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, granted))
    needed = settings.live_run_limit * DESCRIPTORS_PER_RUN + OTHER_DESCRIPTORS
    if granted != resource.RLIM_INFINITY and granted < needed:
        log.warning(
            "too few open files for live_run_limit; raise the hard limit (ulimit -Hn, LimitNOFILE) or lower it",
            granted=granted,
            needed=needed,
            live_run_limit=settings.live_run_limit,
        )


def _log_bugs_in_callbacks(log: Logger) -> None:
    """What a callback of the loop raises is a bug; it belongs in the log like everything else."""

    def report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        log.error("bug in a callback", what=context.get("message"), exc_info=context.get("exception"))

    asyncio.get_running_loop().set_exception_handler(report)


@contextlib.asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[Store]:
    store: Store = MemoryStore() if settings.in_memory else await SqliteStore.open(Path(settings.data))
    try:
        yield store
    finally:
        await store.close()


@contextlib.contextmanager
def _runtime_folder(settings: Settings) -> Iterator[Path]:
    """A folder that runs can reach, for their scratch; what a killed predecessor left is removed first."""
    note = None if settings.in_memory else Path(settings.data) / "runtime"
    if note is not None and note.is_file():
        _remove_runtime(Path(note.read_text()))
    folder = Path(tempfile.mkdtemp(prefix=RUNTIME_PREFIX))
    folder.chmod(0o755)
    if note is not None:
        note.write_text(str(folder))
    try:
        yield folder
    finally:
        _remove_runtime(folder)
        if note is not None:
            note.unlink(missing_ok=True)


def _remove_runtime(folder: Path) -> None:
    if folder.name.startswith(RUNTIME_PREFIX) and folder.is_dir() and folder.stat().st_uid == os.geteuid():
        shutil.rmtree(folder, ignore_errors=True)


def _zygote_config(runtime: Path) -> ZygoteConfig:
    import_root = str(Path(__file__).resolve().parents[2])
    return ZygoteConfig(scratch_folder=str(runtime / "scratch"), import_roots=(import_root,))


async def _judge_sandbox(settings: Settings, config: ZygoteConfig, log: Logger) -> Isolation:
    level = SandboxLevel(settings.sandbox)
    folder = settings.models_dir.resolve()
    isolation = choose_isolation(level, folder, also_needed=(Path(config.scratch_folder).parent,))
    report = await probe(config, isolation, uid=settings.uid_base)
    if not report.holds:
        lines = "\n  ".join(report.missing)
        raise StartError(f"the sandbox level {level!s} does not hold on this host:\n  {lines}")
    if not isolation.walls:
        log.warning("weaker sandbox by setting; hostile models are not held", sandbox=str(isolation))
    elif not isolation.private_scratch:
        log.warning(
            "weaker sandbox by setting; runs have no scratch and share limits", sandbox=str(isolation)
        )
    return isolation


@contextlib.asynccontextmanager
async def _supervisor(
    settings: Settings,
    durable: tuple[Store, Publisher],
    config: ZygoteConfig,
    isolation: Isolation,
    log: Logger,
    *,
    observe: Observe,
) -> AsyncIterator[Supervisor]:
    settings = settings.model_copy(update={"worker_id": settings.worker_id or secrets.token_hex(8)})
    limits = _limits(settings)

    def zygote_config(preload: tuple[str, ...]) -> ZygoteConfig:
        return ZygoteConfig(**{**asdict(config), "preload": preload})

    store, told = durable
    stores = Stores(store)
    stores.listen(observed_listener(told.publish, observe))
    announcer = Announcer(settings)
    pool = ZygotePool(zygote_config, limit=settings.zygote_limit, log=log)
    slots = ReplaySlots(settings.replay_limit)
    spawner = Spawner(pool, UidPool(settings.uid_base), isolation, limits, settings)

    def make_host(incarnation: Incarnation) -> RunHost:
        return RunHost(incarnation, services)

    table = RunTable(
        make_host,
        stores,
        limit=settings.live_run_limit,
        keep_seconds=settings.session_timeout_seconds,
    )
    services = HostServices(settings, limits, log, slots, spawner.spawn, table.release, announcer, observe)
    births = Births(
        ModelCatalog(settings.models_dir), stores, settings, log, isolation.level.value, announcer
    )
    supervisor = Supervisor(
        settings=settings,
        access=StateAccess(table, stores, births, settings),
        pool=pool,
        slots=slots,
        introspector=Introspector(births, spawner, slots, limits, log),
        publisher=told,
        sandbox=_sandbox_view(isolation),
        log=log,
    )
    # The first zygote starts with the worker, so that the first run does not wait for it.
    await pool.get(settings.preload)
    try:
        yield supervisor
    finally:
        await table.evict_all("stopping")
        await pool.close()


def _limits(settings: Settings) -> Limits:
    return Limits(
        memory_bytes=settings.memory_bytes,
        cpu_seconds=settings.cpu_seconds,
        open_files=settings.open_files,
        threads=settings.threads,
        scratch_bytes=settings.scratch_bytes,
        scratch_inodes=settings.scratch_inodes,
    )


def _sandbox_view(isolation: Isolation) -> dict[str, Any]:
    return {
        "level": isolation.level.value,
        "identity": isolation.identity.value,
        "holds_hostile_models": isolation.walls,
    }


def _drain_on_signals(supervisor: Supervisor, settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def drain() -> None:
        await supervisor.drain(settings.drain_grace_seconds)
        supervisor.drained.set()

    def on_signal() -> None:
        if not supervisor.draining:
            tasks.add(loop.create_task(drain()))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
