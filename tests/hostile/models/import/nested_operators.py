# /// attack
# lives = false
# rows = [98]
# when = "create"
# code = "LIMIT_EXCEEDED"
# append = [["x = ", 1], ["-", 200000], ["1", 1]]
# ///
