# /// attack
# rows = []
# lives = true
# code = "MODEL_LOAD_FAILED"
# when = "create"
# links = {stolen = "../../other"}
# ///

from stolen.model import count
