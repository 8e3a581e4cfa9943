"""``model-worker call``: one request from the shell."""

import json
import sys
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

from protocol.client import Client
from protocol.errors import ErrorCode, ProtocolError
from worker.cli.keys import ClientKeyOptions, read_keys
from worker.cli.progress import progress_shown

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5670"


def call(
    request_type: Annotated[
        str, typer.Argument(metavar="TYPE", help="Request type, for example call_operation.")
    ],
    fields: Annotated[
        str, typer.Argument(metavar="JSON", help="The request's fields as a JSON object.")
    ] = "{}",
    *,
    endpoint: Annotated[str, typer.Option(help="The worker's endpoint.")] = DEFAULT_ENDPOINT,
    timeout_seconds: Annotated[float, typer.Option(help="How long to wait for the answer.")] = 60.0,
    key: Annotated[
        Path | None,
        typer.Option(envvar="MODEL_WORKER_KEY", help="Your secret key file, for a worker with keys."),
    ] = None,
    server_key: Annotated[
        Path | None, typer.Option(envvar="MODEL_WORKER_SERVER_KEY", help="The worker's public key file.")
    ] = None,
) -> None:
    """Send one request; prints its result as JSON, or the error object on stderr with exit status 1."""
    try:
        keys = _keys(key, server_key)
        with _connect(endpoint, timeout_seconds, keys) as worker:
            parsed = _parse(fields)
            parsed.setdefault("request_id", uuid.uuid4().hex)
            with progress_shown(endpoint, parsed.get("run_key"), parsed["request_id"], keys):
                reply = worker.request(request_type, **parsed)
    except ProtocolError as error:
        sys.stderr.write(json.dumps(error.to_wire(), indent=2) + "\n")
        raise typer.Exit(1) from error
    sys.stdout.write(json.dumps(reply.result, indent=2) + "\n")


def _keys(key: Path | None, server_key: Path | None) -> ClientKeyOptions:
    try:
        return read_keys(key, server_key)
    except ValueError as error:
        raise ProtocolError(ErrorCode.INVALID_REQUEST, str(error)) from error


def _connect(endpoint: str, timeout_seconds: float, keys: ClientKeyOptions) -> Client:
    try:
        return Client(endpoint, timeout_seconds=timeout_seconds, **keys)
    except ValueError as error:
        raise ProtocolError(ErrorCode.INVALID_REQUEST, str(error)) from error


def _parse(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise ProtocolError(ErrorCode.INVALID_REQUEST, f"the fields are not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ProtocolError(ErrorCode.INVALID_REQUEST, "the fields must be a JSON object")
    if "timeout_seconds" in fields:
        raise ProtocolError(
            ErrorCode.INVALID_REQUEST,
            "timeout_seconds is how long this command waits: give it as --timeout-seconds",
        )
    return fields
