# /// attack
# rows = []
# lives = true
# when = "create"
# code = "INVALID_CONTEXT"
# context = "{}"
# context_append = [["          ", 200000]]
# ///
