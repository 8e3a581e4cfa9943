# /// attack
# rows = []
# lives = true
# code = "OPERATION_FAILED"
# ///

from hostile import add, spoil, state


class Meta(type):
    def __instancecheck__(cls, other):
        raise SystemExit

    def __getattribute__(cls, name):
        raise SystemExit

    def __subclasscheck__(cls, other):
        raise SystemExit


class Hostile(Exception, metaclass=Meta):
    def __getattribute__(self, name):
        raise SystemExit


def attack(world):
    spoil()
    raise Hostile
