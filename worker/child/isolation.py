"""A private copy of the builtins for the loop's modules.

A function keeps the builtins of the namespace it was defined in. The modules of the loop set
``__builtins__ = BUILTINS`` before they define anything, so a model that replaces ``builtins.len`` breaks
itself and not the loop. The copy is taken when the zygote imports this module, before any model code.
"""

import builtins
from types import ModuleType
from typing import Final

BUILTINS: Final = ModuleType("builtins")
vars(BUILTINS).update(vars(builtins))
