"""What makes a replayed run equal the live one: seeded randomness and a clock that stands still.

``random`` and numpy's global generator are seeded from the run seed, once. With ``entropy = "seeded"`` the
operating system's randomness is replaced by a stream of the run seed behind ``os.urandom``,
``os.getrandom`` and ``random``'s own source, and with it ``secrets``, ``SystemRandom``, ``uuid4``, ``uuid1``
(node and clock sequence; its time is the clock's), ``random.Random()`` and ``random.seed()`` without a seed,
and numpy's ``default_rng()`` and ``SeedSequence()``. Code that asks the kernel itself, from C, is not
reached.

numpy.random is often imported late, and whether it is depends on what the zygote has loaded. So its import
by a model takes nothing from the stream and leaves it seeded just as if it had been loaded before.
"""

import os
import random
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b, shake_256
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final, NamedTuple

from worker.child.failures import attempt
from worker.child.isolation import BUILTINS
from worker.child.travel import time_machine

__builtins__ = BUILTINS

SEED_BYTES: Final = 8
BLOCK_BYTES: Final = 64
NUMPY_RANDOM: Final = "numpy.random"
_modules: Final = sys.modules
_uuid: Final = vars(uuid)
_get_state: Final = random.getstate
_set_state: Final = random.setstate
_seed_random: Final = random.seed
_TIMESTAMPS: Final = ("_last_timestamp", "_last_timestamp_v6", "_last_timestamp_v7")


class NumpyRandom(NamedTuple):
    """The functions of numpy's global generator, bound when numpy.random was found."""

    seed: Callable[[int], None]
    get_state: Callable[..., Any]
    set_state: Callable[[Any], None]


class RandomState(NamedTuple):
    """All random states at one moment; only ``Randomness`` makes and reads it."""

    python: Any
    numpy: Any
    position: int
    timestamps: tuple[Any, ...]


def derived_seed(seed: int, seq: int) -> int:
    """H(run seed, seq): the seed after a snapshot taken at ``seq``; non-negative, below 2**63."""
    digest = blake2b(f"{seed}:{seq}".encode(), digest_size=SEED_BYTES, person=b"reseed")
    return int.from_bytes(digest.digest(), "big") >> 1


class Randomness:
    """The random states of one run."""

    def __init__(self) -> None:
        self._seeded = False
        self._originals: list[tuple[Any, str, Any]] = []
        self._seed = 0
        self._key = b""
        self._position = 0
        self._numpy: NumpyRandom | None = None

    def install(self) -> None:
        """Take over the sources of randomness; once, in the zygote. Nothing may draw before ``start``."""
        sys.meta_path.insert(0, _NumpyRandomFinder(self._numpy_loaded))
        self._find_numpy()
        replacements = _replacements(self.draw)
        self._originals = [(owner, name, getattr(owner, name)) for owner, name, _ in replacements]
        _set_all(replacements)

    def start(self, seed: int, *, seeded: bool) -> None:
        """Begin all streams; once, when the clock is set, before the model's body.

        Unless ``seeded``, entropy is the system's again.
        """
        self._seeded = seeded
        if not seeded:
            _set_all(self._originals)
        self.seed_all(seed)

    def seed_all(self, seed: int) -> None:
        """Begin all streams anew from ``seed``."""
        self._seed = seed
        self._key = blake2b(str(seed).encode(), digest_size=32, person=b"entropy").digest()
        self._position = 0
        _seed_random(seed)
        if self._seeded:
            _uuid["_generate_time_safe"] = None
            node = int.from_bytes(blake2b(self._key, digest_size=6, person=b"node").digest(), "big")
            _uuid["_node"] = node | 1 << 40
        self._find_numpy()
        self._seed_numpy()

    def reseed(self, seed: int, seq: int) -> None:
        """Begin all streams anew after a snapshot that was taken at ``seq``."""
        self.seed_all(derived_seed(seed, seq))

    def draw(self, size: int, /) -> bytes:
        """The next ``size`` bytes of the entropy stream.

        Raises:
            ValueError: ``size`` is negative.
        """
        if size < 0:
            raise ValueError("negative argument not allowed")
        self._position += 1
        counter = self._position.to_bytes(8, "big")
        if size <= BLOCK_BYTES:
            return blake2b(counter, digest_size=BLOCK_BYTES, key=self._key).digest()[:size]
        return shake_256(self._key + counter).digest(size)

    def save(self) -> RandomState:
        """All states now."""
        numpy = None if self._numpy is None else self._numpy.get_state(legacy=False)
        timestamps = tuple(_uuid.get(name) for name in _TIMESTAMPS)
        return RandomState(_get_state(), numpy, self._position, timestamps)

    def restore(self, state: RandomState) -> None:
        """Put the states back to where ``save`` found them.

        A model that exchanged numpy's global bit generator in between keeps the new one's state.
        """
        _set_state(state.python)
        self._position = state.position
        _uuid.update(zip(_TIMESTAMPS, state.timestamps, strict=True))
        if state.numpy is not None and self._numpy is not None:
            attempt(self._numpy.set_state, state.numpy)
        else:
            self._seed_numpy()

    def _find_numpy(self) -> None:
        if self._numpy is None and NUMPY_RANDOM in _modules:
            self._numpy = _bound(_modules[NUMPY_RANDOM])

    def _seed_numpy(self) -> None:
        if self._numpy is not None:
            self._numpy.seed(self._seed & 0xFFFFFFFF)

    def _numpy_loaded(self, load: Callable[[], None], module: ModuleType) -> None:
        position = self._position
        load()
        self._numpy = _bound(module)
        self._seed_numpy()
        self._position = position


def _bound(module: Any) -> NumpyRandom:
    return NumpyRandom(module.seed, module.get_state, module.set_state)


def _set_all(values: Sequence[tuple[Any, str, Any]]) -> None:
    for owner, name, value in values:
        setattr(owner, name, value)


def _replacements(draw: Callable[[int], bytes]) -> list[tuple[Any, str, Any]]:
    """What to set where, so that Python code that asks for entropy gets ``draw``'s."""
    original = random.Random.seed

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        original(self, int.from_bytes(draw(32), "big") if a is None else a, version)

    def getrandom(size: int, _flags: int = 0) -> bytes:
        return draw(size)

    instance = _seed_random.__self__  # type: ignore[attr-defined]  # a bound method, typed as a function
    return [
        (os, "urandom", draw),
        (os, "getrandom", getrandom),
        (random, "_urandom", draw),
        (random.Random, "seed", seed),
        (random, "seed", seed.__get__(instance)),
    ]


class _NumpyRandomFinder:
    """Finds numpy.random as always, with a loader that reports it."""

    def __init__(self, loaded: Callable[[Callable[[], None], ModuleType], None]) -> None:
        self._loaded = loaded

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if fullname != NUMPY_RANDOM:
            return None
        spec: Any = PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            spec.loader = _ReportingLoader(spec.loader, self._loaded)
        found: ModuleSpec | None = spec
        return found


class _ReportingLoader:
    """Stands in for a loader while it runs the module, then steps out of the way."""

    def __init__(self, loader: Any, loaded: Callable[[Callable[[], None], ModuleType], None]) -> None:
        self._loader = loader
        self._loaded = loaded

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        loader = self._loader
        module.__loader__ = loader
        if module.__spec__ is not None:
            module.__spec__.loader = loader
        self._loaded(lambda: loader.exec_module(module), module)


class _Stamp(time_machine.Traveller):
    """A traveller whose time is set, not computed: moving it is one assignment."""

    at_ns = 0

    def time_ns(self) -> int:
        return self.at_ns


class Clock:
    """The wall clock a model sees: the stamp of its action (``stamped``), or the real one.

    ``perf_counter``, ``monotonic`` and numpy's ``datetime64("now")`` stay real.
    """

    def __init__(self) -> None:
        self._stamp = _Stamp(0, None, tick=False)
        self._travel = time_machine.travel(datetime(1970, 1, 1, tzinfo=UTC), tick=False)
        self._originals = (time.ctime, time.asctime)

    def install(self) -> None:
        """Stop the clock at 1970, in UTC; once, in the zygote."""
        os.environ["TZ"] = "UTC"
        time.tzset()
        self._travel.start()
        time_machine.traveller_stack[-1] = self._stamp
        _stop_ctime()

    def start(self, at_us: int, *, stamped: bool) -> None:
        """Move the clock to ``at_us`` microseconds since 1970, or unless ``stamped`` let it run again; once.

        Raises:
            RuntimeError: the library does not follow; times would not be reproducible.
        """
        if not stamped:
            self._travel.stop()
            time.ctime, time.asctime = self._originals
            return
        self.move(at_us)
        if time.time_ns() != at_us * 1000:
            raise RuntimeError("time-machine does not follow the stamped clock")

    def move(self, at_us: int) -> None:
        """Set the time of the next action."""
        self._stamp.at_ns = at_us * 1000


def _stop_ctime() -> None:
    """``ctime`` and ``asctime`` without an argument ask C for the time; make them ask ``time.time``."""
    original = time.ctime
    original_asctime = time.asctime

    def ctime(seconds: float | None = None, /) -> str:
        return original(time.time() if seconds is None else seconds)

    def asctime(moment: Any = None, /) -> str:
        return original_asctime(time.localtime() if moment is None else moment)

    for name, function in (("ctime", ctime), ("asctime", asctime)):
        setattr(time, name, function)
