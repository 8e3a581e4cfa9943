# /// attack
# rows = []
# lives = true
# when = "create"
# code = "INVALID_CONTEXT"
# context = "{\"a\": "
# context_append = [["[", 100000], ["]", 100000], ["}", 1]]
# ///
