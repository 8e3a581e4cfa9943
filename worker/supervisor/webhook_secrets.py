"""The secrets that web addresses are sent signatures with: a file of one or two, read anew for each sending."""

from pathlib import Path
from typing import Final

from protocol.webhooks import secret_of

MAX_SECRETS: Final = 2
"""The one that is used, and the one that takes its place or had it."""
MAX_FILE_BYTES: Final = 4096


class SecretsError(Exception):
    """The file cannot be used; the message says why, and nothing of what it holds."""


def read_secrets(file: str) -> tuple[bytes, ...]:
    """The secrets in a file, one a line, empty lines and lines that begin with # aside; none without a file.

    Raises:
        SecretsError: it cannot be read, others may read it, or it holds something else.
    """
    if not file:
        return ()
    path = Path(file)
    try:
        if path.stat().st_mode & 0o077:
            raise SecretsError(f"{path}: others may read it; chmod 600 it")
        text = path.read_text("ascii") if path.stat().st_size <= MAX_FILE_BYTES else ""
    except (OSError, UnicodeError) as error:
        raise SecretsError(f"{path}: cannot be read: {error}") from error
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    if not 1 <= len(lines) <= MAX_SECRETS:
        raise SecretsError(
            f"{path}: one or {MAX_SECRETS} secrets are needed, one a line; it has {len(lines)}"
        )
    try:
        return tuple(map(secret_of, lines))
    except ValueError as error:
        raise SecretsError(f"{path}: {error}") from error
