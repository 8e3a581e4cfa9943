# /// attack
# lives = true
# rows = [1]
# ///

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    paths = ("/etc/shadow", "/etc/passwd", "/etc/hostname", "/etc/hosts", "/root/.bashrc", "/var/log/dmesg")
    return got_through({path: lambda path=path: open(path, "rb").read(1) for path in paths})
