# /// attack
# lives = false
# rows = [99]
# when = "create"
# code = "LIMIT_EXCEEDED"
# says = "memory_bytes"
# ///

x = (((1,) * 250 * 16) * 250 * 16) * 250 * 16
