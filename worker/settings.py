"""Settings of the worker: defaults, then the TOML file, then ``MODEL_WORKER_…``, then the command line.

``config/worker.toml`` shows every one with its default, unit and meaning; a test holds the two together.
"""

import functools
import ipaddress
import json
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from protocol.entities import ProjectName, Ritual
from protocol.values import MAX_DEPTH, MAX_VALUES

MEMORY = ":memory:"
ENV_PREFIX: Final = "MODEL_WORKER_"
PORT_MAX: Final = 65_535


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")  # noqa: TRY004 - pydantic reports ValueError
    return value


def _listed(value: Any) -> Any:
    """A list as the environment gives it: a JSON list, or words separated by commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [word.strip() for word in value.split(",") if word.strip()]


Positive = Annotated[int, BeforeValidator(_number), Field(gt=0)]
Seconds = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]


def _watched_at(address: str, info: ValidationInfo) -> str:
    if address and not is_loopback(host_and_port(address)[0]) and not info.data.get("metrics_open"):
        raise ValueError(
            f"{address} is not a loopback address: whoever reaches it reads there how the daemon does. Bind "
            "127.0.0.1 or [::1], or allow it with metrics_open = true"
        )
    return address


MetricsAddress = Annotated[str, AfterValidator(_watched_at)]
"""Where metrics are read; other than loopback where the setting ``metrics_open`` before it allows that."""

Strings = Annotated[list[str], NoDecode, BeforeValidator(_listed)]


NETWORK_VARIABLES: Final = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
"""How the host reaches the network; of the worker's environment, a tool that fetches packages gets these."""


def network_environment() -> dict[str, str]:
    """Proxies and certificates of the host."""
    return {name: os.environ[name] for name in NETWORK_VARIABLES if name in os.environ}


class NamedEnvironment(BaseModel):
    """What a model gets that asks for an environment by its name: an interpreter's packages, or a list of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    python: str = ""
    requirements: list[str] = []

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if bool(self.python) == bool(self.requirements):
            raise ValueError("either python (path of an interpreter) or requirements (a list) is needed")
        return self


class SettingsError(Exception):
    """A setting is unknown, has a wrong type, or is not allowed; the message names it and where it stands."""


class ProjectSettings(BaseModel):
    """What a project has of its own; what it does not say, it has from the worker's own setting of that name.

    ``live_run_limit`` holds besides the worker's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    models_dir: Path
    default_ritual: Ritual
    session_timeout_seconds: Seconds
    event_runs: Literal["all", "allow_channel"]
    live_run_limit: Positive


class SourcedSettings(BaseSettings):
    """Settings that come from a TOML file, the environment and the command line, each stronger than the one before."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no .env files: one file, one environment
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no secrets among the settings
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line before environment before file."""
        return (
            init_settings,
            env_settings,
            TomlConfigSettingsSource(settings_cls, settings_cls.model_config.get("toml_file")),
        )

    @classmethod
    def load(cls, config: Path | None = None, **overrides: Any) -> Self:
        """Read the settings; ``overrides`` (the command line) win, None among them means not given.

        Raises:
            SettingsError: naming the setting, where it stands and the reason.
        """
        sourced = type(cls.__name__, (cls,), {"model_config": {**cls.model_config, "toml_file": config}})
        given = {key: value for key, value in overrides.items() if value is not None}
        try:
            if config is not None and not config.is_file():
                raise SettingsError(f"there is no settings file {config}")
            return sourced(**given)  # type: ignore[no-any-return]  # type() loses the class
        except ValidationError as error:
            raise SettingsError(
                _described(error, config, given, str(cls.model_config["env_prefix"]))
            ) from error
        except (ValueError, OSError) as error:
            raise SettingsError(f"settings{f' in {config}' if config else ''}: {error}") from error


class Settings(SourcedSettings):
    """All settings, validated and frozen."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    # Other machines; judged before the endpoints, which may be anywhere where there are keys
    curve_server_key: str = ""
    curve_clients: Annotated[str, Field(validate_default=True)] = ""

    # Where
    bind: Strings = ["tcp://127.0.0.1:5670"]
    models_dir: Path = Path("models")
    data: str = "model-worker-data"
    worker_id: str = ""

    # Events
    events: str = "tcp://127.0.0.1:5671"
    event_runs: Literal["all", "allow_channel"] = "all"
    extra_events: Annotated[list[Literal["status", "output"]], NoDecode, BeforeValidator(_listed)] = []

    # Requests
    max_message_bytes: Positive = 16 * 1024 * 1024
    max_requests: Positive = 10_000
    inbox_limit: Positive = 256
    default_ritual: Ritual = Ritual.REANIMATE
    permits: Literal["enforce", "ignore"] = "enforce"

    # Runs
    live_run_limit: Positive = 1000
    total_memory_bytes: Annotated[int, BeforeValidator(_number), Field(ge=0)] = 0
    boot_limit: Positive = 16
    session_timeout_seconds: Seconds = 1800.0
    operation_timeout_seconds: Seconds = 60.0
    inception_grace_seconds: Seconds = 30.0
    schema_seconds: Seconds = 1.0
    drain_grace_seconds: Annotated[float, BeforeValidator(_number), Field(ge=0, allow_inf_nan=False)] = 30.0
    archive: Literal["recorded", "all"] = "recorded"

    # Replay
    replay_limit: Positive = 4
    divergence: Literal["fail", "warn"] = "fail"
    model_changed: Literal["warn", "fail"] = "warn"
    clock: Literal["stamped", "real"] = "stamped"
    entropy: Literal["seeded", "system"] = "seeded"

    # Zygotes
    preload: Strings = []
    zygote_limit: Positive = 8

    # Environments
    environments_dir: str = ""
    dependency_sources: Literal["wheels", "any", "installed"] = "wheels"
    package_index: str = "https://pypi.org/simple"
    package_links: Strings = []
    environment_build_seconds: Seconds = 600.0
    environment_retry_seconds: Seconds = 30.0
    environment_bytes: Positive = 4 * 1024 * 1024 * 1024
    environment_build_limit: Positive = 2
    preload_dependencies: bool = False
    environments: dict[str, NamedEnvironment] = {}

    # Sandbox and limits of one run
    sandbox: Literal["strict", "strict+jail", "strict-noquota", "process-only"] = "strict"
    memory_bytes: Positive = 1024 * 1024 * 1024
    cpu_seconds: Positive = 3600
    action_cpu_seconds: Seconds = 60.0
    action_wall_seconds: Seconds = 3600.0
    open_files: Annotated[int, BeforeValidator(_number), Field(ge=16)] = 64
    threads: Positive = 32
    scratch_bytes: Positive = 8 * 1024 * 1024
    scratch_inodes: Positive = 256
    max_result_bytes: Positive = 8 * 1024 * 1024
    inline_result_bytes: Annotated[int, BeforeValidator(_number), Field(ge=4096)] = 512 * 1024
    max_result_depth: Annotated[int, BeforeValidator(_number), Field(ge=1, le=MAX_DEPTH)] = MAX_DEPTH
    max_result_values: Annotated[int, BeforeValidator(_number), Field(ge=100, le=4 * MAX_VALUES)] = MAX_VALUES
    record_bytes: Positive = 4 * 1024 * 1024
    callback_bytes: Positive = 1024 * 1024
    output_bytes: Positive = 64 * 1024
    message_rate: Positive = 1000
    uid_base: Positive = 1_900_000_000

    # Logs
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    log_model_output: bool = False

    # Deliveries of statuses
    delivery_timeout_seconds: Seconds = 10.0
    delivery_first_seconds: Seconds = 1.0
    delivery_most_seconds: Seconds = 600.0
    delivery_total_seconds: Seconds = 86_400.0
    delivery_limit: Positive = 16
    delivery_target_limit: Positive = 4
    delivery_networks: Strings = []
    delivery_secrets: str = ""

    # Metrics
    metrics_open: bool = False
    metrics: MetricsAddress = ""

    # Projects
    projects: dict[ProjectName, ProjectSettings] = {}

    @field_validator("curve_clients")
    @classmethod
    def _both_keys(cls, folder: str, info: ValidationInfo) -> str:
        if bool(folder) != bool(info.data.get("curve_server_key")):
            raise ValueError(
                "curve_server_key and curve_clients are given together, or neither: a worker has a key of its own, "
                "and a folder with those of its clients"
            )
        return folder

    @field_validator("bind")
    @classmethod
    def _endpoints(cls, endpoints: list[str], info: ValidationInfo) -> list[str]:
        if not endpoints:
            raise ValueError("at least one endpoint is needed")
        for endpoint in endpoints:
            check_endpoint(endpoint, curve=bool(info.data.get("curve_clients")))
        return endpoints

    @field_validator("events")
    @classmethod
    def _event_endpoint(cls, endpoint: str, info: ValidationInfo) -> str:
        if endpoint:
            check_endpoint(endpoint, curve=bool(info.data.get("curve_clients")))
        return endpoint

    @field_validator("delivery_networks")
    @classmethod
    def _networks(cls, networks: list[str]) -> list[str]:
        for network in networks:
            ipaddress.ip_network(network)
        return networks

    @field_validator("projects", mode="before")
    @classmethod
    def _fall_back(cls, projects: Any, info: ValidationInfo) -> Any:
        """Give each project the worker's own settings for what it leaves out, but for its model root."""
        if not isinstance(projects, dict):
            return projects
        shared = ProjectSettings.model_fields.keys() & info.data.keys() - {"models_dir"}
        own = {name: info.data[name] for name in shared}
        return {
            name: {**own, **given} if isinstance(given, dict) else given for name, given in projects.items()
        }

    def of_project(self, project: str) -> "Settings | ProjectSettings":
        """What holds for a project; for the default one (""), and one that is not served, the worker's own."""
        return self.projects.get(project, self)

    @property
    def in_memory(self) -> bool:
        """Whether nothing is kept on disk."""
        return self.data == MEMORY


def _described(error: ValidationError, config: Path | None, given: Collection[str], prefix: str) -> str:
    first = error.errors(include_url=False)[0]
    if not first["loc"]:  # several settings that do not go together; the message names them
        return f"settings: {first['msg']}"
    name = ".".join(str(part) for part in first["loc"])
    setting = str(first["loc"][0])
    variable = f"{prefix}{setting}".upper()
    if setting in given:
        where = "command line"
    elif variable in map(str.upper, os.environ):
        where = variable
    else:
        where = str(config)
    reason = "there is no such setting" if first["type"] == "extra_forbidden" else first["msg"]
    return f"setting {name} ({where}): {reason}"


_TCP: Final = re.compile(r"tcp://(?P<host>\[[^\[\]]+\]|[^\[\]:;@/]+):(\d{1,5}|\*)")
"""Nothing but an address and a port; ZeroMQ itself would take another address behind a semicolon."""


def check_endpoint(endpoint: str, *, curve: bool = False) -> None:
    """Refuse an endpoint where strangers could ask; with ``curve`` they are turned away wherever it is.

    Raises:
        ValueError: it is no ZeroMQ endpoint, or open and neither loopback nor ipc.
    """
    if re.fullmatch(r"ipc://.+", endpoint):
        return
    tcp = _TCP.fullmatch(endpoint)
    if tcp is None:
        raise ValueError(f"{endpoint!r} is no endpoint of the form tcp://ADDRESS:PORT or ipc://PATH")
    if not curve and not is_loopback(tcp["host"].strip("[]")):
        raise ValueError(
            f"{endpoint} is not a loopback address: an open socket there would let anyone run models. "
            "Bind 127.0.0.1, [::1] or ipc://, or have keys: make them with `model-worker keygen FILE` and name them "
            "in curve_server_key and curve_clients"
        )


_HTTP: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:;@/\s]+):(?P<port>\d{1,5})")


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of HOST:PORT or [IPV6]:PORT.

    Raises:
        ValueError: it is neither.
    """
    parts = _HTTP.fullmatch(address)
    if parts is None or int(parts["port"]) > PORT_MAX:
        raise ValueError(f"{address!r} is no address of the form HOST:PORT or [IPV6]:PORT")
    return parts["host"].strip("[]"), int(parts["port"])


@functools.lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether a host, by name or address, is this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
