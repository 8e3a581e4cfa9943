"""Settings of the gateway: the shipped file states them, and what would be open to strangers is refused."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from worker.gateway.settings import ENV_PREFIX, GatewaySettings
from worker.settings import SettingsError

SHIPPED = Path(__file__).parents[3] / "config" / "gateway.toml"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GatewaySettings.model_fields:
        monkeypatch.delenv(f"{ENV_PREFIX}{name.upper()}", raising=False)


def test_the_shipped_file_states_every_setting_and_its_default() -> None:
    assert list(tomllib.loads(SHIPPED.read_text())) == list(GatewaySettings.model_fields)
    assert GatewaySettings.load(SHIPPED).model_dump() == GatewaySettings.load().model_dump()


def test_the_shipped_comments_tell_the_defaults() -> None:
    text = SHIPPED.read_text()
    told = re.findall(r"Default: (\[\]|\"[^\"]*\"|true|false|[\d.]*\d)[^\n]*\n(\w+) = (.*)\n", text)
    assert [name for _, name, _ in told] == list(GatewaySettings.model_fields)
    assert [default for default, _, _ in told] == [value for _, _, value in told]


def test_the_environment_has_names_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_WORKER_GATEWAY_LISTEN", "[::1]:0")
    settings = GatewaySettings.load()
    assert (settings.host, settings.port) == ("::1", 0)


@pytest.mark.parametrize("listen", ("0.0.0.0:8080", "10.0.0.1:80", "[::]:80", "example.com:80"))
def test_development_listens_on_loopback_addresses_only(listen: str) -> None:
    with pytest.raises(SettingsError, match="not a loopback address"):
        GatewaySettings.load(listen=listen)
    tokens: dict[str, Any] = {"auth": "tokens", "token_keys": "k", "token_issuer": "i", "token_audience": "a"}
    assert GatewaySettings.load(listen=listen, **tokens).port == int(listen.rpartition(":")[2])


@pytest.mark.parametrize(
    ("given", "words"),
    (
        ({"listen": "8080"}, "HOST:PORT"),
        ({"listen": "127.0.0.1:99999"}, "HOST:PORT"),
        ({"auth": "tokens"}, "token_keys, token_issuer and token_audience"),
        ({"key": "k"}, "given together"),
        ({"max_requests": 0}, "max_requests"),
        ({"metrics": "0.0.0.0:9465"}, "metrics_open = true"),
        ({"colour": 1}, "no such setting"),
    ),
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        GatewaySettings.load(**given)


def test_a_wrong_variable_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_WORKER_GATEWAY_MAX_REQUESTS", "many")
    with pytest.raises(SettingsError, match="MODEL_WORKER_GATEWAY_MAX_REQUESTS"):
        GatewaySettings.load()
