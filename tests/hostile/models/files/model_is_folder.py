# /// attack
# lives = true
# rows = [14]
# when = "create"
# code = "MODEL_NOT_FOUND"
# place = "folder"
# ///
