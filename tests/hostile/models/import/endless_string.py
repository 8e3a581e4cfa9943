# /// attack
# rows = []
# lives = true
# when = "create"
# code = "MODEL_LOAD_FAILED"
# append = [["x = '''", 1], ["\\\"\\'", 100000]]
# ///
