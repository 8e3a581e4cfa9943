"""Which run a name has, after any order of requests, crowds and crashes: a real worker against a small model."""

import asyncio
import itertools
import threading
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from protocol.client import AsyncClient
from protocol.entities import Run
from protocol.errors import ErrorCode, ProtocolError

SINGULAR: Final = "singular"
WORLDS: Final = ("one", "two")
PLACES: Final = (SINGULAR, *WORLDS)
PATIENCE_SECONDS: Final = 60.0
CRASHES: Final = 2
"""Per example; each costs a start of the worker."""
examples = itertools.count(1)
places = st.sampled_from(PLACES)
worlds = st.sampled_from(WORLDS)
index = st.integers(0, 9)
Ask = Callable[[AsyncClient], Awaitable[Any]]


@dataclass
class Known:
    """What the model knows of a run."""

    closed: bool = False
    hidden: bool = False

    @property
    def counts(self) -> bool:
        return not self.closed and not self.hidden


class SharedRunsMachine(RuleBasedStateMachine):
    """Operations on a project's singular run and two worlds, alone and at once."""

    def __init__(self, daemon: Any, model_file: str) -> None:
        super().__init__()
        self.daemon = daemon
        self.model_file = model_file
        self.mark = f"example-{next(examples)}"
        self.runs: dict[str, Known] = {}
        self.bound: dict[str, str] = {}
        self.crashes = 0
        # The worker outlives an example, and with it the singular run of the one before.
        left = self.do(lambda client: client.get_singular_run_key())
        if left is not None:
            self.do(lambda client: client.update_run(left, closed=True))

    def do(self, *asks: Ask) -> Any:
        """What became of requests made at once, errors included; of one, its result."""

        async def main() -> list[Any]:
            async with AsyncClient(self.daemon.endpoint, timeout_seconds=PATIENCE_SECONDS) as client:
                return await asyncio.gather(*(ask(client) for ask in asks), return_exceptions=len(asks) > 1)

        done = asyncio.run(main())
        return done[0] if len(asks) == 1 else done

    def opening(self, place: str, **options: Any) -> Ask:
        fields = {"tracking_key": self.mark, **options}
        if place == SINGULAR:
            return lambda client: client.create_singular_run(self.model_file, **fields)
        return lambda client: client.open_world_run(f"{self.mark}-{place}", self.model_file, **fields)

    def live(self, place: str) -> str | None:
        run_key = self.bound.get(place)
        return run_key if run_key is not None and self.runs[run_key].counts else None

    def settle(self, place: str, opened: Sequence[Run]) -> None:
        """Judge what openings of one place gave that nothing else disturbed."""
        (run_key,) = {run.run_key for run in opened}
        expected = self.live(place)
        if expected is None:
            assert run_key not in self.runs
            self.runs[run_key] = Known()
            self.bound[place] = run_key
        else:
            assert run_key == expected
        assert not any(run.closed or run.hidden for run in opened)
        assert place == SINGULAR or all(run.live for run in opened)

    def a_run(self, number: int) -> str:
        return sorted(self.runs)[number % len(self.runs)]

    @rule(place=places, crowd=st.integers(1, 5))
    def open(self, place: str, crowd: int) -> None:
        done = self.do(*(self.opening(place) for _ in range(crowd)))
        self.settle(place, [done] if crowd == 1 else done)

    @rule(world=worlds)
    def close_world(self, world: str) -> None:
        run_key = self.live(world)
        self.do(lambda client: client.close_world_run(f"{self.mark}-{world}"))
        self.bound.pop(world, None)
        if run_key is not None:
            self.runs[run_key].closed = True

    @precondition(lambda self: self.runs)
    @rule(world=worlds, number=index)
    def assign(self, world: str, number: int) -> None:
        run_key = self.a_run(number)
        known = self.runs[run_key]

        def assign() -> None:
            self.do(lambda client: client.assign_world_run(f"{self.mark}-{world}", run_key))

        if known.counts:
            assign()
            self.bound[world] = run_key
            return
        with pytest.raises(ProtocolError) as refused:
            assign()
        assert refused.value.code is (ErrorCode.RUN_CLOSED if known.closed else ErrorCode.INVALID_REQUEST)

    @precondition(lambda self: self.runs)
    @rule(number=index)
    def evict(self, number: int) -> None:
        run_key = self.a_run(number)
        self.do(lambda client: client.evict_run(run_key))

    @precondition(lambda self: self.runs)
    @rule(number=index, flag=st.sampled_from(("closed", "hidden")), value=st.booleans())
    def flag(self, number: int, flag: str, value: bool) -> None:
        run_key = self.a_run(number)
        self.do(lambda client: client.request("update_run", run_key=run_key, **{flag: value}))
        setattr(self.runs[run_key], flag, value)

    @precondition(lambda self: self.runs)
    @rule(world=worlds, number=index)
    def all_at_once(self, world: str, number: int) -> None:
        """Whatever order they took effect in: one run is the world's afterwards, and it is one that was told of."""
        run_key, key = self.a_run(number), f"{self.mark}-{world}"
        done = self.do(
            self.opening(world),
            lambda client: client.close_world_run(key),
            lambda client: client.evict_run(run_key),
            self.opening(world),
            lambda client: client.assign_world_run(key, run_key),
            self.opening(world),
        )
        opened = [done[0], done[3], done[5]]
        assert all(isinstance(run, Run) and not run.closed for run in opened), done
        assert not isinstance(done[1], Exception)
        for run in opened:
            self.runs.setdefault(run.run_key, Known())
        told = {run.run_key: run for run in self.everything()}
        for name, known in self.runs.items():
            known.closed, known.hidden = told[name].closed, told[name].hidden
        (last,) = [self.do(self.opening(world))]
        assert last.run_key in {*(run.run_key for run in opened), run_key} or last.run_key not in told
        self.runs.setdefault(last.run_key, Known())
        self.bound[world] = last.run_key

    @precondition(lambda self: self.crashes < CRASHES)
    @rule()
    def crash(self) -> None:
        self.crashes += 1
        self.daemon.kill()
        self.daemon.start()

    @precondition(lambda self: self.crashes < CRASHES)
    @rule(place=places, pongs=st.integers(0, 12))
    def crash_while_opening(self, place: str, pongs: int) -> None:
        """The kill comes some round trips after the request; who asks again under its id gets one run."""
        self.crashes += 1
        request_id = uuid.uuid4().hex
        ask, asked = (
            self.opening(place, request_id=request_id, timeout_seconds=PATIENCE_SECONDS),
            threading.Event(),
        )

        async def give_up() -> None:
            async with AsyncClient(self.daemon.endpoint) as client:
                opening = asyncio.ensure_future(ask(client))
                for _ in range(pongs):
                    await client.ping()
                asked.set()
                await asyncio.to_thread(killed.wait)
                opening.cancel()
                await asyncio.gather(opening, return_exceptions=True)

        killed = threading.Event()
        asking = threading.Thread(target=lambda: asyncio.run(give_up()))
        asking.start()
        assert asked.wait(PATIENCE_SECONDS)
        self.daemon.kill()
        killed.set()
        asking.join()
        self.daemon.start()
        first = self.do(ask)
        self.settle(place, [first] if place == SINGULAR else [first, self.do(self.opening(place))])
        assert self.do(ask).run_key == first.run_key

    def everything(self) -> list[Run]:
        """All runs that this example created."""
        page = self.do(lambda client: client.query_runs(filter=f"run.tracking_key={self.mark}", max=200))
        return [Run.model_validate(found) for found in page["values"]]

    @invariant()
    def no_run_is_lost_or_unheard_of(self) -> None:
        assert {run.run_key: Known(run.closed, run.hidden) for run in self.everything()} == self.runs

    @invariant()
    def the_singular_run_is_the_one_that_counts(self) -> None:
        assert self.do(lambda client: client.get_singular_run_key()) == self.live(SINGULAR)


@pytest.mark.timeout(300)
def test_a_name_has_one_run_after_any_order_of_requests_and_crashes(
    make_daemon: Any, model_root: Any
) -> None:
    model_file = model_root.add("small", "x = 1\n")
    daemon = make_daemon(model_root.path)

    class Machine(SharedRunsMachine):
        def __init__(self) -> None:
            super().__init__(daemon, model_file)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=8,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
