"""``model-worker keygen``: a pair of CURVE keys, for a worker or for one of its clients."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from protocol.keys import KeyFileError, public_path, write_key_pair


def keygen(
    file: Annotated[Path, typer.Argument(help="Where the secret goes; FILE.pub gets the public key.")],
) -> None:
    """Make a pair of keys, for a worker or a client; prints the public one. Nothing is overwritten."""
    try:
        public = write_key_pair(file)
    except KeyFileError as error:
        sys.stderr.write(f"model-worker: {error}\n")
        raise typer.Exit(1) from error
    sys.stdout.write(f"{public.decode()}\n")
    sys.stderr.write(f"secret key: {file} (stays here)\npublic key: {public_path(file)} (to be handed out)\n")
