"""How the commands that talk to a worker name their CURVE keys."""

from pathlib import Path
from typing import TypedDict

from protocol.keys import KeyFileError, read_key_pair, read_public_key


class ClientKeyOptions(TypedDict, total=False):
    """What the clients take; empty for an open endpoint."""

    server_key: bytes
    public_key: bytes
    secret_key: bytes


def read_keys(key: Path | None, server_key: Path | None) -> ClientKeyOptions:
    """Read the files of ``--key`` and ``--server-key``, both or neither.

    Raises:
        ValueError: only one is given, or a file is not as it should be.
    """
    if key is None and server_key is None:
        return {}
    if key is None or server_key is None:
        raise ValueError("--key (your own) and --server-key (the worker's public one) are given together")
    try:
        pair = read_key_pair(key)
        return {
            "server_key": read_public_key(server_key),
            "public_key": pair.public,
            "secret_key": pair.secret,
        }
    except KeyFileError as error:
        raise ValueError(str(error)) from error
