"""How much a run may record: what its archive holds comes back in one message when it is restored."""

from worker.channel import MAX_RECORDS, Allowance, unpack

_FIRST_OF_CONTAINERS = frozenset({*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF})
"""First bytes of lists and maps in msgpack."""


class RecordRoom:
    """What is left for the last values of all names recorded since the process began; none before ``start``."""

    def __init__(self) -> None:
        self._bytes = self._allowed_bytes = 0
        self._values = self._allowed_values = 0
        self._taken: dict[str, tuple[int, int]] = {}

    def start(self, allowed_bytes: int, allowed_values: int) -> None:
        """Set what is allowed, once."""
        self._bytes = self._allowed_bytes = allowed_bytes
        self._values = self._allowed_values = allowed_values

    def take(self, name: str, name_length: int, packed: bytes) -> None:
        """Take the room of an encoded value, and give back that of the one before it.

        Raises:
            ValueError: there is none; nothing changed.
        """
        had_bytes, had_values = self._taken.get(name, (0, 0))
        size, values = len(packed) + name_length, _values_of(packed)
        if name not in self._taken and len(self._taken) >= MAX_RECORDS:
            raise ValueError(f"record {name!r}: a run may record {MAX_RECORDS} names in all")
        if self._bytes + had_bytes < size:
            raise ValueError(f"record {name!r}: a run may record {self._allowed_bytes} bytes in all")
        if self._values + had_values < values:
            raise ValueError(
                f"record {name!r}: a run may record {self._allowed_values} values in the lists and maps of all names"
            )
        self._bytes += had_bytes - size
        self._values += had_values - values
        self._taken[name] = size, values


def _values_of(packed: bytes) -> int:
    """As the reader of a message counts them."""
    if packed[0] not in _FIRST_OF_CONTAINERS:
        return 0
    allowance = Allowance.for_all_of(len(packed))
    unpack(packed, allowance)
    return allowance.taken
