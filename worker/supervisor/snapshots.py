"""Snapshots: archived values assigned to the variables of a freshly started run process.

Values go in frames of about a megabyte, one after the other. What is not archived stays as the model's body, or a
replay before, left it.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from protocol.errors import ErrorCode
from worker.channel import ChannelError
from worker.errors import ReplayError
from worker.runs.assembly import SnapshotPart, wanted
from worker.supervisor import answers
from worker.supervisor.replay import BATCH_BYTES, MAX_FINDINGS

NOT_ASSIGNED: Final = "NOT_ASSIGNED"


class Assigner:
    """One snapshot. ``send`` puts a frame on the run's socket; ``on_assigned`` takes each answer.

    ``warnings`` tells names that were never recorded (UNRECORDED_VARIABLE), that the model does not have
    (UNKNOWN_VARIABLE), whose object became a plain value for want of a decoder (NOT_DECODED), and, unless
    ``strict``, that could not be assigned (NOT_ASSIGNED); at most ``MAX_FINDINGS``.
    """

    def __init__(
        self, part: SnapshotPart, send: Callable[[list[Any]], None], *, strict: bool, patience_seconds: float
    ) -> None:
        self._part = part
        self._send = send
        self._strict = strict
        self._patience_seconds = patience_seconds
        self._answer: asyncio.Future[list[dict[str, Any]]] | None = None
        self._asked = 0
        self._is_gone = False
        self.warnings: list[dict[str, Any]] = []

    async def run(self, archive: Mapping[str, bytes], at_us: int, reseed_seq: int | None) -> None:
        """Assign what the part wants of an archive; with ``reseed_seq`` the random streams begin anew behind it.

        Raises:
            ReplayError: REPLAY_DIVERGED for what could not be assigned, if strict; BOOT_TIMEOUT, or
                PROCESS_EXITED after ``abandon``.
        """
        found, missing = wanted(self._part, archive)
        self._tell([{"code": str(ErrorCode.UNRECORDED_VARIABLE), "path": name} for name in missing])
        frames = list(_frames(found))
        for place, values in enumerate(frames, 1):
            findings = await self._ask(at_us, values, reseed_seq if place == len(frames) else None)
            for finding in findings:
                self._judge(finding)
            self._tell(findings)

    def on_assigned(self, number: Any, findings: Any) -> None:
        """Take one answer of the process.

        Raises:
            ChannelError: it is not an answer to what was sent.
        """
        if self._answer is None or self._answer.done() or number != self._asked:
            raise ChannelError("assigned what was not asked")
        judged = answers.judge_warnings(findings)
        if not all(isinstance(one.get("code"), str) and isinstance(one.get("path"), str) for one in judged):
            raise ChannelError("a finding must have code and path")
        self._answer.set_result(judged)

    def abandon(self) -> None:
        """The process is gone: end ``run`` now."""
        self._is_gone = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(_gone())

    async def _ask(self, at_us: int, values: list[Any], reseed_seq: int | None) -> list[dict[str, Any]]:
        if self._is_gone:
            raise _gone()
        self._asked += 1
        self._answer = asyncio.get_running_loop().create_future()
        self._send(["assign", self._asked, at_us, values, reseed_seq])
        try:
            return await asyncio.wait_for(self._answer, self._patience_seconds)
        except TimeoutError:
            message = f"archived values were not assigned within {self._patience_seconds:g} s"
            raise ReplayError(ErrorCode.BOOT_TIMEOUT, message, applied="no") from None

    def _judge(self, finding: dict[str, Any]) -> None:
        is_listed = self._part.variables is not None and finding["code"] == ErrorCode.UNKNOWN_VARIABLE
        if not self._strict or not (is_listed or finding["code"] == NOT_ASSIGNED):
            return
        name = finding["path"]
        raised = f"{finding.get('type', '')}: {finding.get('message', '')}"
        why = "the model has no such variable" if is_listed else f"assigning it raised {raised}"
        raise ReplayError(
            ErrorCode.REPLAY_DIVERGED,
            f"the snapshot could not be restored: {name!r}: {why}. History and archive are intact; restore with "
            'another restorations.assembly, or with restorations.divergence "warn"',
            name=name,
            reason=why,
            applied="no",
        )

    def _tell(self, findings: list[dict[str, Any]]) -> None:
        self.warnings += findings[: MAX_FINDINGS - len(self.warnings)]


def _gone() -> ReplayError:
    message = "the run process ended during the snapshot"
    return ReplayError(ErrorCode.PROCESS_EXITED, message, applied="no")


def _frames(values: Mapping[str, bytes]) -> Iterator[list[list[Any]]]:
    """The values in frames of a bounded size, one value at least in each; one empty frame where there are none."""
    frame: list[list[Any]] = []
    size = 0
    for name, value in values.items():
        if frame and size + len(value) > BATCH_BYTES:
            yield frame
            frame, size = [], 0
        frame.append([name, value])
        size += len(name) + len(value)
    yield frame
