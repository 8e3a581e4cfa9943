# /// attack
# rows = []
# lives = false
# when = "create"
# code = "LIMIT_EXCEEDED"
# says = "memory_bytes"
# ///

blocks = []
while True:
    blocks.append(bytearray(1 << 20))
