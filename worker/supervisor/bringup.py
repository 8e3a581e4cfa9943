"""Bringing one run process up: the model loaded, its state put together, the run settled.

A ``BringUp`` is the conversation with the process until it may take requests. It neither starts nor ends the
process, and writes nothing.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from protocol.errors import ErrorCode
from worker.channel import ChannelError
from worker.errors import ModelError, ReplayError, RequestError
from worker.process.handle import ProcessHandle
from worker.process.limits import Limits
from worker.runs.assembly import ReplayPart, SnapshotPart
from worker.runs.history import EntryKind
from worker.runs.record import RunRecord
from worker.settings import Settings
from worker.supervisor import answers
from worker.supervisor.incarnation import Incarnation
from worker.supervisor.progress import ProgressMeter, Tell
from worker.supervisor.replay import CAUSES, MAX_DIFFERENCE, Replayer
from worker.supervisor.snapshots import Assigner

CALLS_DIFFER: Final = "CALLS_DIFFER"
LOST: Final = ", or an action depended on random numbers or unrecorded variables that a snapshot had not kept"


class BringUp:
    """One coming up. ``warnings`` and ``applied`` (actions replayed so far) grow while it goes on.

    ``tell`` is told how far a replay has come that takes long. ``stop`` ends every wait in it at once; what was awaited then raises.
    """

    def __init__(self, incarnation: Incarnation, settings: Settings, limits: Limits, tell: Tell) -> None:
        self._loop = asyncio.get_running_loop()
        self._incarnation = incarnation
        self._settings = settings
        self._limits = limits
        self._booted: asyncio.Future[dict[str, bytes]] = self._loop.create_future()
        self._settled: asyncio.Future[dict[str, bytes]] = self._loop.create_future()
        self._tell = tell
        self._replayer: Replayer | None = None
        self._meter: ProgressMeter | None = None
        self._assigner: Assigner | None = None
        self._last_at_us = incarnation.boot_at_us
        self._is_settling = False
        self.warnings: list[dict[str, Any]] = list(incarnation.warnings)

    @property
    def applied(self) -> int:
        """Actions that the replay has applied so far."""
        return 0 if self._replayer is None else self._replayer.applied

    @property
    def total(self) -> int:
        """Actions that there are to replay, as far as is known by now; never less than ``applied``."""
        incarnation = self._incarnation
        if not any(isinstance(part, ReplayPart) for part in incarnation.assembly):
            return 0
        last = min(incarnation.plan.through_seq, incarnation.record.seq)
        return max(self.applied, last - (0 if self._replayer is None else self._replayer.skipped))

    @property
    def diverged(self) -> int:
        """Actions that came out differently than recorded."""
        return 0 if self._replayer is None else self._replayer.diverged

    @property
    def divergences(self) -> list[dict[str, Any]]:
        """The first of them, described."""
        return [] if self._replayer is None else self._replayer.divergences

    @property
    def boot_seconds(self) -> float:
        """How long loading the model may take."""
        asked = (
            self._incarnation.context.inceptionGracePeriodSeconds or self._settings.inception_grace_seconds
        )
        return min(asked, self._limits.action_wall_seconds)

    @property
    def _patience_seconds(self) -> float:
        """How long to wait for a sign of life: twice what the longest action may have taken, as hosts differ.

        An action may have been recorded under a context that gave it longer; all of a run's took what the run tells.
        """
        longest = max(
            self._settings.operation_timeout_seconds,
            self._incarnation.context.longest_timeout_seconds or 0.0,
            self._incarnation.record.wall_us / 1_000_000,
        )
        return 2 * min(longest, self._limits.action_wall_seconds)

    async def boot(self, handle: ProcessHandle, record: RunRecord) -> dict[str, bytes]:
        """Have the model loaded; gives what it recorded meanwhile.

        Raises:
            ModelError: MODEL_LOAD_FAILED, BOOT_TIMEOUT; RequestError RUN_NOT_LIVE after ``stop``; ReplayError
                REPLAY_DIVERGED, where it called other external functions than the history says.
        """
        incarnation = self._incarnation
        if incarnation.origin.replays:
            handle.output.mute()
        handle.send(["boot", self._boot_spec(record, handle.scratch_folder)])
        seconds = self.boot_seconds
        try:
            records = await asyncio.wait_for(self._booted, seconds)
        except TimeoutError:
            raise ModelError(
                ErrorCode.BOOT_TIMEOUT,
                f"{incarnation.model.name} did not load within {seconds:g} s (inceptionGracePeriodSeconds, and at most "
                "action_wall_seconds)",
                limit_seconds=seconds,
                applied="no",
            ) from None
        self._judge_calls()
        return records

    def _judge_calls(self) -> None:
        """Whether the model called external functions while it was loaded again as when it first was."""
        plan = self._incarnation.plan
        for warning in [one for one in self.warnings if one.get("code") == CALLS_DIFFER]:
            self.warnings.remove(warning)
            if not self._incarnation.origin.replays or plan.compare_after_seq > 0:
                continue
            difference = str(warning.get("path"))[:MAX_DIFFERENCE]
            finding = {"seq": 1, "action": None, "kind": str(EntryKind.BOOT), "got": difference}
            if self._incarnation.strict_replay:
                message = (
                    f"the model did not call external functions as when it was first loaded: {difference}. "
                    f"{CAUSES}; the history is intact"
                )
                raise ReplayError(ErrorCode.REPLAY_DIVERGED, message, **finding, applied="no")
            self.warnings.append({"code": str(ErrorCode.REPLAY_DIVERGED), **finding})

    async def replay(self, handle: ProcessHandle) -> dict[str, bytes]:
        """Have the state put together; gives the archive's or the last recorded value of every name.

        Raises:
            ReplayError: REPLAY_DIVERGED, BOOT_TIMEOUT, or PROCESS_EXITED after ``stop``.
        """
        patience = self._patience_seconds
        archive: Mapping[str, bytes] = {}
        for part in self._incarnation.assembly:
            if isinstance(part, SnapshotPart):
                archive = await self._incarnation.archived()
                await self._assign(handle, part, archive, patience)
            else:
                await self._apply(handle, patience)
        records = await self._settle(handle, patience)
        handle.output.unmute()
        for finding in self.divergences:
            self.warnings.append({"code": str(ErrorCode.REPLAY_DIVERGED), **finding})
        return {**archive, **records}

    async def _apply(self, handle: ProcessHandle, patience: float) -> None:
        incarnation = self._incarnation
        may_lose = any(isinstance(part, SnapshotPart) for part in incarnation.context.restorations.parts())
        self._replayer = Replayer(
            incarnation.plan,
            handle.send,
            strict=incarnation.strict_replay,
            patience_seconds=patience,
            causes=CAUSES + LOST if may_lose else CAUSES,
        )
        self._meter = ProgressMeter(self._tell)
        await self._replayer.run(self._incarnation.pages())
        self._meter.end(self.applied)
        self._last_at_us = self._replayer.last_at_us or self._last_at_us

    async def _assign(
        self, handle: ProcessHandle, part: SnapshotPart, archive: Mapping[str, bytes], patience: float
    ) -> None:
        incarnation = self._incarnation
        strict = incarnation.strict_replay
        # What a replay drew is where the streams stood; without one nobody knows where.
        reseed_seq = incarnation.record.seq if self._replayer is None else None
        self._last_at_us = incarnation.archived_us or self._last_at_us
        self._assigner = Assigner(part, handle.send, strict=strict, patience_seconds=patience)
        if self._settled.done():  # stopped while the archive was read
            self._assigner.abandon()
        await self._assigner.run(archive, self._last_at_us, reseed_seq)
        self.warnings += self._assigner.warnings

    def on_message(self, message: list[Any]) -> None:
        """Judge one frame of the process.

        Raises:
            ChannelError: it is no answer to anything asked here.
        """
        match message:
            case ["booted", records, warnings] if not self._booted.done():
                self.warnings += answers.judge_warnings(warnings)
                self._booted.set_result(answers.judge_records(records, self._limits))
            case ["boot_failed", error] if not self._booted.done():
                self._booted.set_exception(answers.judge_error(error, {ErrorCode.MODEL_LOAD_FAILED}))
            case ["replayed", number, digests, done] if self._replayer is not None:
                self._replayer.on_replayed(number, digests, done)
                if self._meter is not None:
                    self._meter.report(self.applied, self.total)
            case ["assigned", number, findings] if self._assigner is not None:
                self._assigner.on_assigned(number, findings)
            case ["settled", _, records, warnings] if self._is_settling and not self._settled.done():
                self.warnings += answers.judge_warnings(warnings)
                self._settled.set_result(answers.judge_records(records, self._limits))
            case _:
                raise ChannelError(f"an unexpected {message[0]!r:.40} frame of {len(message)} elements")

    def stop(self, reason: str) -> None:
        """End every wait; idempotent."""
        for waited in (self._booted, self._settled):
            if not waited.done():
                error = RequestError(ErrorCode.RUN_NOT_LIVE, f"stopped while starting: {reason}")
                waited.set_exception(error)
            if not waited.cancelled():
                waited.exception()  # it may have no reader any more
        if self._replayer is not None:
            self._replayer.abandon()
        if self._assigner is not None:
            self._assigner.abandon()

    async def _settle(self, handle: ProcessHandle, patience: float) -> dict[str, bytes]:
        incarnation = self._incarnation
        asked = incarnation.context.event_timeout_seconds(incarnation.event)
        patience = min(asked or patience, self._limits.action_wall_seconds)
        self._is_settling = True
        handle.send(["settle", 1, self._last_at_us, incarnation.event])
        try:
            return await asyncio.wait_for(self._settled, patience)
        except TimeoutError:
            message = f"the handler of {incarnation.event} did not end within {patience} s"
            raise ReplayError(ErrorCode.BOOT_TIMEOUT, message, applied="no") from None

    def _boot_spec(self, record: RunRecord, scratch: str | None) -> dict[str, Any]:
        incarnation, context = self._incarnation, self._incarnation.context
        return {
            "run_key": record.run_key,
            "model_folder": str(incarnation.model.folder),
            "model_file": incarnation.model.file,
            "seed": record.seed,
            "at_us": incarnation.boot_at_us,
            "actor": incarnation.boot_actor,
            "presets": incarnation.presets,
            "worker_context": incarnation.worker_context(record),
            "clock": self._settings.clock,
            "entropy": self._settings.entropy,
            "minimum_log_level": context.minimumLogLevel,
            "redirect_standard_out": context.redirectStandardOut,
            "max_result_bytes": self._limits.max_result_bytes,
            "max_result_depth": self._limits.max_result_depth,
            "max_result_values": self._limits.max_result_values,
            "record_bytes": self._limits.record_bytes,
            "callback_bytes": self._settings.callback_bytes,
            "answers": incarnation.boot_answers,
            "event": None if incarnation.origin.replays else incarnation.event,
            "scratch": scratch,
            "archive": context.archiving(self._settings.archive),
            "lineage": [list(one) for one in incarnation.lineage],
            "context": incarnation.rules.context,
            "attached": incarnation.rules.hidden_operations,
            "judged": context.judges_results or incarnation.rules.result_schema is not None,
        }
