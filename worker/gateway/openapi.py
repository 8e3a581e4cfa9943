"""The OpenAPI document, made of the table of endpoints and the types they are judged with."""

import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic.json_schema import models_json_schema

from protocol.entities import Run
from worker import VERSION
from worker.gateway.endpoints import Endpoint
from worker.gateway.faces import EPICENTER, Face

_TEMPLATE: Final = "#/components/schemas/{model}"
_PART: Final = re.compile(r"{(\w+)(?::\w+)?}")
_RESULTS: Final[dict[str, Any]] = {
    "Run": {"$ref": "#/components/schemas/Run"},
    "RunsByKey": {
        "type": "object",
        "additionalProperties": {
            "anyOf": [{"$ref": "#/components/schemas/Run"}, {"$ref": "#/components/schemas/Fault"}]
        },
    },
    "Page": {"$ref": "#/components/schemas/Page"},
    "Values": {"type": "array", "items": {}},
    "ValuesByKey": {"type": "object", "additionalProperties": {}},
    "World": {"$ref": "#/components/schemas/World"},
    "Worlds": {"type": "array", "items": {"$ref": "#/components/schemas/World"}},
    "History": {"$ref": "#/components/schemas/History"},
    "Events": {"$ref": "#/components/schemas/Events"},
    "Caller": {"$ref": "#/components/schemas/Caller"},
    "Object": {"type": "object"},
    "Objects": {"type": "array", "items": {"type": "object"}},
    "any": {},
}
_EXAMPLES: Final = {"account": "acme", "project": "demo", "clusterId": "demo"}
_PAGE: Final = {
    "type": "object",
    "required": ["firstResult", "maxResults", "totalResults", "values"],
    "properties": {
        "firstResult": {"type": "integer"},
        "maxResults": {"type": "integer"},
        "totalResults": {"type": "integer"},
        "values": {"type": "array", "items": {"$ref": "#/components/schemas/Run"}},
    },
}
_WORLD: Final = {
    "type": "object",
    "required": ["worldKey", "personae", "assignments"],
    "properties": {
        "worldKey": {"type": "string"},
        "runKey": {"type": "string"},
        "orbitType": {"enum": ["GROUP", "EPISODE"]},
        "groupName": {"type": "string"},
        "episodeName": {"type": "string"},
        "personae": {"type": "array", "items": {"type": "string"}},
        "assignments": {"type": "array", "items": {"type": "object"}},
    },
}
_HISTORY: Final = {
    "type": "object",
    "required": ["entries", "headSeq"],
    "properties": {
        "headSeq": {"type": "integer"},
        "entries": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["seq", "kind", "at", "outcome"],
                "properties": {
                    "seq": {"type": "integer"},
                    "kind": {"enum": ["boot", "execute", "set", "rewind"]},
                    "at": {"type": "string"},
                    "name": {"type": "string"},
                    "arguments": {"type": "array", "items": {}},
                    "value": {},
                    "toSeq": {"type": "integer"},
                    "rewoundBy": {"type": "integer"},
                    "outcome": {
                        "type": "object",
                        "required": ["status"],
                        "properties": {"status": {"enum": ["completed", "error"]}, "result": {}, "error": {}},
                    },
                },
            },
        },
    },
}
_EVENTS: Final = {
    "type": "object",
    "required": ["events", "headEvent"],
    "properties": {
        "headEvent": {"type": "integer"},
        "events": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["event", "runKey", "kind", "at"],
                "properties": {
                    "event": {"type": "integer"},
                    "runKey": {"type": "string"},
                    "kind": {"type": "string"},
                    "at": {"type": "string"},
                    "seq": {"type": "integer"},
                    "toSeq": {"type": "integer"},
                    "variables": {"type": "object", "additionalProperties": {}},
                },
            },
        },
    },
}
_CALLER: Final = {
    "type": "object",
    "required": ["role"],
    "properties": {
        "role": {"type": "string"},
        "userKey": {"type": "string"},
        "groupKey": {"type": "string"},
        "worldKey": {"type": "string"},
        "worldRole": {"type": "string"},
    },
}
_VIEWS: Final = {
    "Page": _PAGE,
    "World": _WORLD,
    "History": _HISTORY,
    "Events": _EVENTS,
    "Caller": _CALLER,
}
_ADDITION: Final = "Additions of model-worker"


class RunView(Run):
    """A run."""

    model_config = ConfigDict(alias_generator=to_camel)


def make_document(endpoints: Sequence[Endpoint], face: Face = EPICENTER) -> dict[str, Any]:
    """The document of one API, ready to be served as JSON."""
    models = _models(endpoints)
    _, schema = models_json_schema([(model, "validation") for model in models], ref_template=_TEMPLATE)
    schemas: dict[str, Any] = {name: _without_nulls(found) for name, found in schema["$defs"].items()}
    run = schemas.pop(RunView.__name__)
    # Values by position in pages, by name nowhere: the one place where views differ from the protocol's Run.
    run["properties"]["variables"] = {"type": "array", "items": {}, "title": "Variables"}
    for model in {one.query for one in endpoints}:
        schemas[model.__name__]["x-query"] = True
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        paths.setdefault(_PART.sub(r"{\1}", one.path), {})[one.method.lower()] = _operation(
            one, schemas, face
        )
    queries = [name for name, found in schemas.items() if found.pop("x-query", False)]
    for name in queries:
        del schemas[name]
    views = {"Run": run, **_VIEWS} if face is EPICENTER else {}
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
            "schemas": {**schemas, **views, "Fault": face.fault_schema},
        },
    }


def _without_nulls(schema: dict[str, Any]) -> dict[str, Any]:
    """A type as it travels: what is not meant is left out, and null is refused for it."""
    properties = schema.get("properties")
    if properties is None:
        return schema
    return {**schema, "properties": {name: _left_out(found) for name, found in properties.items()}}


def _left_out(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if not kinds or len(kinds) == len(schema["anyOf"]):
        return schema
    rest = {name: found for name, found in schema.items() if name not in ("anyOf", "default")}
    return {**rest, **kinds[0]} if len(kinds) == 1 else {**rest, "anyOf": kinds}


def _models(endpoints: Sequence[Endpoint]) -> list[type[BaseModel]]:
    read = [model for one in endpoints for model in (one.body, one.query) if model is not None]
    return [*dict.fromkeys(read), RunView]


def _operation(one: Endpoint, schemas: dict[str, Any], face: Face) -> dict[str, Any]:
    origin = f" An addition of model-worker: {face.title} has no such endpoint." if one.is_addition else ""
    operation: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "tags": [_ADDITION if one.is_addition else face.title],
        "description": f"{one.role.value} or above.{origin}",
        "parameters": [*_path_parameters(one), *_query_parameters(schemas[one.query.__name__])],
        "responses": {"default": _response("What went wrong", {"$ref": "#/components/schemas/Fault"})},
    }
    if one.result == "none":
        operation["responses"]["204"] = {"description": "Done"}
    elif one.result == "stream":
        stream = {"text/event-stream": {"schema": {"type": "string"}}}
        operation["responses"]["200"] = {"description": "Messages, without end", "content": stream}
    else:
        operation["responses"]["200"] = _response("The answer", _RESULTS[one.result])
    if one.body is not None:
        reference = {"$ref": _TEMPLATE.format(model=one.body.__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference}}}
    return operation


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
