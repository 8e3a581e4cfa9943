"""How much a run may record: what its archive holds comes back in one message when it is restored."""

from worker.channel import MAX_RECORDS, Allowance, may_exceed, unpack

_FIRST_OF_CONTAINERS = frozenset({*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF})
"""First bytes of lists and maps in msgpack."""


class RecordRoom:
    """What is left for the last values of all names recorded since the process began; none before ``start``.

    Values are counted once the bytes of lists and maps could hold too many, which those of most models never can.
    """

    def __init__(self) -> None:
        self._bytes = self._allowed_bytes = 0
        self._values = self._allowed_values = 0
        self._sizes: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._uncounted: dict[str, bytes] | None = {}
        self._uncounted_bytes = 0

    def start(self, allowed_bytes: int, allowed_values: int) -> None:
        """Set what is allowed, once."""
        self._bytes = self._allowed_bytes = allowed_bytes
        self._values = self._allowed_values = allowed_values

    def take(self, name: str, name_length: int, packed: bytes) -> None:
        """Take the room of an encoded value, and give back that of the one before it.

        Raises:
            ValueError: there is none; nothing changed.
        """
        size = len(packed) + name_length
        left = self._bytes + self._sizes.get(name, 0) - size
        if name not in self._sizes and len(self._sizes) >= MAX_RECORDS:
            raise ValueError(f"record {name!r}: a run may record {MAX_RECORDS} names in all")
        if left < 0:
            raise ValueError(f"record {name!r}: a run may record {self._allowed_bytes} bytes in all")
        self._take_values(name, packed)
        self._bytes = left
        self._sizes[name] = size

    def _take_values(self, name: str, packed: bytes) -> None:
        is_container = packed[0] in _FIRST_OF_CONTAINERS
        if self._uncounted is not None:
            size = self._uncounted_bytes - len(self._uncounted.get(name, b"")) + is_container * len(packed)
            if not may_exceed(size, self._allowed_values):
                self._uncounted[name] = packed if is_container else b""
                self._uncounted_bytes = size
                return
            self._counts = {known: _values_of(value) for known, value in self._uncounted.items() if value}
            self._values -= sum(self._counts.values())
            self._uncounted = None
        count = _values_of(packed) if is_container else 0
        left = self._values + self._counts.get(name, 0) - count
        if left < 0:
            raise ValueError(
                f"record {name!r}: a run may record {self._allowed_values} values in the lists and maps of all names"
            )
        self._values = left
        self._counts[name] = count


def _values_of(packed: bytes) -> int:
    """As the reader of a message counts them."""
    allowance = Allowance.for_all_of(len(packed))
    unpack(packed, allowance)
    return allowance.taken
