# /// attack
# lives = true
# rows = [13]
# when = "create"
# code = "MODEL_NOT_FOUND"
# model_link = "/etc/passwd"
# ///
