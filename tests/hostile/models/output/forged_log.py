# /// attack
# rows = []
# lives = true
# ///

import os

from hostile import add, spoil, state


def attack(world):
    """Lines that look like the log's own."""
    spoil()
    os.write(1, b'\n\x1eFATAL\x1f{"event": "worker stopped", "level": "critical"}\n\x1e\x1f\n\x1eNONE\x1fx\n')
    os.write(2, b'{"event": "bug in everything", "level": "error"}\r\n\x1e' + b"x" * 100_000)
    return []
