"""A worker on the loopback address of IPv6, with keys and without: requests, and events that follow them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from protocol.client import AsyncClient
from protocol.keys import read_key_pair, write_key_pair
from protocol.subscriber import RunEvents

ENDPOINT = "tcp://[::1]:*"


@pytest.mark.parametrize("has_keys", (False, True))
def test_requests_and_events_pass(
    has_keys: bool, make_daemon: Any, model_root: Any, counter_model: str, tmp_path: Path
) -> None:
    environment, keys = curve(tmp_path) if has_keys else ({}, {})
    daemon = make_daemon(model_root.path, bind=(ENDPOINT,), publish=ENDPOINT, env=environment)
    assert daemon.endpoint.startswith("tcp://[::1]:")

    async def main() -> list[str]:
        async with AsyncClient(daemon.endpoint, **keys) as client:
            run = await client.create_run(counter_model)
            async with RunEvents(client, run.run_key) as events:
                await client.call_operation(run.run_key, "add", [1])
                return [str((await anext(aiter(events))).kind) for _ in range(2)]

    assert asyncio.run(main()) == ["created", "state"]


def curve(folder: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """The worker's settings, and the arguments of its one client."""
    (folder / "clients").mkdir()
    server = write_key_pair(folder / "worker")
    write_key_pair(folder / "client")
    (folder / "client.pub").rename(folder / "clients" / "client.pub")
    pair = read_key_pair(folder / "client")
    environment = {
        "MODEL_WORKER_CURVE_SERVER_KEY": str(folder / "worker"),
        "MODEL_WORKER_CURVE_CLIENTS": str(folder / "clients"),
    }
    return environment, {"server_key": server, "public_key": pair.public, "secret_key": pair.secret}
