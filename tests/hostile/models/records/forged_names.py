# /// attack
# rows = []
# lives = true
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


def attack(world):
    """Names that mean something elsewhere."""
    spoil()
    for name in ("run_key", "../../worker.db", "'; drop table runs; --", "\x1b[2J", "a" * 256, "__proto__", "%s%n"):
        Epicenter.record(name, name)
    return []
