"""What goes wrong, as Epicenter's client reads it: always JSON, with status, message and information.code."""

import base64
import concurrent.futures
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

PLAYER = "dev:PARTICIPANT:ada"
MISSING = "0" * 36
SECRET = b"0123456789abcdef0123456789abcdef"


def operation(name: str, *arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": list(arguments), "objectType": "execute"}


@pytest.fixture(scope="module")
def run_key(api: Any) -> str:
    """A run that the tests of errors leave as it is."""
    return str(api.create())


@pytest.fixture(scope="module")
def strict(daemon: Any, make_gateway: Any, connect_api: Any, tmp_path_factory: Any) -> Any:
    """A client of a gateway that reads signed tokens."""
    keys = tmp_path_factory.mktemp("keys")
    key = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET).decode()}
    (keys / "key.json").write_text(json.dumps(key))
    settings = {
        "AUTH": "tokens",
        "TOKEN_KEYS": str(keys),
        "TOKEN_ISSUER": "tests",
        "TOKEN_AUDIENCE": "worker",
        "TOKEN_LEEWAY_SECONDS": "0",
    }
    env = {f"MODEL_WORKER_GATEWAY_{name}": value for name, value in settings.items()}
    return connect_api(make_gateway(daemon.endpoint, env=env).url)


def test_an_unrecorded_variable_is_gone(api: Any) -> None:
    run_key = api.create()
    api.done("DELETE", f"/run/{run_key}")
    response = api.ask("POST", f"/run/variable/{run_key}", {"include": "count;hidden"})
    found = response.json()
    assert (response.status_code, found["status"], found["information"]["code"]) == (
        410,
        410,
        "UNRECORDED_VARIABLE",
    )
    assert "hidden" in found["message"]


def test_unknown_metadata_is_gone(api: Any, run_key: str) -> None:
    body = {"include": "nothing", "runKey": [run_key]}
    assert api.fault("POST", "/run/meta", body) == (410, "UNRECORDED_VARIABLE")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    (
        ("POST", "/run", b"{"),
        ("POST", "/run", b"[1]"),
        ("POST", "/run", b'{"modelFile": NaN}'),
        ("POST", "/run", {"modelFile": "counter.py"}),
        ("POST", "/run", {"modelFile": "counter.py", "scope": {"scopeBoundary": "RUN", "scopeKey": "k"}}),
        ("POST", "/run/singular", {"modelFile": "counter.py", "colour": "red"}),
        ("POST", "/run/singular", {"modelFile": "counter.py", "trackingKey": None}),
        ("POST", "/run/action/{run}", [{"name": "add"}]),
        ("POST", "/run/action/{run}", [{"objectType": "jump", "name": "add"}]),
        ("POST", "/run/action/{run}", [{"objectType": "get", "name": "count", "value": 1}]),
        ("POST", "/run/operation/{run}", {"name": "add", "arguments": {"n": 1}}),
        ("PATCH", "/run/variable/{run}", [1]),
        ("PATCH", "/run/meta/{run}", {"pop": {"a": {"objectType": "middle"}}}),
        ("POST", "/run/rewind/{run}", {"rewindCount": "1"}),
    ),
)
def test_what_cannot_be_read_is_incomprehensible(
    api: Any, run_key: str, method: str, path: str, body: Any
) -> None:
    path = path.replace("{run}", run_key)
    assert api.fault(method, path, body) == (400, "INCOMPREHENSIBLE_REQUEST")


@pytest.mark.parametrize(
    ("path", "query"),
    (
        ("/run/variable/{run}/count", {"ritual": "EXILE"}),
        ("/run/variable/{run}/count", {"timeout": "soon"}),
        ("/run/variable/{run}/count", {"timeout": ["1", "2"]}),
        ("/run/variable/{run}/count", {"colour": "red"}),
        ("/run/GROUP/g/counter.py", {"max": "0"}),
        ("/run/GROUP/g/counter.py", {"includeEpisodes": "true"}),
    ),
)
def test_a_query_that_cannot_be_read_is_incomprehensible(
    api: Any, run_key: str, path: str, query: dict[str, Any]
) -> None:
    assert api.fault("GET", path.replace("{run}", run_key), **query) == (400, "INCOMPREHENSIBLE_REQUEST")


def test_other_bodies_than_json_are_refused(api: Any) -> None:
    more = {"headers": {"Content-type": "text/plain"}}
    assert api.fault("POST", "/run/singular", {"modelFile": "x"}, **more) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    ("token", "code"),
    (
        (None, "AUTHORIZATION_FAILURE"),
        ("dev:ANONYMOUS:x", "AUTHORIZATION_FAILURE"),
        ("dev:KING:x", "AUTHENTICATION_INVALIDATED"),
        ("dev:AUTHOR", "AUTHENTICATION_INVALIDATED"),
        ("letmein", "AUTHENTICATION_INVALIDATED"),
    ),
)
def test_who_may_not_is_401(api: Any, run_key: str, token: str | None, code: str) -> None:
    response = api.ask("GET", f"/run/{run_key}", token=token)
    assert (response.status_code, response.json()["information"]["code"]) == (401, code)
    assert response.headers["www-authenticate"] == "Bearer"


def test_another_scheme_than_bearer_is_401(api: Any, run_key: str) -> None:
    more = {"token": None, "headers": {"Authorization": "Basic ZGV2OmRldg=="}}
    assert api.fault("GET", f"/run/{run_key}", **more) == (401, "AUTHORIZATION_FAILURE")


@pytest.mark.parametrize(
    ("claims", "code"),
    (
        ({"exp": -60}, "AUTHENTICATION_EXPIRED"),
        ({"exp": 60, "group_exp": -60}, "AUTHENTICATION_GROUP_EXPIRED"),
        ({"exp": 60, "aud": "another"}, "AUTHENTICATION_INVALIDATED"),
    ),
)
def test_a_signed_token_that_is_old_or_for_another_is_401(
    strict: Any, claims: dict[str, Any], code: str
) -> None:
    now = int(time.time())
    times = {name: now + value if name.endswith("exp") else value for name, value in claims.items()}
    claimed = {"iss": "tests", "aud": "worker", "sub": "ada", "role": "AUTHOR", **times}
    token = jwt.encode(claimed, SECRET, "HS256")
    assert strict.fault("GET", f"/run/{MISSING}", token=token) == (401, code)
    good = jwt.encode({**claimed, "exp": now + 60, "group_exp": now + 60, "aud": "worker"}, SECRET, "HS256")
    assert strict.fault("GET", f"/run/{MISSING}", token=good) == (404, "RUN_NOT_FOUND")


def test_a_run_that_there_is_not(api: Any) -> None:
    assert api.fault("GET", f"/run/{MISSING}") == (404, "RUN_NOT_FOUND")
    body = {"include": "a", "runKey": [MISSING]}
    assert api.fault("POST", "/run/meta", body) == (404, "RUN_NOT_FOUND")


def test_a_model_that_there_is_not(api: Any) -> None:
    assert api.fault("POST", "/run/singular", {"modelFile": "no.py"}) == (404, "MODEL_NOT_FOUND")


@pytest.mark.parametrize("ritual", ("NONE", "INTER"))
def test_a_run_that_is_to_stay_down(api: Any, ritual: str) -> None:
    run_key = api.create()
    api.done("DELETE", f"/run/{run_key}")
    path = f"/run/operation/{run_key}"
    assert api.fault("POST", path, operation("add"), ritual=ritual) == (409, "RUN_NOT_RUNNING")


def test_a_closed_run(api: Any) -> None:
    run_key = api.create()
    api.result("PATCH", f"/run/{run_key}", {"closed": True})
    assert api.fault("POST", f"/run/operation/{run_key}", operation("add")) == (409, "RUN_CLOSED")


def test_unknown_names(api: Any, run_key: str) -> None:
    assert api.fault("POST", f"/run/operation/{run_key}", operation("no")) == (404, "UNKNOWN_OPERATION")
    more = {"ritual": "REVIVE"}
    assert api.fault("GET", f"/run/variable/{run_key}/no", **more) == (404, "UNKNOWN_VARIABLE")


def test_a_guard_and_a_lock(api: Any) -> None:
    run_key = api.create(token=PLAYER)
    path = f"/run/variable/{run_key}"
    assert api.fault("PATCH", path, {"guarded": 2}, token=PLAYER) == (403, "GUARD_VIOLATION")
    other = "dev:PARTICIPANT:eve"
    assert api.fault("PATCH", path, {"hidden": 2}, token=other) == (403, "PERMIT_VIOLATION")
    assert api.result("PATCH", path, {"guarded": 2}) == {"guarded": 2}


def test_a_model_error_tells_what_the_model_said(api: Any, run_key: str) -> None:
    response = api.ask("POST", f"/run/operation/{run_key}", operation("fail", "too much"))
    found = response.json()
    assert (response.status_code, found["information"]["code"]) == (422, "MODEL_ERROR")
    assert found["information"]["type"] == "ValueError"
    assert found["information"]["retryable"] is False
    assert "too much" in found["message"]


def test_a_model_that_does_not_start(api: Any) -> None:
    body = {"modelFile": "broken.py", "scope": {"scopeBoundary": "GROUP", "scopeKey": "g"}}
    assert api.fault("POST", "/run", body) == (500, "MODEL_START_FAILURE")


def test_an_operation_that_takes_longer_than_it_may(api: Any) -> None:
    run_key = api.create()
    assert api.fault("POST", f"/run/operation/{run_key}", operation("hang")) == (504, "OPERATION_TIMEOUT")


def test_a_timeout_bounds_the_wait_only(api: Any) -> None:
    run_key = api.create()
    path = f"/run/operation/{run_key}"
    response = api.ask("POST", path, operation("nap", 1), timeout=0.2)
    found = response.json()["information"]
    assert (response.status_code, found["code"], found["applied"]) == (504, "DEADLINE_EXCEEDED", "unknown")
    assert response.headers["retry-after"] == "1"
    assert api.result("POST", path, operation("add")) == 1


def test_a_run_that_does_not_come_back_as_it_was(api: Any) -> None:
    run_key = api.create()
    api.result("POST", f"/run/operation/{run_key}", operation("whim"))
    api.done("DELETE", f"/run/{run_key}")
    response = api.ask("POST", f"/run/restore/{run_key}", {})
    found = response.json()["information"]
    assert (response.status_code, found["code"], found["seq"]) == (500, "RESTORE_FAILED", 2)


def test_a_rewind_that_there_is_not(api: Any, run_key: str) -> None:
    assert api.fault("POST", f"/run/rewind/{run_key}", {"rewindCount": 1}) == (400, "REWIND_INVALID")


def test_a_filter_that_is_none(api: Any) -> None:
    more = {"filter": "run.nothing=1"}
    assert api.fault("GET", "/run/GROUP/g/counter.py", **more) == (400, "INVALID_FILTER")


def test_one_run_s_fault_stands_in_its_place_and_fails_no_other(api: Any) -> None:
    run_key = api.create()
    found = api.result("POST", "/run/operation", operation("add", 2), runKey=[run_key, MISSING])
    assert found[run_key] == 2
    assert found[MISSING]["status"] == 404
    assert found[MISSING]["information"]["code"] == "RUN_NOT_FOUND"


def test_many_runs_take_no_other_ritual(api: Any) -> None:
    keys = [api.create(), api.create()]
    more = {"runKey": keys, "ritual": "REVIVE"}
    assert api.fault("POST", "/run/operation", operation("add"), **more) == (400, "RITUAL_NOT_ALLOWED")


@pytest.fixture(scope="module")
def working(wait_until: Any) -> Any:
    """``with working(api)``: a run is busy, so that nothing can drive it out of memory."""

    @contextlib.contextmanager
    def work(api: Any) -> Iterator[None]:
        run_key = api.create()
        with httpx.Client(timeout=60) as client, concurrent.futures.ThreadPoolExecutor() as pool:
            url = f"{api.root.base_url}{api.base}/run/operation/{run_key}"
            who = {"Authorization": "Bearer dev"}
            napping = pool.submit(client.post, url, json=operation("nap", 3), headers=who)
            wait_until(lambda: api.result("GET", f"/run/{run_key}")["status"] == "executing")
            yield
            assert napping.result().status_code == 200

    return work


def refused(api: Any) -> dict[str, Any]:
    """Information of the refusal of one run more."""
    body = {"modelFile": "counter.py", "scope": {"scopeBoundary": "GROUP", "scopeKey": "g"}}
    response = api.ask("POST", "/run", body)
    information: dict[str, Any] = response.json()["information"]
    assert (response.status_code, information["code"]) == (503, "WORKER_BUSY")
    assert int(response.headers["retry-after"]) >= 1
    return information


def test_a_full_worker_says_when_to_ask_again(
    make_daemon: Any, make_gateway: Any, models: Path, connect_api: Any, working: Any
) -> None:
    daemon = make_daemon(models, env={"MODEL_WORKER_LIVE_RUN_LIMIT": "1"})
    api = connect_api(make_gateway(daemon.endpoint).url)
    with working(api):
        assert refused(api)["limit"] == "live_run_limit"


def test_a_full_project_says_so_and_leaves_room_to_others(
    make_daemon: Any, make_gateway: Any, models: Path, connect_api: Any, working: Any
) -> None:
    config = models / "worker.toml"
    config.write_text(
        f'[projects."acme/one"]\nmodels_dir = "{models}"\nlive_run_limit = 1\n'
        f'[projects."acme/two"]\nmodels_dir = "{models}"\n'
    )
    daemon = make_daemon(models, arguments=("--config", str(config)))
    url = make_gateway(daemon.endpoint).url
    api = connect_api(url, "acme/one")
    with working(api):
        assert refused(api)["limit"] == "projects.acme/one.live_run_limit"
        connect_api(url, "acme/two").create()
    api.create()  # an idle run makes room
