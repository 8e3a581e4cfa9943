# /// attack
# lives = true
# rows = [98]
# when = "create"
# code = "MODEL_LOAD_FAILED"
# append = [["x = ", 1], ["(", 5000], [")", 5000]]
# ///
