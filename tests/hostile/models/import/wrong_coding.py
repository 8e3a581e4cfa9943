# coding: no-such-coding
# /// attack
# rows = [97]
# lives = false
# when = "create"
# code = "MODEL_LOAD_FAILED"
# says = "SyntaxError"
# ///

x = 1
