# /// attack
# rows = []
# lives = true
# when = "create"
# code = "INVALID_CONTEXT"
# context = {operations = ["attack"], defaults = 5, variables = "x"}
# ///
