"""Which packages a model gets: the worker's own, those of a named environment, or a set built for it.

One build per set, however many requests ask for it. A request waits for it as long as its deadline says; the build
goes on without it, and is found by who asks again.
"""

import asyncio
import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from protocol.errors import ErrorCode
from worker.errors import ModelError, RequestError, WorkerError
from worker.process.environment import Environment, EnvironmentFolder, environment_key, installed_packages
from worker.process.installer import Installation, InstallError, install
from worker.runs.contexts import ModelContext
from worker.runs.profile import DEFAULT_ENVIRONMENT
from worker.runs.requirements import Requirement
from worker.settings import NamedEnvironment, Settings
from worker.supervisor.flights import Flight
from worker.supervisor.runtime import StartError
from worker.supervisor.slots import Slots
from worker.supervisor.table import draining
from worker.telemetry import Logger

TAIL_CHARACTERS: Final = 1500
TOLD_REQUESTS: Final = 100
QUESTION_SECONDS: Final = 30.0
_QUESTION: Final = (
    "import json,sys,sysconfig;print(json.dumps([sys.implementation.cache_tag,sysconfig.get_config_var('SOABI'),"
    "sysconfig.get_path('purelib'),sysconfig.get_path('platlib')]))"
)

Tell = Callable[[str, list[str], int, float], None]
"""Takes a key, the request_ids that wait, bytes on disk so far, seconds so far."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A set to be built. ``requirements``: as the tool is told them. ``preloads``: as in ``Environment``."""

    key: str
    requirements: tuple[str, ...]
    preloads: bool


class Environments:
    """All environments of a worker; ``open`` comes first, ``close`` last.

    ``root``: folder of what is built. ``tell`` is told how builds get on.
    """

    def __init__(self, settings: Settings, root: Path, log: Logger, tell: Tell) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._folder = EnvironmentFolder(root)
        self._log = log
        self._tell = tell
        self._slots = Slots(settings.environment_build_limit, oldest_first=True)
        self._sources = "any" if settings.dependency_sources == "any" else "wheels"
        self._fixed: dict[str, Environment] = {}
        self._listed: dict[str, tuple[Requirement, ...]] = {}
        self._own: dict[str, str | None] = {}
        self._ready: dict[str, Environment] = {}
        self._builds: dict[str, asyncio.Task[Environment]] = {}
        self._waiting: dict[str, list[str]] = {}
        self._failures: dict[str, tuple[float, ModelError]] = {}
        self._refusal: WorkerError | None = None

    async def open(self) -> None:
        """Judge the named environments, and tidy up after builds of the dead.

        Raises:
            StartError: a named environment cannot be used, or the folder cannot be made.
        """
        for name, named in self._settings.environments.items():
            if named.python:
                self._fixed[name] = await asyncio.to_thread(_interpreter, name, named.python)
            else:
                self._listed[name] = _requirements(name, named)
        try:
            await asyncio.to_thread(self._folder.prepare)
        except OSError as error:
            raise StartError(
                f"{self._folder.root} cannot be used for environments: {error.strerror}; name another folder with "
                "environments_dir"
            ) from error

    async def of(self, source: str, context: ModelContext, flight: Flight) -> Environment:
        """The packages for a model with this context; ``source``: where the context comes from.

        Raises:
            RequestError: INVALID_CONTEXT; DEADLINE_EXCEEDED while it is being built, which goes on.
            ModelError: MODEL_LOAD_FAILED, as it cannot be built; not tried again for ``environment_retry_seconds``.
            WorkerError: DRAINING.
        """
        asked, image = context.requirements, context.workerImage
        if image is None and (own := self._of_own(asked)) is not None:
            return own
        if image is not None and image in self._fixed:
            return _checked(source, image, self._fixed[image], asked)
        if image is not None and image not in self._listed:
            known = ", ".join(sorted({*self._fixed, *self._listed})) or "none"
            reason = f"there is no environment {image!r:.80}; known are: {known}. Operators name them in environments"
            raise _invalid(source, "workerImage", reason)
        if asked and self._settings.dependency_sources == "installed":
            raise _invalid(source, "dependencies", self._missing(asked))
        return await self._built(self._wanted(context), flight)

    def name_of(self, context: ModelContext) -> str:
        """What people call the environment of a model with this context: the name that operators gave it, else its key.

        It need not be there, nor be possible.
        """
        if context.workerImage is not None:
            return context.workerImage
        if self._of_own(context.requirements) is not None:
            return DEFAULT_ENVIRONMENT
        return self._wanted(context).key

    def _wanted(self, context: ModelContext) -> _Wanted:
        asked = context.requirements
        listed = self._listed.get(context.workerImage or "", ())
        requirements = sorted({str(one) for one in (*asked, *listed)})
        return _Wanted(
            key=environment_key(requirements, self._sources),
            requirements=tuple(requirements),
            preloads=self._settings.preload_dependencies or not asked,
        )

    def abandon(self, error: WorkerError) -> None:
        """End the builds, and with ``error`` whoever waits for one or asks for one from now on."""
        # Once only: a build that is told again while it tidies up would leave something.
        builds = self._builds.values() if self._refusal is None else ()
        self._refusal = error
        for build in builds:
            build.cancel()

    async def close(self) -> None:
        """Wait until nothing is left of the builds, which are ended; idempotent."""
        self.abandon(draining())
        await asyncio.gather(*self._builds.values(), return_exceptions=True)

    async def status(self) -> list[dict[str, Any]]:
        """Named environments, those on disk or recorded, those being built, and those whose build failed lately."""
        named = [
            {
                "name": name,
                "state": "ready",
                "packages": len(environment.packages),
                "folders": environment.folders,
            }
            for name, environment in self._fixed.items()
        ]
        names = {
            environment_key(map(str, listed), self._sources): name for name, listed in self._listed.items()
        }
        known = {record["environment"]: record for record in await asyncio.to_thread(self._folder.records)}
        failed = {key: why for key, (until, why) in self._failures.items() if self._loop.time() < until}
        for key in (self._builds.keys() | failed.keys()) - known.keys():
            known[key] = {"environment": key, "on_disk": False}
        built = []
        for key, record in known.items():
            state = self._state(key, record, failed)
            reason = {"reason": failed[key].information["reason"]} if state == "failed" else {}
            built.append(
                {**record, "state": state, **reason, **({"name": names[key]} if key in names else {})}
            )
        return [*named, *built]

    @property
    def building(self) -> int:
        """How many are being built."""
        return self._slots.used

    def _state(self, key: str, record: dict[str, Any], failed: Container[str]) -> str:
        if key in self._builds:
            return "building"
        if key in failed:
            return "failed"
        if not record["on_disk"]:
            return "deleted"
        return "used" if key in self._ready else "unused"

    # The worker's own packages

    def _of_own(self, asked: Iterable[Requirement]) -> Environment | None:
        """The worker's own packages, if they are all that is asked for."""
        packages = {}
        for one in asked:
            found = self._version(one.name)
            if found is None or not one.fits(found):
                return None
            packages[one.name] = found
        return Environment(packages=packages)

    def _version(self, name: str) -> str | None:
        if name not in self._own:
            try:
                self._own[name] = version(name)
            except PackageNotFoundError:
                self._own[name] = None
        return self._own[name]

    def _missing(self, asked: Iterable[Requirement]) -> str:
        wrong = next(
            one for one in asked if (found := self._version(one.name)) is None or not one.fits(found)
        )
        found = self._version(wrong.name)
        return f"package {wrong} is needed where the worker runs; {_told(found)} there, and dependency_sources is 'installed'"

    # Built ones

    async def _built(self, wanted: _Wanted, flight: Flight) -> Environment:
        ready = self._ready.get(wanted.key)
        if ready is not None and self._folder.is_current(ready):
            return replace(ready, preloads=wanted.preloads)
        self._check()
        until, failure = self._failures.get(wanted.key, (0.0, None))
        if failure is not None and self._loop.time() < until:
            raise failure
        build = self._builds.get(wanted.key)
        if build is None:
            build = self._builds[wanted.key] = self._loop.create_task(self._find_or_build(wanted))
            build.add_done_callback(partial(self._ended, wanted.key))
        waiting = self._waiting.setdefault(wanted.key, [])
        waiting.append(flight.request.request_id)
        try:
            environment = await flight.wait(build, f"environment {wanted.key} is being built")
        except asyncio.CancelledError:
            if build.cancelled():
                self._check()
            raise
        finally:
            waiting.remove(flight.request.request_id)
        return replace(environment, preloads=wanted.preloads)

    def _check(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    def _ended(self, key: str, build: "asyncio.Task[Environment]") -> None:
        self._builds.pop(key, None)
        self._waiting.pop(key, None)
        error = None if build.cancelled() else build.exception()
        # Whoever waits is told; a bug is told even where nobody does.
        if error is not None and not isinstance(error, WorkerError):
            self._log.error("bug in environments", exc_info=error)

    async def _find_or_build(self, wanted: _Wanted) -> Environment:
        found = await self._find(wanted)
        if found is not None:
            return found
        try:
            async with self._slots.slot(), self._folder.locked(wanted.key):
                # Another worker may have built it meanwhile.
                return await self._find(wanted) or await self._build(wanted)
        except OSError as error:
            raise self._failed(wanted, self._refused(error), recorded=False) from error

    def _refused(self, error: OSError) -> InstallError:
        return InstallError(f"{self._folder.root}: {error.strerror}; look after that folder and its disk")

    async def _find(self, wanted: _Wanted) -> Environment | None:
        found = await asyncio.to_thread(self._folder.find, wanted.key, preloads=wanted.preloads)
        if found is not None:
            self._ready[wanted.key] = found
        return found

    async def _build(self, wanted: _Wanted) -> Environment:
        began = self._loop.time()
        log = self._log.bind(environment=wanted.key)
        recorded = await asyncio.to_thread(self._folder.recorded, wanted.key)
        log.info(
            "environment building", requirements=list(wanted.requirements), recorded=recorded is not None
        )
        try:
            found = await self._install(wanted, recorded, began)
        except InstallError as error:
            seconds = round(self._loop.time() - began, 4)
            log.warning("environment not built", reason=error.advice, duration_seconds=seconds)
            log.debug("output of the installer", text=error.tail)
            failure = self._failed(wanted, error, recorded=recorded is not None)
            self._failures[wanted.key] = (
                self._loop.time() + self._settings.environment_retry_seconds,
                failure,
            )
            raise failure from error
        seconds = round(self._loop.time() - began, 4)
        log.info("environment built", packages=len(found.packages), duration_seconds=seconds)
        return found

    async def _install(self, wanted: _Wanted, recorded: dict[str, str] | None, began: float) -> Environment:
        pinned = recorded is not None
        requirements = [f"{name}=={at}" for name, at in (recorded or {}).items()] or wanted.requirements

        def grown(size_bytes: int) -> None:
            waiting = self._waiting.get(wanted.key, [])[:TOLD_REQUESTS]
            self._tell(wanted.key, waiting, size_bytes, self._loop.time() - began)

        try:
            folder = await asyncio.to_thread(self._folder.begin, wanted.key)
            installation = Installation(folder, requirements, pinned=pinned, sources=self._sources)
            await install(installation, self._settings, grown)
            await asyncio.to_thread(self._folder.finish, wanted.key, wanted.requirements, keep_record=pinned)
        except OSError as error:
            raise self._refused(error) from error
        finally:
            await asyncio.to_thread(self._folder.discard, wanted.key)
        found = await self._find(wanted)
        if found is None:
            raise InstallError(
                f"{self._folder.root} does not keep what is written there; look after that folder"
            )
        return found

    def _failed(self, wanted: _Wanted, error: InstallError, *, recorded: bool) -> ModelError:
        listed = ", ".join(wanted.requirements)
        pinned = (
            f". Its record {wanted.key}.json asks for the versions it had; delete it to have others"
            if recorded
            else ""
        )
        output = error.tail[-TAIL_CHARACTERS:]
        return ModelError(
            ErrorCode.MODEL_LOAD_FAILED,
            f"no environment with {listed:.500}: {error.advice}{pinned}" + (f"\n{output}" if output else ""),
            environment=wanted.key,
            requirements=list(wanted.requirements),
            reason=error.advice,
            output=output,
            retry_after_seconds=self._settings.environment_retry_seconds,
        )


def _requirements(name: str, named: NamedEnvironment) -> tuple[Requirement, ...]:
    try:
        return tuple(Requirement.parse(text) for text in named.requirements)
    except ValueError as error:
        raise StartError(f"setting environments.{name}.requirements: {error}") from error


def _interpreter(name: str, python: str) -> Environment:
    """The packages of an interpreter of this very version; it is run to tell where they are."""
    setting = f"setting environments.{name}.python: {python}"
    try:
        told = subprocess.run(  # noqa: S603 - the operator's own interpreter, no shell
            [python, "-I", "-c", _QUESTION], capture_output=True, timeout=QUESTION_SECONDS, check=True
        )
        tag, abi, *folders = json.loads(told.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise StartError(f"{setting} is no interpreter that can be started: {error}") from error
    here = (sys.implementation.cache_tag, sysconfig.get_config_var("SOABI"))
    if (tag, abi) != here:
        raise StartError(
            f"{setting} is {tag} ({abi}), the worker runs on {here[0]} ({here[1]}); make the environment with "
            f"{sys.executable}, or run the worker on the other one"
        )
    places = tuple(dict.fromkeys(folders))
    return Environment(places, "fixed", packages=installed_packages(places))


def _checked(source: str, image: str, environment: Environment, asked: Iterable[Requirement]) -> Environment:
    """An interpreter's packages are what they are: dependencies must be among them."""
    for one in asked:
        found = environment.packages.get(one.name)
        if found is None or not one.fits(found):
            reason = f"package {one} is not in environment {image!r}; {_told(found)} there, and nothing can be added"
            raise _invalid(source, "dependencies", reason)
    return environment


def _told(found: str | None) -> str:
    return "it is not installed" if found is None else f"version {found} is installed"


def _invalid(source: str, path: str, reason: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_CONTEXT, f"{source}: {path}: {reason}", source=source, path=path)
