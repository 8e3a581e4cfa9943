"""``model-worker serve``: run the daemon."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer


def serve(
    config: Annotated[
        Path | None, typer.Option(help="Settings file (TOML); config/worker.toml shows all.")
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="Model root: the folder that model_file is relative to.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Data folder, or :memory: to keep nothing.")] = None,
    bind: Annotated[
        list[str] | None, typer.Option(help="Endpoint for requests; may be given repeatedly.")
    ] = None,
    events: Annotated[str | None, typer.Option(help='Endpoint for events; "" for none.')] = None,
) -> None:
    """Serve runs until SIGTERM; prints one line `ready ENDPOINT…` when requests are accepted."""
    # Not at the top: whatever the command, importing it would take as long as all else it imports.
    from worker.errors import LogUnavailableError  # noqa: PLC0415
    from worker.settings import Settings, SettingsError  # noqa: PLC0415
    from worker.supervisor.router import BindError  # noqa: PLC0415
    from worker.supervisor.runtime import StartError  # noqa: PLC0415
    from worker.supervisor.worker import run_worker  # noqa: PLC0415
    from worker.telemetry import Traces, make_logger  # noqa: PLC0415

    try:
        settings = Settings.load(config, models_dir=models, data=data, bind=bind or None, events=events)
        traces = Traces()
        log = make_logger(settings.log_level, settings.log_format, traces)
        asyncio.run(run_worker(settings, log, _ready, traces=traces))
    except (SettingsError, StartError, BindError, LogUnavailableError) as error:
        message = getattr(error, "message", None) or str(error)
        sys.stderr.write(f"model-worker: {message}\n")
        raise typer.Exit(1) from error


def _ready(endpoints: list[str]) -> None:
    sys.stdout.write(f"ready {' '.join(endpoints)}\n")
    sys.stdout.flush()
