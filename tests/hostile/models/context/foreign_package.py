# /// attack
# rows = []
# lives = true
# when = "create"
# code = "INVALID_CONTEXT"
# context = {dependencies = [{pypi = {package = "../../../etc/passwd", version = "; rm -rf /"}}]}
# ///
