"""JSON Schemas: what is refused by them, and what callers are told; the judging itself is done elsewhere."""

from typing import Any

from protocol.errors import ErrorCode
from worker.channel import pack
from worker.errors import RequestError
from worker.process.schema_judge import Finding, NotJudgedError, SchemaJudge

Errors = list[dict[str, str]]


class Schemas:
    """Asks one judge; one object for the whole worker."""

    def __init__(self, judge: SchemaJudge) -> None:
        self._judge = judge

    async def check(self, path: str, schema: Any) -> None:
        """Refuse what nothing could be judged by; ``path`` says where it stands.

        Raises:
            RequestError: INVALID_SCHEMA.
        """
        try:
            errors = _told(await self._judge.of_schema(pack(schema)))
        except NotJudgedError as error:
            errors = _whole(error)
        if errors:
            message = f"{path} is no JSON Schema that values can be judged by: {first_of(errors)}"
            raise RequestError(ErrorCode.INVALID_SCHEMA, message, path=path, errors=errors)

    async def check_value(self, path: str, schema: Any, value: Any) -> None:
        """Refuse a value of a request that does not fit a schema.

        Raises:
            RequestError: INVALID_REQUEST with ``errors``.
        """
        errors = await self.errors(pack(schema), pack(value))
        if errors:
            message = f"{path} does not fit its schema: {first_of(errors)}"
            raise RequestError(ErrorCode.INVALID_REQUEST, message, path=path, errors=errors)

    async def check_arguments(self, name: str, index: int, schema: bytes, arguments: Any) -> None:
        """Refuse a call whose arguments do not fit.

        Raises:
            RequestError: ARGUMENTS_INVALID.
        """
        errors = await self.errors(schema, pack(arguments))
        if errors:
            message = f"the arguments of {name} do not fit its argumentsSchema: {first_of(errors)}"
            raise RequestError(
                ErrorCode.ARGUMENTS_INVALID, message, name=name, index=index, errors=errors, applied="no"
            )

    async def errors(self, schema: bytes, value: bytes) -> Errors:
        """What of a value does not fit; that it cannot be judged is an error too."""
        try:
            return _told(await self._judge.of_value(schema, value))
        except NotJudgedError as error:
            return _whole(error)


def _told(findings: list[Finding]) -> Errors:
    return [{"path": one.path, "error": one.error} for one in findings]


def _whole(error: NotJudgedError) -> Errors:
    return [{"path": "", "error": str(error)}]


def first_of(errors: Errors) -> str:
    """One of them in words."""
    return ": ".join(part for part in errors[0].values() if part)
