"""The OpenAPI document, made of the table of endpoints, the types they read and the types they answer."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import TypeAdapter

from worker import VERSION
from worker.gateway.answers import NULLS
from worker.gateway.endpoints import Endpoint, EventStream, NoContent
from worker.gateway.faces import EPICENTER, Face

_SCHEMAS: Final = "#/components/schemas/"
_PART: Final = re.compile(r"{(\w+)(?::\w+)?}")
_EXAMPLES: Final = {"account": "acme", "project": "demo", "clusterId": "demo"}
_ADDITION: Final = "Additions of model-worker"
_FAULT: Final = "fault"

Part = tuple[str, str]
"""An endpoint by its name, and what of it: ``query``, ``body``, ``result``, or the name of an event."""


def make_document(endpoints: Sequence[Endpoint], face: Face = EPICENTER) -> dict[str, Any]:
    """The document of one API, ready to be served as JSON."""
    parts = {part: type_ for one in endpoints for part, type_ in _types(one)} | {("", _FAULT): face.fault}
    found, definitions = TypeAdapter.json_schemas(
        [(part, "validation", TypeAdapter(type_)) for part, type_ in parts.items()],
        ref_template=_SCHEMAS + "{model}",
    )
    schemas = {part: schema for (part, _), schema in found.items()}
    types = {name: _as_it_travels(schema) for name, schema in definitions["$defs"].items()}
    queries = {one.name: _name_of(schemas[one.name, "query"]) for one in endpoints}
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        operation = _operation(one, schemas, types[queries[one.name]], face)
        paths.setdefault(_PART.sub(r"{\1}", one.path), {})[one.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": f"model-worker gateway: {face.title}", "version": VERSION},
        "servers": [
            {
                "url": face.root,
                "variables": {name: {"default": _EXAMPLES[name]} for name in _PART.findall(face.root)},
            }
        ],
        "security": [{"bearer": []}, {}],
        "tags": [
            {"name": face.title, "description": f"As {face.title} has it"},
            {"name": _ADDITION, "description": f"Of this project alone: {face.title} has no such endpoint"},
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {name: schema for name, schema in types.items() if name not in queries.values()},
        },
    }


def _types(one: Endpoint) -> Iterator[tuple[Part, Any]]:
    """What is read and answered at an endpoint."""
    yield (one.name, "query"), one.query
    if one.body is not None:
        yield (one.name, "body"), one.body
    if isinstance(one.result, EventStream):
        yield from (((one.name, name), type_) for name, type_ in one.result.messages.items())
    elif one.result is not NoContent:
        yield (one.name, "result"), one.result


def _name_of(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).removeprefix(_SCHEMAS)


def _as_it_travels(schema: dict[str, Any]) -> dict[str, Any]:
    """A type as it travels: unless it says that its fields are null, what is not meant is left out, and null is refused."""
    properties = schema.get("properties")
    if properties is None or schema.pop(NULLS, False):
        return schema
    required = schema.get("required", ())
    told = {name: found if name in required else _left_out(found) for name, found in properties.items()}
    return {**schema, "properties": told}


def _left_out(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if not kinds or len(kinds) == len(schema["anyOf"]):
        return schema
    rest = {name: found for name, found in schema.items() if name not in ("anyOf", "default")}
    return {**rest, **kinds[0]} if len(kinds) == 1 else {**rest, "anyOf": kinds}


def _operation(
    one: Endpoint, schemas: Mapping[Part, dict[str, Any]], query: dict[str, Any], face: Face
) -> dict[str, Any]:
    origin = f" An addition of model-worker: {face.title} has no such endpoint." if one.is_addition else ""
    operation: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "tags": [_ADDITION if one.is_addition else face.title],
        "description": f"{one.role.value} or above.{origin}",
        "parameters": [*_path_parameters(one), *_query_parameters(query)],
        "responses": {"default": _response("What went wrong", schemas["", _FAULT]), **_answers(one, schemas)},
    }
    if one.body is not None:
        content = {"application/json": {"schema": schemas[one.name, "body"]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _answers(one: Endpoint, schemas: Mapping[Part, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What comes back, by status."""
    if one.result is NoContent:
        return {"204": {"description": "Done"}}
    if isinstance(one.result, EventStream):
        # OpenAPI has no words for the messages of a stream.
        data = {name: schemas[one.name, name] for name in one.result.messages}
        stream = {"text/event-stream": {"schema": {"type": "string"}, "x-events": data}}
        answer = {
            "description": "Messages, as they come; `x-events`: their data by the name of the event",
            "content": stream,
        }
        return (
            {"200": answer, "204": {"description": "There is nothing more to come"}}
            if 204 in one.statuses
            else {"200": answer}
        )
    return {str(status): _response("The answer", schemas[one.name, "result"]) for status in one.statuses}


def _response(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _path_parameters(one: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PART.findall(one.path)
    ]


def _query_parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": found}
        for name, found in schema.get("properties", {}).items()
    ]
