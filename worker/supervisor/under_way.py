"""Which runs take their course at present: whoever asks something of them comes after it."""

import asyncio
from collections.abc import Callable

from worker.supervisor.flights import Flight

DELAY = "its initial actions are being performed"


class UnderWay:
    """The tasks of courses by run key. ``restart`` begins the course of a run anew that never came up."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.restart: Callable[[str], None] = lambda _: None

    def __contains__(self, run_key: str) -> bool:
        """Whether a run takes its course."""
        return run_key in self._tasks

    def __len__(self) -> int:
        """How many do."""
        return len(self._tasks)

    def add(self, run_key: str, task: "asyncio.Task[None]") -> None:
        """A run takes its course from now on, until ``task`` ends; it ends without an error."""
        self._tasks[run_key] = task
        task.add_done_callback(lambda _: self._tasks.pop(run_key, None))

    async def ended(self, run_key: str, seconds: float) -> None:
        """Wait for the end of a run's course, at most so long."""
        task = self._tasks.get(run_key)
        if task is not None:
            await asyncio.wait({task}, timeout=seconds)

    async def settled(self, flight: Flight, run_key: str) -> None:
        """Have a request come after the course of its run, unless it belongs to it.

        Raises:
            RequestError: DEADLINE_EXCEEDED.
        """
        while not flight.of_course and (task := self._tasks.get(run_key)) is not None:
            await flight.wait(task, DELAY)

    async def stop(self, run_key: str) -> None:
        """End the course of a run where it is."""
        task = self._tasks.get(run_key)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def stop_all(self) -> None:
        """End all courses where they are; the next worker takes them up."""
        tasks = set(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
