# /// attack
# lives = false
# rows = [55]
# code = "LIMIT_EXCEEDED"
# says = "cpu_seconds"
# ///

import hashlib
import threading

from hostile import add, spoil, state


def burn():
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)


def attack(world):
    """In two threads at once, which both count."""
    spoil()
    threading.Thread(target=burn, daemon=True).start()
    burn()
