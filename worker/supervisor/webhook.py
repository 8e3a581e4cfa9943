"""Sends JSON to web addresses. Imported only where something is sent to one.

A host is resolved once for each attempt; every address that it has is judged, and it is one of these that is
connected to, so that a name cannot be one host for the judge and another for the socket. Connections are not kept,
redirects not followed, and what is answered is looked at no further than its status.
"""

import asyncio
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import httpcore

from protocol.webhooks import signed_headers
from worker import VERSION
from worker.runs.targets import Network, TargetRefusedError, WebAddress, judge_address
from worker.supervisor.courier import NotDeliveredError

ANSWER_BYTES: Final = 64 * 1024
"""How much of an answer is taken off the socket, so that a sender who is not done meets no reset."""
RESOLVING: Final = 64
"""Names that are being resolved at once, also of attempts that gave up waiting."""

Infos = Sequence[tuple[Any, Any, Any, str, tuple[Any, ...]]]


class Webhooks:
    """Posts to web addresses; ``allowed``: networks that are not public and may be posted to all the same."""

    def __init__(self, allowed: Sequence[Network], timeout_seconds: float) -> None:
        self._timeouts = dict.fromkeys(("connect", "read", "write", "pool"), timeout_seconds)
        self._tls = ssl.create_default_context()
        self._backend = _JudgingBackend(allowed)

    async def post(
        self, address: WebAddress, delivery_id: str, body: bytes, secrets: Sequence[bytes]
    ) -> None:
        """Send a body of JSON, signed with all secrets.

        Raises:
            NotDeliveredError: the host cannot be reached, must not be, or did not answer 2xx.
        """
        headers = {
            "content-type": "application/json",
            "user-agent": f"model-worker/{VERSION}",
            **signed_headers(delivery_id, int(time.time()), body, secrets),
        }
        try:
            status = await self._send(address, headers, body)
        except TargetRefusedError as error:
            raise NotDeliveredError(str(error)) from error
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
            raise NotDeliveredError(f"{type(error).__name__}: {error}") from error
        if not 200 <= status < 300:
            raise NotDeliveredError(f"answered {status}")

    async def _send(self, address: WebAddress, headers: dict[str, str], body: bytes) -> int:
        async with httpcore.AsyncConnectionPool(
            ssl_context=self._tls, max_keepalive_connections=0, network_backend=self._backend
        ) as pool:
            request = pool.stream(
                "POST",
                httpcore.URL(
                    scheme=address.scheme.encode(),
                    host=address.host.encode(),
                    port=address.port,
                    target=address.path.encode(),
                ),
                headers=[*headers.items(), ("host", _host_header(address))],
                content=body,
                extensions={"timeout": self._timeouts},
            )
            async with request as response:
                taken = 0
                async for chunk in response.aiter_stream():
                    taken += len(chunk)
                    if taken >= ANSWER_BYTES:
                        break
                return int(response.status)


class _JudgingBackend(httpcore.AnyIOBackend):
    """Connects to addresses that were judged, and to no names."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        super().__init__()
        self._allowed = allowed
        self._resolving = threading.BoundedSemaphore(RESOLVING)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to one of the addresses that ``host`` has, all of which must be allowed.

        Raises:
            TargetRefusedError: one is not.
        """
        addresses = [
            ipaddress.ip_address(str(info[4][0])) for info in await _resolved(host, port, self._resolving)
        ]
        for address in addresses:
            judge_address(address, self._allowed, of=host)
        failed: Exception | None = None
        for address in dict.fromkeys(addresses):
            try:
                return await super().connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore.ConnectError(f"{host} has no address")

    async def connect_unix_socket(self, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        """Never: what is told goes over the network."""
        raise TargetRefusedError("no socket file is told of anything")


async def _resolved(host: str, port: int, places: threading.BoundedSemaphore) -> Infos:
    """The addresses of a host, found by the system in a thread that nobody has to wait for.

    A resolver may hang for longer than anybody wants to wait, and cannot be told to stop; a thread of a pool would
    then be missing to others, and hold up the worker's end.
    """
    loop = asyncio.get_running_loop()
    if not places.acquire(blocking=False):
        raise NotDeliveredError(f"{RESOLVING} names are being resolved already")
    told: asyncio.Future[Infos] = loop.create_future()

    def tell(found: Infos, error: OSError | UnicodeError | None) -> None:
        if told.done():
            return
        if error is None:
            told.set_result(found)
        else:
            told.set_exception(httpcore.ConnectError(f"{host} cannot be resolved: {error}"))

    def resolve() -> None:
        found: Infos = ()
        failed: OSError | UnicodeError | None = None
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failed = error
        finally:
            places.release()
        # A closed loop has nobody left to tell.
        try:
            loop.call_soon_threadsafe(tell, found, failed)
        except RuntimeError:
            return

    threading.Thread(target=resolve, name="resolver", daemon=True).start()
    return await told


def _host_header(address: WebAddress) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    usual = {"http": 80, "https": 443}[address.scheme]
    return host if address.port == usual else f"{host}:{address.port}"
