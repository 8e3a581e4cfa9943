"""The package ``epicenter`` where no worker is: the same functions as in a run, and something to see."""

import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import epicenter as local
import pytest
from epicenter import Epicenter

from worker.child.encoding import Encoder
from worker.child.epicenter import Bridge, functions
from worker.child.output import Output

REPOSITORY = Path(__file__).parents[3]
HOME = REPOSITORY / "worker" / "author"

MODEL = """
import sys
from epicenter import Epicenter

Epicenter.subscribe("onInitialized", lambda: Epicenter.log("info", "ready"))
stock = {"beer": 12}


def order(amount):
    stock["beer"] -= amount
    Epicenter.record("stock", stock)
    return stock["beer"]


if __name__ == "__main__":
    Epicenter.publish("onInitialized")
    print(order(2), Epicenter.actor()["world_role"])
"""


def in_a_run() -> dict[str, Callable[..., Any]]:
    return functions(Bridge(Encoder(1000), Output.__new__(Output)))


def test_it_has_the_functions_that_a_run_has() -> None:
    offered = {name for name in vars(Epicenter) if not name.startswith("_")}
    assert offered == set(in_a_run())
    assert all(getattr(local, name) is getattr(Epicenter, name) for name in offered)


@pytest.mark.parametrize("name", sorted(in_a_run()))
def test_each_is_called_as_in_a_run(name: str) -> None:
    def shape(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
        parameters = inspect.signature(function).parameters.values()
        return [(one.name, one.kind, one.default) for one in parameters]

    assert shape(getattr(Epicenter, name)) == shape(in_a_run()[name])


def test_a_model_runs_as_a_plain_program(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    done = subprocess.run(
        [sys.executable, "model.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "10 None\n")
    assert done.stderr == "epicenter INFO: ready\nepicenter record: stock = {'beer': 10}\n"


def test_a_recorded_value_is_a_copy() -> None:
    values = [1]
    Epicenter.record("values", values)
    values.append(2)
    assert local.recorded()["values"] == [1]
    local.recorded()["values"].append(3)
    assert local.recorded()["values"] == [1]


def test_a_custom_encoder_shows_in_what_is_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    class Order:
        pass

    Epicenter.register_custom_encoder(Order, lambda _order: '{"amount": 3}')
    Epicenter.record("order", Order())
    assert capsys.readouterr().err == 'epicenter record: order = {"amount": 3}\n'
    Epicenter.register_custom_encoder(Order, lambda _order: "no JSON")
    with pytest.raises(TypeError, match="custom encoder of Order returned no JSON text"):
        Epicenter.record("order", Order())


def test_the_last_handler_of_an_event_is_called() -> None:
    Epicenter.subscribe("sold", lambda amount: amount + 1)
    Epicenter.subscribe("sold", lambda amount, *, times=1: amount * times)
    assert Epicenter.publish("sold", 3, times=2) == 6
    assert Epicenter.publish("nothing") is None


def test_a_log_line_tells_its_level(capsys: pytest.CaptureFixture[str]) -> None:
    Epicenter.log("warn", "low")
    Epicenter.scribble("loud", "stock")
    assert capsys.readouterr().err == "epicenter WARN: low\nepicenter INFO: stock\n"


def test_the_actor_has_the_keys_that_a_run_gives() -> None:
    assert set(Epicenter.actor()) == set(in_a_run()["actor"]())


def test_a_callback_says_that_nobody_is_asked() -> None:
    with pytest.raises(local.CallbackError, match=r"callback 'leaderboard'.*nobody is asked") as raised:
        Epicenter.callback("leaderboard", [{"score": 1}])
    assert raised.value.code == "NOT_POSSIBLE"


@pytest.mark.parametrize("name", ("", "x" * 257))
def test_a_record_needs_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 256 characters"):
        Epicenter.record(name, 1)


def test_what_is_registered_must_be_a_class_and_a_function() -> None:
    registered: Any = Epicenter
    with pytest.raises(TypeError, match="must be a class"):
        registered.register_custom_encoder("Order", str)
    with pytest.raises(TypeError, match="must be a function"):
        registered.register_custom_decoder(dict, None)


def test_it_is_installed_under_its_name_and_no_other_with_its_types() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"][str((HOME / "epicenter").relative_to(REPOSITORY))] == "epicenter"
    assert str(HOME.relative_to(REPOSITORY)) in wheel["exclude"]
    assert (HOME / "epicenter" / "py.typed").is_file()


def test_the_readme_lists_all_functions() -> None:
    table = (
        (REPOSITORY / "README.md").read_text().partition("| function | in a run |")[2].partition("\n\n")[0]
    )
    cells = [line.split(" | ")[0] for line in table.strip().splitlines()[1:]]
    assert {name for cell in cells for name in re.findall(r"`(\w+)", cell)} == set(in_a_run())
