# /// attack
# lives = true
# rows = [97]
# when = "create"
# code = "MODEL_LOAD_FAILED"
# says = "SyntaxError"
# ///

def broken(:
