"""The page to look at: files beside this module, read when the gateway starts and served as they are."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

FOLDER: Final = Path(__file__).with_name("page")
KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""What the page may do: run its own files and ask its own gateway. Text that becomes markup is an error in it."""

_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def page_routes() -> list[BaseRoute]:
    """``/``, and ``/page/…`` for what it loads."""
    files = {path.name: path for path in sorted(FOLDER.iterdir()) if path.suffix in KINDS}
    index = files.pop("index.html")
    return [
        Route("/", _serving(index)),
        *(Route(f"/page/{name}", _serving(path)) for name, path in files.items()),
    ]


def _serving(path: Path) -> Callable[[Request], Awaitable[Response]]:
    """A handler that answers with a file, or that it has not changed."""
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**_HEADERS, "ETag": tag}

    async def serve(request: Request) -> Response:
        known = {
            one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")
        }
        if tag in known:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=KINDS[path.suffix])

    return serve
