"""Calls of external functions between a run process and a provider that both mean harm."""

import asyncio
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import decode_request
from protocol.errors import ProtocolError
from protocol.messages import AnswerFunction, ServeFunctions
from worker.channel import CALL_OVERHEAD_BYTES, ChannelError, FrameReader, pack, pack_frame, unpack
from worker.errors import WorkerError
from worker.log.memory import MemoryStore
from worker.process.environment import Environment
from worker.runs.contexts import ModelContext
from worker.runs.history import ReplayPlan
from worker.runs.record import RunRecord
from worker.runs.stimuli import Origin, Step, StepKind, Work
from worker.supervisor.calls import Calls
from worker.supervisor.histories import no_pages
from worker.supervisor.incarnation import Incarnation
from worker.supervisor.models import ModelCatalog, ModelSource
from worker.supervisor.peers import Peer
from worker.supervisor.providers import PendingCall, Providers

ALLOWED_BYTES = 600
ERROR_BYTES = 200
CONTEXT = ModelContext.model_validate({"externalFunctions": {"f": {"s": {}}, "g": {"nobody": {}}}})
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=5,
)
NAMES = st.sampled_from(["f", "f", "g", "unknown", "", "x" * 300]) | VALUES
ARGUMENTS = st.sampled_from([pack([1]), pack("x" * 300)]) | VALUES.map(msgpack.packb) | VALUES
NUMBERS = st.just("next") | VALUES
CALLS = st.tuples(
    st.just("call"),
    st.just("next"),
    st.sampled_from(["f", "f", "g", "unknown"]),
    st.sampled_from([pack([1]), pack("x" * 400)]),
)
WILD = st.tuples(st.just("call"), NUMBERS, NAMES, ARGUMENTS) | st.lists(VALUES, max_size=5).map(
    lambda rest: ("call", *rest)
)
ANSWERS = st.sampled_from(["answer", "refuse", "large", "vanish", "silence"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    folder: Path = tmp_path_factory.mktemp("models")
    (folder / "model.py").write_text("")
    return ModelCatalog(folder).find("model.py")


def incarnation(model: ModelSource) -> Incarnation:
    record = RunRecord(
        run_key="0" * 36,
        model_file=model.name,
        model_language="PYTHON_3",
        model_fingerprint=model.fingerprint,
        created_us=1,
        last_modified_us=1,
        seed=1,
        scope={},
        permit={},
        seq=1,
    )

    async def begin() -> RunRecord:
        return record

    async def commit(row: RunRecord, _records: Any, _answers: bytes | None) -> RunRecord:
        return row

    return Incarnation(
        origin=Origin.RESTORE,
        record=record,
        store=MemoryStore(),
        model=model,
        environment=Environment(),
        context=CONTEXT,
        raw_context={},
        execution={},
        presets={},
        plan=ReplayPlan(),
        begin=begin,
        pages=no_pages,
        commit=commit,
        event="onRestored",
        ephemeral=True,
        strict_replay=True,
        boot_at_us=1,
    )


def answer(providers: Providers, peer: Peer, how: str, call_id: str) -> None:
    """What the provider does with a call; not all of it is allowed."""
    if how == "vanish":
        providers.serve(serving([]), peer)
        return
    fields: dict[str, dict[str, Any]] = {
        "answer": {"result": [1]},
        "refuse": {"error": {"message": "no"}},
        "large": {"result": "x" * (2 * ALLOWED_BYTES)},
    }
    try:
        providers.answer(
            AnswerFunction(type="answer_function", request_id="r", call_id=call_id, **fields[how]), peer
        )
    except WorkerError:
        assert how == "large"


def serving(services: list[dict[str, str]]) -> ServeFunctions:
    return ServeFunctions.model_validate(
        {"type": "serve_functions", "request_id": "s", "services": services, "lease_seconds": 60.0}
    )


# A wild frame mostly ends the process, so there is at most one, behind what is well-formed.
@given(
    st.lists(st.tuples(CALLS, ANSWERS), max_size=5),
    st.lists(st.tuples(WILD, ANSWERS), max_size=1),
    st.sampled_from([StepKind.EXECUTE, StepKind.SET, StepKind.EXECUTE, StepKind.GET, StepKind.READ]),
)
def test_whatever_a_process_calls_it_has_one_answer_each_or_breaks_the_channel(
    model: ModelSource, said: list[tuple[Any, str]], wild: list[tuple[Any, str]], kind: StepKind
) -> None:
    async def scenario() -> None:
        providers, pushed, sent = Providers(), list[str](), list[list[Any]]()

        def push(message: dict[str, Any]) -> bool:
            pushed.append(message["call_id"])
            return True

        peer = Peer((b"p",), lambda _: None, push)
        providers.serve(serving([{"service": "s"}]), peer)
        calls = Calls(incarnation(model), providers, ALLOWED_BYTES)
        calls.begin_step(sent.append, Work("r"), Step(kind, "step", b"", 1.0))
        taken = 0
        try:
            for frame, how in said + wild:
                given = [taken + 1 if part == "next" else part for part in frame]
                for message in FrameReader(10_000).feed(pack_frame(given)):
                    assert calls.hears(message) == (len(message) == 4)
                    taken += len(message) == 4
                if calls.waiting and how != "silence":
                    answer(providers, peer, how, pushed[-1])
                assert len(sent) + calls.waiting == taken
                assert [one[:2] for one in sent] == [["answer", n] for n in range(1, len(sent) + 1)]
        except ChannelError:
            calls.drop()
        else:
            recorded = unpack(calls.finish() or pack([]))
            assert [one[2:] for one in recorded] == [one[2:] for one in sent]
            sizes = [len(one[0]) + len(one[1]) + len(one[3]) + CALL_OVERHEAD_BYTES for one in recorded]
            assert sum(sizes) <= ALLOWED_BYTES + ERROR_BYTES
            assert kind in (StepKind.EXECUTE, StepKind.SET) or not sent
        assert not calls.waiting
        assert providers.status()["calls"] == providers.status()["waiting"] == 0
        providers.serve(serving([]), peer)

    asyncio.run(scenario())


FIELDS = {
    "services": st.lists(
        st.fixed_dictionaries({}, optional={"service": st.sampled_from(["s", "t", ""]), "version": VALUES}),
        max_size=3,
    )
    | VALUES,
    "concurrency": st.integers(-1, 3) | VALUES,
    "lease_seconds": st.sampled_from([1, 60.0, 0, float("nan")]) | VALUES,
    "call_id": st.sampled_from(["0", "1", "2", "3"]) | VALUES,
    "result": VALUES,
    "error": st.fixed_dictionaries({}, optional={"message": st.just("no") | VALUES, "code": VALUES}) | VALUES,
}
REQUESTS = st.tuples(
    st.integers(0, 2),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["serve_functions", "answer_function"]),
            "version": st.just(1),
            "request_id": st.just("r"),
        },
        optional=FIELDS,
    ),
)


@given(st.lists(REQUESTS, max_size=12))
def test_whatever_providers_say_is_taken_or_refused_and_each_call_ends_at_most_once(
    said: list[tuple[int, dict[str, Any]]],
) -> None:
    async def scenario() -> None:
        providers, ended = Providers(), list[str]()
        peers = [Peer((bytes([n]),), lambda _: None, lambda _: True) for n in range(3)]
        loop = asyncio.get_running_loop()
        providers.serve(serving([{"service": "s"}]), peers[0])
        pending: list[PendingCall] = []
        for index in range(4):
            call_id = str(index)

            def done(_status: str, value: bytes, call_id: str = call_id) -> None:
                assert len(value) <= ALLOWED_BYTES
                ended.append(call_id)

            pending.append(PendingCall(call_id, "s", None, {}, ALLOWED_BYTES, loop.time() + 1, done))
            providers.ask(pending[-1])
        for number, fields in said:
            try:
                request = decode_request(msgpack.packb(fields))
                if isinstance(request, ServeFunctions):
                    providers.serve(request, peers[number])
                else:
                    assert isinstance(request, AnswerFunction)
                    providers.answer(request, peers[number])
            except ProtocolError:
                pass
            status = providers.status()
            assert status["calls"] + status["waiting"] + len(ended) == len(pending)
            assert len(set(ended)) == len(ended)
        for call in pending:
            providers.abandon(call)
        status = providers.status()
        assert status["calls"] == status["waiting"] == 0
        for peer in peers:
            providers.serve(serving([]), peer)

    asyncio.run(scenario())
