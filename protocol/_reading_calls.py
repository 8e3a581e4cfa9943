"""What a client can ask about what is kept and told of runs, and the methods of both clients for it; see ``protocol._calls``."""

from typing import Any, Literal, Unpack

from protocol._call import Call, Options
from protocol._call import as_is as _as_is
from protocol._call import call as _call
from protocol._methods import awaitable as _awaitable
from protocol._methods import blocking as _blocking


def read_history(
    run_key: str, *, after_seq: int | None = None, limit: int | None = None, **options: Unpack[Options]
) -> Call[dict[str, Any]]:
    """Read log entries, rewound ones included and marked: ``{entries, head_seq}``."""
    return _call("read_history", _as_is, options, run_key=run_key, after_seq=after_seq, limit=limit)


def list_models(**options: Unpack[Options]) -> Call[dict[str, Any]]:
    """The model files of a project, in order: ``{models, truncated}``."""
    return _call("list_models", _as_is, options)


def introspect_model(model_file: str, **options: Unpack[Options]) -> Call[dict[str, Any]]:
    """What a model offers: ``{language, functions, variables}``; no run comes of it."""
    return _call("introspect_model", _as_is, options, model_file=model_file)


def introspect_run(run_key: str, **options: Unpack[Options]) -> Call[dict[str, Any]]:
    """What the model of a run offers, as ``introspect_model`` tells it."""
    return _call("introspect_run", _as_is, options, run_key=run_key)


def read_events(
    run_key: str, *, after_event: int | None = None, limit: int | None = None, **options: Unpack[Options]
) -> Call[dict[str, Any]]:
    """Read what the event socket told of a run: ``{events, head_event}``.

    A page may end before ``limit``; there is more while its last number is below ``head_event``.
    """
    return _call("read_events", _as_is, options, run_key=run_key, after_event=after_event, limit=limit)


def read_result(
    run_key: str,
    seq: int,
    *,
    offset: int | None = None,
    length: int | None = None,
    **options: Unpack[Options],
) -> Call[dict[str, Any]]:
    """The JSON text of what an entry came to: ``{seq, status, offset, length, total_bytes, sha256, data}``.

    ``data`` is base64 of the bytes from ``offset`` on; there is more while ``offset + length < total_bytes``.
    """
    return _call("read_result", _as_is, options, run_key=run_key, seq=seq, offset=offset, length=length)


def read_traces(
    run_key: str, *, after_seq: int | None = None, limit: int | None = None, **options: Unpack[Options]
) -> Call[dict[str, Any]]:
    """What each action took and changed: ``{traces, head_seq}``."""
    return _call("read_traces", _as_is, options, run_key=run_key, after_seq=after_seq, limit=limit)


def list_deliveries(
    *,
    run_key: str | None = None,
    state: Literal["pending", "delivered", "dead"] | None = None,
    first: int | None = None,
    max: int | None = None,  # noqa: A002 - the field's name on the wire
    **options: Unpack[Options],
) -> Call[dict[str, Any]]:
    """What was or is to be told of statuses, newest first: ``{deliveries}``."""
    return _call("list_deliveries", _as_is, options, run_key=run_key, state=state, first=first, max=max)


def redeliver(delivery_id: str, **options: Unpack[Options]) -> Call[dict[str, Any]]:
    """Send once more what was given up, at once what waits: ``{delivery_id, state}``."""
    return _call("redeliver", _as_is, options, delivery_id=delivery_id)


class BlockingReading:
    """The methods of a client that waits."""

    read_history = _blocking(read_history)
    list_models = _blocking(list_models)
    introspect_model = _blocking(introspect_model)
    introspect_run = _blocking(introspect_run)
    read_events = _blocking(read_events)
    read_result = _blocking(read_result)
    read_traces = _blocking(read_traces)
    list_deliveries = _blocking(list_deliveries)
    redeliver = _blocking(redeliver)


class AwaitableReading:
    """The methods of a client that is awaited."""

    read_history = _awaitable(read_history)
    list_models = _awaitable(list_models)
    introspect_model = _awaitable(introspect_model)
    introspect_run = _awaitable(introspect_run)
    read_events = _awaitable(read_events)
    read_result = _awaitable(read_result)
    read_traces = _awaitable(read_traces)
    list_deliveries = _awaitable(list_deliveries)
    redeliver = _awaitable(redeliver)
