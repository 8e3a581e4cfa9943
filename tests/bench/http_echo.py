"""The floor of an HTTP request: the server that the gateway runs on, and nothing behind it; prints its HOST:PORT."""

import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

Message = MutableMapping[str, Any]
_HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"4")],
}
_BODY = {"type": "http.response.body", "body": b"null"}


async def app(
    _scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Read a request, and answer it."""
    while (await receive()).get("more_body"):
        pass
    await send(_HEAD)
    await send(_BODY)


def main() -> None:
    """Serve until SIGTERM."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    sys.stdout.write("{}:{}\n".format(*listening.getsockname()))
    sys.stdout.flush()
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="error",
        timeout_keep_alive=600,
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
