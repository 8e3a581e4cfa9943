"""Whatever is sent, the gateway answers as its document says, and never with a bug of its own."""

import contextlib
import json
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

FURTHER: Final = {"/api/v1": "/api/v1/openapi.json", "/clusters/acme.demo": "/clusters/openapi.json"}
_TEXTS: Final = st.text(max_size=12) | st.sampled_from(
    ("add", "count", "counter.py", "GROUP", "REVIVE", "a;b", "%")
)
_SCALARS: Final = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS
)
_VALUES: Final = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)


_MOSTLY: Final = st.integers(0, 9).map(bool)
"""Nine times out of ten."""


@pytest.fixture(scope="module")
def document(api: Any) -> dict[str, Any]:
    """What the gateway says of itself."""
    found: dict[str, Any] = api.root.get("/openapi.json").json()
    return found


@st.composite
def _bodies(draw: st.DrawFn, document: dict[str, Any], operation: dict[str, Any]) -> bytes:
    """A body that is nearly right: the properties of the document, some missing, some of another kind."""
    content = operation.get("requestBody")
    if content is None:
        return b""
    name = content["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = document["components"]["schemas"][name]
    value: Any = {}
    for key, found in schema.get("properties", {}).items():
        if key in schema.get("required", []) or draw(st.booleans()):
            value[key] = draw(_like(found, document) if draw(_MOSTLY) else _VALUES)
    if schema.get("type") != "object" or not schema.get("properties"):
        value = draw(
            _VALUES | st.lists(st.fixed_dictionaries({"name": _TEXTS, "value": _VALUES}), max_size=2)
        )
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _like(schema: dict[str, Any], document: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        inner = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        if "enum" in inner:
            return st.sampled_from(inner["enum"])
        parts = {key: _like(found, document) for key, found in inner.get("properties", {}).items()}
        return st.fixed_dictionaries({}, optional=parts)
    if "anyOf" in schema:
        return st.one_of([_like(one, document) for one in schema["anyOf"] if one != {"type": "null"}])
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "string": _TEXTS | st.just("0" * 36),
        "boolean": st.booleans(),
        "integer": st.integers(-1, 3),
        "number": st.floats(0.5, 5),
        "array": st.lists(st.just("0" * 36) | _VALUES, max_size=2),
        "object": st.dictionaries(_TEXTS, _VALUES, max_size=2),
    }
    return kinds.get(str(schema.get("type")), _VALUES)


_SEGMENTS: Final = _TEXTS.filter(bool) | st.sampled_from(("0" * 36, "g", "../x", "a/b", "\0"))
_VALUES_OF_QUERIES: Final = st.sampled_from(
    (
        *("0" * 36, "REVIVE", "1", "-1", "1e999", "true", "run.hidden=false", "var.a~=*x", "+run.created", "a;;b"),
        *("false", "completed", "done", "a:b", "user:ada", "0.1", "status", ",", "9" * 30),
    )
)  # fmt: skip


def _queries(names: list[str]) -> st.SearchStrategy[dict[str, str]]:
    """Parameters that an endpoint has, mostly, and others."""
    known = st.sampled_from((*names, "timeout", "filter", "access_token"))
    return st.dictionaries(known, _VALUES_OF_QUERIES | _TEXTS, max_size=3)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_nothing_that_is_sent_is_answered_500(
    api: Any, document: dict[str, Any], live_key: str, data: st.DataObject
) -> None:
    fault = fuzzed(api, api.base, document, live_key, data)
    assert fault is None or fault["information"]["code"]


@pytest.mark.parametrize("base", FURTHER)
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_nothing_that_is_sent_to_further_apis_is_answered_500(
    api: Any, further: dict[str, Any], live_key: str, base: str, data: st.DataObject
) -> None:
    fault = fuzzed(api, base, further[base], live_key, data)
    assert fault is None or fault.get("error") or fault["message"]


def fuzzed(
    api: Any, base: str, document: dict[str, Any], live_key: str, data: st.DataObject
) -> dict[str, Any] | None:
    """Send something to an endpoint of a document; the fault that it is answered with, None for none."""
    path = data.draw(st.sampled_from(sorted(document["paths"])))
    method = data.draw(st.sampled_from(sorted(document["paths"][path])))
    operation = document["paths"][path][method]
    names = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            is_key = parameter["name"] in ("runKey", "id")
            part = live_key if is_key and data.draw(_MOSTLY) else data.draw(_SEGMENTS)
            path = path.replace(f"{{{parameter['name']}}}", quote(part, safe="", errors="replace"))
    content = data.draw(_bodies(document, operation))
    given_query = {} if data.draw(_MOSTLY) else data.draw(_queries(names))
    query = {name: text.encode("utf-8", "replace") for name, text in given_query.items()}
    headers = {"Authorization": "Bearer dev", "Content-Type": "application/json"}
    asked = api.root.build_request(
        method.upper(), base + path, params=query, content=content or None, headers=headers
    )
    response: httpx.Response = api.root.send(asked, stream=True)
    with contextlib.closing(response):
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            assert response.status_code == 200
            return None
        response.read()
    assert response.status_code != 500, response.text
    if response.status_code == 204:
        return None
    assert "application/json" in response.headers["content-type"]
    return dict(response.json()) if response.status_code >= 400 else None


@pytest.fixture(scope="module")
def further(api: Any) -> dict[str, Any]:
    """What the gateway says of its further APIs, by what their paths are below."""
    return {base: api.root.get(path).json() for base, path in FURTHER.items()}


@pytest.fixture(scope="module")
def live_key(api: Any) -> str:
    """A run that is there to be asked."""
    return str(api.create())


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(body=st.binary(max_size=40))
@example(b"[" * 5000)
@example(b'{"name": "add", "arguments": [1e400]}')
@example(b'{"name": "add", "arguments": [' + b"9" * 5000 + b"]}")
@example(b'{"name": "\\ud800"}')
@example(b"\xff")
def test_bytes_that_are_no_request_are_told_so(api: Any, live_key: str, body: bytes) -> None:
    response = api.ask("POST", f"/run/operation/{live_key}", body)
    assert response.status_code in (400, 404), response.text
