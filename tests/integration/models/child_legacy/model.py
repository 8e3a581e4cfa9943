import Epicenter
import json


class State:
    def __init__(self, level):
        self.level = level


def encode(value):
    return json.dumps({"py/object": "State", "level": value.level})


def decode(name, variable, text, mode):
    global state
    assert isinstance(variable, State)
    assert mode == "set"
    state = State(json.loads(text)["level"] * 10)


Epicenter.register_custom_encoder(State, encode)
Epicenter.register_custom_decoder(State, decode)
state = State(1)
Epicenter.record("state", state)


def get_state():
    return [state]
