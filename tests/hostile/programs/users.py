"""Whose worker is attacked."""

import os
from enum import StrEnum


class User(StrEnum):
    """ROOT: gives each run a user id of its own. ORDINARY: gives each run a name space of its own; where the tests
    run as an ordinary user, that one. ROOT_AT_HOME: root with the interpreter as it is, which may lie under a private
    home; then its runs, too, have name spaces.
    """

    ROOT = "root"
    ORDINARY = "ordinary"
    ROOT_AT_HOME = "root-at-home"


USERS = (User.ROOT, User.ORDINARY) if os.geteuid() == 0 else (User.ORDINARY,)
"""Those that can be had here, without variants."""
