"""The gateway as a process: its bounds, a worker that is away, repeated requests, names of projects, its log."""

import concurrent.futures
import contextlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgpack
import pytest
import zmq

REPOSITORY = Path(__file__).parents[2]
MISSING = "0" * 36


def operation(name: str, *arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": list(arguments)}


def dial(url: str) -> socket.socket:
    """A bare connection to a gateway."""
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def read_all(connection: socket.socket) -> bytes:
    """All that comes until the other side ends the connection."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


@pytest.fixture(scope="module")
def narrow(make_gateway: Any, daemon: Any) -> Any:
    """A gateway with tight bounds."""
    bounds = {"MAX_BODY_BYTES": "2000", "BODY_SECONDS": "0.3", "HEAD_SECONDS": "0.3", "MAX_CONNECTIONS": "8"}
    return make_gateway(
        daemon.endpoint, env={f"MODEL_WORKER_GATEWAY_{name}": at for name, at in bounds.items()}
    )


def test_a_body_that_is_too_large_is_refused(narrow: Any, connect_api: Any) -> None:
    body = {"modelFile": "x" * 3000}
    with_length = connect_api(narrow.url)
    assert with_length.fault("POST", "/run/singular", body) == (413, "MESSAGE_TOO_LARGE")


def test_a_body_that_never_ends_is_given_up(narrow: Any) -> None:
    with dial(narrow.url) as connection:
        connection.sendall(
            b"POST /api/v3/a/b/run/singular HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer dev\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"REQUEST_TIMEOUT" in answer


@pytest.mark.parametrize("first", (b"", b"GET /livez HTTP/1.1\r\nHost: loc"))
def test_a_head_that_does_not_come_ends_the_connection(narrow: Any, first: bytes) -> None:
    with dial(narrow.url) as connection:
        connection.sendall(first)
        assert read_all(connection) == b""


def test_a_second_head_that_does_not_come_ends_the_connection(narrow: Any) -> None:
    with dial(narrow.url) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: loc")
        assert b"HTTP/1.1 2" not in read_all(connection)


def test_a_head_that_is_too_large_ends_the_connection(narrow: Any) -> None:
    with dial(narrow.url) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + 70_000 * b"x")
        assert read_all(connection).startswith(b"HTTP/1.1 431")


def test_a_connection_too_many_is_told_so(narrow: Any) -> None:
    connections = [dial(narrow.url) for _ in range(9)]
    try:
        answer = read_all(connections[-1])
        assert answer.startswith(b"HTTP/1.1 503")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["information"]["code"] == "GATEWAY_BUSY"
    finally:
        for connection in connections:
            connection.close()


def test_a_request_too_many_is_told_when_to_ask_again(
    make_gateway: Any, daemon: Any, connect_api: Any
) -> None:
    gateway = make_gateway(daemon.endpoint, env={"MODEL_WORKER_GATEWAY_MAX_REQUESTS": "1"})
    api = connect_api(gateway.url)
    run_key = api.create()
    with dial(gateway.url) as connection:
        path = f"/api/v3/acme/demo/run/operation/{run_key}"
        body = json.dumps(operation("nap", 2)).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer dev\r\n"
        head += (
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        )
        connection.sendall(head.encode())
        # The gateway asks for the body from within the request: from here on it is being served.
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        response = api.ask("GET", f"/run/{run_key}")
        assert (response.status_code, response.json()["information"]["code"]) == (503, "GATEWAY_BUSY")
        assert response.headers["retry-after"] == "1"
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert api.result("GET", f"/run/{run_key}")["runKey"] == run_key


def test_a_worker_that_is_away_is_503_until_it_is_back(
    make_daemon: Any, make_gateway: Any, models: Any, connect_api: Any, wait_until: Any
) -> None:
    # On one address, as a worker has that is started anew.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    gateway = make_gateway(endpoint)
    api = connect_api(gateway.url)
    response = api.ask("GET", f"/run/{MISSING}")
    assert (response.status_code, response.json()["information"]["code"]) == (503, "WORKER_UNREACHABLE")
    assert response.headers["retry-after"] == "1"
    assert api.root.get("/livez").status_code == 200
    assert api.root.get("/readyz").status_code == 503
    daemon = make_daemon(models, bind=(endpoint,))
    wait_until(lambda: api.root.get("/readyz").status_code == 200)
    run_key = api.create()
    daemon.kill()
    wait_until(lambda: api.root.get("/readyz").status_code == 503)
    assert api.fault("GET", f"/run/{run_key}") == (503, "WORKER_UNREACHABLE")
    daemon.start()
    wait_until(lambda: api.root.get("/readyz").status_code == 200)
    assert api.result("POST", f"/run/operation/{run_key}", operation("add")) == 1


def test_a_repeated_key_acts_once_for_its_caller_and_endpoint(api: Any) -> None:
    run_key = api.create(permit={"readLock": "ANONYMOUS", "writeLock": "ANONYMOUS"})
    path = f"/run/operation/{run_key}"
    once = {"headers": {"Idempotency-Key": "step 1"}}
    assert [api.result("POST", path, operation("add"), **once) for _ in range(3)] == [1, 1, 1]
    assert api.fault("POST", path, operation("add", 2), **once) == (409, "REQUEST_ID_REUSED")
    assert api.result("POST", path, operation("add"), token="dev:PARTICIPANT:ada", **once) == 2
    assert api.fault("POST", path, operation("add"), headers={"Idempotency-Key": "x" * 256})[0] == 400


def test_a_repetition_while_the_first_is_under_way_is_told_to_wait(
    api: Any, connect_api: Any, wait_until: Any
) -> None:
    run_key = api.create()
    path = f"/run/operation/{run_key}"
    once = {"headers": {"Idempotency-Key": f"nap-{run_key}"}}
    second = connect_api(str(api.root.base_url))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(api.ask, "POST", path, operation("nap", 2), **once)
        wait_until(lambda: second.result("GET", f"/run/{run_key}")["status"] == "executing")
        response = second.ask("POST", path, operation("nap", 2), **once)
        assert (response.status_code, response.headers["retry-after"]) == (409, "1")
        assert response.json()["information"]["code"] == "REQUEST_IN_PROGRESS"
        assert first.result().status_code == 200
    assert second.result("POST", path, operation("nap", 2), **once) is None


def test_projects_that_the_worker_serves_are_kept_apart(
    make_daemon: Any, make_gateway: Any, models: Path, connect_api: Any, tmp_path: Path
) -> None:
    config = tmp_path / "worker.toml"
    config.write_text(
        f'[projects."acme/one"]\nmodels_dir = "{models}"\n[projects."acme/two"]\nmodels_dir = "{models}"\n'
    )
    daemon = make_daemon(models, arguments=("--config", str(config)))
    gateway = make_gateway(daemon.endpoint)
    one, two, none = (connect_api(gateway.url, f"acme/{name}") for name in ("one", "two", "three"))
    run_key = one.create()
    assert one.result("GET", f"/run/{run_key}")["address"]["projectShortName"] == "one"
    assert two.fault("GET", f"/run/{run_key}") == (404, "RUN_NOT_FOUND")
    assert none.fault("GET", f"/run/{run_key}") == (404, "PROJECT_NOT_FOUND")


def test_a_name_that_no_project_can_have_is_404(gateway: Any, connect_api: Any) -> None:
    assert connect_api(gateway.url, "ac.me/demo").fault("GET", f"/run/{MISSING}") == (
        404,
        "PROJECT_NOT_FOUND",
    )


def test_pages_of_this_machine_may_ask_and_others_may_not(api: Any) -> None:
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}
    path = f"{api.base}/run/{MISSING}"
    own = api.root.options(path, headers={"Origin": "http://localhost:5173", **asked})
    assert own.status_code == 200
    assert own.headers["access-control-allow-origin"] == "http://localhost:5173"
    foreign = api.root.options(path, headers={"Origin": "https://evil.example", **asked})
    assert "access-control-allow-origin" not in foreign.headers


def test_a_name_that_was_made_to_point_here_is_refused(api: Any) -> None:
    found = api.ask("GET", f"/run/{MISSING}", headers={"Host": "evil.example"})
    assert (found.status_code, found.json()["information"]["code"]) == (421, "MISDIRECTED")


def test_each_request_has_a_line_that_tells_who_asked_what_and_not_what_was_said(
    make_gateway: Any, daemon: Any, connect_api: Any
) -> None:
    gateway = make_gateway(daemon.endpoint)
    api = connect_api(gateway.url)
    run_key = api.create()
    response = api.ask("POST", f"/run/operation/{run_key}", operation("fail", "a secret"))
    assert gateway.stop() == 0
    (line,) = [one for one in gateway.logged() if one.get("endpoint") == "operation"]
    assert line["request_id"] == response.headers["x-request-id"]
    assert (line["run_key"], line["status"], line["role"], line["method"]) == (run_key, 422, "AUTHOR", "POST")
    assert line["milliseconds"] > 0
    assert "secret" not in gateway.log.read_text()


@contextlib.contextmanager
def answering_null(endpoint: str, *, is_busy: bool = False) -> Iterator[list[dict[str, Any]]]:
    """A socket that answers null to everything stands in for the worker; the bare requests that it got.

    One that is busy answers when nothing more comes for a moment, and no ping at all.
    """
    asked: list[dict[str, Any]] = []

    def answer(router: "zmq.Socket[bytes]") -> None:
        while True:
            sender, _, body = router.recv_multipart()
            request = msgpack.unpackb(body)
            asked.append(request)
            if request["type"] == "drain":
                return
            if is_busy and request["type"] == "ping":
                continue
            if is_busy:
                router.poll(200)
            result: Any = {"projects": {"": {}}} if request["type"] == "worker_status" else None
            reply = {"version": 1, "request_id": request["request_id"], "ok": True, "result": result}
            router.send_multipart([sender, b"", msgpack.packb(reply)])

    with zmq.Context() as context, context.socket(zmq.ROUTER) as router, context.socket(zmq.DEALER) as end:
        router.bind(endpoint)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answering = pool.submit(answer, router)
            try:
                yield asked
            finally:
                end.connect(endpoint)
                end.send_multipart([b"", msgpack.packb({"type": "drain"})])
                answering.result(20)


def test_what_a_worker_is_told_of_a_request(make_gateway: Any, connect_api: Any, tmp_path: Path) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    endpoint = f"ipc://{tmp_path}/w"
    with answering_null(endpoint) as asked:
        api = connect_api(make_gateway(endpoint).url)
        for given in (trace, "nonsense"):
            headers = {"traceparent": given, "Idempotency-Key": given}
            path, token = "/run/singular/key", "dev:LEADER:ada:Sales"
            assert api.result("GET", path, token=token, headers=headers, timeout=7) is None
    first, second = (one for one in asked if one["type"] == "get_singular_run_key")
    assert first["traceparent"] == trace
    assert "traceparent" not in second
    assert first["request_id"] != second["request_id"]
    assert first["deadline_seconds"] == 7
    assert "project" not in first
    assert first["actor"] == {
        "role": "LEADER",
        "user_key": "ada",
        "pseudonym_key": "ada",
        "world_role": "Sales",
    }


def test_a_worker_that_answers_others_and_no_ping_is_busy_and_not_away(
    make_gateway: Any, connect_api: Any, tmp_path: Path, wait_until: Any
) -> None:
    endpoint = f"ipc://{tmp_path}/w"
    with answering_null(endpoint, is_busy=True) as asked:
        api = connect_api(make_gateway(endpoint).url)
        wait_until(lambda: api.root.get("/readyz").status_code == 200)

        def pings() -> int:
            return [one["type"] for one in asked].count("ping")

        # A ping is given up after three seconds, and another follows it.
        while pings() < 3:
            response = api.ask("GET", "/run/singular/key", timeout=2)
            assert response.status_code in (200, 504), response.text
        assert api.root.get("/readyz").status_code == 200
        wait_until(lambda: api.root.get("/readyz").status_code == 503)


def test_a_bug_is_500_without_details_and_a_line_that_names_the_request(
    make_gateway: Any, connect_api: Any, tmp_path: Path, wait_until: Any
) -> None:
    endpoint = f"ipc://{tmp_path}/w"
    gateway = make_gateway(endpoint, env={"MODEL_WORKER_GATEWAY_METRICS": "127.0.0.1:0"})
    with answering_null(endpoint):
        api = connect_api(gateway.url)
        wait_until(lambda: api.root.get("/readyz").status_code == 200)
        response = api.ask("GET", f"/run/{MISSING}")
        assert (response.status_code, response.json()["information"]) == (500, {"code": "INTERNAL_ERROR"})
        wait_until(lambda: "internal error" in gateway.log.read_text())
        (line,) = [one for one in gateway.logged() if one["event"] == "internal error"]
        assert (line["endpoint"], line["run_key"]) == ("get", MISSING)
        assert line["request_id"] == response.headers["x-request-id"]
        (url,) = [one["url"] for one in gateway.logged() if one["event"] == "metrics served"]
        assert "model_worker_gateway_internal_errors_total 1.0" in httpx.get(url, timeout=30).text
        assert api.result("GET", "/run/singular/key") is None


def test_the_document_names_every_endpoint_and_the_page_loads_nothing(api: Any) -> None:
    document = api.root.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["paths"]["/run/operation/{runKey}"]["post"]["operationId"] == "operation"
    assert len({found["operationId"] for path in document["paths"].values() for found in path.values()}) == 46
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= document["components"]["schemas"].keys()
    page = api.root.get("/docs")
    assert "text/html" in page.headers["content-type"]
    assert "/run/migrate/to/{episodeKey}/{runKey}" in page.text
    assert not re.search(r"(src|href)=\"?(https?:)?//", page.text)


def test_an_address_in_use_is_said_and_ends_with_status_1(gateway: Any, daemon: Any) -> None:
    listen = gateway.url.removeprefix("http://")
    command = [
        sys.executable,
        "-m",
        "worker.cli.main",
        "gateway",
        "--listen",
        listen,
        "--endpoint",
        daemon.endpoint,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=REPOSITORY, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"cannot listen on {listen}" in done.stderr


def test_other_commands_load_no_web_server() -> None:
    program = "import sys, worker.cli.main; print([n for n in ('uvicorn', 'starlette', 'jwt', 'uvloop') if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=REPOSITORY,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_a_trace_and_the_id_of_a_request_lead_from_the_gateways_log_to_the_workers(
    make_gateway: Any, daemon: Any, connect_api: Any, wait_until: Any
) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    gateway = make_gateway(daemon.endpoint)
    api = connect_api(gateway.url)
    run_key = api.create()
    api.done("DELETE", f"/run/{run_key}")
    response = api.ask("POST", f"/run/operation/{run_key}", operation("add"), headers={"traceparent": trace})
    request_id = response.headers["x-request-id"]

    def told(text: str) -> list[dict[str, Any]]:
        lines = [json.loads(one) for one in text.splitlines()]
        return [one for one in lines if one.get("request_id") == request_id]

    # Lines are written behind the answer.
    wait_until(lambda: bool(told(gateway.log.read_text()) and told(daemon.logged())))
    (line,) = told(gateway.log.read_text())
    assert (line["endpoint"], line["run_key"], line["traceparent"]) == ("operation", run_key, trace)
    assert {one["traceparent"] for one in told(daemon.logged())} == {trace}
    assert {one["run_key"] for one in told(daemon.logged())} == {run_key}


def test_the_address_may_be_one_of_ipv6(make_gateway: Any, daemon: Any, connect_api: Any) -> None:
    gateway = make_gateway(daemon.endpoint, arguments=("--listen", "[::1]:0"))
    assert gateway.url.startswith("http://[::1]:")
    assert len(connect_api(gateway.url).create()) == 36
