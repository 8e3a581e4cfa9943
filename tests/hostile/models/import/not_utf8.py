# /// attack
# lives = true
# rows = [97]
# when = "create"
# code = "MODEL_LOAD_FAILED"
# append = [["text = '\u00ff\u00fe'", 1]]
# ///
