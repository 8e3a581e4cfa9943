"""A bar on the terminal while the run that a request needs is replayed."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Final

import zmq
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from protocol.client import Client
from protocol.errors import ProtocolError
from protocol.events import PROGRESS_TOPIC, decode_progress
from worker.cli.keys import ClientKeyOptions

STATUS_SECONDS: Final = 1.0
"""How long to wait for the worker to say where it publishes; without that there is no bar."""


@contextlib.contextmanager
def replay_shown(endpoint: str, run_key: object, keys: ClientKeyOptions | None = None) -> Iterator[None]:
    """Meanwhile show replays of a run, or of a clone of it, on stderr; nothing where that is no terminal."""
    if not isinstance(run_key, str) or not sys.stderr.isatty():
        yield
        return
    woken, wake = os.pipe()
    watcher = threading.Thread(target=_watch, args=(endpoint, run_key, woken, keys or {}), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        os.close(wake)
        watcher.join()
        os.close(woken)


def _watch(endpoint: str, run_key: str, woken: int, keys: ClientKeyOptions) -> None:
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
                _show(subscriber, run_key, woken)


def _reachable(events: str, endpoint: str) -> str:
    """The event endpoint, at the host of the request endpoint where the worker binds all its addresses."""
    for everywhere in ("tcp://0.0.0.0:", "tcp://[::]:"):
        if events.startswith(everywhere):
            return f"{endpoint.rpartition(':')[0]}:{events.removeprefix(everywhere)}"
    return events


def _show(subscriber: "zmq.Socket[bytes]", run_key: str, woken: int) -> None:
    poller = zmq.Poller()
    poller.register(subscriber, zmq.POLLIN)
    poller.register(woken, zmq.POLLIN)
    bar = Progress(
        TextColumn("replaying"),
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
            told = decode_progress(subscriber.recv_multipart()[-1])
            if run_key in (told.run_key, told.cloned_from):
                if not bar.live.is_started:
                    shown.enter_context(bar)
                bar.update(task, completed=told.applied, total=told.total)
