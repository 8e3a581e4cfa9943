"""Structured logs on stderr: JSON lines for machines, columns for a terminal."""

import logging
import re
import sys
import traceback
from collections import OrderedDict
from collections.abc import MutableMapping
from typing import Any, Final, Literal, TextIO

import structlog

Logger = structlog.typing.FilteringBoundLogger


class _Lines:
    """The text stream of a logger.

    A line that cannot be written is lost: a full disk must not end what is being logged about.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, message: str) -> None:
        """Write one line."""
        try:
            self._stream.write(f"{message}\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed
            return

    debug = info = warning = error = critical = exception = msg


_CHAIN_LIMIT: Final = 10
"""Exceptions told of those that led to one another."""


class _ExceptionFormatter:
    """Writes ``exc_info`` out as ``exception``: where it was raised, and its class.

    What it says may quote what a model or a caller put in, so it is for DEBUG only (``with_messages``).
    """

    def __init__(self, *, with_messages: bool) -> None:
        self._with_messages = with_messages

    def __call__(
        self, _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        told = event.pop("exc_info", None)
        error = sys.exc_info()[1] if told is True else told
        if isinstance(error, BaseException):
            event["exception"] = self._format(error)
        return event

    def _format(self, error: BaseException) -> str:
        if self._with_messages:
            return "".join(traceback.format_exception(error)).rstrip()
        parts: list[str] = []
        one: BaseException | None = error
        while one is not None and len(parts) < _CHAIN_LIMIT:
            parts.insert(0, "".join([*traceback.format_tb(one.__traceback__), type(one).__name__]))
            one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        return "Traceback (most recent call last):\n" + "\nled to:\n".join(parts)


KNOWN_TRACES: Final = 16_384
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}(-[0-9a-f]+)+")
"""What only a W3C trace context consists of: a caller can put no word of its own into the log by it."""


class Traces:
    """Which trace a request belongs to, so that every line that names the request names that too.

    Used on one loop. Lines about a request may come before and after its answer, and from parts that know no more
    of it than its ``request_id``; so the last ``KNOWN_TRACES`` requests that came with a trace are known.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, str] = OrderedDict()

    def note(self, request_id: str, traceparent: str | None) -> None:
        """A request came; what is no trace context is not kept."""
        if traceparent is not None and _TRACEPARENT.fullmatch(traceparent):
            self._known[request_id] = traceparent
            self._known.move_to_end(request_id)
            if len(self._known) > KNOWN_TRACES:
                self._known.popitem(last=False)

    def __call__(
        self, _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Put ``traceparent`` beside a ``request_id`` that came with one (a processor of structlog)."""
        request_id = event.get("request_id")
        if request_id is not None and (known := self._known.get(request_id)) is not None:
            event["traceparent"] = known
        return event


def make_logger(
    level: str, log_format: Literal["auto", "json", "console"], traces: Traces | None = None
) -> Logger:
    """A logger that writes to stderr from ``level`` on; the caller passes it down, nothing is global.

    ``traces``: what knows the traces of requests, where lines shall name them.
    """
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    renderers: list[Any] = [structlog.processors.JSONRenderer()]
    if not as_json:
        console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        renderers = [_escape_controls, console]
    logger: Logger = structlog.wrap_logger(
        _Lines(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        processors=[
            *([] if traces is None else [traces]),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _ExceptionFormatter(with_messages=level == "debug"),
            *renderers,
        ],
    )
    return logger


def _escape_controls(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Texts may come from a model: none of them may steer the terminal that shows them."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = "".join(
                c if c.isprintable() or c in "\t\n" else c.encode("unicode_escape").decode() for c in value
            )
    return event
