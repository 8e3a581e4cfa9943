"""What a run may be started with: schemas that values can be judged by, functions that its model has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from protocol.errors import ErrorCode
from worker.channel import pack
from worker.errors import RequestError
from worker.runs.contexts import ModelContext
from worker.runs.profile import RunProfile
from worker.runs.record import RunRecord
from worker.runs.rules import own_functions, refusal_of_action, rules_of
from worker.supervisor.flights import Flight
from worker.supervisor.introspection import Introspector
from worker.supervisor.schemas import Schemas

CONTEXT_BYTES: Final = 64 * 1024
"""Of a run's context, as msgpack: it is sent to each process of the run."""
SCHEMA_BYTES: Final = 256 * 1024
PATH: Final = "attached_functions"
Listed = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Attaching:
    """Judges them before anything of a run is durable; one object for the whole worker."""

    introspector: Introspector
    schemas: Schemas

    async def judge(
        self, record: RunRecord, profile: RunProfile, context: ModelContext, flight: Flight
    ) -> None:
        """Judge the rules of a run that is to be started, and its initial actions by them.

        Raises:
            RequestError: INVALID_SCHEMA, INVALID_REQUEST, OPERATION_NOT_ATTACHED; nothing happened.
            WorkerError: why the model cannot tell what it offers.
        """
        if profile.result_schema is not None:
            _refuse_large("result_schema", profile.result_schema, SCHEMA_BYTES)
            await self.schemas.check("result_schema", profile.result_schema)
        if profile.context is not None:
            _refuse_large("context", profile.context, CONTEXT_BYTES)
        _refuse_large("mocks", profile.mocks, CONTEXT_BYTES)
        rules = rules_of(profile)
        for index, action in enumerate((profile.course or {}).get("actions", ())):
            refusal = refusal_of_action(rules, context.run.private, action, index)
            if refusal is not None:
                raise RequestError(refusal.code, refusal.message, **refusal.information)
        if profile.attached_functions is not None:
            await self.judge_functions(record, profile.attached_functions, flight)

    async def judge_functions(self, record: RunRecord, listed: Listed, flight: Flight) -> None:
        """Refuse functions that the model of a run does not have.

        Raises:
            RequestError: INVALID_REQUEST naming them; as ``judge``.
        """
        try:
            own_functions([(one.get("service"), one["function"]) for one in listed], record.model_file)
        except ValueError as error:
            raise RequestError(ErrorCode.INVALID_REQUEST, f"{PATH}: {error}", path=PATH) from error
        names = [one["function"] for one in listed]
        offered = await self.introspector.operations(record, listed, flight)
        unknown = [name for name in names if name not in offered]
        if unknown:
            message = (
                f"{PATH}: {record.model_file} has no operation {', '.join(map(repr, unknown[:10]))}; it has "
                f"{', '.join(sorted(offered)[:20]) or 'none'}"
            )
            raise RequestError(ErrorCode.INVALID_REQUEST, message, path=PATH, unknown=unknown[:100])


def _refuse_large(path: str, value: Any, allowed: int) -> None:
    size = len(pack(value))
    if size > allowed:
        message = f"{path}: {size} bytes, allowed are {allowed}; give the model a file for what is larger"
        raise RequestError(ErrorCode.INVALID_REQUEST, message, path=path, size=size, allowed=allowed)
