# /// attack
# lives = false
# rows = [95]
# when = "create"
# code = "PROCESS_EXITED"
# says = "SIGSEGV"
# ///

import ctypes

ctypes.string_at(0)
