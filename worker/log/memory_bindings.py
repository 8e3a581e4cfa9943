"""Which run a world has, and a project's singular one, in memory."""

from collections.abc import Callable

from worker.log import rules
from worker.log.base import Binding


class MemoryBindings:
    """Run keys by binding. ``counts`` tells whether a run exists and is neither closed nor hidden."""

    def __init__(self, counts: Callable[[str], bool]) -> None:
        self._counts = counts
        self._run_keys: dict[Binding, str] = {}

    def bound_run(self, binding: Binding) -> str | None:
        """The run that a binding names, if that counts."""
        run_key = self._run_keys.get(binding)
        return run_key if run_key is not None and self._counts(run_key) else None

    def refuse_bound(self, binding: Binding | None) -> None:
        """Refuse to bind a new run where another one is bound.

        Raises:
            FencedError: there is one.
        """
        current = None if binding is None else self.bound_run(binding)
        if binding is not None and current is not None:
            raise rules.already_bound(binding, current)

    def bind(self, binding: Binding | None, run_key: str) -> None:
        """Bind a run instead of whatever is bound."""
        if binding is not None:
            self._run_keys[binding] = run_key

    def unbind(self, binding: Binding) -> None:
        """Bind nothing."""
        self._run_keys.pop(binding, None)

    def removed(self, run_key: str) -> None:
        """A run is no more."""
        for binding in [binding for binding, bound in self._run_keys.items() if bound == run_key]:
            del self._run_keys[binding]
