"""Archives variables that the model does not record itself, where its context wants all of them archived.

What a variable holds is encoded after an action and taken for recorded where the encoding is another one than
before. Constants (numbers, texts, flags, None) that are still the same object are not looked at again. A name that
the model ever recorded is the model's own.
"""

from hashlib import blake2b
from types import FunctionType, ModuleType
from typing import Any, Final

from worker.channel import RECORD_NAME_CHARACTERS
from worker.child.determinism import Randomness
from worker.child.encoding import Encoder
from worker.child.epicenter import Bridge
from worker.child.failures import attempt
from worker.child.isolation import BUILTINS
from worker.child.references import is_variable

__builtins__ = BUILTINS

MAX_VARIABLES: Final = 5_000
"""Archived so, and records of one answer up to which it is done: an answer with very many is refused."""
MAX_WARNINGS: Final = 90
"""In one answer; what there is no room for is told in the next one."""
DIGEST_BYTES: Final = 16
_CONSTANTS: Final = frozenset({int, float, str, bool, type(None)})
_NO_VARIABLES: Final = frozenset({FunctionType, ModuleType, type})
_MISSING: Final = object()
_digest: Final = blake2b


class Archivist:
    """Looks at the globals of one module; ``wanted`` says whether a variable of a name may be archived.

    ``wanted`` has ``default`` and ``variables``, a map from names to what counts for them instead.
    """

    def __init__(
        self,
        namespace: dict[str, Any],
        wanted: dict[str, Any],
        encoder: Encoder,
        bridge: Bridge,
        randomness: Randomness,
    ) -> None:
        self._namespace = namespace
        self._default = bool(wanted["default"])
        self._named: dict[str, bool] = dict(wanted["variables"])
        self._encoder = encoder
        self._bridge = bridge
        self._randomness = randomness
        self._constants: dict[str, Any] = {}
        self._digests: dict[str, bytes] = {}
        self._told: set[str] = set()

    def forget(self) -> None:
        """Take nothing for archived: whatever is there is archived with the next ``collect``."""
        self._constants = {}
        self._digests = {}

    def collect(self) -> None:
        """Have the variables recorded that changed. What cannot be is a warning, once for each, and left as it was.

        Raises:
            MemoryError: the model ran out of memory.
        """
        constants = self._constants
        changed = [
            (name, value)
            for name, value in list(self._namespace.items())
            if constants.get(name, _MISSING) is not value
            and type(name) is str
            and name[:1] != "_"
            and type(value) not in _NO_VARIABLES
            and self._named.get(name, self._default)
        ]
        if self._encoder.leaves_plain_types and all(type(value) in _CONSTANTS for _, value in changed):
            self._collect_each(changed)
            return
        # A replay does not come here, so what encoders draw must leave no trace.
        state = self._randomness.save()
        self._collect_each(changed)
        self._randomness.restore(state)

    def _collect_each(self, changed: list[tuple[str, Any]]) -> None:
        for name, value in changed:
            self._collect_one(name, value)

    def _collect_one(self, name: str, value: Any) -> None:
        is_constant = type(value) in _CONSTANTS
        if not is_constant:
            found, failure = attempt(is_variable, name, value)
            if failure is not None or not found:
                return
        if self._bridge.is_recorded(name):
            return
        warned = len(self._encoder.warnings)
        _, error = attempt(self._take, name, value)
        if error is not None:
            if issubclass(type(error), MemoryError):
                raise error
            del self._encoder.warnings[warned:]
            self._tell(name)
        elif is_constant:
            self._constants[name] = value

    def _take(self, name: str, value: Any) -> None:
        warned = len(self._encoder.warnings)
        packed = self._encoder.encode(value, name)
        digest = _digest(packed, digest_size=DIGEST_BYTES).digest()
        if self._digests.get(name) == digest:
            del self._encoder.warnings[warned:]
            return
        is_new = name not in self._digests
        if (
            len(name) > RECORD_NAME_CHARACTERS
            or len(self._bridge.records) >= MAX_VARIABLES
            or (is_new and len(self._digests) >= MAX_VARIABLES)
        ):
            raise ValueError(name)
        self._bridge.keep(name, packed)
        self._digests[name] = digest

    def _tell(self, name: str) -> None:
        warnings = self._encoder.warnings
        if name not in self._told and len(warnings) < MAX_WARNINGS:
            self._told.add(name)
            warnings.append({"code": "NOT_ARCHIVED", "path": name[:RECORD_NAME_CHARACTERS]})
