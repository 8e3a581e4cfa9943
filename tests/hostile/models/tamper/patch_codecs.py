# /// attack
# rows = []
# lives = true
# result = '"patched"'
# ///

import json
import socket
import struct

import msgpack

from hostile import add, spoil, state


def attack(world):
    spoil()
    for module in (msgpack, json, socket, struct):
        for name in [name for name in vars(module) if not name.startswith("__")]:
            setattr(module, name, None)
    return "patched"
