"""Settings of the gateway: defaults, then the TOML file, then ``MODEL_WORKER_GATEWAY_…``, then the command line.

``config/gateway.toml`` shows every one with its default, unit and meaning; a test holds the two together.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from worker.settings import (
    MetricsAddress,
    Positive,
    Seconds,
    SourcedSettings,
    Strings,
    host_and_port,
    is_loopback,
)

ENV_PREFIX: Final = "MODEL_WORKER_GATEWAY_"


class GatewaySettings(SourcedSettings):
    """All settings, validated and frozen."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    # Where
    listen: str = "127.0.0.1:8080"
    endpoint: str = "tcp://127.0.0.1:5670"
    events: str = "tcp://127.0.0.1:5671"
    key: str = ""
    server_key: str = ""

    # Who is asking
    auth: Literal["development", "tokens"] = "development"
    token_keys: str = ""
    token_issuer: str = ""
    token_audience: str = ""
    token_leeway_seconds: Annotated[float, Field(ge=0, le=300, allow_inf_nan=False)] = 5.0
    allow_origins: Strings = Field(default_factory=list)

    # Limits
    request_seconds: Seconds = 60.0
    body_seconds: Seconds = 30.0
    head_seconds: Seconds = 10.0
    keep_alive_seconds: Positive = 75
    max_body_bytes: Positive = 16 * 1024 * 1024
    max_requests: Positive = 2000
    max_connections: Positive = 4000
    drain_seconds: Positive = 30
    unread_seconds: Seconds = 20.0

    # Streams
    max_channels: Positive = 500
    max_channel_runs: Annotated[int, Field(ge=1, le=500)] = 200
    channel_heartbeat_seconds: Seconds = 15.0
    channel_seconds: Seconds = 900.0

    # Logs
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    access_log: bool = True

    # Metrics
    metrics_open: bool = False
    metrics: MetricsAddress = ""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        try:
            host_and_port(self.listen)
        except ValueError as error:
            raise ValueError(f"listen: {error}") from error
        if self.auth == "development" and not is_loopback(self.host):
            raise ValueError(
                f"listen: {self.listen} is not a loopback address, and with auth = development whoever reaches it "
                "may do everything: listen on 127.0.0.1 or [::1], or set auth = tokens"
            )
        if self.auth == "tokens" and not (self.token_keys and self.token_issuer and self.token_audience):
            raise ValueError("auth = tokens needs token_keys, token_issuer and token_audience")
        if bool(self.key) != bool(self.server_key):
            raise ValueError(
                "key (the gateway's own) and server_key (the worker's public one) are given together"
            )
        return self

    @property
    def host(self) -> str:
        """What to listen on, without the brackets of an IPv6 address."""
        return host_and_port(self.listen)[0]

    @property
    def port(self) -> int:
        """The port to listen on; 0 is any free one."""
        return host_and_port(self.listen)[1]
