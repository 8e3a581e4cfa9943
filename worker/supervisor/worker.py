"""The composition root: builds one worker from its settings, runs it, takes it down."""

import asyncio
import contextlib
import gc
import os
import resource
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from worker import VERSION
from worker.log.base import Store
from worker.log.memory import MemoryStore
from worker.log.sqlite import SqliteStore
from worker.process.isolation import Isolation, SandboxLevel, can_expose, choose_isolation
from worker.process.limits import Limits, UidPool
from worker.process.memory import granted_bytes
from worker.process.pool import ZygotePool
from worker.process.sandbox import probe
from worker.process.schema_judge import SchemaJudge
from worker.process.zygote import ZygoteConfig
from worker.settings import Settings
from worker.supervisor.access import StateAccess
from worker.supervisor.births import Births
from worker.supervisor.catalogs import DEFAULT, Catalogs, served_roots
from worker.supervisor.curve import curve
from worker.supervisor.deliveries import Deliveries, check_secrets
from worker.supervisor.environments import Environments
from worker.supervisor.events import Announcer
from worker.supervisor.figures import Sources
from worker.supervisor.host import RunHost
from worker.supervisor.host_services import HostServices
from worker.supervisor.incarnation import Incarnation
from worker.supervisor.introspection import Introspector
from worker.supervisor.memory import MemoryAccount
from worker.supervisor.meters import Meters
from worker.supervisor.observe import (
    Observe,
    observed_listener,
    observed_submit,
    traced_submit,
    unobserved,
)
from worker.supervisor.providers import Providers
from worker.supervisor.publisher import Publisher, publisher
from worker.supervisor.router import Router
from worker.supervisor.runtime import StartError, is_listening, runtime_folder
from worker.supervisor.schemas import Schemas
from worker.supervisor.slots import Slots
from worker.supervisor.spawner import Spawner
from worker.supervisor.status import StatusReport
from worker.supervisor.strangers import CONNECTIONS
from worker.supervisor.supervisor import Supervisor
from worker.supervisor.table import RunTable, Stores
from worker.supervisor.under_way import UnderWay
from worker.telemetry import Logger, Traces
from worker.waiting import helpers

HELPERS: Final = 4
"""Threads for what waits for the disk: removing folders, reading sources, packages."""

LAST_REPLIES_SECONDS: Final = 0.1
"""Between the last reply and the end of its connection."""
DESCRIPTORS_PER_RUN: Final = 3
"""Its socket, its output pipe, its pidfd."""
OTHER_DESCRIPTORS: Final = 200
"""For clients, zygotes, the store and runs that are just being started."""
SOCKETS: Final = 2
"""For requests and for events; each may hold as many connections, where there are keys."""
SHARE_OF_MEMORY: Final = 0.75
"""For run processes where total_memory_bytes is 0; the rest is for the worker, the zygotes and the disk cache."""


async def run_worker(
    settings: Settings,
    log: Logger,
    ready: Callable[[list[str]], None],
    observe: Observe = unobserved,
    traces: Traces | None = None,
) -> None:
    """Run one worker until SIGTERM, SIGINT or a drain request; ``ready`` is told the bound endpoints.

    ``observe`` is told what hosts do, and of each reply and published event, ``traces`` of each request's.

    Raises:
        StartError, BindError, LogUnavailableError: it could not start; nothing is left behind.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(helpers(HELPERS))
    began = loop.time()
    meters = Meters()
    roots = served_roots(settings)
    sockets = _ipc_paths([*settings.bind, settings.events])
    _refuse_served_sockets(sockets)
    check_secrets(settings)
    _raise_open_files(settings, log)
    _log_bugs_in_callbacks(log)
    async with contextlib.AsyncExitStack() as stack:
        # Outlives the store, whose last writes have events too.
        keys = stack.enter_context(curve(settings, log))
        told = stack.enter_context(publisher(settings.events, log, keys))
        store = await stack.enter_async_context(_store(settings, log))
        data = None if settings.in_memory else Path(settings.data)
        runtime = stack.enter_context(runtime_folder(data, sockets))
        config = _zygote_config(settings, runtime)
        isolation = await _judge_sandbox(settings, config, log)
        supervisor = await stack.enter_async_context(
            _supervisor(
                settings, (store, told), config, isolation, log, runtime=runtime, lookers_on=(observe, meters)
            )
        )
        submit = traced_submit(observed_submit(supervisor.submit, observe), traces)
        router = Router(
            settings.bind,
            meters.metered(submit) if settings.metrics else submit,
            max_message_bytes=settings.max_message_bytes,
            log=log,
            curve=keys,
        )
        stack.callback(router.close)
        metrics = await _export(stack, Sources(settings, meters, supervisor, router, store))
        _drain_on_signals(supervisor, settings)
        _spare_collector()
        log.info(
            "worker ready",
            version=VERSION,
            endpoints=router.endpoints,
            events=told.endpoint,
            **metrics,
            models={name: str(root) for name, root in roots.items()}
            if settings.projects
            else str(roots[DEFAULT]),
            data=settings.data,
            sandbox=str(isolation),
            pid=os.getpid(),
            duration_seconds=round(loop.time() - began, 4),
        )
        ready(router.endpoints)
        await supervisor.drained.wait()
        await supervisor.settle()
        # libzmq drops what a client with ZMQ_IMMEDIATE has not read when its connection ends.
        await asyncio.sleep(LAST_REPLIES_SECONDS)
        ended = loop.time()
    log.info("worker stopped", pid=os.getpid(), duration_seconds=round(loop.time() - ended, 4))


async def _export(stack: contextlib.AsyncExitStack, sources: Sources) -> dict[str, str]:
    """Serve metrics until ``stack`` ends, where that is wanted; tells their URL."""
    if not sources.settings.metrics:
        return {}
    from worker.supervisor.exporter import exporter  # noqa: PLC0415 - who does not want it pays nothing

    return {"metrics": await stack.enter_async_context(exporter(sources))}


def _spare_collector() -> None:
    """Have the collector of garbage leave out what lives as long as the worker: modules, types, settings.

    It would go through all of that again and again, for a tenth of a second in which nobody is served.
    """
    gc.collect()
    gc.freeze()


def _ipc_paths(endpoints: Sequence[str]) -> list[str]:
    """The socket files among endpoints, absolute; abstract sockets have none."""
    parts = (endpoint.partition("://") for endpoint in endpoints)
    return [os.path.abspath(path) for scheme, _, path in parts if scheme == "ipc" and path[:1] != "@"]  # noqa: PTH100 - resolve() would follow links


def _refuse_served_sockets(paths: Sequence[str]) -> None:
    """ZeroMQ takes an ipc path over from a worker that still listens on it, without a word to either."""
    for path in paths:
        if is_listening(path):
            raise StartError(
                f"cannot bind ipc://{path}: another process listens there. Choose another endpoint with --bind"
            )


def _raise_open_files(settings: Settings, log: Logger) -> None:
    """Take all the descriptors that the system grants: a run in memory needs several."""
    _, granted = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, granted))
    connections = SOCKETS * CONNECTIONS if settings.curve_server_key else 0
    needed = settings.live_run_limit * DESCRIPTORS_PER_RUN + OTHER_DESCRIPTORS + connections
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
        # What follows the name are the call's arguments, which may be a run's.
        what = str(context.get("message")).partition("(")[0]
        log.error("bug in a callback", what=what, exc_info=context.get("exception"))

    asyncio.get_running_loop().set_exception_handler(report)


async def _open_store(folder: Path, log: Logger) -> SqliteStore:
    loop = asyncio.get_running_loop()
    began: list[float] = []

    def on_check(path: Path, size_bytes: int) -> None:
        began.append(loop.time())
        log.info("checking database after an unclean end", path=str(path), size_bytes=size_bytes)

    store = await SqliteStore.open(folder, on_check=on_check, log=log)
    if began:
        log.info("database checked", duration_seconds=round(loop.time() - began[0], 4))
    return store


@contextlib.asynccontextmanager
async def _store(settings: Settings, log: Logger) -> AsyncIterator[Store]:
    store: Store = MemoryStore() if settings.in_memory else await _open_store(Path(settings.data), log)
    try:
        yield store
    finally:
        await store.close()


def _zygote_config(settings: Settings, runtime: Path) -> ZygoteConfig:
    import_root = str(Path(__file__).resolve().parents[2])
    roots = [str(root.resolve()) for root in served_roots(settings).values()]
    exposed = (sys.prefix, sys.base_prefix, *roots, str(runtime))
    return ZygoteConfig(
        scratch_folder=str(runtime / "scratch"),
        import_roots=(import_root,),
        exposed=exposed if can_expose(SandboxLevel(settings.sandbox)) else (),
    )


async def _judge_sandbox(settings: Settings, config: ZygoteConfig, log: Logger) -> Isolation:
    level = SandboxLevel(settings.sandbox)
    first, *others = (root.resolve() for root in served_roots(settings).values())
    needed = (*others, Path(config.scratch_folder).parent)
    isolation = choose_isolation(level, first, also_needed=needed, exposed=map(Path, config.exposed))
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
    runtime: Path,
    lookers_on: tuple[Observe, Meters],
) -> AsyncIterator[Supervisor]:
    observe, meters = lookers_on
    settings = settings.model_copy(update={"worker_id": settings.worker_id or secrets.token_hex(8)})
    limits = _limits(settings)

    def zygote_config(preload: tuple[str, ...], packages: tuple[str, ...]) -> ZygoteConfig:
        exposed = (*config.exposed, *packages) if config.exposed else ()
        return replace(config, preload=preload, packages=packages, exposed=exposed)

    store, told = durable
    stores = Stores(store)
    announcer = Announcer(settings)
    pool = ZygotePool(zygote_config, limit=settings.zygote_limit, log=log)
    replays = Slots(settings.replay_limit)
    boots = Slots(settings.boot_limit, oldest_first=True)
    memory = MemoryAccount(settings.total_memory_bytes or int(granted_bytes() * SHARE_OF_MEMORY))
    providers = Providers()
    judge = SchemaJudge(settings.schema_seconds)
    schemas = Schemas(judge)
    spawner = Spawner(pool, UidPool(settings.uid_base), isolation, settings, config.exposed)

    def make_host(incarnation: Incarnation) -> RunHost:
        return RunHost(incarnation, services)

    table = RunTable(
        make_host,
        stores,
        limit=settings.live_run_limit,
        project_limits={name: project.live_run_limit for name, project in settings.projects.items()},
        memory=memory,
        keep_seconds=settings.session_timeout_seconds,
    )
    services = HostServices(
        settings=settings,
        limits=limits,
        log=log,
        replays=replays,
        boots=boots,
        memory=memory,
        spawn=spawner.spawn,
        released=table.release,
        announcer=announcer,
        progress=told.progress,
        providers=providers,
        schemas=schemas,
        observe=meters.looking_on(observe) if settings.metrics else observe,
    )
    environments = Environments(settings, _environments_folder(settings, runtime), log, told.building)
    await environments.open()
    catalogs = Catalogs(settings)
    births = Births(catalogs, stores, settings, isolation.level.value, announcer, environments)
    access = StateAccess(table, stores, births, settings, UnderWay(), schemas, log)
    deliveries = Deliveries(access, providers, log)
    stores.listen(deliveries.heard(observed_listener(told.publish, observe)))
    supervisor = Supervisor(
        settings=settings,
        access=access,
        judge=judge,
        status=StatusReport(table, stores, pool, replays, boots, memory, environments, settings, catalogs),
        pool=pool,
        introspector=Introspector(births, spawner, replays, limits, log),
        publisher=told,
        providers=providers,
        deliveries=deliveries,
        sandbox=_sandbox_view(isolation),
        log=log,
    )
    # The first zygote starts with the worker, so that the first run does not wait for it.
    await pool.get(settings.preload)
    deliveries.start(supervisor.ask)
    await supervisor.resume()
    try:
        yield supervisor
    finally:
        await supervisor.leave()
        await deliveries.close()
        await judge.close()
        await environments.close()
        await table.evict_all("stopping")
        await pool.close()


def _environments_folder(settings: Settings, runtime: Path) -> Path:
    """Where environments are kept; without a data folder they end with the worker."""
    if settings.environments_dir:
        return Path(settings.environments_dir)
    return (runtime if settings.in_memory else Path(settings.data)) / "environments"


def _limits(settings: Settings) -> Limits:
    """The settings that have the names of limits; those of the others are fixed."""
    return Limits(**settings.model_dump(include={one.name for one in fields(Limits)}))


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
