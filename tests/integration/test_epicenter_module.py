"""What ``Epicenter``'s functions do for a model in a run, function by function; others are in test_author.py."""

from collections.abc import Callable
from typing import Any

import pytest

from protocol.client import Client
from protocol.entities import Ritual
from protocol.errors import ProtocolError

MODEL = """
import json

from epicenter import Epicenter

calls = []
seen = []


class Money:
    def __init__(self, cents):
        self.cents = cents


def decode(name, variable, text, mode):
    calls.append([name, variable.cents, text, mode])
    globals()[name] = Money(json.loads(text)["cents"])


Epicenter.register_custom_encoder(Money, lambda money: json.dumps({"cents": money.cents}))
Epicenter.register_custom_decoder(Money, decode)
money = Money(5)


def record_and_change():
    values = [1]
    Epicenter.record("values", values)
    values.append(2)


def record_twice():
    Epicenter.record("a.b", 1)
    Epicenter.record("a.b", 2)


def record_money():
    Epicenter.record("money", money)
    return money


def record_as(name):
    Epicenter.record(name, 1)


def subscribe_again():
    Epicenter.subscribe("event", lambda value: seen.append(["first", value]))
    Epicenter.subscribe("event", lambda value: seen.append(["second", value]))
    Epicenter.subscribe("event", "nothing to call")
    Epicenter.publish("event", value=1)
    return seen, Epicenter.publish("unheard", 1)


def say():
    for level in ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"):
        Epicenter.log(level, f"log {level}")
    Epicenter.scribble("error", "scribbled")
    Epicenter.log("LOUD", "unknown levels are INFO")
    print("printed")


def who():
    return Epicenter.actor()
"""


@pytest.fixture(scope="module")
def model_file(model_root: Any) -> str:
    name: str = model_root.add("module", MODEL)
    return name


@pytest.fixture(scope="module")
def telling(make_daemon: Callable[..., Any], model_root: Any, model_file: str) -> Any:
    return make_daemon(model_root.path, env={"MODEL_WORKER_EXTRA_EVENTS": "output"})


@pytest.fixture
def client(telling: Any) -> Any:
    with telling.client() as client:
        yield client


def archived(client: Client, run_key: str, name: str) -> Any:
    client.evict_run(run_key)
    return client.read_variables(run_key, [name], ritual=Ritual.NONE)[name]


def test_a_record_is_the_value_as_it_was_at_the_call(client: Client, model_file: str) -> None:
    run_key = client.create_run(model_file).run_key
    client.call_operation(run_key, "record_and_change")
    assert archived(client, run_key, "values") == [1]


def test_the_last_record_of_a_name_counts_and_names_may_be_dotted(client: Client, model_file: str) -> None:
    run_key = client.create_run(model_file).run_key
    client.call_operation(run_key, "record_twice")
    assert archived(client, run_key, "a.b") == 2


@pytest.mark.parametrize("name", ("", 5, "x" * 257))
def test_a_record_without_a_usable_name_is_the_models_error(
    client: Client, model_file: str, name: Any
) -> None:
    run_key = client.create_run(model_file).run_key
    with pytest.raises(ProtocolError, match="1 to 256 characters"):
        client.call_operation(run_key, "record_as", [name])


def test_the_last_handler_counts_and_what_cannot_be_called_is_none(client: Client, model_file: str) -> None:
    run_key = client.create_run(model_file).run_key
    assert client.call_operation(run_key, "subscribe_again") == [[["second", 1]], None]


def test_a_custom_encoder_is_used_for_results_variables_and_records(client: Client, model_file: str) -> None:
    run_key = client.create_run(model_file).run_key
    assert client.call_operation(run_key, "record_money") == {"cents": 5}
    assert client.read_variables(run_key, ["money"]) == {"money": {"cents": 5}}
    assert archived(client, run_key, "money") == {"cents": 5}


def test_a_custom_decoder_assigns_what_is_set_also_when_replayed(client: Client, model_file: str) -> None:
    run_key = client.create_run(model_file).run_key
    assert client.write_variables(run_key, {"money": {"cents": 7}}) == {"money": {"cents": 7}}
    called = [["money", 5, '{"cents": 7}', "set"]]
    assert client.read_variables(run_key, ["calls"]) == {"calls": called}
    client.evict_run(run_key)
    both = client.read_variables(run_key, ["calls", "money"], ritual=Ritual.REVIVE)
    assert both == {"calls": called, "money": {"cents": 7}}


def lines(client: Client, run_key: str) -> list[tuple[str, str]]:
    """What is told so far of what the model said: level and text."""
    events = client.read_events(run_key)["events"]
    told = [line for event in events if event["kind"] == "output" for line in event["lines"]]
    return [(line["level"], line["text"]) for line in told]


@pytest.mark.parametrize(
    ("context", "heard"),
    (
        (
            {},
            [
                "log INFO",
                "log WARN",
                "log ERROR",
                "log FATAL",
                "scribbled",
                "unknown levels are INFO",
                "printed",
            ],
        ),
        ({"minimumLogLevel": "error"}, ["log ERROR", "log FATAL", "scribbled", "printed"]),
        ({"minimumLogLevel": "OFF"}, ["printed"]),
        ({"minimumLogLevel": "fatal", "redirectStandardOut": False}, ["log FATAL"]),
    ),
)
def test_log_lines_are_kept_from_the_minimum_level_on(
    client: Client,
    model_file: str,
    wait_until: Callable[..., None],
    context: dict[str, Any],
    heard: list[str],
) -> None:
    run_key = client.create_run(model_file, model_context=context).run_key
    client.call_operation(run_key, "say")
    client.evict_run(run_key)  # its pipe is read to the end then
    wait_until(lambda: len(lines(client, run_key)) >= len(heard))
    said = lines(client, run_key)
    assert [text for _, text in said] == heard
    assert all(level in ("STDOUT", "INFO") or level in text or text == "scribbled" for level, text in said)


def test_an_actor_is_who_asks_with_all_five_keys(client: Client, model_file: str) -> None:
    run_key = client.create_run(model_file).run_key
    keys = ("pseudonym_key", "group_key", "group_mandate", "world_key", "world_role")
    actor = {"world_role": "Boss", "group_mandate": "LEADER"}
    assert client.call_operation(run_key, "who", actor=actor) == {**dict.fromkeys(keys), **actor}
    assert client.call_operation(run_key, "who") == dict.fromkeys(keys)
