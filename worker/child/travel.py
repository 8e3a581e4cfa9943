"""The library time-machine, imported without the pytest plugin that it carries.

It imports pytest wherever that is installed: in a zygote, megabytes and a fifth of a second for nothing.
"""

import sys

_plugin_host = sys.modules.get("pytest")
sys.modules["pytest"] = None  # type: ignore[assignment]  # this is how an import is made to fail
try:
    import time_machine
finally:
    if _plugin_host is None:
        del sys.modules["pytest"]
    else:
        sys.modules["pytest"] = _plugin_host

__all__ = ["time_machine"]
