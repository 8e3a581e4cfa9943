# /// attack
# rows = []
# lives = true
# when = "create"
# code = "INVALID_CONTEXT"
# context = {protections = {guards = [{role = {roles = ["x"], pattern = "(a+)+(a+)+(a+)+$"}}]}}
# ///
