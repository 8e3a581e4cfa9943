"""Frames between the supervisor and a run process."""

import msgpack
import pytest

from worker.channel import HEADER, ChannelError, FrameReader, outcome_digest, pack, pack_frame, unpack


def framed(body: bytes) -> bytes:
    return HEADER.pack(len(body)) + body


def test_a_frame_is_kept_until_it_is_whole() -> None:
    reader = FrameReader(100)
    data = pack_frame(["perform", 1])
    for position in range(len(data) - 1):
        assert list(reader.feed(data[position : position + 1])) == []
        assert reader.pending_bytes == position + 1
    assert list(reader.feed(data[-1:])) == [["perform", 1]]
    assert reader.pending_bytes == 0


def test_several_frames_in_one_read_come_in_order() -> None:
    reader = FrameReader(100)
    data = pack_frame(["a"]) + pack_frame(["b", 2]) + pack_frame(["c"])[:3]
    assert list(reader.feed(data)) == [["a"], ["b", 2]]
    assert reader.pending_bytes == 3


def test_a_length_over_the_limit_is_refused_before_its_body_arrives() -> None:
    reader = FrameReader(100)
    with pytest.raises(ChannelError, match="frame of 101 bytes, allowed 100"):
        list(reader.feed(HEADER.pack(101)))


def test_a_frame_of_exactly_the_limit_passes() -> None:
    body = pack(["x" * 97])
    assert list(FrameReader(len(body)).feed(framed(body))) == [["x" * 97]]


@pytest.mark.parametrize(
    "body",
    (
        b"",
        b"\xc1",
        b"\x93\x01",
        b"\x91\xa1a\x00",
        pack([]),
        pack([1, 2]),
        pack({"kind": 1}),
        pack("perform"),
        b"\x91\xa1\xff",
        b"\x92\xa1a\x81\x90\x01",
        b"\x91" * 5000,
        b"\xdd\xff\xff\xff\xff",
        msgpack.packb(["a", msgpack.ExtType(1, b"x")]),
        b"\x92\xa1a\xc7\x05\xff\0\0\0\0\0",
    ),
)
def test_a_body_that_is_no_message_is_a_channel_error(body: bytes) -> None:
    with pytest.raises(ChannelError):
        list(FrameReader(10_000).feed(framed(body)))


def test_messages_before_a_broken_one_are_delivered() -> None:
    messages = FrameReader(100).feed(pack_frame(["good"]) + framed(b"\xc1"))
    assert next(messages) == ["good"]
    with pytest.raises(ChannelError):
        next(messages)


def test_a_reader_that_is_left_early_loses_nothing() -> None:
    reader = FrameReader(100)
    assert next(reader.feed(pack_frame(["a"]) + pack_frame(["b"]))) == ["a"]
    assert list(reader.feed(b"")) == [["b"]]


def test_bytes_stay_bytes_and_text_stays_text() -> None:
    assert unpack(pack(["a", b"a", None, 2**64 - 1])) == ["a", b"a", None, 2**64 - 1]


def test_a_digest_tells_results_apart_and_ignores_what_differs_between_processes() -> None:
    assert outcome_digest("completed", b"1") == outcome_digest("completed", b"1")
    assert outcome_digest("completed", b"1") != outcome_digest("completed", b"2")
    failed = outcome_digest("error", b"at 0x7f", "OPERATION_FAILED", "ValueError")
    assert failed == outcome_digest("error", b"at 0x80", "OPERATION_FAILED", "ValueError")
    assert failed != outcome_digest("error", b"at 0x7f", "OPERATION_FAILED", "KeyError")
    assert failed != outcome_digest("completed", b"at 0x7f")
