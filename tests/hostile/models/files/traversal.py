# /// attack
# lives = true
# rows = [11]
# when = "create"
# code = "INVALID_REQUEST"
# model_file = "files/traversal/../../../../../../etc/passwd"
# ///
