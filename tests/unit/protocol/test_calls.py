"""That the clients can ask everything the protocol knows, in its own words."""

import inspect
from typing import Any

import pytest

from protocol import _calls, _function_calls, _profile_calls, _reading_calls, _shared_calls
from protocol._call import Call
from protocol.actions import Execute, Set
from protocol.client import AsyncClient, Client
from protocol.codec import REQUEST_TYPES
from protocol.entities import Ritual, Scope, ScopeBoundary
from protocol.errors import ErrorCode, ProtocolError
from protocol.messages import ManyRunRequest

KEY = "0" * 36


@pytest.mark.parametrize("kind", sorted(REQUEST_TYPES))
def test_both_clients_have_a_method_with_exactly_the_fields_of_each_type(kind: str) -> None:
    envelope = {"version", "type", "request_id", "deadline_seconds", "actor", "traceparent", "project"}
    for client in (Client, AsyncClient):
        parameters = set(inspect.signature(getattr(client, kind)).parameters) - {"self", "options"}
        assert parameters == set(REQUEST_TYPES[kind].model_fields) - envelope
    modules = (_calls, _function_calls, _profile_calls, _reading_calls, _shared_calls)
    (build,) = [found for module in modules if (found := vars(module).get(kind)) is not None]
    many = "run_keys" in inspect.signature(build).parameters
    assert many == issubclass(REQUEST_TYPES[kind], ManyRunRequest)


def test_entities_travel_as_maps_and_what_is_none_stays_away() -> None:
    scope = Scope(scope_boundary=ScopeBoundary.GROUP, scope_key="g")
    call = _calls.create_run("m/model.py", scope=scope, permit={"read_lock": "USER"}, marked=None)  # type: ignore[call-arg]
    assert call.fields["scope"] == {"scope_boundary": "GROUP", "scope_key": "g", "user_key": None}
    assert call.fields.keys() == {"model_file", "scope", "permit"}


def test_actions_keep_a_value_of_none() -> None:
    actions: list[Any] = [
        Set(name="x", value=None),
        Execute(name="step", arguments=[1]),
        {"kind": "get", "name": "x"},
    ]
    call = _calls.perform_actions(KEY, actions, ritual=Ritual.REVIVE)
    assert call.fields["actions"] == [
        {"kind": "set", "name": "x", "value": None},
        {"kind": "execute", "name": "step", "arguments": [1]},
        {"kind": "get", "name": "x"},
    ]


def test_request_tells_the_common_options_from_the_fields() -> None:
    call = _calls.request("call_operation", run_key=KEY, name="step", request_id="r", timeout_seconds=1)
    assert call == Call("call_operation", {"run_key": KEY, "name": "step"}, call.options, call.decode)
    assert call.options == {"request_id": "r", "timeout_seconds": 1}


@pytest.mark.parametrize("result", (None, [], "x"))
def test_an_answer_for_many_runs_that_is_no_map_is_refused(result: Any) -> None:
    with pytest.raises(ProtocolError, match="no map from run key"):
        _calls.evict_run(run_keys=[KEY]).decode(result)


def test_a_run_without_an_answer_of_its_own_is_an_error_of_that_run() -> None:
    answers = _calls.read_variables(run_keys=[KEY, "b"], names=["x"]).decode(
        {KEY: {"ok": True, "result": {"x": 1}}, "b": 3}
    )
    assert answers[KEY] == {"x": 1}
    assert answers["b"].code is ErrorCode.INTERNAL_ERROR
