"""Posts to web addresses, over real sockets."""

import asyncio
import base64
import ipaddress
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from protocol.webhooks import secret_of, verify
from worker.runs.targets import web_address
from worker.supervisor.courier import NotDeliveredError
from worker.supervisor.webhook import Webhooks

HERE = [ipaddress.ip_network("127.0.0.0/8")]
SECRET = secret_of("whsec_" + base64.b64encode(b"s" * 32).decode())
Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Received:
    """What a server was sent: the first line, headers by lower-case name, the body."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """A server that answers as a test says."""

    port: int = 0
    received: list[Received] = field(default_factory=list)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@asynccontextmanager
async def serving(reply: Reply) -> AsyncIterator[Server]:
    server = Server()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
        original = dict(line.split(": ", 1) for line in head[1:] if line)
        server.received.append(Received(head[0], {k.lower(): v for k, v in original.items()}, body))
        try:
            await reply(writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


def answering(status: str, *headers: str, body: bytes = b"") -> Reply:
    async def reply(writer: asyncio.StreamWriter) -> None:
        head = "".join(
            f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers)
        )
        writer.write(head.encode() + b"\r\n" + body)
        await writer.drain()

    return reply


async def post(url: str, *, allowed: list[ipaddress.IPv4Network] = HERE, seconds: float = 5.0) -> None:  # type: ignore[assignment]
    webhooks = Webhooks(allowed, seconds)
    await webhooks.post(web_address(url), "d.1", b'{"a":1}', [SECRET])


def test_a_body_arrives_signed_with_its_query_and_id() -> None:
    async def scenario() -> None:
        async with serving(answering("204 No Content")) as server:
            await post(server.url("/hook?token=t"))

            (received,) = server.received
            assert received.line == "POST /hook?token=t HTTP/1.1"
            assert received.headers["host"] == f"127.0.0.1:{server.port}"
            assert received.headers["content-type"] == "application/json"
            assert json.loads(received.body) == {"a": 1}
            assert verify(received.headers, received.body, [SECRET], time.time()) == "d.1"

    asyncio.run(scenario())


@pytest.mark.parametrize("status", ("500 Oops", "404 Not Found", "302 Found", "304 Not Modified"))
def test_whatever_is_not_2xx_is_a_failure_and_no_redirect_is_followed(status: str) -> None:
    async def scenario() -> None:
        async with serving(answering("200 OK")) as other:
            async with serving(answering(status, f"location: {other.url('/elsewhere')}")) as server:
                with pytest.raises(NotDeliveredError, match=status.split(maxsplit=1)[0]):
                    await post(server.url())
            assert other.received == []

    asyncio.run(scenario())


def test_an_endless_answer_is_not_read_to_its_end() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            await writer.drain()

    async def scenario() -> None:
        async with serving(endless) as server:
            await asyncio.wait_for(post(server.url()), 10)

    asyncio.run(scenario())


def test_a_header_without_an_end_is_a_failure() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nx: ")
        while not writer.is_closing():
            writer.write(b"x" * 0x1000)
            await writer.drain()

    async def scenario() -> None:
        async with serving(endless) as server:
            with pytest.raises(NotDeliveredError):
                await asyncio.wait_for(post(server.url()), 10)

    asyncio.run(scenario())


@pytest.mark.parametrize("garbage", (b"", b"garbage\r\n\r\n", b"\x00" * 100))
def test_what_is_no_http_is_a_failure(garbage: bytes) -> None:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(garbage)

    async def scenario() -> None:
        async with serving(reply) as server:
            with pytest.raises(NotDeliveredError):
                await post(server.url())

    asyncio.run(scenario())


def test_who_is_silent_is_given_up_at_the_time_limit() -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        async with serving(silent) as server:
            with pytest.raises(NotDeliveredError, match="Timeout"):
                await post(server.url(), seconds=0.2)

    asyncio.run(scenario())


def test_nobody_listening_is_a_failure() -> None:
    async def scenario() -> None:
        async with serving(answering("200 OK")) as server:
            url = server.url()
        with pytest.raises(NotDeliveredError, match="ConnectError"):
            await post(url)

    asyncio.run(scenario())


@pytest.mark.parametrize("host", ("localhost", "127.0.0.1", "127.1"))
def test_the_address_that_would_be_connected_to_is_judged(host: str) -> None:
    async def scenario() -> None:
        async with serving(answering("200 OK")) as server:
            with pytest.raises(NotDeliveredError, match=r"not a public address"):
                await post(server.url(host=host), allowed=[ipaddress.ip_network("10.0.0.0/8")])  # type: ignore[list-item]
            assert server.received == []

    asyncio.run(scenario())


def test_a_name_that_is_nowhere_is_a_failure() -> None:
    with pytest.raises(NotDeliveredError, match="cannot be resolved"):
        asyncio.run(post("http://nowhere.invalid/"))
