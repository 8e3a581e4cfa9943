# /// attack
# lives = true
# rows = [90]
# result = '"patched"'
# ///

import builtins
import json

import msgpack

from hostile import add, spoil, state


def attack(world):
    spoil()
    json.dumps = json.loads = msgpack.packb = msgpack.unpackb = None
    builtins.len = builtins.isinstance = builtins.type = builtins.getattr = None
    return "patched"
