"""Nothing of the worker or of other runs can be reached from a run: not in files, not in memory that it inherited.

Words are planted wherever the worker keeps something, and a model searches for them.
"""

import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.hostile.programs.users import USERS

MODELS = Path(__file__).parent / "models"
MEASURED_AT_LEAST = 5 << 20
LONG = "long" * 40
"""So that what a zygote may keep of it is not where its next message goes."""
CONTEXT = """{"version": "V2", "defaults": {"operations": {"timeoutSeconds": 100}}}"""
OTHER = """
from epicenter import Epicenter

preset = None
value = None


def keep(word):
    global value
    value = word
    Epicenter.record("kept", word)
    Epicenter.log("INFO", word)
    print(word)
    return word
"""


@dataclass(frozen=True)
class Planted:
    """A worker in which words are hidden, all of which begin with ``mark``."""

    daemon: Any
    mark: str
    since: float

    def found(self, client: Any, run_key: str) -> dict[str, list[str]]:
        arguments = [self.mark[0], self.mark[1:], self.since]
        found: dict[str, list[str]] = client.call_operation(run_key, "search", arguments)
        return found


@pytest.fixture(scope="module", params=USERS)
def planted(request: pytest.FixtureRequest, besiege: Any) -> Iterator[Planted]:
    """Words in the environment, the command line, the settings file, names of folders, other models and their runs."""
    mark, since = f"mark{secrets.token_hex(8)}", time.time() - 1
    with besiege(
        request.param,
        mark=mark,
        models={
            "search": {"model.py": (MODELS / "searcher.py").read_text(), "model.ctx2": CONTEXT},
            f"{LONG}{mark}otherfolder": {
                "model.py": f"# {mark}othermodel\n{OTHER}",
                "secret.txt": f"{mark}otherfile",
            },
        },
        CANARY=f"{mark}environment",
        MODEL_WORKER_CPU_SECONDS="100",
    ) as siege:
        planted = Planted(siege.daemon, mark, since)
        with siege.daemon.client() as client:
            use_others(client, mark)
        yield planted


def use_others(client: Any, mark: str) -> None:
    """Runs with words in whatever a run has, some of which stay in memory."""
    for number in range(4):
        run = client.create_run(
            f"{LONG}{mark}otherfolder/model.py",
            tracking_key=f"{mark}trackingkey",
            metadata={"secret": f"{mark}metadata"},
            execution_context={"presets": {"preset": f"{mark}otherpreset"}},
        )
        client.call_operation(
            run.run_key, "keep", [f"{mark}argument"], actor={"user_key": f"{mark}actor", "is_system": True}
        )
        client.read_events(run.run_key)
        if number % 2:
            client.evict_run(run.run_key)
            client.restore_run(run.run_key)


def test_a_run_finds_nothing_of_the_worker_nor_of_other_runs(planted: Planted) -> None:
    with planted.daemon.client(110) as client:
        presets = {"preset": f"{planted.mark}own"}
        run_key = client.create_run("search/model.py", execution_context={"presets": presets}).run_key
        assert client.call_operation(run_key, "memory_bytes") > MEASURED_AT_LEAST
        found = planted.found(client, run_key)
        client.evict_run(run_key)

    # Its own words are there, which shows that it finds what is there.
    assert (found.pop("memory"), found.pop("environment")) == (["own"], ["own"])
    assert not any(found.values()), found


def test_runs_of_one_zygote_do_not_find_each_others_words(planted: Planted) -> None:
    with planted.daemon.client(110) as client:
        keys = {
            name: client.create_run(
                "search/model.py", execution_context={"presets": {"preset": f"{planted.mark}{name}"}}
            ).run_key
            for name in ("first", "second")
        }
        found = {name: planted.found(client, key)["memory"] for name, key in keys.items()}

    assert found == {"first": ["first"], "second": ["second"]}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into a zygote")
def test_a_zygote_holds_nothing_that_it_was_told_of_runs(planted: Planted) -> None:
    zygotes = psutil.Process(planted.daemon.pid).children()

    assert zygotes
    assert [words_in(zygote.pid, planted.mark) for zygote in zygotes] == [set()] * len(zygotes)
    assert "environment" in words_in(planted.daemon.pid, planted.mark)


def words_in(pid: int, mark: str) -> set[str]:
    """The words that stand in a process's memory."""
    found: set[str] = set()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            low, high = (int(end, 16) for end in line.split()[0].split("-"))
            if line.split()[1].startswith("r") and not line.endswith(
                ("[vvar]", "[vvar_vclock]", "[vsyscall]")
            ):
                memory.seek(low)
                found |= {
                    word.decode()
                    for word in re.findall(mark.encode() + rb"([a-z]*)", memory.read(high - low))
                }
    return found
