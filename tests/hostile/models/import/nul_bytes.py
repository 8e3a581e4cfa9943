# /// attack
# lives = true
# rows = [97]
# when = "create"
# code = "MODEL_LOAD_FAILED"
# append = [["\u0000", 3]]
# ///

x = 1
