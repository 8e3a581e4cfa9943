"""What models offer, told by processes that exist for nothing else: each loads a model, is asked, and is ended.

Nothing is stored, and no run of the table takes part.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from protocol.messages import CreateRun, IntrospectModel, IntrospectRun
from protocol.offers import Introspection
from worker.channel import MAX_DEPTH, ChannelError, unpack
from worker.errors import WorkerError
from worker.process.exits import classify_exit
from worker.process.limits import Limits
from worker.process.zygote import ExitReport, ZygoteError
from worker.runs.history import OutcomeStatus
from worker.runs.record import RunRecord
from worker.supervisor import answers, mishaps
from worker.supervisor.births import Births
from worker.supervisor.bringup import BringUp
from worker.supervisor.calls import Send, nobody
from worker.supervisor.flights import Flight
from worker.supervisor.incarnation import Incarnation
from worker.supervisor.slots import Slots
from worker.supervisor.spawner import Spawner, log_sink
from worker.telemetry import Logger


def _tell_nobody(_applied: int, _total: int) -> None:
    """Nothing is replayed here."""


class Visit:
    """One process that tells what its model offers; a listener of its handle."""

    def __init__(self, incarnation: Incarnation, spawner: Spawner, limits: Limits, log: Logger) -> None:
        loop = asyncio.get_running_loop()
        self._incarnation = incarnation
        self._spawner = spawner
        self._limits = limits.lowered(incarnation.context.limits.by_setting())
        self._log = log.bind(introspected=incarnation.model.name)
        self._coming_up = BringUp(incarnation, spawner.settings, self._limits, _tell_nobody)
        self._told: asyncio.Future[Introspection] = loop.create_future()
        self._gone: asyncio.Future[ExitReport] = loop.create_future()
        self._mishap: WorkerError | None = None
        self._has_asked = False
        self._send: Send | None = None

    @property
    def warnings(self) -> list[dict[str, Any]]:
        """What is to be told beside the answer."""
        return self._coming_up.warnings

    async def perform(self) -> Introspection:
        """Have it told; the process is gone when this returns or raises.

        Raises:
            WorkerError: the model does not load, or its process came to grief.
        """
        incarnation, settings = self._incarnation, self._spawner.settings
        try:
            handle = await self._spawner.spawn_for(
                incarnation,
                self,
                log_sink(self._log, shown=settings.log_model_output),
                self._limits,
            )
        except ZygoteError as error:
            raise mishaps.not_started(str(error)) from error
        handle.output.mute()
        self._send = handle.send
        try:
            if self._mishap is not None:  # abandoned while it was forked
                raise self._mishap
            await self._coming_up.boot(handle, incarnation.record)
            self._has_asked = True
            handle.send(["introspect", 1])
            return await asyncio.wait_for(self._told, settings.operation_timeout_seconds)
        except TimeoutError:
            raise mishaps.not_told(incarnation.model.name, settings.operation_timeout_seconds) from None
        except WorkerError as error:
            raise (self._mishap or error) from None
        finally:
            handle.kill("introspected")
            await self._gone

    def abandon(self, error: WorkerError) -> None:
        """End it now; ``perform`` raises ``error``."""
        if self._mishap is not None or self._told.done():
            return
        self._mishap = error
        self._coming_up.stop(error.message)
        self._told.set_exception(error)
        self._told.exception()  # it may have no reader

    def on_message(self, message: list[Any]) -> None:
        """Judge one frame of the process (``ProcessHandle`` calls this)."""
        match message:
            case ["outcome", 1, status, value, records, warnings] if (
                self._has_asked and not self._told.done()
            ):
                outcome = answers.judge_outcome(
                    status,
                    value,
                    records,
                    warnings,
                    at_us=0,
                    limits=replace(self._limits, max_result_depth=MAX_DEPTH),
                )
                if outcome.status is not OutcomeStatus.COMPLETED:
                    self.abandon(answers.judge_error(unpack(value), answers.MODEL_ERRORS))
                    return
                self._told.set_result(_judge(unpack(value)))
                self.warnings.extend(outcome.warnings)
            case ["call", int(number), str(_), bytes(_)] if self._send is not None:
                self._send(nobody(number))
            case ["fault", _, "memory", _]:
                self.abandon(mishaps.out_of_memory(self._limits.memory_bytes))
            case _:
                self._coming_up.on_message(message)

    def on_broken(self, error: ChannelError) -> None:
        """The process sent garbage, or too much, and was killed."""
        self.abandon(mishaps.broke_channel(error))

    def on_exit(self, report: ExitReport) -> None:
        """The process is gone."""
        self.abandon(mishaps.ended(classify_exit(report, killed_for=None, limits=self._limits)))
        self._gone.set_result(report)


class Introspector:
    """Answers introspections; as many at once as there are places for replays."""

    def __init__(self, births: Births, spawner: Spawner, slots: Slots, limits: Limits, log: Logger) -> None:
        self._births = births
        self._spawner = spawner
        self._slots = slots
        self._limits = limits
        self._log = log
        self._visits: set[Visit] = set()
        self._refusal: WorkerError | None = None

    async def of_model(self, request: IntrospectModel, flight: Flight) -> dict[str, Any]:
        """The body of the reply for a model as it is in its folder.

        Raises:
            WorkerError: MODEL_NOT_FOUND, INVALID_CONTEXT, or why its process could not tell.
        """
        created = _as_if_created(request, request.model_file, {}, request.project)
        incarnation = await self._births.new.create(created, flight)
        return await self._answer(incarnation, flight)

    async def of_run(self, request: IntrospectRun, record: RunRecord, flight: Flight) -> dict[str, Any]:
        """The body of the reply for the model of a run, loaded as it was for the run; raises as ``of_model``."""
        created = _as_if_created(request, record.model_file, record.execution_context, record.project or None)
        incarnation = await self._births.new.create(created, flight)
        row = replace(incarnation.record, run_key=record.run_key, seed=record.seed)
        return await self._answer(replace(incarnation, record=row), flight)

    async def operations(
        self, record: RunRecord, attached: Sequence[Mapping[str, Any]], flight: Flight
    ) -> set[str]:
        """The names of the operations that the model of a run has, with those hidden ones that are attached.

        Raises:
            WorkerError: as ``of_model``.
        """
        created = CreateRun(
            type="create_run",
            request_id=flight.request.request_id,
            project=record.project or None,
            model_file=record.model_file,
            execution_context=record.execution_context,
            ephemeral=True,
        )
        incarnation = await self._births.new.create(created, flight)
        if incarnation.profile is not None:
            listed = [dict(one) for one in attached]
            incarnation = replace(
                incarnation, profile=replace(incarnation.profile, attached_functions=listed)
            )
        told = await self._answer(incarnation, flight)
        return {function["name"] for function in told["result"]["functions"]}

    def abandon(self, error: WorkerError) -> None:
        """End all that are under way with ``error``, and those that wait for their turn."""
        self._refusal = error
        for visit in self._visits:
            visit.abandon(error)

    async def _answer(self, incarnation: Incarnation, flight: Flight) -> dict[str, Any]:
        async with self._slots.slot():
            flight.check()
            if self._refusal is not None:
                raise self._refusal
            visit = Visit(incarnation, self._spawner, self._limits, self._log)
            self._visits.add(visit)
            try:
                told = await visit.perform()
            finally:
                self._visits.discard(visit)
        body: dict[str, Any] = {"result": told.model_dump()}
        return {**body, "warnings": visit.warnings} if visit.warnings else body


def _as_if_created(
    request: IntrospectModel | IntrospectRun, model_file: str, execution: dict[str, Any], project: str | None
) -> CreateRun:
    return CreateRun(
        type="create_run",
        request_id=request.request_id,
        project=project,
        model_file=model_file,
        execution_context=execution,
        ephemeral=True,
    )


def _judge(value: Any) -> Introspection:
    try:
        return Introspection.model_validate(value)
    except ValidationError as error:
        raise ChannelError(f"no introspection: {error.error_count()} of its parts are not as told") from error
