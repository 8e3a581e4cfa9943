"""A run process without its sandbox, driven frame by frame as the supervisor does."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from worker.channel import FrameReader, outcome_digest, pack, pack_frame, unpack

ROOT = Path(__file__).parents[2]
MODELS = Path(__file__).parent / "models"
BOOTSTRAP = (
    "import socket, sys; from worker.child.main import prepare; channel = socket.socket(fileno=int(sys.argv[1]))\n"
    "sys.argv[2:] and __import__(sys.argv[2]); prepare()(channel, 4 << 20)"
)
AT_US = 1_700_000_000_123_456
DEADLINE_SECONDS = 30


@dataclass
class Outcome:
    status: str
    value: Any
    records: dict[str, Any]
    warnings: list[dict[str, str]]
    packed: bytes

    @property
    def digest(self) -> bytes:
        if self.status == "completed":
            return outcome_digest(self.status, self.packed)
        return outcome_digest(self.status, b"", self.value["code"], self.value["information"].get("type", ""))


class Child:
    """One run process and the supervisor's end of its socket."""

    def __init__(self, *preload: str) -> None:
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(DEADLINE_SECONDS)
        self.process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-c", BOOTSTRAP, str(theirs.fileno()), *preload],
            pass_fds=[theirs.fileno()],
            env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        theirs.close()
        self.reader = FrameReader(64 << 20)
        self.ready: list[list[Any]] = []
        self.n = 0

    def send(self, *message: Any) -> None:
        self.channel.sendall(pack_frame(list(message)))

    def receive(self) -> list[Any]:
        while not self.ready:
            data = self.channel.recv(1 << 20)
            if not data:
                raise EOFError(self.exit_status())
            self.ready += self.reader.feed(data)
        return self.ready.pop(0)

    def boot(self, folder: Path, **changes: Any) -> list[Any]:
        spec = {
            "run_key": "0" * 36,
            "model_folder": str(folder),
            "model_file": "model.py",
            "seed": 2**63 - 1,
            "at_us": AT_US,
            "actor": None,
            "presets": {},
            "worker_context": '{"runKey": "000"}',
            "clock": "stamped",
            "entropy": "seeded",
            "minimum_log_level": "INFO",
            "redirect_standard_out": True,
            "max_result_bytes": 200_000,
            "max_result_depth": 64,
            "max_result_values": 250_000,
            "record_bytes": 16 << 20,
            "callback_bytes": 1000,
            "answers": None,
            "event": "onInitialized",
            "scratch": None,
            "archive": None,
            "lineage": [],
            "context": None,
            "attached": [],
            "judged": False,
        }
        self.send("boot", {**spec, **changes})
        return self.receive()

    def perform(
        self,
        action: dict[str, Any],
        *,
        at_us: int = AT_US,
        actor: Any = None,
        inert: bool = False,
        seq: int = 0,
    ) -> Outcome:
        self.n += 1
        packed_actor = None if actor is None else pack(actor)
        self.send("perform", self.n, at_us, packed_actor, pack(action), inert, seq)
        return self.outcome()

    def outcome(self) -> Outcome:
        kind, n, status, value, records, warnings = self.receive()
        assert (kind, n) == ("outcome", self.n)
        return Outcome(
            status, unpack(value), {name: unpack(data) for name, data in records.items()}, warnings, value
        )

    def call(self, name: str, *arguments: Any, **how: Any) -> Outcome:
        return self.perform({"kind": "execute", "name": name, "arguments": list(arguments)}, **how)

    def result(self, name: str, *arguments: Any, **how: Any) -> Any:
        outcome = self.call(name, *arguments, **how)
        assert outcome.status == "completed", outcome.value
        return outcome.value

    def error(self, name: str, *arguments: Any, **how: Any) -> Any:
        outcome = self.call(name, *arguments, **how)
        assert outcome.status == "error", outcome.value
        return outcome.value

    def get(self, name: str) -> Outcome:
        return self.perform({"kind": "get", "name": name})

    def set(self, name: str, value: Any) -> Outcome:
        return self.perform({"kind": "set", "name": name, "value": value})

    def read(self, *names: str, ignorable: bool = False) -> Outcome:
        self.n += 1
        self.send("read", self.n, list(names), ignorable)
        return self.outcome()

    def replay(self, entries: list[list[Any]]) -> list[list[Any]]:
        """The ``replayed`` frames, the last one done."""
        self.n += 1
        self.send("replay", self.n, entries)
        frames = [self.receive()]
        while not frames[-1][3]:
            frames.append(self.receive())
        assert all(frame[:2] == ["replayed", self.n] for frame in frames)
        return frames

    def settle(self, event: str | None, at_us: int = AT_US) -> list[Any]:
        self.n += 1
        self.send("settle", self.n, at_us, event)
        settled = self.receive()
        assert settled[:2] == ["settled", self.n]
        return settled[2:]

    def exit_status(self) -> int:
        return self.process.wait(DEADLINE_SECONDS)

    def output(self) -> str:
        """All that was printed; ends the process by closing the socket."""
        self.channel.close()
        self.exit_status()
        assert self.process.stdout is not None
        return self.process.stdout.read().decode()

    def close(self) -> None:
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def spawn() -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def start(*preload: str) -> Child:
        children.append(Child(*preload))
        return children[-1]

    yield start
    for child in children:
        child.close()


@pytest.fixture
def child(spawn: Callable[..., Child]) -> Child:
    process = spawn()
    assert process.boot(MODELS / "child_plain") == ["booted", {}, []]
    return process


def booted(spawn: Callable[..., Child], folder: Path, **changes: Any) -> Child:
    process = spawn()
    answer = process.boot(folder, **changes)
    assert answer[0] == "booted", answer
    return process


def model(folder: Path, source: str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.py").write_bytes(source if isinstance(source, bytes) else source.encode())
    return folder


# Loading


def test_the_model_is_a_module_that_pickle_and_dataclasses_know(child: Child) -> None:
    assert child.result("pickled") is True
    assert child.get("company").value == {"name": "Acme", "cash": 10.0, "years": []}


def test_presets_are_globals_before_the_body_and_after_it_rebound_them(spawn: Callable[..., Child]) -> None:
    presets = {"creator": "ann", "scope": {"key": 1}, "words": ["a", "b"], "step": "no function"}
    child = booted(spawn, MODELS / "child_plain", presets=presets)

    assert child.result("get_creator") == "ann"
    values = child.read("scope", "derived", "words", "creator").value
    assert values == {"scope": {"key": 1}, "derived": ["a", "b"], "words": ["a", "b"], "creator": "ann"}
    assert child.result("step", 1) == 0.1


def test_seed_and_context_are_given_to_the_model(child: Child) -> None:
    assert child.result("seed") == 2**63 - 1
    assert child.get("context").value == '{"runKey": "000"}'


def test_worker_and_protocol_are_the_folders_own_modules(spawn: Callable[..., Child]) -> None:
    child = booted(spawn, MODELS / "child_own_names")

    assert child.get("names").value == ["own worker", "own protocol", "own task", "deep"]
    assert child.get("found").value == "worker.channel"
    assert child.result("worker_operation") == "own task"
    traceback = child.error("inner_fail")["information"]["traceback"]
    assert traceback.splitlines() == [
        "model.py:16 in inner_fail: return deep(1)",
        "pkg/inner.py:3 in deep: return 1 / (divisor - 1)",
    ]


def test_our_own_modules_cannot_be_imported(spawn: Callable[..., Child], tmp_path: Path) -> None:
    for statement in ("import worker", "import protocol.codec", "from worker.child import main"):
        answer = spawn().boot(model(tmp_path, statement))
        assert answer[1]["information"]["type"] == "ModuleNotFoundError"


def test_legacy_import_custom_encoder_and_decoder(spawn: Callable[..., Child]) -> None:
    child = spawn()
    kind, records, _ = child.boot(MODELS / "child_legacy")
    encoded = {"py/object": "State", "level": 1}

    assert (kind, unpack(records["state"])) == ("booted", encoded)
    assert child.result("get_state") == [encoded]
    assert child.set("state", {"level": 5}).value == {"py/object": "State", "level": 50}


@pytest.mark.parametrize(
    ("source", "expected"),
    (
        ("x = 1\ndef f(:\n", ("SyntaxError", "line 2", "model.py:2: def f(:")),
        ("def f():\n    return 1 / 0\nf()", ("ZeroDivisionError", "by zero", "model.py:3 in <module>: f()")),
        ("import sys\nsys.exit(4)", ("SystemExit", "4", "model.py:2 in <module>: sys.exit(4)")),
        (b"x = '\xff'", ("SyntaxError", "utf-8", "")),
        (b"x = 1\0", ("SyntaxError", "null bytes", "")),
        ("import no_such_module", ("ModuleNotFoundError", "no_such_module", "model.py:1")),
        ("raise RecursionError", ("RecursionError", "", "model.py:1")),
        ("x = " + "(" * 300 + ")" * 300, ("SyntaxError", "too many nested", "")),
    ),
)
def test_a_broken_model_is_boot_failed_with_its_own_frames(
    spawn: Callable[..., Child], tmp_path: Path, source: str | bytes, expected: tuple[str, str, str]
) -> None:
    kind, message, traceback = expected

    answer, error = spawn().boot(model(tmp_path, source))

    assert (answer, error["code"]) == ("boot_failed", "MODEL_LOAD_FAILED")
    assert error["information"]["type"] == kind
    assert message in error["message"]
    assert traceback in error["information"]["traceback"]
    assert "worker/child" not in error["information"]["traceback"]


def test_what_is_no_readable_regular_file_is_boot_failed(spawn: Callable[..., Child], tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    os.mkfifo(tmp_path / "fifo.py")
    (tmp_path / "huge.py").touch()
    os.truncate(tmp_path / "huge.py", (16 << 20) + 1)
    expected = {
        "missing.py": "FileNotFoundError",
        "folder.py": "ValueError",
        "fifo.py": "ValueError",
        "huge.py": "ValueError",
    }

    for file, kind in expected.items():
        answer, error = spawn().boot(tmp_path, model_file=file)
        assert (answer, error["information"]["type"]) == ("boot_failed", kind)


def test_after_boot_failed_the_process_waits_until_its_socket_closes(
    spawn: Callable[..., Child], tmp_path: Path
) -> None:
    child = spawn()
    child.boot(model(tmp_path, "1 / 0"))
    child.send("read", 1, [], False)

    assert child.process.poll() is None
    child.channel.close()
    assert child.exit_status() == 98


def test_a_preset_with_an_underscore_is_refused(spawn: Callable[..., Child], tmp_path: Path) -> None:
    answer, error = spawn().boot(model(tmp_path, ""), presets={"__builtins__": {}})
    assert (answer, error["information"]["type"]) == ("boot_failed", "ValueError")


def test_memory_exhausted_at_load_is_a_fault(spawn: Callable[..., Child], tmp_path: Path) -> None:
    assert spawn().boot(model(tmp_path, "raise MemoryError"))[:3] == ["fault", 0, "memory"]


def test_a_boot_without_a_required_key_ends_the_process(spawn: Callable[..., Child]) -> None:
    child = spawn()
    child.send("boot", {"run_key": "x"})

    assert child.exit_status() == 1
    assert "missing model_folder" in child.output()


# Variables


@pytest.mark.parametrize(
    ("reference", "value"),
    (
        ("price", 1.5),
        ("company.name", "Acme"),
        ("results.max_profit", 7),
        ("results.items", [1, 2, 3]),
        ("results.items[1]", 2),
        ("results.items.2", 3),
        ('results["on day"]', 4),
        ("results['on day']", 4),
        ("results[5]", "five"),
        ("results.items_by.a", 1),
        ("matrix[1,0]", 3),
        ("matrix[1][0]", 3),
        ("pair[-1][0]", 2),
        ("forio_random_seed", 2**63 - 1),
    ),
)
def test_references_reach_inside(child: Child, reference: str, value: Any) -> None:
    outcome = child.get(reference)
    assert (outcome.status, outcome.value) == ("completed", value)


@pytest.mark.parametrize(
    "reference",
    (
        *(
            "_hidden",
            "__builtins__",
            "datetime",
            "Company",
            "step",
            "Epicenter",
            "Any",
            "Optional",
            "doubled",
        ),
        *(
            "company.__class__",
            "company._x",
            "price.real.x",
            "matrix[9]",
            "results.nothing",
            "nothing",
            "a..b",
        ),
        *("[0]", "price[", "cached", "pair.count"),
    ),
)
def test_what_is_no_variable_is_unknown(child: Child, reference: str) -> None:
    for outcome in (child.get(reference), child.set(f"{reference}", 1), child.read(reference)):
        if outcome.status == "completed":
            assert reference == "results.nothing"
        else:
            assert outcome.value["code"] == "UNKNOWN_VARIABLE"
            assert reference in outcome.value["message"]


def test_an_unknown_variable_comes_with_suggestions(child: Child) -> None:
    assert child.get("prize").value["information"]["suggestions"] == ["price"]
    assert child.get("results.max_proft").value["information"]["suggestions"] == ["results.max_profit"]


def test_setting_inside_and_outside(child: Child) -> None:
    for reference, value in (
        ("price", {"now": 2}),
        ("company.name", "Bolt"),
        ("results.max_profit", 8),
        ("results.novel", 1),
        ('results["on day"]', None),
        ("results[5]", "V"),
        ("matrix[1,0]", 9),
        ("pair[1][0]", 7),
    ):
        outcome = child.set(reference, value)
        assert (outcome.status, outcome.value) == ("completed", value), reference
        assert child.get(reference).value == value


def test_a_set_that_writes_nowhere_is_refused(child: Child) -> None:
    assert child.set("novel", 1).value["code"] == "UNKNOWN_VARIABLE"
    assert child.set("company.novel", 1).value["code"] == "UNKNOWN_VARIABLE"
    error = child.set("pair[0]", 1).value
    assert error["code"] == "OPERATION_FAILED"
    assert "a tuple cannot be changed" in error["message"]
    assert child.get("pair").value == [1, [2]]


def test_reads_answer_a_map_and_list_all_missing_names(child: Child) -> None:
    assert child.read("price", "company.cash").value == {"price": 1.5, "company.cash": 10.0}
    assert child.read().value == {}
    missing = child.read("price", "no", "neither").value
    assert missing["code"] == "UNKNOWN_VARIABLE"
    assert missing["information"]["names"] == ["no", "neither"]
    assert child.read("price", "no", ignorable=True).value == {"price": 1.5, "no": None}


def test_a_property_that_raises_fails_the_read_only(child: Child) -> None:
    assert child.get("company.broken").value["information"]["type"] == "ValueError"
    assert child.read("company.broken", ignorable=True).status == "error"
    assert child.get("price").value == 1.5


# Operations


def test_operations_are_the_models_own_functions(child: Child) -> None:
    assert child.result("step", 2) == 0.2
    assert child.result("cached", 1) == 2
    assert child.result("doubled") == 0.4
    for name in ("sqrt", "randint", "Company", "_hidden", "price", "Epicenter", "nothing", "lru_cache", "os"):
        assert child.error(name)["code"] == "UNKNOWN_OPERATION"
    assert child.error("stp")["information"]["suggestions"] == ["step"]


def test_wrong_arguments_name_the_signature(child: Child) -> None:
    error = child.error("step", 1, 2, 3)
    assert (error["code"], error["information"]["type"]) == ("OPERATION_FAILED", "TypeError")
    assert "step(years, rate=0.1)" in error["message"]


def test_an_operation_that_raised_tells_type_message_and_own_frames(child: Child) -> None:
    error = child.error("fail", "reason")

    assert error["code"] == "OPERATION_FAILED"
    assert error["message"] == "fail raised KeyError: 'reason'"
    assert error["information"]["type"] == "KeyError"
    lines = error["information"]["traceback"].splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == ["helper(text)", "raise KeyError(text)"]
    assert all(line.startswith("model.py:") for line in lines)


def test_messages_and_tracebacks_are_bounded(child: Child) -> None:
    information = child.error("fail", "x" * 100_000)["information"]
    assert len(information["message"]) == 2048
    deep = child.error("recurse")["information"]
    assert deep["type"] == "RecursionError"
    assert len(deep["traceback"]) <= 8192


@pytest.mark.parametrize(
    ("name", "argument", "kind"),
    (
        ("raise_named", "exit", "SystemExit"),
        ("raise_named", "interrupt", "KeyboardInterrupt"),
        ("raise_named", "generator", "GeneratorExit"),
        ("raise_own", None, "Own"),
        ("raise_mute", None, "Mute"),
    ),
)
def test_whatever_an_operation_raises_is_its_outcome(
    child: Child, name: str, argument: str | None, kind: str
) -> None:
    error = child.error(name, *([] if argument is None else [argument]))
    assert (error["code"], error["information"]["type"]) == ("OPERATION_FAILED", kind)
    assert child.result("give", 1) == 1


def test_memory_filled_object_by_object_is_a_fault(spawn: Callable[..., Child]) -> None:
    child = booted(spawn, MODELS / "child_hostile")
    action = pack({"kind": "execute", "name": "fill_memory", "arguments": []})
    child.send("perform", 1, AT_US, None, action, False, 0)

    assert child.receive()[:3] == ["fault", 1, "memory"]
    assert child.process.poll() is None
    child.channel.close()
    assert child.exit_status() == 98


def test_memory_exhausted_is_a_fault(child: Child) -> None:
    child.n += 1
    child.send(
        "perform", child.n, AT_US, None, pack({"kind": "execute", "name": "eat", "arguments": []}), False, 0
    )
    assert child.receive()[:3] == ["fault", child.n, "memory"]


@pytest.mark.parametrize(
    ("kind", "code", "part"),
    (
        ("object", "UNENCODABLE_VALUE", "result.a[0]"),
        ("big", "UNENCODABLE_VALUE", "64 bits"),
        ("bytes", "UNENCODABLE_VALUE", "base64"),
        ("long", "RESULT_TOO_LARGE", "200000"),
        ("wide", "RESULT_TOO_LARGE", "200000"),
    ),
)
def test_a_result_that_cannot_be_sent_is_an_error(child: Child, kind: str, code: str, part: str) -> None:
    error = child.error("strange", kind)
    assert error["code"] == code
    assert part in error["message"]


def test_numbers_that_are_not_finite_become_null_with_a_warning(child: Child) -> None:
    outcome = child.call("strange", "nan")
    assert outcome.value == [None, {"x": None}]
    assert outcome.warnings == [
        {"code": "NON_FINITE", "path": "result[0]"},
        {"code": "NON_FINITE", "path": "result[1].x"},
    ]
    assert child.call("give", 1).warnings == []


def test_the_wall_clock_stands_at_the_stamp_of_the_action(child: Child) -> None:
    at_us = 1_000_000_000_123_456
    nanoseconds, seconds, iso, minute, text = child.result("now", at_us=at_us)

    assert nanoseconds == at_us * 1000
    assert seconds == at_us / 1e6
    assert iso == "2001-09-09T01:46:40.123456"
    assert (minute, text) == (46, "Sun Sep  9 01:46:40 2001")
    assert child.result("elapsed") is True


def test_a_real_clock_runs(spawn: Callable[..., Child]) -> None:
    child = booted(spawn, MODELS / "child_plain", clock="real")
    assert child.result("now", at_us=0)[0] > AT_US * 1000


def test_the_actor_always_has_its_five_keys(child: Child) -> None:
    nobody = dict.fromkeys(["pseudonym_key", "group_key", "group_mandate", "world_key", "world_role"])
    assert child.result("actor") == nobody
    given = {"world_role": "Sales", "user_key": "u"}
    assert child.result("actor", actor=given) == {**nobody, **given}
    assert child.result("actor") == nobody


def test_records_go_out_with_their_action_also_when_it_raised(child: Child) -> None:
    assert child.call("record", "a.b", [1]).records == {"a.b": [1]}
    assert child.call("give", 1).records == {}
    assert child.call("record_then_fail").records == {"before": 1}
    assert child.call("mutate_recorded").records == {"values.now": [1]}
    error = child.error("record_object")
    assert error["information"]["type"] == "TypeError"
    assert "thing" in error["message"]
    assert "thing.a[0]" in error["message"]


def test_a_run_cannot_record_more_than_a_frame_holds(child: Child) -> None:
    text = "x" * 190_000
    names = [f"name{index}" for index in range(30)]
    kinds = [child.call("record", name, text).status for name in names]
    assert kinds[0] == "completed"
    assert kinds[-1] == "error"
    assert child.call("record", names[0], text).records == {names[0]: text}


CALL_BACK = {"kind": "execute", "name": "callback", "arguments": []}


def test_a_callback_waits_for_the_answer_of_the_host(child: Child) -> None:
    for number, answer, expected in (
        (1, ["completed", pack([1])], ("completed", [1])),
        (2, ["unknown", pack(None)], ("completed", None)),
        (3, ["error", pack({"code": "C", "message": "no"})], ("error", "callback raised CallbackError: ")),
    ):
        child.n += 1
        child.send("perform", child.n, AT_US, None, pack(CALL_BACK), False, 0)
        assert child.receive() == ["call", number, "leaderboard", pack([{}])]
        child.send("answer", number, *answer)
        outcome = child.outcome()
        value = outcome.value["message"][:31] if outcome.status == "error" else outcome.value
        assert (outcome.status, value) == expected
    assert "externalFunctions has no such name" in child.output()


def test_a_replayed_callback_is_answered_from_the_history(spawn: Callable[..., Child]) -> None:
    child = booted(spawn, MODELS / "child_plain", event=None)
    call = ["leaderboard", pack([{}]), "completed", pack(7)]
    other = ["leaderboard", pack([]), "completed", pack(7)]
    answers = (pack([call]), None, pack([other]), pack([call, call]))
    entries = [[seq, AT_US, None, pack(CALL_BACK), one] for seq, one in enumerate(answers, 2)]
    (frame,) = child.replay(entries)
    assert frame[2] == [
        outcome_digest("completed", pack(7)),
        "its call 1, of 'leaderboard', is not recorded (0 are)",
        "its call 1, of 'leaderboard', is recorded with other arguments",
        "it made 1 calls of external functions, recorded are 2",
    ]
    child.settle(None)
    child.send("perform", child.n + 1, AT_US, None, pack(CALL_BACK), False, 0)
    assert child.receive()[0] == "call"


def test_another_frame_than_the_answer_ends_a_process_that_waits(child: Child) -> None:
    child.send("perform", 1, AT_US, None, pack(CALL_BACK), False, 0)
    assert child.receive()[0] == "call"
    child.send("answer", 2, "completed", pack(1))
    with pytest.raises(EOFError, match="1"):
        child.receive()


def test_a_process_that_waits_for_an_answer_ends_with_its_peer(child: Child) -> None:
    child.send("perform", 1, AT_US, None, pack(CALL_BACK), False, 0)
    assert child.receive()[0] == "call"
    child.channel.close()
    assert child.exit_status() == 98


# Determinism


def drive(child: Child) -> list[tuple[list[Any], bytes]]:
    """Live actions, recorded as the host records them, mixed with what is not recorded."""
    history: list[tuple[list[Any], bytes]] = []
    for index in range(5):
        at_us = AT_US + index * 1_000_001
        actor = {"world_role": f"role{index}"} if index % 2 else None
        for name in ("draw", "fail_halfway"):
            outcome = child.call(name, at_us=at_us, actor=actor)
            action = pack({"kind": "execute", "name": name, "arguments": []})
            entry = [len(history) + 2, at_us, None if actor is None else pack(actor), action, None]
            history.append((entry, outcome.digest))
        child.call("draw" if index == 2 else "peek", at_us=at_us + 7, inert=True)
        child.set("state.spare", index)
        action = pack({"kind": "set", "name": "state.spare", "value": index})
        history.append(
            ([len(history) + 2, AT_US, None, action, None], outcome_digest("completed", pack(index)))
        )
    return history


@pytest.mark.parametrize("preload", ((), ("numpy.random",)))
def test_a_replay_equals_the_live_run(spawn: Callable[..., Child], preload: tuple[str, ...]) -> None:
    live = booted(spawn, MODELS / "child_random")
    history = drive(live)
    assert len({digest for _, digest in history}) > 6
    restored = spawn(*preload)
    restored.boot(MODELS / "child_random", event=None)

    digests = [digest for frame in restored.replay([entry for entry, _ in history]) for digest in frame[2]]
    records, warnings = restored.settle(None)

    assert digests == [digest for _, digest in history]
    assert (outcome_digest("completed", records["last"]), warnings) == (history[-3][1], [])
    later = [child.call("draw", at_us=AT_US + 10**9) for child in (live, restored)]
    assert later[0].value == later[1].value
    assert restored.output() == "drawn\n"


def test_two_seeds_give_two_runs(spawn: Callable[..., Child]) -> None:
    first, same, other = (booted(spawn, MODELS / "child_random", seed=seed) for seed in (1, 1, 2))
    results = [child.result("draw") for child in (first, same, other)]
    assert results[0] == results[1]
    assert all(a != b for a, b in zip(results[0], results[2], strict=True) if isinstance(a, float) and a < 1)


def test_system_entropy_differs_from_run_to_run(spawn: Callable[..., Child]) -> None:
    runs = [booted(spawn, MODELS / "child_random", entropy="system") for _ in range(2)]
    first, second = (child.result("draw") for child in runs)
    assert first[0] == second[0]
    assert first[4] != second[4]


# Replay and settle


def test_replay_answers_in_chunks_and_says_nothing(spawn: Callable[..., Child]) -> None:
    child = booted(spawn, MODELS / "child_plain", event=None)
    action = pack({"kind": "execute", "name": "step", "arguments": [1]})
    failing = pack({"kind": "execute", "name": "fail", "arguments": ["x"]})
    entries = [[seq, AT_US, None, action, None] for seq in range(2, 10_002)]
    entries.append([10_002, AT_US, None, failing, None])

    frames = child.replay(entries)

    assert sum(len(frame[2]) for frame in frames) == 10_001
    assert all(len(frame[2]) <= 4096 for frame in frames)
    assert len(frames) >= 3
    assert frames[-1][2][-1] == outcome_digest("error", b"", "OPERATION_FAILED", "KeyError")
    assert child.settle(None) == [{}, []]
    assert child.get("counter").value == 10_000
    child.call("step", 5)
    assert child.output() == "stepped 5\n"


def test_events_fire_at_first_load_and_at_settling(spawn: Callable[..., Child]) -> None:
    live = spawn()
    kind, records, _ = live.boot(MODELS / "child_events")
    assert (kind, unpack(records["events"])[0][0]) == ("booted", "onInitialized")
    drawn = live.result("draw")
    assert live.output().splitlines() == ["body", "handling onInitialized", "drawing"]

    restored = spawn()
    restored.boot(MODELS / "child_events", event=None)
    (frame,) = restored.replay(
        [[2, AT_US, None, pack({"kind": "execute", "name": "draw", "arguments": []}), None]]
    )
    assert frame[2] == [outcome_digest("completed", pack(drawn))]
    records, warnings = restored.settle("onRestored")
    assert [name for name, _ in unpack(records["events"])] == ["onInitialized", "onRestored"]
    assert warnings == []
    assert restored.output().splitlines() == ["handling onRestored"]


def test_an_events_draws_do_not_move_the_recorded_stream(spawn: Callable[..., Child]) -> None:
    children = [booted(spawn, MODELS / "child_events", event=None) for _ in range(2)]
    children[0].settle("onRestored")
    children[1].settle(None)
    assert children[0].result("draw") == children[1].result("draw")


def test_a_failing_event_is_a_warning(spawn: Callable[..., Child]) -> None:
    child = booted(spawn, MODELS / "child_events", event=None)
    _, warnings = child.settle("onCloned")
    assert warnings == [{"code": "EVENT_FAILED", "path": "onCloned"}]
    assert child.result("again") == [None, None]
    assert "\x1eERROR\x1fonCloned raised ValueError: bad clone\\n" in child.output()


# Output


def test_log_lines_and_printed_lines_share_the_pipe_in_order(child: Child) -> None:
    child.result("step", 1)
    child.result("log", "warn", "two\nlines")
    child.result("log", "debug", "not shown")
    child.result("log", "loud", "shown")
    assert child.output() == "stepped 1\n\x1eWARN\x1ftwo\\nlines\n\x1eINFO\x1fshown\n"


def test_a_log_line_never_continues_a_printed_one(spawn: Callable[..., Child], tmp_path: Path) -> None:
    source = "from epicenter import Epicenter\nprint('part', end='')\nEpicenter.log('FATAL', '\\ud800')\n"
    child = booted(spawn, model(tmp_path, source))
    assert child.output() == "part\n\x1eFATAL\x1f\\ud800\n"


def test_standard_output_can_be_discarded(spawn: Callable[..., Child]) -> None:
    child = booted(spawn, MODELS / "child_plain", redirect_standard_out=False, minimum_log_level="OFF")
    child.result("step", 1)
    child.result("log", "FATAL", "off")
    assert child.output() == ""


# What a hostile or careless model does to its own process

HARMLESS = [
    *("close_streams", "detach_streams", "replace_streams", "delete_streams", "patch_builtins"),
    *(
        "patch_modules",
        "clear_modules",
        "trace",
        "tiny_recursion",
        "ignore_signals",
        "leave_thread",
        "exchange_generator",
    ),
]


@pytest.mark.parametrize("operation", HARMLESS)
def test_the_loop_survives(spawn: Callable[..., Child], operation: str) -> None:
    child = booted(spawn, MODELS / "child_hostile")
    assert child.call(operation).status in {"completed", "error"}
    assert child.result("ok") == "still here"
    assert child.result("ok", inert=True) == "still here"
    assert child.read("kept").value == {"kept": 1}
    assert child.set("kept", [2]).value == [2]
    assert child.get("krept").value["code"] == "UNKNOWN_VARIABLE"
    assert child.error("nothing")["code"] == "UNKNOWN_OPERATION"
    frames = child.replay([[1, AT_US, None, pack({"kind": "execute", "name": "ok", "arguments": []}), None]])
    assert frames[-1][2] == [outcome_digest("completed", pack("still here"))]
    child.channel.close()
    assert child.exit_status() == 98


def test_trace_functions_do_not_outlive_their_action(spawn: Callable[..., Child]) -> None:
    child = booted(spawn, MODELS / "child_hostile")
    child.call("trace")
    assert child.result("is_traced") == [False, False]


def test_lying_values_and_errors_are_outcomes(spawn: Callable[..., Child]) -> None:
    child = booted(spawn, MODELS / "child_hostile")
    assert child.result("lying_values") == [{"a": 1}, [1, 2]]
    assert child.error("lying_error")["information"]["type"] == "LyingError"
    assert child.error("lying_object")["code"] == "UNENCODABLE_VALUE"
    assert child.result("ok") == "still here"


@pytest.mark.parametrize(
    "frame",
    (
        b"\xff\xff\xff\xff",
        b"\0\0\0\1\xc1",
        pack_frame([]),
        pack_frame(["dance", 1]),
        pack_frame(["perform", 1]),
        pack_frame(["perform", 1, 2, None, b"\xc1", False, 0]),
    ),
)
def test_a_broken_peer_ends_the_process(child: Child, frame: bytes) -> None:
    child.channel.sendall(frame)
    assert child.exit_status() == 1
    assert child.output().startswith("run process ended: ")


def test_a_frame_may_come_in_pieces(child: Child) -> None:
    frame = pack_frame(["read", 1, ["price"], False])
    child.n = 1
    for place in range(len(frame)):
        child.channel.sendall(frame[place : place + 1])
    assert child.outcome().value == {"price": 1.5}
