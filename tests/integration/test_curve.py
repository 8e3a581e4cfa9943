"""CURVE endpoints: who is served, who gets nothing, keys that come and go, floods of strangers."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import psutil
import pytest
import zmq

from protocol.client import AsyncClient, Client
from protocol.errors import ProtocolError
from protocol.keys import KeyPair, public_path, read_key_pair, write_key_pair

HANDSHAKE_SECONDS = 5.0
"""How long the worker waits for one."""
STRANGERS = 512
"""Half-open connections of one socket that the worker holds."""
GREETING_BYTES = 64
NULL_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16 + 32)
NULL_READY = b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ"
PING = msgpack.packb({"version": 1, "type": "ping", "request_id": "p"})
SILENCE_MS = 1500
"""Longer than a change of keys takes, and several attempts of a client to connect."""


@dataclass
class Site:
    """A worker with keys, and the folder in which it finds those of its clients."""

    folder: Path
    daemon: Any
    server: bytes
    events: str

    def admit(self, name: str) -> KeyPair:
        """A new client whose key the worker has."""
        pair = self.stranger(name)
        public_path(self.folder / name).rename(self.key_file(name))
        return pair

    def stranger(self, name: str) -> KeyPair:
        """A new client whose key the worker does not have."""
        write_key_pair(self.folder / name)
        return read_key_pair(self.folder / name)

    def key_file(self, name: str) -> Path:
        return self.folder / "clients" / f"{name}.pub"

    def client(self, pair: KeyPair, timeout_seconds: float = 30.0) -> Client:
        return Client(self.daemon.endpoint, timeout_seconds=timeout_seconds, **self.keys(pair))

    def told(self, what: str, name: str) -> bool:
        """Whether the worker has logged that the key was added, or removed."""
        lines = [json.loads(line) for line in self.daemon.logged().splitlines()]
        return any(name in line.get(what, ()) for line in lines if line["event"] == "client keys changed")

    def keys(self, pair: KeyPair) -> dict[str, Any]:
        return {"server_key": self.server, "public_key": pair.public, "secret_key": pair.secret}


@pytest.fixture(scope="module")
def site(make_daemon: Any, model_root: Any, counter_model: str, tmp_path_factory: Any) -> Site:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "clients").mkdir()
    server = write_key_pair(folder / "worker")
    site = Site(folder, None, server, "")
    first = site.admit("first")
    site.daemon = make_daemon(
        model_root.path,
        bind=("tcp://127.0.0.1:*", f"ipc://{tmp_path_factory.mktemp('s')}/open"),
        publish="tcp://127.0.0.1:*",
        env={
            "MODEL_WORKER_CURVE_SERVER_KEY": str(folder / "worker"),
            "MODEL_WORKER_CURVE_CLIENTS": str(folder / "clients"),
        },
    )
    with site.client(first) as client:
        site.events = client.worker_status()["events"]["endpoint"]
    return site


@pytest.fixture
def known(site: Site) -> Iterator[KeyPair]:
    """A client of this test; its key goes with it."""
    name = uuid.uuid4().hex
    pair = site.admit(name)
    yield pair
    site.key_file(name).unlink(missing_ok=True)


Join = Callable[..., "zmq.Socket[bytes]"]


@pytest.fixture
def join() -> Iterator[Join]:
    """``join(endpoint, kind, keys, plain=…)``: a socket with the server's key and a pair, or with none."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sockets: list[zmq.Socket[bytes]] = []

    def make(
        endpoint: str,
        kind: int,
        keys: tuple[bytes, KeyPair] | None = None,
        *,
        plain: bool = False,
        before: Callable[["zmq.Socket[bytes]"], None] = lambda _: None,
    ) -> "zmq.Socket[bytes]":
        made: zmq.Socket[bytes] = context.socket(kind)
        sockets.append(made)
        if keys is not None:
            made.curve_serverkey, pair = keys
            made.curve_publickey, made.curve_secretkey = pair.public, pair.secret
        if plain:
            made.plain_username, made.plain_password = b"known", b"word"
        before(made)
        made.connect(endpoint)
        if kind == zmq.SUB:
            made.subscribe(b"")
        return made

    yield make
    for made in sockets:
        made.close(linger=0)
    context.term()


def everything(raw: socket.socket) -> bytes:
    """What arrives until the connection ends, which it must."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while part := raw.recv(4096):
            received += part
    return bytes(received)


@pytest.fixture
def run_serve(model_root: Any) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """``run_serve(NAME=value)``: a worker that is to refuse its settings."""

    def run(**env: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "worker.cli.main", "serve", "--models", str(model_root.path)]
        return subprocess.run(
            [*command, "--data", ":memory:", "--bind", "tcp://127.0.0.1:*", "--events", ""],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **env},
        )

    return run


def port(endpoint: str) -> tuple[str, int]:
    return "127.0.0.1", int(endpoint.rpartition(":")[2])


def followed(subscriber: "zmq.Socket[bytes]", site: Site, pair: KeyPair, model: str) -> bool:
    """Whether the subscriber is told of new runs, within a few of them."""
    with site.client(pair) as client:
        for _ in range(50):
            client.create_run(model)
            if subscriber.poll(100):
                subscriber.recv_multipart()
                return True
    return False


def test_a_known_client_is_served_by_both_clients(site: Site, known: KeyPair, counter_model: str) -> None:
    with site.client(known) as client:
        run = client.create_run(counter_model)
        assert client.call_operation(run.run_key, "add", [2]) == 2

    async def awaited() -> Any:
        async with AsyncClient(site.daemon.endpoint, timeout_seconds=30, **site.keys(known)) as client:
            return await client.call_operation(run.run_key, "add", [3])

    assert asyncio.run(awaited()) == 5


def test_a_known_subscriber_is_told_what_happens(
    site: Site, known: KeyPair, counter_model: str, join: Join
) -> None:
    subscriber = join(site.events, zmq.SUB, (site.server, known))
    assert followed(subscriber, site, known, counter_model)


def test_the_ipc_endpoint_stays_open(site: Site, connect: Any) -> None:
    endpoint = next(end for end in site.daemon.bind if end.startswith("ipc"))
    assert connect(endpoint).result("ping")["worker_id"]


@pytest.mark.parametrize("who", ("unknown key", "wrong server key", "no mechanism", "plain"))
def test_a_stranger_gets_nothing(
    site: Site, known: KeyPair, counter_model: str, join: Join, who: str
) -> None:
    keys = {
        "unknown key": (site.server, KeyPair(*zmq.curve_keypair())),
        "wrong server key": (zmq.curve_keypair()[0], known),
    }.get(who)
    asking = join(site.daemon.endpoint, zmq.DEALER, keys, plain=who == "plain")
    listening = join(site.events, zmq.SUB, keys, plain=who == "plain")
    asking.send_multipart([b"", PING])
    with site.client(known) as client:
        client.create_run(counter_model)
    assert not asking.poll(SILENCE_MS)
    assert not listening.poll(0)


def test_what_is_no_handshake_is_answered_with_a_greeting_at_most(site: Site, wait_until: Any) -> None:
    """A greeting is sent to everybody; it names ZeroMQ and CURVE, and nothing of the worker."""

    def connected(endpoint: str) -> list[socket.socket]:
        """None while the event socket is bound again, as it is when another test has taken a key away."""
        try:
            return [socket.create_connection(port(endpoint))]
        except ConnectionRefusedError:
            return []

    for endpoint in (site.daemon.endpoint, site.events):
        made: list[socket.socket] = []
        wait_until(lambda made=made, endpoint=endpoint: made.extend(connected(endpoint)) or made)
        (connection,) = made
        with connection as raw:
            raw.settimeout(HANDSHAKE_SECONDS * 4)
            raw.sendall(NULL_GREETING + NULL_READY)
            assert len(everything(raw)) <= GREETING_BYTES


def test_an_unknown_key_is_not_told_so(site: Site, join: Join) -> None:
    """libzmq would report an ERROR command of the worker as a failed authentication."""
    monitor: zmq.Socket[bytes] | None = None

    def watch(stranger: "zmq.Socket[bytes]") -> None:
        nonlocal monitor
        monitor = stranger.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_CONNECTED)

    stranger = join(
        site.daemon.endpoint, zmq.DEALER, (site.server, KeyPair(*zmq.curve_keypair())), before=watch
    )
    assert monitor is not None
    try:
        assert monitor.poll(30_000), "not connected"
        told = []
        while monitor.poll(SILENCE_MS):
            told.append(int.from_bytes(monitor.recv_multipart()[0][:2], "little"))
        assert set(told) == {zmq.EVENT_CONNECTED}
    finally:
        stranger.disable_monitor()
        monitor.close(linger=0)


def test_a_key_that_is_added_is_known_without_a_restart(site: Site, counter_model: str) -> None:
    pair = site.stranger("later")
    with site.client(pair) as client:
        with pytest.raises(ProtocolError, match="no connection"):
            client.ping(timeout_seconds=1)
        public_path(site.folder / "later").rename(site.key_file("later"))
        assert client.ping()


def test_a_key_that_is_removed_is_served_no_more_not_even_where_it_is_connected(
    site: Site, known: KeyPair, counter_model: str, wait_until: Any, join: Join
) -> None:
    pair = site.admit("leaving")
    subscriber = join(site.events, zmq.SUB, (site.server, pair))
    with site.client(pair) as connected:
        run = connected.create_run(counter_model)
        assert followed(subscriber, site, known, counter_model)
        site.key_file("leaving").unlink()
        wait_until(lambda: site.told("removed", "leaving"))
        while subscriber.poll(SILENCE_MS):
            subscriber.recv_multipart()
        with pytest.raises(ProtocolError):
            connected.call_operation(run.run_key, "add", [1], timeout_seconds=1)
    with site.client(pair) as anew, pytest.raises(ProtocolError):
        anew.ping(timeout_seconds=1)
    with site.client(known) as client:
        assert client.read_variables(run.run_key, ["counter"]) == {"counter": 0}
        client.create_run(counter_model)
    assert not subscriber.poll(SILENCE_MS)


def test_subscribers_that_are_still_known_come_back_when_a_key_is_removed(
    site: Site, known: KeyPair, counter_model: str, wait_until: Any, join: Join
) -> None:
    subscriber = join(site.events, zmq.SUB, (site.server, known))
    site.admit("gone")
    wait_until(lambda: site.told("added", "gone"))
    site.key_file("gone").unlink()
    wait_until(lambda: site.told("removed", "gone"))
    assert followed(subscriber, site, known, counter_model)


def test_a_bad_key_file_is_named_and_harms_nobody_else(site: Site, known: KeyPair, wait_until: Any) -> None:
    clients = site.folder / "clients"
    write_key_pair(clients / "misplaced")
    (clients / "misplaced").rename(clients / "secret.pub")
    bad = {
        "empty.pub": b"",
        "short.pub": b'curve\n    public-key = "abc"\n',
        "bytes.pub": b"\xff\x00" * 20,
        "large.pub": b"#" * 10_000,
        "README": b"who is who",
    }
    for name, content in bad.items():
        (clients / name).write_bytes(content)
    os.mkfifo(clients / "pipe.pub")
    (clients / "dangling.pub").symlink_to("nowhere")
    names = [*bad, "secret.pub", "pipe.pub", "dangling.pub"]
    try:
        wait_until(lambda: all(f"{clients / name}" in site.daemon.logged() for name in names))
        with site.client(known) as client:
            assert client.ping()
    finally:
        for name in [*names, "misplaced.pub"]:
            (clients / name).unlink()
    secret = [line for line in site.daemon.logged().splitlines() if "secret.pub" in line]
    assert "holds a secret key" in secret[0]


@pytest.mark.alone
def test_a_flood_of_strangers_keeps_no_known_client_out(
    site: Site, known: KeyPair, join: Join, wait_until: Any
) -> None:
    process = psutil.Process(site.daemon.pid)
    before = process.num_fds()
    for _ in range(20):
        join(site.daemon.endpoint, zmq.DEALER, (site.server, KeyPair(*zmq.curve_keypair())))
    most = 0
    with contextlib.ExitStack() as flood:
        for _ in range(8):
            for _ in range(100):
                flood.enter_context(socket.create_connection(port(site.daemon.endpoint)))
            with site.client(known) as client:
                assert client.ping()
            most = max(most, process.num_fds())
    assert most - before < STRANGERS + 100
    wait_until(lambda: process.num_fds() < before + 50)


@pytest.mark.parametrize(
    ("key", "clients", "words"),
    (
        ("worker", "", "given together"),
        ("", "clients", "given together"),
        ("none", "clients", "none"),
        ("worker", "none", "none"),
        ("shown", "clients", "chmod 600"),
        ("worker.pub", "clients", "chmod 600"),
    ),
)
def test_keys_that_are_not_as_they_should_be_are_refused_at_the_start(
    tmp_path: Path, run_serve: Any, key: str, clients: str, words: str
) -> None:
    (tmp_path / "clients").mkdir()
    write_key_pair(tmp_path / "worker")
    write_key_pair(tmp_path / "shown")
    (tmp_path / "shown").chmod(0o640)
    done = run_serve(
        MODEL_WORKER_CURVE_SERVER_KEY=str(tmp_path / key) if key else "",
        MODEL_WORKER_CURVE_CLIENTS=str(tmp_path / clients) if clients else "",
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert "curve_" in done.stderr
    assert read_key_pair(tmp_path / "worker").secret.decode() not in done.stderr


def test_an_address_of_all_machines_can_be_bound_with_keys(
    make_daemon: Any, model_root: Any, counter_model: str, tmp_path: Path
) -> None:
    (tmp_path / "clients").mkdir()
    server = write_key_pair(tmp_path / "worker")
    write_key_pair(tmp_path / "clients" / "one")
    pair = read_key_pair(tmp_path / "clients" / "one")
    daemon = make_daemon(
        model_root.path,
        data=":memory:",
        bind=("tcp://0.0.0.0:*",),
        publish="tcp://0.0.0.0:*",
        env={
            "MODEL_WORKER_CURVE_SERVER_KEY": str(tmp_path / "worker"),
            "MODEL_WORKER_CURVE_CLIENTS": str(tmp_path / "clients"),
        },
    )
    endpoint = f"tcp://127.0.0.1:{port(daemon.endpoint)[1]}"
    with Client(
        endpoint,
        timeout_seconds=30,
        server_key=server,
        public_key=pair.public,
        secret_key=pair.secret,
    ) as client:
        assert client.worker_status()["events"]["endpoint"].startswith("tcp://0.0.0.0:")
    assert daemon.stop() == 0


def test_keys_are_made_and_used_from_the_shell(site: Site, tmp_path: Path) -> None:
    def shell(*words: str, **env: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "worker.cli.main", *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **env},
        )

    made = shell("keygen", str(tmp_path / "ops"))
    pair = read_key_pair(tmp_path / "ops")
    assert (made.returncode, made.stdout) == (0, f"{pair.public.decode()}\n")
    assert pair.secret.decode() not in made.stdout + made.stderr
    again = shell("keygen", str(tmp_path / "ops"))
    assert (again.returncode, again.stdout) == (1, "")
    assert "never overwritten" in again.stderr

    public_path(tmp_path / "ops").rename(site.key_file("ops"))
    ping = ("call", "ping", "--endpoint", site.daemon.endpoint)
    server = str(public_path(site.folder / "worker"))
    options = shell(*ping, "--key", str(tmp_path / "ops"), "--server-key", server)
    assert json.loads(options.stdout)["worker_id"]
    variables = shell(*ping, MODEL_WORKER_KEY=str(tmp_path / "ops"), MODEL_WORKER_SERVER_KEY=server)
    assert json.loads(variables.stdout) | {"uptime_seconds": 0} == json.loads(options.stdout) | {
        "uptime_seconds": 0
    }
    half = shell(*ping, "--key", str(tmp_path / "ops"))
    assert half.returncode == 1
    assert "given together" in json.loads(half.stderr)["message"]
