# /// attack
# lives = true
# rows = [38]
# ///

from hostile import add, carried_out, spoil, state


def attack(world):
    spoil()
    flags = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x80)
    return carried_out({f"unshare {flag:x}": (flag,) for flag in flags})
