"""What only the asynchronous client can do: many requests of many tasks over one connection."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
import zmq

from protocol.client import AsyncClient
from protocol.errors import ProtocolError

COUNT = 200


class Hoarder:
    """Answers nothing until it holds ``count`` requests, then all of them, the last first."""

    def __init__(self, count: int) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.linger = 0
        self.endpoint = f"tcp://127.0.0.1:{self._router.bind_to_random_port('tcp://127.0.0.1')}"
        self._count = count
        self._received = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        held: list[list[bytes]] = []
        while len(held) < self._count and self._router.poll(10_000):
            held.append(self._router.recv_multipart())
            self._received.release()
        for identity, empty, body in reversed(held):
            asked = msgpack.unpackb(body)
            reply = {
                "version": 1,
                "request_id": asked["request_id"],
                "ok": True,
                "result": asked.get("arguments"),
            }
            self._router.send_multipart([identity, empty, msgpack.packb(reply)])

    def wait_received(self, count: int) -> None:
        for _ in range(count):
            assert self._received.acquire(timeout=10)

    def close(self) -> None:
        self._thread.join(20)
        self._context.destroy(linger=1000)


@pytest.fixture
def hoarder() -> Iterator[Hoarder]:
    made = Hoarder(COUNT)
    yield made
    made.close()


def test_many_requests_are_in_flight_and_each_task_gets_its_own_answer(hoarder: Hoarder) -> None:
    async def main() -> list[Any]:
        async with AsyncClient(hoarder.endpoint) as worker:
            calls = [worker.call_operation("0" * 36, "step", [n]) for n in range(COUNT)]
            results = await asyncio.gather(*calls)
            assert worker.in_flight == 0
            return results

    assert asyncio.run(main()) == [[n] for n in range(COUNT)]


def test_a_cancelled_task_is_forgotten_and_its_reply_dropped(hoarder: Hoarder) -> None:
    async def main() -> None:
        async with AsyncClient(hoarder.endpoint) as worker:
            abandoned = [asyncio.create_task(worker.ping()) for _ in range(COUNT - 1)]
            await asyncio.to_thread(hoarder.wait_received, COUNT - 1)
            assert worker.in_flight == COUNT - 1
            for task in abandoned:
                task.cancel()
            await asyncio.gather(*abandoned, return_exceptions=True)
            assert worker.in_flight == 0
            assert await worker.call_operation("0" * 36, "step", [7]) == [7]

    asyncio.run(main())


def test_one_id_cannot_be_under_way_twice() -> None:
    async def main() -> None:
        async with AsyncClient("tcp://127.0.0.1:9") as worker:
            first = asyncio.create_task(worker.ping(request_id="same"))
            await asyncio.sleep(0)
            with pytest.raises(ValueError, match="under way"):
                await worker.ping(request_id="same")
            assert worker.in_flight == 1
            first.cancel()

    asyncio.run(main())


def test_closing_ends_every_wait() -> None:
    async def main() -> None:
        worker = AsyncClient("tcp://127.0.0.1:9")
        waiting = asyncio.create_task(worker.ping())
        await asyncio.sleep(0)
        await worker.close()
        await worker.close()
        with pytest.raises(RuntimeError, match="closed before the reply"):
            await waiting
        with pytest.raises(RuntimeError, match="is closed"):
            await worker.ping()

    asyncio.run(main())


def test_a_client_belongs_to_one_loop() -> None:
    worker = AsyncClient("tcp://127.0.0.1:9")

    async def once() -> None:
        with pytest.raises(ProtocolError, match="no connection"):
            await worker.ping(timeout_seconds=0.01)

    async def again() -> None:
        with pytest.raises(RuntimeError, match="event loop"):
            await worker.ping()

    async def both() -> None:
        await once()
        await asyncio.to_thread(asyncio.run, again())
        await worker.close()

    asyncio.run(both())


def test_what_is_sent_again_is_counted() -> None:
    hoarder = Hoarder(3)

    async def main() -> tuple[int, int]:
        async with AsyncClient(hoarder.endpoint, resend_seconds=0.01) as worker:
            assert await worker.call_operation("0" * 36, "step", [1]) == [1]
            return worker.repetitions, worker.connection_losses

    repetitions, losses = asyncio.run(main())
    assert repetitions >= 2
    assert losses == 0
    hoarder.close()
