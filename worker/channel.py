"""The frames that both ends of a run's socket share.

One run process talks to the supervisor over one inherited stream socket. A frame is a 4-byte big-endian
length and that many bytes of msgpack: always a list whose first element names its kind. This module may
import nothing but the standard library and msgpack, because the run process imports it.

Supervisor to run process (``n`` counts requests from 1, each answered exactly once and in order)::

    ["boot", spec]                                   once, first; spec is a BootSpec map
    ["perform", n, at_us, actor, action, inert, seq] action: canonical action bytes, actor: msgpack bytes or None, with
                                                     the approval of the action, where there is one; seq: of the
                                                     entry that will record it, 0 if none does
    ["read", n, names, ignorable]                    names: list of variable references
    ["introspect", n]                                what the model offers; nothing of the run changes
    ["replay", n, entries]                           entries: list of [seq, at_us, actor, action, answers]; answers as
                                                     the boot spec has them
    ["assign", n, at_us, values, reseed_seq]         a snapshot or a part of it; values: list of [name, msgpack bytes of
                                                     a JSON value], assigned in order; reseed_seq: the seq it is of,
                                                     for the random streams that begin anew behind it, or None
    ["settle", n, at_us, event]                      replay is over; event: "onRestored" ... or None
    ["terminate", at_us]                             last, to a run at rest: onTerminating, then it is killed
    ["answer", k, status, value]                     to "call" k; status: "completed", "error" or "unknown" (no such
                                                     function); value: msgpack bytes of the result, of {"code",
                                                     "message"}, or of nil

Run process to supervisor::

    ["booted", records, warnings]                    records: map name -> msgpack bytes of a JSON value
    ["boot_failed", error]                           error: {"code", "message", "information"}
    ["outcome", n, status, value, records, warnings] status: "completed" | "error"; value: msgpack bytes of the
                                                     result, or of an error map. Answers "perform", "read" and
                                                     "introspect": {"functions", "variables"}
    ["replayed", n, digests, done]                   outcome digests in order; several frames may answer one
                                                     "replay", the last has done = True. Instead of a digest, text:
                                                     in which way the action called otherwise than recorded
    ["call", k, name, arguments]                     while the model is loaded for the first time, or an action
                                                     performed: call an external function; k counts from 1;
                                                     arguments: msgpack bytes of a JSON value. One at a time
    ["assigned", n, findings]                        warnings; those of code NOT_ASSIGNED, for a value that could not
                                                     be assigned, have "type" and "message" too
    ["settled", n, records, warnings]                records: the last value of every name recorded since boot, or
                                                     since the last "assign"
    ["terminated"]                                   its handler is done; what it printed is in the pipe
    ["fault", n, kind, detail]                       the process cannot go on ("memory"); it is ended

``at_us`` is microseconds since 1970, UTC. A warning is ``{"code": str, "path": str}``; one of code CALLS_DIFFER in
"booted" says that a model called otherwise while it was loaded again. ``answers`` of a boot or an action are None, or
msgpack bytes of a list of [name, arguments, status, value], as in "call" and "answer", in order.
An outcome of code PENDING_APPROVAL says that the action asks for approval: what it did is to be taken back.
In the spec of "boot", ``context`` is None or msgpack bytes of what the model finds in every call, ``attached`` lists
names with a leading underscore that are operations all the same, ``lineage`` lists [seq, run key] of the runs that
recorded the history up to there before it was copied, and ``judged`` has results told (NOT_JSON) that hold
what JSON has not. ``archive`` is None or ``{"default": bool, "variables": {name: bool}}``: which variables are
recorded without the model doing it. What these came to is among the records of "booted", "outcome" and "settled".
"""

import gc
import hashlib
import struct
from collections.abc import Iterator
from typing import Any, Final

import msgpack

HEADER: Final = struct.Struct(">I")
DIGEST_BYTES: Final = 16
CHANNEL_FD: Final = 3
"""The descriptor on which a run process finds its socket after the lock-down."""

MAX_DEPTH: Final = 64
"""Nesting of lists and maps in any value that crosses; the same bound as on the wire."""

ANSWERED: Final = "completed"
REFUSED: Final = "error"
UNKNOWN: Final = "unknown"
"""How the call of an external function ended."""

CALLBACK_NAME_CHARACTERS: Final = 256
CALL_OVERHEAD_BYTES: Final = 64
"""What a call counts besides its name, arguments and answer; so their number is bounded too."""

MAX_VALUES: Final = 1_000_000
"""Items of all lists and maps in one message, or in one value, together, at most: what is small in bytes could otherwise
keep its reader busy for seconds."""

USUAL_VALUES: Final = 250_000
"""The same of one value of a model, unless the worker is told otherwise: reading so many takes some 30 ms."""

CONTAINER_VALUES: Final = 4
"""What a list or map counts besides its items: each costs its reader more than a number does."""

LARGE_BYTES: Final = 64 * 1024
"""What is shorter is read without counting its values, unless they are bounded by less than there may be in it."""

MAX_RECORDS: Final = 10_000
"""Names that a run records at most."""

RECORDED_SHARE: Final = 2
"""So many times the values that one value may hold are in the last values of all names together: they come back in one
message, and nobody else is served while it is judged."""

RECORD_NAME_CHARACTERS: Final = 256
"""Of the name of a record, at most; the model's side refuses longer ones, and the worker's does not trust it."""

EXIT_LOCKDOWN_FAILED: Final = 97
EXIT_PARENT_GONE: Final = 98


class ChannelError(Exception):
    """The peer sent bytes that are no frame of this channel; the connection cannot be used further."""


class LimitError(ChannelError):
    """The peer went beyond a limit; ``used`` is None where only that much is known."""

    def __init__(self, message: str, *, limit: str, used: int | None, allowed: int) -> None:
        super().__init__(message)
        self.limit = limit
        self.used = used
        self.allowed = allowed


def pack(value: Any) -> bytes:
    """Encode a JSON value; the same value always gives the same bytes (map order is kept)."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def may_exceed(size: int, values: int) -> bool:
    """Whether so many bytes of msgpack can hold more values: a byte may be an empty list."""
    return (1 + CONTAINER_VALUES) * size > values


class Allowance:
    """How many values may still be read; one of several messages bounds them together."""

    def __init__(self, values: int = MAX_VALUES) -> None:
        self.values = values
        self._left = values

    @classmethod
    def for_all_of(cls, size: int) -> "Allowance":
        """So many as fit so many bytes."""
        return cls((1 + CONTAINER_VALUES) * size)

    @property
    def taken(self) -> int:
        """How many were read."""
        return self.values - self._left

    def take(self, container: Any) -> Any:
        """Count a list or map with its items; it is given back.

        Raises:
            LimitError: they are too many.
        """
        self._left -= len(container) + CONTAINER_VALUES
        if self._left < 0:
            raise self.exceeded()
        return container

    def exceeded(self) -> LimitError:
        """What is raised where they are too many."""
        what = f"more than {self.values} values in all lists and maps of one message"
        return LimitError(what, limit="values", used=None, allowed=self.values)


def unpack(data: bytes, allowance: Allowance | None = None) -> Any:
    """Decode one msgpack value from an untrusted peer.

    Raises:
        ChannelError: for anything that is not exactly one well-formed value.
        LimitError: it holds more values than are allowed.
    """
    try:
        if allowance is not None or len(data) > LARGE_BYTES:
            return _unpack_counted(data, allowance or Allowance())
        return msgpack.unpackb(data, raw=False, strict_map_key=False, ext_hook=_refuse_ext, timestamp=0)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError, OverflowError) as error:
        raise ChannelError(f"not msgpack: {type(error).__name__}: {error}"[:200]) from error


def _unpack_counted(data: bytes, allowance: Allowance) -> Any:
    """Meanwhile the collector rests, which would look through all that is built again and again."""
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=False,
            ext_hook=_refuse_ext,
            timestamp=0,
            list_hook=allowance.take,
            object_hook=allowance.take,
            max_array_len=allowance.values,
            max_map_len=allowance.values,
        )
    except ValueError as error:
        if "exceeds max_array_len" in str(error) or "exceeds max_map_len" in str(error):
            raise allowance.exceeded() from error
        raise
    finally:
        if was_collecting:
            gc.enable()


def _refuse_ext(code: int, _data: bytes) -> Any:
    raise ValueError(f"extension type {code}")


def pack_frame(message: list[Any]) -> bytes:
    """Encode one message with its length."""
    body = pack(message)
    return HEADER.pack(len(body)) + body


def is_own(message: list[Any]) -> bool:
    """Whether a run process sends this by itself: every other message answers one of the supervisor's."""
    return message[0] == "call" or (message[0] == "replayed" and message[-1] is not True)


class FrameReader:
    """Cuts a byte stream into messages; holds at most one incomplete frame.

    The length is judged before anything is kept, so a peer cannot make the reader grow beyond
    ``max_frame_bytes`` plus one read.
    """

    def __init__(self, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    @property
    def pending_bytes(self) -> int:
        """Bytes received that do not make a whole frame yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[list[Any]]:
        """Yield the messages completed by ``data``, in order.

        Raises:
            ChannelError: a frame is too long, no msgpack, or not a list that begins with a string.
        """
        buffer = self._buffer
        buffer += data
        offset = 0
        try:
            while len(buffer) - offset >= HEADER.size:
                (length,) = HEADER.unpack_from(buffer, offset)
                if length > self._max_frame_bytes:
                    raise ChannelError(f"frame of {length} bytes, allowed {self._max_frame_bytes}")
                end = offset + HEADER.size + length
                if len(buffer) < end:
                    break
                body = bytes(buffer[offset + HEADER.size : end])
                offset = end
                message = unpack(body)
                if not isinstance(message, list) or not message or not isinstance(message[0], str):
                    raise ChannelError("a message must be a list that begins with its kind")
                yield message
        finally:
            del buffer[:offset]


def outcome_digest(status: str, value: bytes, error_code: str = "", error_type: str = "") -> bytes:
    """Digest of what an action did, as far as a replay must repeat it.

    For a completed action: its result, byte for byte. For an error: its code and the exception's type;
    messages and tracebacks may hold addresses and line numbers that differ from process to process.
    """
    digest = hashlib.blake2b(status.encode(), digest_size=DIGEST_BYTES)
    if status == "completed":
        digest.update(value)
    else:
        digest.update(f"\0{error_code}\0{error_type}".encode())
    return digest.digest()
