# /// attack
# rows = []
# lives = true
# when = "create"
# code = "MODEL_LOAD_FAILED"
# says = "ModuleNotFoundError"
# append = [["import no_such_module_x;", 20000]]
# ///
