"""``model-worker gateway``: Epicenter's HTTP API in front of a worker."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer


def gateway(
    config: Annotated[
        Path | None, typer.Option(help="Settings file (TOML); config/gateway.toml shows all.")
    ] = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT to listen on.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="The worker's endpoint for requests.")] = None,
    events: Annotated[
        str | None, typer.Option(help='The worker\'s endpoint for events; "" for none.')
    ] = None,
) -> None:
    """Serve HTTP until SIGTERM; prints one line `ready URL` when requests are accepted."""
    # Here, not above: a web server is nothing that the other commands should load.
    import uvloop  # noqa: PLC0415 - as said

    from protocol.keys import KeyFileError  # noqa: PLC0415 - as said
    from worker.gateway.readers import KeyFolderError  # noqa: PLC0415 - as said
    from worker.gateway.server import ListenError, run_gateway  # noqa: PLC0415 - as said
    from worker.gateway.settings import GatewaySettings  # noqa: PLC0415 - as said
    from worker.settings import SettingsError  # noqa: PLC0415 - as said
    from worker.telemetry import make_logger  # noqa: PLC0415 - as said

    try:
        settings = GatewaySettings.load(config, listen=listen, endpoint=endpoint, events=events)
        log = make_logger(settings.log_level, settings.log_format)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_gateway(settings, log))
    except (SettingsError, ListenError, KeyFolderError, KeyFileError, ValueError) as error:
        sys.stderr.write(f"model-worker: {error}\n")
        raise typer.Exit(1) from error
