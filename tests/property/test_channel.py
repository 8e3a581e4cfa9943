"""The reader of a run process's stream, fed by somebody who means it harm."""

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from worker.channel import HEADER, ChannelError, FrameReader, pack_frame

LIMIT = 64
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5) | st.binary(max_size=5)
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
MESSAGES = st.builds(lambda kind, rest: [kind, *rest], st.text(max_size=5), st.lists(VALUES, max_size=3))


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted({min(cut, len(data)) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(st.lists(MESSAGES, max_size=5), st.lists(st.integers(0, 300), max_size=8))
def test_messages_arrive_whole_however_they_are_cut(messages: list[list[Any]], cuts: list[int]) -> None:
    reader = FrameReader(1000)
    stream = b"".join(pack_frame(message) for message in messages)
    received = [message for piece in pieces(stream, cuts) for message in reader.feed(piece)]
    assert received == messages
    assert reader.pending_bytes == 0


FRAMES = (
    st.binary(max_size=40)
    | MESSAGES.map(pack_frame)
    | st.builds(lambda body: HEADER.pack(len(body)) + body, st.binary(max_size=LIMIT))
    | st.integers(0, 2**32 - 1).map(HEADER.pack)
)


@given(st.lists(FRAMES, max_size=6).map(b"".join), st.lists(st.integers(0, 300), max_size=8))
def test_any_bytes_give_messages_or_a_channel_error_and_the_buffer_stays_bounded(
    data: bytes, cuts: list[int]
) -> None:
    reader = FrameReader(LIMIT)
    try:
        for piece in pieces(data, cuts):
            for message in reader.feed(piece):
                assert isinstance(message[0], str)
            assert reader.pending_bytes < HEADER.size + LIMIT
    except ChannelError:
        pass
    longest = max((len(piece) for piece in pieces(data, cuts)), default=0)
    assert reader.pending_bytes <= HEADER.size + LIMIT + longest
