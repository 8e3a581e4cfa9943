"""What a request waits for, on the terminal: the replay of its run, the build of its model's environment."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

import zmq
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from protocol.client import Client
from protocol.errors import ProtocolError
from protocol.events import (
    BUILDING_TOPIC,
    PROGRESS_TOPIC,
    Building,
    Progress,
    decode_building,
    decode_progress,
)
from worker.cli.keys import ClientKeyOptions

STATUS_SECONDS: Final = 1.0
"""How long to wait for the worker to say where it publishes; without that there is no bar."""


@contextlib.contextmanager
def progress_shown(
    endpoint: str, run_key: object, request_id: object = None, keys: ClientKeyOptions | None = None
) -> Iterator[None]:
    """Meanwhile show on stderr replays of a run, or of a clone of it, and builds that a request waits for.

    Nothing is shown where stderr is no terminal.
    """
    if not sys.stderr.isatty():
        yield
        return
    woken, wake = os.pipe()
    about = (run_key, request_id)
    watcher = threading.Thread(target=_watch, args=(endpoint, about, woken, keys or {}), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        os.close(wake)
        watcher.join()
        os.close(woken)


def _watch(endpoint: str, about: tuple[object, object], woken: int, keys: ClientKeyOptions) -> None:
    """Show what is published until ``woken`` is at its end."""
    with contextlib.suppress(ProtocolError, ValueError, zmq.ZMQError):
        with Client(endpoint, timeout_seconds=STATUS_SECONDS, **keys) as client:
            events = client.worker_status()["events"]["endpoint"]
        if events:
            with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
                subscriber.linger = 0
                if keys and events.startswith("tcp://"):
                    subscriber.curve_serverkey = keys["server_key"]
                    subscriber.curve_publickey = keys["public_key"]
                    subscriber.curve_secretkey = keys["secret_key"]
                subscriber.connect(_reachable(events, endpoint))
                subscriber.subscribe(PROGRESS_TOPIC)
                subscriber.subscribe(BUILDING_TOPIC)
                _show(subscriber, about, woken)


def _reachable(events: str, endpoint: str) -> str:
    """The event endpoint, at the host of the request endpoint where the worker binds all its addresses."""
    for everywhere in ("tcp://0.0.0.0:", "tcp://[::]:"):
        if events.startswith(everywhere):
            return f"{endpoint.rpartition(':')[0]}:{events.removeprefix(everywhere)}"
    return events


def _show(subscriber: "zmq.Socket[bytes]", about: tuple[object, object], woken: int) -> None:
    run_key, request_id = about
    poller = zmq.Poller()
    poller.register(subscriber, zmq.POLLIN)
    poller.register(woken, zmq.POLLIN)
    bar = ProgressBar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("replaying", total=None)
    with contextlib.ExitStack() as shown:
        while woken not in (ready := dict(poller.poll())):
            if subscriber not in ready:
                continue
            topic, body = subscriber.recv_multipart()
            if topic.startswith(BUILDING_TOPIC.encode()):
                change = _build_shown(decode_building(body), request_id)
            else:
                change = _replay_shown(decode_progress(body), run_key)
            if change is not None:
                if not bar.live.is_started:
                    shown.enter_context(bar)
                bar.update(task, **change)


def _replay_shown(told: Progress, run_key: object) -> dict[str, Any] | None:
    if run_key not in (told.run_key, told.cloned_from):
        return None
    return {"description": "replaying", "completed": told.applied, "total": told.total}


def _build_shown(told: Building, request_id: object) -> dict[str, Any] | None:
    if request_id not in told.request_ids:
        return None
    size, seconds = told.size_bytes / 1e6, told.seconds
    return {"description": f"building the environment: {size:.0f} MB, {seconds:.0f} s", "total": None}
