"""The OpenAPI document and a page to read it: plain HTML, made here, that loads nothing from anywhere."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from worker.gateway.endpoints import Endpoint
from worker.gateway.faces import EPICENTER, Face
from worker.gateway.faults import answer
from worker.gateway.openapi import make_document

_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
summary{cursor:pointer;padding:.3rem}summary:focus-visible{outline:2px solid #06c}
code,pre{font:14px/1.4 ui-monospace,monospace}pre{background:#f4f4f4;padding:.6rem;overflow:auto}
b.GET{color:#05609b}b.POST{color:#256b2b}b.PATCH{color:#8a5300}b.DELETE{color:#a3261d}
b{display:inline-block;width:5rem}td,th{text-align:left;padding-right:1rem;vertical-align:top}
"""


def document_routes(endpoints: Sequence[Endpoint], face: Face = EPICENTER, root: str = "") -> list[BaseRoute]:
    """``/openapi.json`` and ``/docs`` of one API, below ``root``."""
    document = make_document(endpoints, face)
    page = render(document, root)

    async def serve_document(_request: Request) -> Response:
        return answer(document)

    async def serve_page(_request: Request) -> Response:
        policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HTMLResponse(page, headers=policy)

    return [Route(f"{root}/openapi.json", serve_document), Route(f"{root}/docs", serve_page)]


def render(document: dict[str, Any], root: str = "") -> str:
    """The document as a page: every endpoint can be opened, with its parameters and what is sent and answered."""
    schemas = document["components"]["schemas"]
    items = "".join(_group(document, tag) for tag in document["tags"])
    types = [_type(name, schema) for name, schema in sorted(schemas.items())]
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><h1>{title}</h1>'
        f"<p>All paths are below <code>{escape(document['servers'][0]['url'])}</code>. "
        f'For programs: <a href="{root}/openapi.json">openapi.json</a>. The APIs of this gateway: {_links()}</p>'
        f"{items}<h2>Types</h2>{''.join(types)}</html>\n"
    )


def _group(document: dict[str, Any], tag: dict[str, str]) -> str:
    items = [
        _item(method.upper(), path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if tag["name"] in operation["tags"]
    ]
    return (
        ""
        if not items
        else f"<h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}.</p>{''.join(items)}"
    )


DOCUMENTED: Final = {"": "Epicenter's", "/api/v1": "Composable", "/clusters": "of clusters"}
"""What the documents of each API are below."""


def _links() -> str:
    return ", ".join(f'<a href="{root}/docs">{escape(name)}</a>' for root, name in DOCUMENTED.items())


def _item(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code><td>{one['in']}<td>{'needed' if one['required'] else ''}"
        f"<td><code>{escape(_brief(one['schema']))}</code>"
        for one in operation["parameters"]
    )
    body = operation.get("requestBody")
    sent = f"<p>Body: {_reference(body)}</p>" if body else ""
    answers = "".join(
        f"<p>{escape(status)}: {escape(found['description'])} {_reference(found)}</p>"
        for status, found in sorted(operation["responses"].items())
    )
    return (
        f'<details><summary><b class="{method}">{method}</b><code>{escape(path)}</code> '
        f"{escape(operation['summary'])}</summary><p>{escape(operation['description'])}</p>"
        f"<table>{rows}</table>{sent}{answers}</details>"
    )


def _type(name: str, schema: dict[str, Any]) -> str:
    text = escape(json.dumps(schema, indent=2))
    return f'<details id="{escape(name)}"><summary>{escape(name)}</summary><pre>{text}</pre></details>'


def _reference(holder: dict[str, Any]) -> str:
    content = holder.get("content")
    if content is None:
        return ""
    (kind, media), *_ = content.items()
    if kind != "application/json":
        return f"<code>{escape(kind)}</code>"
    schema = media["schema"]
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return (
        f'<a href="#{escape(name)}">{escape(name)}</a>' if name else f"<code>{escape(_brief(schema))}</code>"
    )


def _brief(schema: dict[str, Any]) -> str:
    plain = {name: value for name, value in schema.items() if name not in ("title", "description")}
    return json.dumps(plain) if plain else "any JSON value"
