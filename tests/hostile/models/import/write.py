# /// attack
# rows = []
# lives = true
# when = "create"
# code = "MODEL_LOAD_FAILED"
# says = "PermissionError"
# ///

open(__file__, "a").write("x = 1\n")
