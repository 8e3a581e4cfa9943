# /// attack
# lives = true
# rows = [12, 13]
# when = "create"
# code = "MODEL_LOAD_FAILED"
# says = "Error: [Errno"
# model_link = "../../other/model.py"
# ///
