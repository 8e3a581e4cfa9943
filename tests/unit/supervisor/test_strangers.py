"""The bound on all connections of a socket: real ones, on loopback."""

import asyncio
from collections.abc import Iterator

import pytest
import zmq

from worker.supervisor.strangers import Strangers

ALLOWED = 3
STAYS_SECONDS = 0.5
"""Far longer than it takes to end a connection that may not stay."""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def server() -> Iterator["zmq.Socket[bytes]"]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context, context.socket(zmq.ROUTER) as socket:
        socket.linger = 0
        yield socket


async def is_ended(connection: Connection, seconds: float = STAYS_SECONDS) -> bool:
    """Whether the other side ends a connection within some time."""
    try:
        async with asyncio.timeout(seconds):
            while await connection[0].read(64):
                pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def test_one_connection_too_many_is_ended_and_comes_in_when_another_has_gone(
    server: "zmq.Socket[bytes]",
) -> None:
    async def main() -> None:
        strangers = Strangers(server, ALLOWED)
        server.bind("tcp://127.0.0.1:*")
        endpoint = server.get_string(zmq.LAST_ENDPOINT)
        strangers.listen(endpoint)
        made: list[Connection] = []

        async def connect() -> Connection:
            made.append(await asyncio.open_connection("127.0.0.1", int(endpoint.rpartition(":")[2])))
            return made[-1]

        first = [await connect() for _ in range(ALLOWED)]
        assert await is_ended(await connect(), 20)
        assert [await is_ended(one, 0.1) for one in first] == [False] * ALLOWED, "those there go on"
        first[0][1].close()
        while await is_ended(await connect()):  # until the end of the other one is known
            pass
        assert await is_ended(await connect(), 20)
        strangers.close()
        for _, writer in made:
            writer.close()

    asyncio.run(asyncio.wait_for(main(), 60))
