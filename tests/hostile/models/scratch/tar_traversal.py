# /// attack
# rows = []
# lives = true
# ///

import io
import os
import tarfile

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()

    def extract(name):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.addfile(tarfile.TarInfo(name))
        packed.seek(0)
        tarfile.open(fileobj=packed).extractall(".", filter="fully_trusted")

    depth = "../" * 20
    return got_through({name: lambda name=name: extract(name) for name in (depth + "tmp/planted", "/etc/planted")})
