"""Frames of the channel, as a model can forge them; a copy lies in every model folder."""

import struct

import msgpack

REQUEST = 3
"""The number of the request that ``attack`` answers: its state was asked for, and something was added."""


def frame(message):
    body = msgpack.packb(message)
    return struct.pack(">I", len(body)) + body
