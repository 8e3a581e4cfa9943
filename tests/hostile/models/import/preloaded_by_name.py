# /// attack
# rows = []
# lives = true
# when = "create"
# code = "MODEL_LOAD_FAILED"
# ///

import antigravity_of_the_zygote
import tests.hostile
