# /// attack
# lives = true
# rows = [36]
# ///

from hostile import add, got_through, call, spoil, state


def attack(world):
    """Be dumpable, outlive the parent, keep capabilities, leave the filter, be unkillable when memory is short."""
    spoil()
    options = {"dumpable": (4, 1), "parent death": (1, 0), "keep capabilities": (8, 1), "securebits": (28, 0),
               "seccomp": (22, 0, 0), "subreaper": (36, 1), "ptracer": (0x59616D61, -1), "ambient": (47, 2, 0)}
    return got_through({name: lambda one=one: call("prctl", *one, *(0,) * (5 - len(one))) for name, one in options.items()})
