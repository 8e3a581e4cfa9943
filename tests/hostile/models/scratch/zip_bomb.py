# /// attack
# rows = []
# lives = true
# code = "OPERATION_FAILED"
# says = "No space left on device"
# ///

import io
import zipfile

from hostile import add, spoil, state


def attack(world):
    spoil()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(32 << 20))
    zipfile.ZipFile(packed).extractall(".")
