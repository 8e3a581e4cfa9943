# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# says = "SIGSEGV"
# ///

import opcode

from hostile import add, spoil, state


def attack(world):
    """Loads the constant with the largest number there is."""
    spoil()
    extended, load = opcode.opmap["EXTENDED_ARG"], opcode.opmap["LOAD_CONST"]
    body = (lambda: None).__code__
    wrong = bytes((extended, 0x3F, extended, 0xFF, extended, 0xFF, load, 0xFF)) * 2 + body.co_code
    return eval(body.replace(co_code=wrong, co_stacksize=100))
