# /// attack
# lives = true
# rows = [12]
# when = "create"
# code = "INVALID_REQUEST"
# model_file = "files/traversal_to_other/../../other/model.py"
# ///
