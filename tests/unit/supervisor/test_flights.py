"""Requests under way: joined, bounded, answered once, at their deadline at the latest."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from protocol.errors import ErrorCode
from protocol.messages import CallOperation, Drain, GetRun, Ping, Request, WorkerStatus
from worker.errors import RequestError, RunLostError
from worker.runs.stimuli import Step, StepKind, Work
from worker.supervisor.flights import Come, Flight, Flights
from worker.supervisor.host import ReroutedError
from worker.telemetry import make_logger

WITHIN_SECONDS = 20.0
SOON = 0.05
KEY = "0" * 36

Reply = dict[str, Any]


def play(scenario: Awaitable[None]) -> None:
    async def main() -> None:
        async with asyncio.timeout(WITHIN_SECONDS):
            await scenario

    asyncio.run(main())


def call(request_id: str = "a", name: str = "step", deadline_seconds: float | None = None) -> CallOperation:
    """A request that changes state."""
    return CallOperation(
        type="call_operation",
        request_id=request_id,
        run_key=KEY,
        name=name,
        deadline_seconds=deadline_seconds,
    )


def look(request_id: str = "a", deadline_seconds: float | None = None) -> GetRun:
    """A request that does not."""
    return GetRun(type="get_run", request_id=request_id, run_key=KEY, deadline_seconds=deadline_seconds)


class Desk:
    """Flights whose requests are served when ``go`` is set; keeps what was served."""

    def __init__(self, limit: int = 100) -> None:
        self.served: list[Flight] = []
        self.go = asyncio.Event()
        self.serve: Callable[[Flight], Awaitable[Reply]] = self._serve
        self.at_once: Callable[[Flight, Callable[[Come], None]], bool] = lambda _flight, _done: False
        self.flights = Flights(self._begin, self._try, limit=limit, log=make_logger("info", "json"))

    def _try(self, flight: Flight, done: Callable[[Come], None]) -> bool:
        return self.at_once(flight, done)

    async def _begin(self, flight: Flight) -> Reply:
        self.served.append(flight)
        return await self.serve(flight)

    async def _serve(self, flight: Flight) -> Reply:
        await self.go.wait()
        return {"result": len(self.served)}

    def ask(self, request: Request) -> "asyncio.Future[Reply]":
        """Submit a request; the future fails the test's run if it is answered twice."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.flights.submit(request, future.set_result)
        return future


def error_of(reply: Reply) -> tuple[str, dict[str, Any]]:
    assert reply["ok"] is False
    return reply["error"]["code"], reply["error"]["information"]


def test_a_request_is_answered_with_what_serving_it_gave() -> None:
    async def scenario() -> None:
        desk = Desk()
        answer = desk.ask(call())
        assert len(desk.flights) == 1
        desk.go.set()
        assert await answer == {"version": 1, "request_id": "a", "ok": True, "result": 1}
        await desk.flights.join()
        assert len(desk.flights) == 0

    play(scenario())


def test_a_request_asked_again_while_it_is_served_waits_for_the_same_answer() -> None:
    async def scenario() -> None:
        desk = Desk()
        first, second = desk.ask(call()), desk.ask(call(deadline_seconds=10.0))
        await asyncio.sleep(0)
        third = desk.ask(call())
        assert len(desk.flights) == 1
        desk.go.set()
        assert await first == await second == await third
        assert len(desk.served) == 1

    play(scenario())


def test_a_request_asked_again_afterwards_is_served_anew() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.go.set()
        assert (await desk.ask(call()))["result"] == 1
        assert (await desk.ask(call()))["result"] == 2

    play(scenario())


def test_reads_are_served_each_for_itself() -> None:
    async def scenario() -> None:
        desk = Desk()
        answers = [desk.ask(look()), desk.ask(look()), desk.ask(call())]
        desk.go.set()
        await asyncio.gather(*answers)
        assert len(desk.served) == 3

    play(scenario())


def test_another_request_under_the_same_id_is_refused() -> None:
    async def scenario() -> None:
        desk = Desk()
        first = desk.ask(call(name="step"))
        code, information = error_of(await desk.ask(call(name="other")))
        assert (code, information) == ("REQUEST_ID_REUSED", {"request_id": "a"})
        desk.go.set()
        assert (await first)["ok"] is True
        assert len(desk.served) == 1

    play(scenario())


def test_who_has_an_answer_may_ask_again_at_once() -> None:
    async def scenario() -> None:
        desk = Desk(limit=1)
        desk.go.set()
        replies: list[Reply] = []

        def ask_again(reply: Reply) -> None:
            replies.append(reply)
            desk.flights.submit(look("b"), replies.append)

        desk.flights.submit(look("a"), ask_again)
        await desk.flights.join()
        assert [reply["ok"] for reply in replies] == [True, True]

    play(scenario())


@pytest.mark.parametrize(
    "request_",
    (
        Ping(type="ping", request_id="p"),
        WorkerStatus(type="worker_status", request_id="p"),
        Drain(type="drain", request_id="p"),
    ),
)
def test_what_is_asked_of_the_worker_itself_is_served_beyond_the_limit(request_: Request) -> None:
    async def scenario() -> None:
        desk = Desk(limit=1)
        answers = [desk.ask(request_), desk.ask(call("a")), desk.ask(request_)]
        assert len(desk.flights) == 1
        desk.go.set()
        assert all(reply["ok"] for reply in await asyncio.gather(*answers))

    play(scenario())


def test_more_requests_than_the_limit_are_refused() -> None:
    async def scenario() -> None:
        desk = Desk(limit=2)
        answers = [desk.ask(call("a")), desk.ask(look("b"))]
        code, information = error_of(await desk.ask(look("c")))
        assert (code, information) == (
            "CAPACITY",
            {"retry_after_seconds": 1.0, "limit": "max_requests", "used": 2, "allowed": 2, "applied": "no"},
        )
        again = desk.ask(call("a"))  # joins, and takes no place
        desk.go.set()
        assert all(reply["ok"] for reply in await asyncio.gather(*answers, again))
        assert (await desk.ask(look("c")))["ok"] is True

    play(scenario())


def test_an_error_of_the_worker_is_the_answer() -> None:
    async def scenario() -> None:
        desk = Desk()

        async def lose(_flight: Flight) -> Reply:
            raise RunLostError(ErrorCode.PROCESS_EXITED, "it ended", applied="no", signal="SIGSEGV")

        desk.serve = lose
        reply = await desk.ask(call())
        assert (reply["request_id"], reply["version"]) == ("a", 1)
        assert error_of(reply) == ("PROCESS_EXITED", {"applied": "no", "signal": "SIGSEGV"})
        assert reply["error"]["retryable"] is True

    play(scenario())


def test_a_bug_costs_its_request_and_goes_to_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        desk = Desk()
        other = desk.ask(call("b"))

        async def stumble(flight: Flight) -> Reply:
            if flight.request.request_id == "a":
                raise ZeroDivisionError("secret detail")
            return {"result": None}

        desk.serve = stumble
        first, second = desk.ask(call("a")), desk.ask(call("a"))
        reply = await first
        assert error_of(reply) == ("INTERNAL_ERROR", {})
        assert reply == await second
        assert "secret detail" not in json.dumps(reply)
        assert (await other)["ok"] is True
        assert (await desk.ask(call("c")))["ok"] is True

    play(scenario())
    (line,) = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (line["event"], line["type"], line["request_id"]) == ("bug while serving", "CallOperation", "a")
    assert "secret detail" in line["exception"]


def test_the_worker_waits_until_all_is_answered() -> None:
    async def scenario() -> None:
        desk = Desk()
        answers = [desk.ask(call("a")), desk.ask(call("b"))]
        joining = asyncio.create_task(desk.flights.join())
        await asyncio.sleep(0)
        assert not joining.done()
        desk.go.set()
        await joining
        assert all(answer.done() for answer in answers)
        await desk.flights.join()

    play(scenario())


# Deadlines


def test_a_request_in_time_is_answered_once_and_its_deadline_forgotten() -> None:
    async def scenario() -> None:
        desk = Desk()
        slow = desk.serve

        async def some_at_once(flight: Flight) -> Reply:
            return {"result": None} if flight.request.request_id == "a" else await slow(flight)

        desk.serve = some_at_once
        assert (await desk.ask(call("a", deadline_seconds=SOON)))["ok"] is True
        await desk.ask(look("b", deadline_seconds=2 * SOON))  # by now the deadline of "a" has passed
        assert [flight.expired for flight in desk.served] == [False, True]
        desk.go.set()
        await desk.flights.join()

    play(scenario())


@pytest.mark.parametrize("request_", (call(deadline_seconds=SOON), look(deadline_seconds=SOON)))
def test_a_deadline_that_passes_before_anything_began_says_that_nothing_happened(request_: Request) -> None:
    async def scenario() -> None:
        desk = Desk()
        answer = desk.ask(request_)
        assert error_of(await answer) == ("DEADLINE_EXCEEDED", {"applied": "no"})
        with pytest.raises(RequestError) as raised:
            desk.served[0].check()
        assert raised.value.code is ErrorCode.DEADLINE_EXCEEDED
        desk.go.set()
        await desk.flights.join()  # answering again would be an error of the future

    play(scenario())


def test_one_who_joined_waits_as_long_as_it_said_itself() -> None:
    async def scenario() -> None:
        desk = Desk()
        first = desk.ask(call())
        second = desk.ask(call(deadline_seconds=SOON))
        code, information = error_of(await second)
        # The first still waits, so it may begin yet.
        assert (code, information["applied"]) == ("DEADLINE_EXCEEDED", "unknown")
        assert not desk.served[0].expired
        desk.go.set()
        assert (await first)["ok"] is True

    play(scenario())


def work() -> Work:
    return Work("a", (Step(StepKind.EXECUTE, "step", b"action", 60.0, inert=True),))


def test_a_deadline_that_passes_during_the_action_leaves_it_going_on(make_run: Callable[[], Any]) -> None:
    async def scenario() -> None:
        run, desk = make_run(), Desk()

        async def perform(flight: Flight) -> Reply:
            asked = work()
            await flight.perform(run.host, asked)
            return {"result": len(asked.outcomes)}

        desk.serve = perform
        await run.come_up()
        answer = desk.ask(call(deadline_seconds=1.0))
        await run.asked.wait()
        assert error_of(await answer) == ("DEADLINE_EXCEEDED", {"applied": "unknown"})
        again = desk.ask(call())
        run.performing.set()
        assert (await again)["result"] == 1
        assert len(desk.served) == 1
        await run.close()

    play(scenario())


def test_a_deadline_that_passes_while_others_go_first_drops_the_request(make_run: Callable[[], Any]) -> None:
    async def scenario() -> None:
        run, desk = make_run(), Desk()

        async def perform(flight: Flight) -> Reply:
            await flight.perform(run.host, work())
            return {"result": None}

        desk.serve = perform
        await run.come_up()
        first = desk.ask(call("a"))
        await run.asked.wait()
        second = desk.ask(call("b", deadline_seconds=SOON))
        assert error_of(await second) == ("DEADLINE_EXCEEDED", {"applied": "no"})
        assert run.host.run.queued == 0
        run.performing.set()
        assert (await first)["ok"] is True
        await run.close()

    play(scenario())


def test_nothing_begins_after_its_deadline(make_run: Callable[[], Any]) -> None:
    async def scenario() -> None:
        run, desk = make_run(), Desk()

        async def late(flight: Flight) -> Reply:
            await desk.go.wait()
            await flight.perform(run.host, work())
            return {"result": None}

        desk.serve = late
        answer = desk.ask(call(deadline_seconds=SOON))
        assert error_of(await answer)[1] == {"applied": "no"}
        desk.go.set()
        await desk.flights.join()
        assert run.host.pid is None  # it was not even started
        await run.close()

    play(scenario())


def test_what_an_incarnation_was_started_for_is_not_dropped(make_run: Callable[[], Any]) -> None:
    async def scenario() -> None:
        run, desk = make_run(), Desk()

        async def create(flight: Flight) -> Reply:
            await flight.perform(run.host, Work("a", begun=True))
            return {"result": "created"}

        desk.serve = create
        answer = desk.ask(call(deadline_seconds=SOON))
        assert error_of(await answer) == ("DEADLINE_EXCEEDED", {"applied": "unknown"})
        again = desk.ask(call())
        run.booting.set()
        assert (await again)["result"] == "created"
        await run.close()

    play(scenario())


def test_what_can_be_served_at_once_is_answered_before_submit_returns() -> None:
    async def scenario() -> None:
        desk = Desk()

        def at_once(_flight: Flight, done: Callable[[Come], None]) -> bool:
            done(lambda: {"result": "now"})
            return True

        desk.at_once = at_once
        assert desk.ask(call()).result()["result"] == "now"
        assert (len(desk.flights), desk.served) == (0, [])

    play(scenario())


def test_nothing_is_served_at_once_before_an_earlier_request_has_begun() -> None:
    async def scenario() -> None:
        desk, order = Desk(), []
        desk.go.set()

        def at_once(flight: Flight, done: Callable[[Come], None]) -> bool:
            if flight.request.request_id == "first":
                return False
            order.append("at once")
            done(lambda: {"result": None})
            return True

        async def serve(flight: Flight) -> Reply:
            order.append(flight.request.request_id)
            return {"result": None}

        desk.at_once, desk.serve = at_once, serve
        await asyncio.gather(desk.ask(call("first")), desk.ask(call("second")))
        assert order == ["first", "second"]
        await desk.ask(call("third"))
        assert order == ["first", "second", "at once"]

    play(scenario())


@pytest.mark.parametrize(
    ("error", "code"),
    (
        (RequestError(ErrorCode.RUN_CLOSED, "closed"), "RUN_CLOSED"),
        (ZeroDivisionError("a bug"), "INTERNAL_ERROR"),
    ),
)
def test_what_fails_at_once_is_answered_and_nobody_else_suffers(error: Exception, code: str) -> None:
    async def scenario() -> None:
        desk = Desk()

        def come() -> Reply:
            raise error

        def at_once(_flight: Flight, done: Callable[[Come], None]) -> bool:
            done(come)
            return True

        desk.at_once = at_once
        assert error_of(await desk.ask(call()))[0] == code
        assert len(desk.flights) == 0

    play(scenario())


def test_a_refusal_to_take_a_request_at_once_is_its_answer() -> None:
    async def scenario() -> None:
        desk = Desk()

        def at_once(_flight: Flight, _done: Callable[[Come], None]) -> bool:
            raise RequestError(ErrorCode.RUN_CLOSED, "closed")

        desk.at_once = at_once
        assert error_of(await desk.ask(call()))[0] == "RUN_CLOSED"

    play(scenario())


def test_a_bug_behind_the_taking_of_a_request_gives_one_answer(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        desk = Desk()
        taken: list[Callable[[Come], None]] = []

        def at_once(_flight: Flight, done: Callable[[Come], None]) -> bool:
            taken.append(done)
            raise ZeroDivisionError

        desk.at_once = at_once
        assert error_of(await desk.ask(call()))[0] == "INTERNAL_ERROR"
        taken[0](lambda: {"result": 1})
        assert len(desk.flights) == 0
        await desk.flights.join()

    play(scenario())
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_request_handed_back_at_once_goes_the_long_way_to_the_same_answer() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.go.set()

        def come() -> Reply:
            raise ReroutedError

        def at_once(_flight: Flight, done: Callable[[Come], None]) -> bool:
            done(come)
            return True

        desk.at_once = at_once
        first, again = desk.ask(call()), desk.ask(call())
        assert (await first)["result"] == (await again)["result"] == 1
        assert len(desk.served) == 1

    play(scenario())


def test_an_answer_that_fails_does_not_reach_who_tells_of_the_end() -> None:
    async def scenario() -> None:
        desk, ends = Desk(), []

        def at_once(_flight: Flight, done: Callable[[Come], None]) -> bool:
            ends.append(done)
            return True

        def broken(_reply: Reply) -> None:
            raise ZeroDivisionError

        desk.at_once = at_once
        desk.flights.submit(call(), broken)
        ends[0](lambda: {"result": None})
        assert len(desk.flights) == 0

    play(scenario())
