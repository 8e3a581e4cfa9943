# /// attack
# rows = []
# lives = true
# code = "OPERATION_FAILED"
# says = "No space left on device"
# ///

import io
import tarfile

from hostile import add, spoil, state


def attack(world):
    spoil()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for number in range(2000):
            archive.addfile(tarfile.TarInfo(f"file{number}"))
    packed.seek(0)
    archive = tarfile.open(fileobj=packed)
    for member in archive:
        archive.extract(member, ".", filter="data")
