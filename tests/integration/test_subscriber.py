"""``RunEvents``: a run's events as one stream without holes or repetitions, whatever becomes of the socket."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest
import zmq

from protocol.client import AsyncClient
from protocol.errors import ErrorCode, ProtocolError
from protocol.events import Event
from protocol.subscriber import RunEvents

WITHIN_SECONDS = 60.0


async def take(events: RunEvents, count: int) -> list[Event]:
    async with asyncio.timeout(WITHIN_SECONDS):
        return [await anext(events) for _ in range(count)]


def stored(client: Any, run_key: str) -> list[tuple[int, str]]:
    return [(event["event"], event["kind"]) for event in client.read_events(run_key, limit=10_000)["events"]]


def told(events: list[Event]) -> list[tuple[int, str]]:
    return [(event.event, event.kind) for event in events]


def test_what_was_before_and_what_comes_is_one_stream(daemon: Any, counter_model: str) -> None:
    async def main() -> None:
        async with AsyncClient(daemon.endpoint) as client:
            run = await client.create_run(counter_model)
            await client.call_operation(run.run_key, "add", [2])
            async with RunEvents(client, run.run_key) as events:
                before = await take(events, 2)
                assert told(before) == [(1, "created"), (2, "state")]
                assert before[1].variables == {"counter": 2, "log": [2]}
                waiting = asyncio.ensure_future(take(events, 3))
                await client.call_operation(run.run_key, "add", [3])
                await client.update_metadata(run.run_key, set={"a": 1})
                await client.evict_run(run.run_key)
                after = await waiting
                assert told(after) == [(3, "state"), (4, "metadata"), (5, "evicted")]
                assert after[0].actions == [{"kind": "execute", "name": "add", "arguments": [3], "result": 5}]
                assert events.event == 5

    asyncio.run(main())


def test_a_stream_goes_on_behind_any_event(daemon: Any, counter_model: str) -> None:
    async def main() -> None:
        async with AsyncClient(daemon.endpoint) as client:
            run = await client.create_run(counter_model)
            for _ in range(4):
                await client.call_operation(run.run_key, "add")
            async with RunEvents(client, run.run_key, after_event=3) as events:
                assert told(await take(events, 2)) == [(4, "state"), (5, "state")]
            async with RunEvents(client, run.run_key, after_event=events.event) as events:
                await client.call_operation(run.run_key, "add")
                assert told(await take(events, 1)) == [(6, "state")]

    asyncio.run(main())


def test_a_run_that_is_not_there_and_an_event_that_is_not_yet_are_errors(
    daemon: Any, counter_model: str
) -> None:
    async def main() -> None:
        async with AsyncClient(daemon.endpoint) as client:
            async with RunEvents(client, "0" * 36) as events:
                with pytest.raises(ProtocolError) as caught:
                    await take(events, 1)
                assert caught.value.code is ErrorCode.RUN_NOT_FOUND
            run = await client.create_run(counter_model)
            async with RunEvents(client, run.run_key, after_event=7) as events:
                with pytest.raises(ValueError, match="has 1 events"):
                    await take(events, 1)

    asyncio.run(main())


def test_an_endpoint_that_is_none_is_told(daemon: Any, counter_model: str) -> None:
    async def main() -> None:
        async with (
            AsyncClient(daemon.endpoint) as client,
            RunEvents(client, "0" * 36, endpoint="nowhere") as events,
        ):
            with pytest.raises(ValueError, match="endpoint 'nowhere'"):
                await anext(events)

    asyncio.run(main())


def test_without_an_event_socket_events_come_by_reading(
    make_daemon: Callable[..., Any], model_root: Any, counter_model: str
) -> None:
    daemon = make_daemon(model_root.path, arguments=("--events", ""))

    async def main() -> None:
        async with AsyncClient(daemon.endpoint) as client:
            run = await client.create_run(counter_model)
            async with RunEvents(client, run.run_key, reread_seconds=0.05) as events:
                assert told(await take(events, 1)) == [(1, "created")]
                waiting = asyncio.ensure_future(take(events, 1))
                await client.call_operation(run.run_key, "add")
                assert told(await waiting) == [(2, "state")]

    asyncio.run(main())


@pytest.fixture
def lossy_relay(daemon: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An event socket that leaves out two of three events of the daemon's, and spoils one."""
    endpoint = f"ipc://{tmp_path_factory.mktemp('r')}/e"
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    source, target, stop = context.socket(zmq.SUB), context.socket(zmq.XPUB), context.socket(zmq.PAIR)
    end = context.socket(zmq.PAIR)
    end.bind("inproc://end")
    stop.connect("inproc://end")
    target.bind(endpoint)
    source.subscribe("run/")
    source.connect(daemon.events)
    for one in (source, target, stop, end):
        one.linger = 0

    def relay() -> None:
        poller = zmq.Poller()
        for one in (source, target, stop):
            poller.register(one, zmq.POLLIN)
        while True:
            for one, _ in poller.poll():
                if one is stop:
                    return
                frames = one.recv_multipart()
                if one is source and (number := msgpack.unpackb(frames[1])["event"]) % 3 == 0:
                    target.send_multipart([frames[0], b"\xc1" if number == 9 else frames[1]])

    thread = threading.Thread(target=relay)
    thread.start()
    yield endpoint
    end.send(b"")
    thread.join()
    for one in (source, target, stop, end):
        one.close()
    context.term()


def test_what_the_socket_loses_or_spoils_is_read(daemon: Any, counter_model: str, lossy_relay: str) -> None:
    async def main() -> None:
        async with AsyncClient(daemon.endpoint) as client:
            run = await client.create_run(counter_model)
            following = RunEvents(client, run.run_key, endpoint=lossy_relay, reread_seconds=0.2)
            async with following as events:
                taken = asyncio.ensure_future(take(events, 21))
                for _ in range(20):
                    await client.call_operation(run.run_key, "add")
                assert [event.event for event in await taken] == list(range(1, 22))

    asyncio.run(main())


def test_a_stream_outlives_a_kill_of_the_worker_without_hole_or_repetition(
    make_daemon: Callable[..., Any], model_root: Any, counter_model: str
) -> None:
    daemon = make_daemon(model_root.path)
    with daemon.client() as client:
        run_key = client.create_run(counter_model).run_key

    def replace_worker() -> None:
        daemon.kill()
        daemon.starts -= 1  # with the same endpoints
        daemon.start()

    async def act(client: AsyncClient, count: int) -> None:
        for _ in range(count):
            await client.call_operation(run_key, "add")

    async def main() -> list[Event]:
        async with (
            AsyncClient(daemon.endpoint, resend_seconds=1.0) as client,
            RunEvents(client, run_key, reread_seconds=0.2) as events,
        ):
            seen = await take(events, 1)
            for _ in range(2):
                acting = asyncio.ensure_future(act(client, 30))
                seen += await take(events, 10)
                # While requests are under way and events are not read.
                await asyncio.to_thread(replace_worker)
                await acting
            await client.evict_run(run_key)
            async with asyncio.timeout(WITHIN_SECONDS):
                while seen[-1].kind != "evicted":
                    seen.append(await anext(events))
            return seen

    seen = asyncio.run(main())

    with daemon.client() as client:
        assert told(seen) == stored(client, run_key)
    assert [event.event for event in seen] == list(range(1, len(seen) + 1))
    last = [event.variables["counter"] for event in seen if event.kind == "state" and event.variables]
    assert last == list(range(1, 61))
