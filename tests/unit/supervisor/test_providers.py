"""Providers of external functions: who gets a call, who may answer it, what becomes of those that vanish."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from protocol.errors import ErrorCode, ProtocolError
from protocol.messages import AnswerFunction, ServeFunctions
from worker.channel import unpack
from worker.errors import CapacityError, RequestError
from worker.supervisor.peers import Peer
from worker.supervisor.providers import MAX_PROVIDERS, PendingCall, Providers

WITHIN_SECONDS = 20.0


def play(scenario: Callable[["Desk"], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(WITHIN_SECONDS):
            await scenario(Desk())

    asyncio.run(main())


class Desk:
    """Providers that are lists of what they were sent, and calls whose ends are kept."""

    def __init__(self) -> None:
        self.providers = Providers()
        self.ends: dict[str, tuple[str, Any]] = {}
        self.ended = asyncio.Event()
        self.gone: set[str] = set()

    def peer(self, name: str, sent: list[str] | None = None) -> Peer:
        def push(message: dict[str, Any]) -> bool:
            if name in self.gone:
                return False
            if message.get("too") == "large":
                raise ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, "message too large")
            assert message["deadline_seconds"] > 0
            if sent is not None:
                sent.append(message["id"])
            return True

        return Peer((name.encode(), b""), lambda _reply: None, push)

    def serve(
        self, name: str, *services: str, concurrency: int = 16, lease_seconds: float = 15.0
    ) -> list[str]:
        """Register; the list grows by what the provider is sent. A service may have a version: ``a@1``."""
        sent: list[str] = []
        listed = [dict(zip(("service", "version"), item.split("@"), strict=False)) for item in services]
        fields = {"services": listed, "concurrency": concurrency, "lease_seconds": lease_seconds}
        request = ServeFunctions.model_validate({"type": "serve_functions", "request_id": "s", **fields})
        assert self.providers.serve(request, self.peer(name, sent)) == {"lease_seconds": lease_seconds}
        return sent

    def ask(self, call_id: str, service: str = "a", version: str | None = None, **body: Any) -> PendingCall:
        def done(status: str, value: bytes) -> None:
            assert call_id not in self.ends
            self.ends[call_id] = (status, unpack(value))
            self.ended.set()

        ends_at = asyncio.get_running_loop().time() + 1
        call = PendingCall(call_id, service, version, {"id": call_id, **body}, 100, ends_at, done)
        self.providers.ask(call)
        return call

    def answer(self, name: str, call_id: str, **fields: Any) -> None:
        request = AnswerFunction.model_validate(
            {"type": "answer_function", "request_id": "r", "call_id": call_id, **fields}
        )
        self.providers.answer(request, self.peer(name))

    def code(self, call_id: str) -> str:
        status, value = self.ends[call_id]
        assert status == "error"
        return str(value["code"])


def test_the_provider_with_the_fewest_calls_gets_the_next_in_turn() -> None:
    async def scenario(desk: Desk) -> None:
        one, two = desk.serve("one", "a"), desk.serve("two", "a", "b")
        for call_id in ("1", "2", "3", "4"):
            desk.ask(call_id)
        desk.ask("5", "b")
        assert (one, two) == (["1", "3"], ["2", "4", "5"])
        desk.ask("6")
        assert one == ["1", "3", "6"]
        assert desk.providers.status() == {"services": {"a": 2, "b": 1}, "calls": 6, "waiting": 0}

    play(scenario)


def test_a_version_is_served_by_who_names_it_or_none() -> None:
    async def scenario(desk: Desk) -> None:
        first, every = desk.serve("first", "a@1"), desk.serve("every", "a")
        desk.ask("1", version="2")
        desk.ask("2", version="1")
        desk.ask("3", version="2")
        assert (first, every) == (["2"], ["1", "3"])
        only = desk.serve("only", "b@1")
        desk.ask("4", "b", "2")
        desk.ask("5", "b")
        assert (only, desk.code("4")) == (["5"], "NO_PROVIDER")

    play(scenario)


def test_an_answer_ends_its_call_once_and_is_taken_from_nobody_else() -> None:
    async def scenario(desk: Desk) -> None:
        desk.serve("one", "a")
        desk.serve("two", "b")
        desk.ask("1")
        for name, call_id in (("two", "1"), ("stranger", "1"), ("one", "2")):
            with pytest.raises(RequestError) as raised:
                desk.answer(name, call_id, result=0)
            assert raised.value.code is ErrorCode.CALL_NOT_FOUND
        desk.answer("one", "1", result={"x": [1]})
        assert desk.ends == {"1": ("completed", {"x": [1]})}
        with pytest.raises(RequestError):
            desk.answer("one", "1", result=2)

    play(scenario)


def test_errors_of_providers_have_a_code() -> None:
    async def scenario(desk: Desk) -> None:
        desk.serve("one", "a")
        desk.ask("1")
        desk.ask("2")
        desk.answer("one", "1", error={"message": "no"})
        desk.answer("one", "2", error={"message": "no", "code": "MINE"})
        assert (desk.code("1"), desk.code("2")) == ("FUNCTION_FAILED", "MINE")

    play(scenario)


def test_a_result_that_has_no_room_ends_the_call_and_is_refused() -> None:
    async def scenario(desk: Desk) -> None:
        desk.serve("one", "a")
        desk.ask("1")
        with pytest.raises(RequestError) as raised:
            desk.answer("one", "1", result="x" * 101)
        assert raised.value.code is ErrorCode.RESULT_TOO_LARGE
        assert desk.code("1") == "RESULT_TOO_LARGE"

    play(scenario)


def test_calls_wait_in_their_order_for_who_has_all_it_takes() -> None:
    async def scenario(desk: Desk) -> None:
        sent = desk.serve("one", "a", concurrency=2)
        calls = [desk.ask(str(n)) for n in range(5)]
        assert (sent, desk.providers.status()["waiting"]) == (["0", "1"], 3)
        desk.providers.abandon(calls[2])
        desk.answer("one", "1", result=1)
        assert sent == ["0", "1", "3"]
        desk.providers.abandon(calls[0])
        assert sent == ["0", "1", "3", "4"]
        with pytest.raises(RequestError):
            desk.answer("one", "0", result=1)
        assert set(desk.ends) == {"1"}

    play(scenario)


def test_a_new_provider_and_a_raised_limit_take_what_waits() -> None:
    async def scenario(desk: Desk) -> None:
        desk.serve("one", "a", concurrency=1)
        for n in range(4):
            desk.ask(str(n))
        assert desk.serve("two", "a", concurrency=1) == ["1"]
        desk.serve("two", "a", concurrency=3)
        assert desk.providers.status()["waiting"] == 0
        desk.answer("two", "1", result=None)
        assert desk.ends["1"] == ("completed", None)

    play(scenario)


def test_who_is_gone_is_forgotten_and_the_next_one_asked() -> None:
    async def scenario(desk: Desk) -> None:
        desk.serve("one", "a", concurrency=2)
        desk.ask("1")
        two = desk.serve("two", "a", concurrency=1)
        desk.ask("2")
        desk.gone.add("one")
        desk.ask("3")
        assert desk.code("1") == "PROVIDER_LOST"
        assert (two, desk.providers.status()["waiting"]) == (["2"], 1)
        desk.gone.add("two")
        desk.answer("two", "2", result=2)
        assert desk.code("3") == "NO_PROVIDER"
        assert desk.providers.status() == {"services": {}, "calls": 0, "waiting": 0}

    play(scenario)


def test_a_lease_that_is_not_renewed_ends_the_calls() -> None:
    async def scenario(desk: Desk) -> None:
        desk.serve("one", "a", concurrency=1, lease_seconds=1.0)
        desk.ask("1")
        desk.ask("2")
        await desk.ended.wait()
        assert (desk.code("1"), desk.code("2")) == ("PROVIDER_LOST", "NO_PROVIDER")

    play(scenario)


def test_who_ends_gets_no_new_calls_and_answers_the_old() -> None:
    async def scenario(desk: Desk) -> None:
        sent = desk.serve("one", "a")
        desk.ask("1")
        desk.serve("one")
        desk.ask("2")
        assert (sent, desk.code("2")) == (["1"], "NO_PROVIDER")
        desk.answer("one", "1", result=1)
        assert desk.ends["1"] == ("completed", 1)
        assert desk.providers.status()["calls"] == 0

    play(scenario)


def test_a_call_that_cannot_be_sent_to_anybody_is_an_error() -> None:
    async def scenario(desk: Desk) -> None:
        desk.serve("one", "a")
        desk.ask("1", too="large")
        assert desk.code("1") == "MESSAGE_TOO_LARGE"
        assert desk.providers.status()["services"] == {"a": 1}

    play(scenario)


def test_there_are_not_more_providers_than_allowed() -> None:
    async def scenario(desk: Desk) -> None:
        for n in range(MAX_PROVIDERS):
            desk.serve(str(n), "a")
        with pytest.raises(CapacityError):
            desk.serve("one more", "a")
        desk.serve("5", "b")
        desk.serve("6")
        desk.serve("one more", "a")

    play(scenario)
