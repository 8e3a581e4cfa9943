"""``model-worker demo``: a worker of its own, one model, every step of a run's life."""


def demo() -> None:
    """Host an example model and show what happens, step by step."""
