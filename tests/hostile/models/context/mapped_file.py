# /// attack
# rows = []
# lives = true
# when = "create"
# code = "INVALID_CONTEXT"
# context = {mappedFiles = {"/etc/shadow" = "shadow"}}
# ///
