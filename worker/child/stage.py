"""What every run process stands on: built by the zygote, so that its children share the memory."""

from worker.child.determinism import Clock, Randomness
from worker.child.encoding import Encoder
from worker.child.epicenter import Bridge, publish_module
from worker.child.isolation import BUILTINS
from worker.child.loader import release_own_names
from worker.child.output import Output

__builtins__ = BUILTINS


class Stage:
    """The parts of a run process that do not depend on its run; each is told at boot what does.

    Making one replaces the process's output streams, clock and sources of randomness, publishes the package
    ``epicenter`` and frees our own modules' names: once per zygote, when everything is imported.
    """

    def __init__(self) -> None:
        self.output = Output()
        self.renew()
        self.modules = release_own_names()
        self.clock = Clock()
        self.clock.install()
        self.randomness = Randomness()
        self.randomness.install()

    def renew(self) -> None:
        """Forget what a model left behind here."""
        self.output.muted = False
        self.encoder = Encoder(0)
        self.bridge = Bridge(self.encoder, self.output)
        publish_module(self.bridge)
