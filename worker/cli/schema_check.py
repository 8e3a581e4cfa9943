"""The JSON Schemas of a context file, judged as a worker judges them when the first value comes."""

import asyncio
from collections.abc import Iterator

from worker.channel import pack
from worker.process.schema_judge import Finding, NotJudgedError, SchemaJudge
from worker.runs.contexts import ModelContext
from worker.runs.options import JsonSchema

SECONDS_OF_ONE = 5.0
"""An author's machine may be busy; a worker allows ``schema_seconds``."""


def wrong_schemas(context: ModelContext) -> list[tuple[str, str]]:
    """(path of a schema, what is wrong) of all by which nothing could be judged."""
    schemas = list(_schemas(context))
    return asyncio.run(_judged(schemas)) if schemas else []


def _schemas(context: ModelContext) -> Iterator[tuple[str, JsonSchema]]:
    operations = {f"operations.{name}": options for name, options in context.operations.items()}
    for path, options in {**operations, "defaults.operations": context.defaults.operations}.items():
        for name in ("argumentsSchema", "resultSchema"):
            schema = getattr(options, name)
            if schema is not None:
                yield f"{path}.{name}", schema
    if context.run.input is not None:
        yield "run.input", context.run.input


async def _judged(schemas: list[tuple[str, JsonSchema]]) -> list[tuple[str, str]]:
    judge = SchemaJudge(SECONDS_OF_ONE)
    wrong: list[tuple[str, str]] = []
    try:
        for path, schema in schemas:
            try:
                findings = await judge.of_schema(pack(schema))
            except NotJudgedError as error:
                findings = [Finding("", str(error))]
            wrong += [(path, ": ".join(part for part in (one.path, one.error) if part)) for one in findings]
    finally:
        await judge.close()
    return wrong
