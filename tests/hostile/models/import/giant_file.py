# /// attack
# rows = []
# lives = true
# when = "create"
# code = "MODEL_LOAD_FAILED"
# says = "larger than"
# append = [["# 0123456789abcdef0123456789abcdef0123456789abcdef0123456789\n", 300000]]
# ///
