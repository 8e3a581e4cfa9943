"""The OpenAPI documents of a gateway, and whether what it answers is as they say."""

import re
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator

EPICENTER = re.compile(r"(/proxy/[^/]+/[^/]+)?/api/v3/[^/]+/[^/]+(?=/)")
FACES = (
    (EPICENTER, "/openapi.json"),
    (re.compile(r"/api/v1(?=/)"), "/api/v1/openapi.json"),
    (re.compile(r"/clusters/[^/]+(?=/)"), "/clusters/openapi.json"),
)
"""What the paths of each API begin with, and where its document is."""


class Document:
    """The document of one API. Objects whose fields it lists have no others: the gateway may not tell more than is told."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self._schemas = {"components": {"schemas": closed(content["components"]["schemas"])}}
        self._judges: dict[str, Draft202012Validator] = {}
        self._paths = [
            (
                re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))),
                re.compile(_of_any_length(path)),
                path,
            )
            for path in content["paths"]
        ]

    def faults_of(self, schema: dict[str, Any], value: Any) -> list[str]:
        """Why a value does not fit; empty where it does."""
        key = repr(schema)
        if key not in self._judges:
            self._judges[key] = Draft202012Validator({**closed(schema), **self._schemas})
        return [f"{error.json_path}: {error.message}"[:300] for error in self._judges[key].iter_errors(value)]

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        """The operation that a path below the root means: words before keys, and the last part may have slashes."""
        for place in (0, 1):
            found = [
                one[2] for one in self._paths if one[place].fullmatch(path) and method in self._of(one[2])
            ]
            if found:
                chosen = max(found, key=lambda one: (one.count("/") - one.count("{"), one.count("/")))
                return self._of(chosen)[method]
        return None

    def _of(self, path: str) -> dict[str, dict[str, Any]]:
        operations = self.content["paths"][path].items()
        return {method.upper(): operation for method, operation in operations}

    def judge(self, method: str, path: str, response: httpx.Response) -> None:
        """Hold an answer to what is told of its endpoint, or of faults where there is no such endpoint."""
        operation = self.operation(method, path)
        status, told = response.status_code, f"{method} {path}: {response.status_code}"
        if status >= 400:
            faults = self.faults_of({"$ref": "#/components/schemas/Fault"}, response.json())
            assert not faults, f"{told}: {faults}"
            return
        assert operation is not None, told
        assert str(status) in operation["responses"], told
        if response.content and status != 206:  # 206: a part of a text, which is no JSON by itself
            faults = self.faults_of(schema_of(operation["responses"][str(status)]), response.json())
            assert not faults, f"{told}: {faults}"

    def judge_message(self, path: str, event: str, data: Any) -> None:
        """Hold the data of a message of a stream to what is told of it, by the name of its event."""
        operation = self.operation("GET", path)
        assert operation is not None, path
        told = operation["responses"]["200"]["content"]["text/event-stream"]["x-events"]
        faults = self.faults_of(told[event], data)
        assert not faults, f"{path}: {event}: {faults}"


def _of_any_length(path: str) -> str:
    head, _, _ = path.rpartition("{")
    return re.sub(r"\\{\w+\\}", "[^/]+", re.escape(head)) + ".+" if path.endswith("}") else re.escape(path)


def closed(schema: Any) -> Any:
    """The same where objects that say nothing of further fields have none."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(found) for name, found in schema.items()}
    return {"additionalProperties": False, **inner} if "properties" in schema else inner


def schema_of(holder: dict[str, Any]) -> Any:
    """The schema of a body or an answer."""
    return holder["content"]["application/json"]["schema"]


class Judge:
    """A hook for clients of a gateway: every answer of an API in JSON is held to its document."""

    def __init__(self, url: str) -> None:
        self._documents = cache(lambda where: Document(httpx.get(url + where, timeout=30).json()))

    def __call__(self, response: httpx.Response) -> None:
        """Judge an answer, as it came."""
        found = self._found(response)
        if found is not None and "application/json" in response.headers.get("content-type", ""):
            response.read()
            document, path = found
            document.judge(response.request.method, path, response)

    def message(self, response: httpx.Response, event: str, data: Any) -> None:
        """Judge one message of a stream."""
        found = self._found(response)
        assert found is not None, response.request.url
        document, path = found
        document.judge_message(path, event, data)

    def _found(self, response: httpx.Response) -> tuple[Document, str] | None:
        """The document of the API that was asked, and the path below its root; None: it was none of the APIs."""
        path = response.request.url.raw_path.decode().partition("?")[0]
        for root, where in FACES:
            found = root.match(path)
            if found is not None and path != where:
                return self._documents(where), path[found.end() :]
        return None
