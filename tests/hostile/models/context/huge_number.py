# /// attack
# rows = []
# lives = true
# when = "create"
# code = "INVALID_CONTEXT"
# context = "{\"version\": \"V2\", \"modelVersion\": "
# context_append = [["9", 100000], ["}", 1]]
# ///
