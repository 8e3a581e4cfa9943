"""The model execution worker: supervisor, zygotes, run processes, durable log."""

from typing import Final

VERSION: Final = "0.1.0"
