"""Settings: one file, one environment, one command line; what is wrong is named with its place."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from protocol.entities import Ritual
from worker.settings import Settings, SettingsError

SHIPPED = Path(__file__).parents[2] / "config" / "worker.toml"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MODEL_WORKER_{name.upper()}", raising=False)


def written(folder: Path, text: str) -> Path:
    path = folder / "worker.toml"
    path.write_text(text)
    return path


def defaults() -> dict[str, Any]:
    return {name: field.get_default() for name, field in Settings.model_fields.items()}


def test_the_shipped_file_states_every_setting_and_no_other() -> None:
    assert list(tomllib.loads(SHIPPED.read_text())) == list(Settings.model_fields)


def test_the_shipped_values_are_the_defaults() -> None:
    assert Settings.load(SHIPPED).model_dump() == defaults()


def test_the_shipped_comments_tell_the_defaults() -> None:
    told = {}
    for block in SHIPPED.read_text().split("\n\n"):
        value = re.search(r"^(\w+) = (.*)$", block, re.MULTILINE)
        if value:
            comment = " ".join(line.strip("# ") for line in block.splitlines() if line.startswith("#"))
            default = re.search(r"Default: (\[.*?\]|\{\}|\".*?\"|true|false|[\d.]*\d)", comment)
            assert default, f"no default in the comment of {value[1]}"
            told[value[1]] = (default[1], value[2])
    assert set(told) == set(Settings.model_fields)
    assert {name: pair for name, pair in told.items() if pair[0] != pair[1]} == {}


def test_without_anything_the_defaults_hold() -> None:
    assert Settings.load().model_dump() == defaults()


def test_the_command_line_wins_over_environment_over_file_over_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = written(tmp_path, "max_requests = 1\ninbox_limit = 1\nlive_run_limit = 1\n")
    monkeypatch.setenv("MODEL_WORKER_MAX_REQUESTS", "2")
    monkeypatch.setenv("MODEL_WORKER_INBOX_LIMIT", "2")
    settings = Settings.load(config, max_requests=3)
    assert (settings.max_requests, settings.inbox_limit) == (3, 2)
    assert (settings.live_run_limit, settings.zygote_limit) == (1, 8)


def test_an_option_that_was_not_given_overrides_nothing(tmp_path: Path) -> None:
    config = written(tmp_path, 'data = "elsewhere"\n')
    assert Settings.load(config, data=None, bind=None).data == "elsewhere"


@pytest.mark.parametrize("text", ("ipc:///tmp/a, tcp://[::1]:1", '["ipc:///tmp/a", "tcp://[::1]:1"]'))
def test_a_list_in_the_environment_is_json_or_separated_by_commas(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_WORKER_BIND", text)
    assert Settings.load().bind == ["ipc:///tmp/a", "tcp://[::1]:1"]


def test_every_setting_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "BIND": "ipc:///tmp/a",
        "MODELS_DIR": "/models",
        "DATA": ":memory:",
        "DEFAULT_RITUAL": "REVIVE",
        "SESSION_TIMEOUT_SECONDS": "0.5",
        "SANDBOX": "process-only",
        "PRELOAD": "numpy,pandas",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"MODEL_WORKER_{name}", value)
    settings = Settings.load()
    assert settings.bind == ["ipc:///tmp/a"]
    assert settings.models_dir == Path("/models")
    assert settings.in_memory
    assert settings.default_ritual is Ritual.REVIVE
    assert settings.session_timeout_seconds == 0.5
    assert settings.sandbox == "process-only"
    assert settings.preload == ["numpy", "pandas"]


def test_settings_cannot_be_changed_afterwards() -> None:
    settings = Settings.load()
    with pytest.raises(ValueError, match="frozen"):
        settings.max_requests = 5


@pytest.mark.parametrize(
    ("line", "words"),
    (
        ("max_request = 5", "there is no such setting"),
        ("[max_requests]\nx = 1", "integer"),
        ('max_requests = "many"', "integer"),
        ("max_requests = true", "not true or false"),
        ("max_requests = 0", "greater than 0"),
        ("max_requests = 1.5", "integer"),
        ("session_timeout_seconds = 0", "greater than 0"),
        ("session_timeout_seconds = nan", "greater than 0"),
        ("operation_timeout_seconds = inf", "finite number"),
        ("drain_grace_seconds = -1", "greater than or equal to 0"),
        ("open_files = 15", "greater than or equal to 16"),
        ("data = 5", "string"),
        ("bind = []", "at least one endpoint"),
        ("bind = [5]", "string"),
        ("bind = 5", "list"),
        ('default_ritual = "EXILE"', "REANIMATE"),
        ('sandbox = "none"', "strict"),
        ('log_level = "loud"', "info"),
    ),
)
def test_a_wrong_line_is_refused_naming_setting_file_and_reason(
    line: str, words: str, tmp_path: Path
) -> None:
    config = written(tmp_path, f"{line}\n")
    with pytest.raises(SettingsError) as raised:
        Settings.load(config)
    setting = re.findall(r"\w+", line)[0]
    assert re.search(rf"^setting {setting}\S* \({re.escape(str(config))}\): ", str(raised.value))
    assert words in str(raised.value)


def test_what_is_wrong_is_looked_for_where_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = written(tmp_path, "max_requests = 1\n")
    monkeypatch.setenv("MODEL_WORKER_MAX_REQUESTS", "x")
    with pytest.raises(SettingsError, match=r"^setting max_requests \(MODEL_WORKER_MAX_REQUESTS\): "):
        Settings.load(config)
    with pytest.raises(SettingsError, match=r"^setting max_requests \(command line\): "):
        Settings.load(config, max_requests=-1)


def test_a_list_that_is_broken_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_WORKER_PRELOAD", '["numpy"')
    with pytest.raises(SettingsError, match="MODEL_WORKER_PRELOAD"):
        Settings.load()


def test_a_file_that_is_no_toml_is_named_with_the_line(tmp_path: Path) -> None:
    config = written(tmp_path, "max_requests = 1\nmax_requests\n")
    with pytest.raises(SettingsError, match=rf"{re.escape(str(config))}.*line 2"):
        Settings.load(config)


@pytest.mark.parametrize("name", ("missing.toml", "."))
def test_a_file_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no settings file"):
        Settings.load(tmp_path / name)


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(SettingsError, match="/proc/self/mem"):
        Settings.load(Path("/proc/self/mem"))


@pytest.mark.parametrize(
    "endpoint",
    (
        "tcp://127.0.0.1:5670",
        "tcp://127.8.9.10:1",
        "tcp://localhost:5670",
        "tcp://[::1]:5670",
        "tcp://127.0.0.1:*",
        "ipc:///run/model-worker",
        "ipc://@abstract",
    ),
)
def test_an_endpoint_that_only_this_host_reaches_is_taken(endpoint: str) -> None:
    assert Settings.load(bind=[endpoint]).bind == [endpoint]


@pytest.mark.parametrize(
    "endpoint",
    (
        "tcp://0.0.0.0:5670",
        "tcp://*:5670",
        "tcp://eth0:5670",
        "tcp://192.168.1.1:5670",
        "tcp://[::]:5670",
        "tcp://example.com:5670",
    ),
)
def test_an_endpoint_that_strangers_reach_is_refused(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="not a loopback address"):
        Settings.load(bind=[endpoint])


@pytest.mark.parametrize(
    "endpoint",
    (
        "",
        "127.0.0.1:5670",
        "tcp://",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:",
        "tcp://127.0.0.1:port",
        "tcp://127.0.0.1:1;0.0.0.0:5670",
        "tcp://127.0.0.1@0.0.0.0:5670",
        "tcp://127.0.0.1:1/0.0.0.0:5670",
        "ipc://",
        "inproc://here",
        "pgm://127.0.0.1:1",
    ),
)
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="is no endpoint of the form"):
        Settings.load(bind=["ipc:///tmp/a", endpoint])


@pytest.mark.parametrize("endpoint", ("", "ipc:///tmp/e", "tcp://127.0.0.1:*"))
def test_events_go_to_an_endpoint_of_this_machine_or_to_none(endpoint: str) -> None:
    assert Settings.load(events=endpoint).events == endpoint


@pytest.mark.parametrize(
    ("name", "value", "words"),
    (
        ("events", "tcp://0.0.0.0:5671", "not a loopback address"),
        ("events", "somewhere", "no endpoint of the form"),
        ("extra_events", ["state"], "status"),
        ("event_runs", "some", "allow_channel"),
    ),
)
def test_settings_of_events_that_make_no_sense_are_refused(name: str, value: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as raised:
        Settings.load(**{name: value})
    assert f"setting {name}" in str(raised.value)


PROJECTS = """
default_ritual = "REVIVE"
event_runs = "allow_channel"
session_timeout_seconds = 60
live_run_limit = 50

[projects."acme/supply"]
models_dir = "/srv/supply"
session_timeout_seconds = 5
live_run_limit = 3

[projects."acme/Demand_2-x"]
models_dir = "/srv/demand"
default_ritual = "NONE"
event_runs = "all"
"""


def test_a_project_has_the_worker_s_own_settings_for_what_it_leaves_out(tmp_path: Path) -> None:
    settings = Settings.load(written(tmp_path, PROJECTS))
    supply, demand = settings.of_project("acme/supply"), settings.of_project("acme/Demand_2-x")
    assert (supply.models_dir, demand.models_dir) == (Path("/srv/supply"), Path("/srv/demand"))
    assert (supply.default_ritual, demand.default_ritual) == (Ritual.REVIVE, Ritual.NONE)
    assert (supply.event_runs, demand.event_runs) == ("allow_channel", "all")
    assert (supply.session_timeout_seconds, demand.session_timeout_seconds) == (5, 60)
    assert (supply.live_run_limit, demand.live_run_limit) == (3, 50)
    for other in ("", "acme/elsewhere"):
        own = settings.of_project(other)
        assert (own.default_ritual, own.session_timeout_seconds) == (Ritual.REVIVE, 60)


def test_projects_of_the_environment_join_those_of_the_file_and_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = '{"acme/supply": {"live_run_limit": 9}, "x/y": {"models_dir": "/srv/y"}}'
    monkeypatch.setenv("MODEL_WORKER_PROJECTS", given)
    projects = Settings.load(written(tmp_path, PROJECTS)).projects
    assert set(projects) == {"acme/supply", "acme/Demand_2-x", "x/y"}
    assert (projects["acme/supply"].live_run_limit, projects["acme/supply"].session_timeout_seconds) == (9, 5)
    assert projects["x/y"].live_run_limit == 50


@pytest.mark.parametrize(
    ("text", "words"),
    (
        ('[projects."acme"]\nmodels_dir = "m"', "acme"),
        ('[projects."a/b/c"]\nmodels_dir = "m"', "a/b/c"),
        ('[projects."a b/c"]\nmodels_dir = "m"', "a b/c"),
        ('[projects."a/b"]\nlive_run_limit = 1', "projects.a/b.models_dir"),
        ('[projects."a/b"]\nmodels_dir = "m"\nmodel_dir = "m"', "projects.a/b.model_dir"),
        ('[projects."a/b"]\nmodels_dir = "m"\npermits = "ignore"', "projects.a/b.permits"),
        ('[projects."a/b"]\nmodels_dir = 5', "projects.a/b.models_dir"),
        ('[projects."a/b"]\nmodels_dir = "m"\nlive_run_limit = 0', "greater than 0"),
        ('[projects."a/b"]\nmodels_dir = "m"\ndefault_ritual = "EXILE"', "projects.a/b.default_ritual"),
        ('[projects."a/b"]\nmodels_dir = "m"\nevent_runs = "some"', "allow_channel"),
        ('[projects]\n"a/b" = "m"', "projects.a/b"),
        ('projects = "a/b"', "projects"),
    ),
)
def test_a_project_that_makes_no_sense_is_refused_naming_it(text: str, words: str, tmp_path: Path) -> None:
    config = written(tmp_path, text)
    with pytest.raises(SettingsError) as raised:
        Settings.load(config)
    assert str(raised.value).startswith("setting projects")
    assert str(config) in str(raised.value)
    assert words in str(raised.value)


def test_projects_that_are_broken_json_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_WORKER_PROJECTS", '{"a/b": ')
    with pytest.raises(SettingsError, match="projects"):
        Settings.load()


def test_the_shipped_example_of_a_project_can_be_used(tmp_path: Path) -> None:
    text = SHIPPED.read_text().replace("projects = {}\n", "")
    config = written(
        tmp_path,
        re.sub(
            r"^# (\[projects|models_dir|default_ri|session|event_r|live)", r"\1", text, flags=re.MULTILINE
        ),
    )
    assert Settings.load(config).projects["acme/supply"].model_dump() == {
        "models_dir": Path("/srv/acme/supply"),
        "default_ritual": Ritual.REVIVE,
        "session_timeout_seconds": 600.0,
        "event_runs": "allow_channel",
        "live_run_limit": 100,
    }


@pytest.mark.parametrize(
    "endpoint", ("tcp://0.0.0.0:5670", "tcp://*:5670", "tcp://[::]:5670", "tcp://192.168.1.1:5670")
)
def test_with_keys_an_endpoint_may_be_anywhere(endpoint: str) -> None:
    settings = Settings.load(
        bind=[endpoint], events=endpoint, curve_server_key="worker.key", curve_clients="clients"
    )
    assert (settings.bind, settings.events) == ([endpoint], endpoint)


@pytest.mark.parametrize("given", ({"curve_server_key": "worker.key"}, {"curve_clients": "clients"}))
def test_half_of_what_curve_needs_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="given together"):
        Settings.load(**given)


def test_the_refusal_of_an_open_endpoint_says_how_to_make_keys() -> None:
    with pytest.raises(SettingsError, match="model-worker keygen"):
        Settings.load(bind=["tcp://0.0.0.0:5670"])


@pytest.mark.parametrize("address", ("127.0.0.1:9464", "localhost:0", "[::1]:65535"))
def test_metrics_may_have_a_loopback_address(address: str) -> None:
    assert Settings.load(metrics=address).metrics == address


@pytest.mark.parametrize("address", ("0.0.0.0:9464", "[::]:9464", "metrics.example:9464"))
def test_metrics_elsewhere_need_a_word_that_allows_it(address: str) -> None:
    with pytest.raises(SettingsError, match="metrics_open = true"):
        Settings.load(metrics=address)
    assert Settings.load(metrics=address, metrics_open=True).metrics == address


@pytest.mark.parametrize(
    "address",
    ("9464", "127.0.0.1", "127.0.0.1:65536", "::1:9464", "http://127.0.0.1:1", "a b:1", ":9464", "x:1\n"),
)
def test_an_address_of_metrics_is_host_and_port(address: str) -> None:
    with pytest.raises(SettingsError, match=re.escape("HOST:PORT or [IPV6]:PORT")):
        Settings.load(metrics=address, metrics_open=True)
