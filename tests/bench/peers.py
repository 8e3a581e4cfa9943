"""What others take for the same: a Jupyter kernel, a Ray actor; each where it is installed."""

import importlib.util
import logging
from typing import Any, Protocol


class Peer(Protocol):
    """Something that keeps Python state between calls; ``name`` says what it is."""

    name: str

    def start(self) -> None:
        """From nothing to its first answer."""

    def call(self) -> None:
        """One call that changes its state, until the answer."""

    def stop(self) -> None:
        """End it and wait for its end."""


def peers() -> list[type[Peer]]:
    """Those that are installed."""
    needed: dict[type[Peer], tuple[str, ...]] = {Jupyter: ("jupyter_client", "ipykernel"), RayActor: ("ray",)}
    return [peer for peer, names in needed.items() if all(importlib.util.find_spec(name) for name in names)]


class Jupyter:
    """A kernel started and called through jupyter_client, as its users do."""

    name = "Jupyter kernel"

    def __init__(self) -> None:
        from jupyter_client.manager import KernelManager  # noqa: PLC0415 - optional

        self._manager: Any = KernelManager(kernel_name="python3")
        self._client: Any = None

    def start(self) -> None:
        """Until the kernel answers."""
        self._manager.start_kernel()
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        self._client.execute_interactive("count = 0", output_hook=lambda _: None)

    def call(self) -> None:
        """One execution, until it is idle again."""
        self._client.execute_interactive("count += 1\ncount", output_hook=lambda _: None)

    def stop(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


class RayActor:
    """An actor with a process of its own in a local Ray that is up already."""

    name = "Ray actor"

    def __init__(self) -> None:
        import ray  # noqa: PLC0415 - optional

        self._ray: Any = ray
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        self._actor: Any = None

    def start(self) -> None:
        """Until the actor answers."""
        self._actor = self._ray.remote(_Counter).remote()
        self.call()

    def call(self) -> None:
        """One method call."""
        self._ray.get(self._actor.step.remote())

    def stop(self) -> None:
        self._ray.kill(self._actor)


class _Counter:
    def __init__(self) -> None:
        self.count = 0

    def step(self) -> int:
        """The model that the benchmarks use, as a class."""
        self.count += 1
        return self.count
