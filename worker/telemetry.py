"""Structured logs on stderr: JSON lines for machines, columns for a terminal."""

import logging
import sys
from typing import Any, Literal

import structlog

Logger = structlog.typing.FilteringBoundLogger


def make_logger(level: str, log_format: Literal["auto", "json", "console"]) -> Logger:
    """A logger that writes to stderr from ``level`` on; the caller passes it down, nothing is global."""
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    logger: Logger = structlog.wrap_logger(
        structlog.WriteLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    return logger
