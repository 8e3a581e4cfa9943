"""Any sequence of actions of any actors: what a guard refuses changes nothing, the rest happens as without guards."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MODEL = """
price = 0
seal = None
budget = 0
stage = 0


def advance():
    global stage
    stage += 1
    return stage


def reset():
    global stage
    stage = 0
    return stage
"""
GUARDS = {
    "protections": {
        "guards": [
            {"role": {"regex": "^price$", "role": "Sales", "domain": "variable", "grant": "allow"}},
            {
                "privilege": {
                    "regex": "^reset$",
                    "domain": "operation",
                    "grant": "allow",
                    "execute": "REVIEWER",
                }
            },
            {"overwrite": {"regex": "^seal$", "initial": None}},
            {"input": {"regex": "^budget$", "operator": "<", "operand": 3}},
            {"relative": {"regex": "^(budget|price)$", "key": "stage", "operator": "<=", "value": 1}},
        ]
    }
}
NAMES = ["price", "seal", "budget", "stage"]
ACTORS: list[dict[str, Any]] = [
    {},
    {"role": "PARTICIPANT", "world_role": "Sales"},
    {"role": "FACILITATOR"},
    {"is_system": True},
]
ACTIONS = st.one_of(
    st.builds(
        lambda name, value: {"kind": "set", "name": name, "value": value},
        st.sampled_from(NAMES),
        st.integers(0, 4),
    ),
    st.builds(
        lambda name: {"kind": "execute", "name": name, "arguments": []}, st.sampled_from(["advance", "reset"])
    ),
)
REQUESTS = st.lists(
    st.tuples(st.sampled_from(ACTORS), st.lists(ACTIONS, min_size=1, max_size=4)), min_size=1, max_size=6
)


def allowed(state: dict[str, Any], actor: dict[str, Any], action: dict[str, Any]) -> bool:
    """What the guards above say, in other words."""
    name, system = action["name"], bool(actor.get("is_system"))
    if name == "reset":
        return system or actor.get("role") == "FACILITATOR"
    if name == "price" and not (system or actor.get("world_role") == "Sales"):
        return False
    if name == "seal":
        return state["seal"] is None
    if name == "budget" and action["value"] >= 3:
        return False
    return name not in ("budget", "price") or state["stage"] <= 1


def apply(state: dict[str, Any], action: dict[str, Any]) -> None:
    if action["kind"] == "set":
        state[action["name"]] = action["value"]
    else:
        state["stage"] = state["stage"] + 1 if action["name"] == "advance" else 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests=REQUESTS)
def test_what_is_refused_is_in_neither_state_nor_history(
    peer: Any, model_root: Any, requests: list[tuple[dict[str, Any], list[dict[str, Any]]]]
) -> None:
    model_file = model_root.add("guarded_states", MODEL, json.dumps(GUARDS))
    created = peer.result("create_run", model_file=model_file, permit={"write_lock": "ANONYMOUS"})
    run_key, state, done = created["run_key"], {"price": 0, "seal": None, "budget": 0, "stage": 0}, 0

    for actor, actions in requests:
        reply = peer.ask("perform_actions", run_key=run_key, actor=actor, actions=actions)
        expected = None
        for index, action in enumerate(actions):
            if not allowed(state, actor, action):
                expected = index
                break
            apply(state, action)
            done += 1
        assert reply["ok"] is (expected is None)
        if expected is not None:
            assert reply["error"]["code"] == "GUARD_VIOLATION"
            assert reply["error"]["information"]["index"] == expected
        assert peer.result("read_variables", run_key=run_key, names=NAMES) == state
        assert peer.result("get_run", run_key=run_key)["seq"] == 1 + done

    peer.result("evict_run", run_key=run_key)
    assert peer.result("read_variables", run_key=run_key, names=NAMES, ritual="RESURRECT") == state
