"""Which model files there are below a root, for people who look for one to start.

What a model's own modules are cannot be told from their names: a file counts as a model that stands at the top of the
root, is called ``model.py``, or has a context file of its name beside it.
"""

import heapq
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from protocol.errors import ErrorCode
from protocol.offers import Models
from worker.errors import RequestError

MOST_MODELS: Final = 1000
MOST_ENTRIES: Final = 50_000
"""Files and folders that are looked at; below a root with more, some models are not told."""
_PATH_CHARACTERS: Final = 1024
"""A longer path cannot be asked for."""


def list_models(root: Path, accepts: Callable[[str], bool], most_entries: int = MOST_ENTRIES) -> Models:
    """The paths of model files below a root, in the order of their characters, the first ``MOST_MODELS``.

    Hidden files and folders, and those whose names begin with ``_``, are left out, and so is what links to folders lead to.
    ``accepts``: whether a run can be made of a path.

    Raises:
        RequestError: MODEL_NOT_FOUND where the root is gone.
    """
    walk = _Walk(root, most_entries)
    found = [*islice(filter(accepts, walk.candidates()), MOST_MODELS + 1)]
    return Models(models=found[:MOST_MODELS], truncated=walk.is_cut or len(found) > MOST_MODELS)


class _Walk:
    """One look at a root; ``is_cut``: not all of it was seen."""

    def __init__(self, root: Path, most_entries: int) -> None:
        self._root = root
        self._left = most_entries
        self.is_cut = False

    def candidates(self) -> Iterator[str]:
        """Paths of files that may be models, in order: a folder stands where its name with a slash does."""
        if not self._root.is_dir():
            raise RequestError(
                ErrorCode.MODEL_NOT_FOUND,
                "the model root is gone; whoever runs the worker has to put it back",
            )
        waiting = self._of_folder("")
        heapq.heapify(waiting)
        while waiting:
            path, is_folder = heapq.heappop(waiting)
            if not is_folder:
                yield path
                continue
            for entry in self._of_folder(path):
                heapq.heappush(waiting, entry)

    def _of_folder(self, folder: str) -> list[tuple[str, bool]]:
        """What is of interest in a folder: paths, those of folders with a slash at their end, and whether it is one."""
        try:
            with os.scandir(self._root / folder) as entries:
                seen = [*islice(entries, self._left + 1)]
        except OSError:  # it may not be read, or went meanwhile
            return []
        if len(seen) > self._left:
            self.is_cut = True
            seen = seen[: self._left]
        self._left -= len(seen)
        names = {entry.name for entry in seen}
        found = []
        for entry in seen:
            name = entry.name
            if name.startswith((".", "_")) or len(folder) + len(name) > _PATH_CHARACTERS:
                continue
            if entry.is_dir(follow_symlinks=False):
                found.append((f"{folder}{name}/", True))
            elif name.endswith(".py") and _may_be_main(folder, name, names):
                found.append((folder + name, False))
        return found


def _may_be_main(folder: str, name: str, beside: set[str]) -> bool:
    return not folder or name == "model.py" or name.removesuffix(".py") + ".ctx2" in beside
