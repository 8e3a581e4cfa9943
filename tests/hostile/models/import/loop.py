# /// attack
# lives = true
# rows = [93]
# when = "create"
# code = "BOOT_TIMEOUT"
# seconds = 0.4
# ///

while True:
    pass
