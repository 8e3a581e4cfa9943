# /// attack
# lives = true
# rows = [94]
# when = "create"
# code = "MODEL_LOAD_FAILED"
# says = "ZeroDivisionError"
# ///

1 / 0
