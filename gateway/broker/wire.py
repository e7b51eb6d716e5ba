"""AMQP frames that are written by the thousand, marshalled once and sent in one piece.

pika builds four objects and writes three to four times for each message. Bells and acks are the same bytes but for a tag or a key id, so
they are built from templates and handed to the connection as one buffer. This is the only module that touches pika's private names:
``_output_marshaled_frames`` (there since 0.11) and ``_terminate_stream``; where one is missing, the public way is taken.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from pika import frame, spec

FRAME_END = b"\xce"
_FRAME = struct.Struct(">BHI")
_ACK = struct.Struct(">BHIHHQBB")
_OVERHEAD = 8
"""Bytes around the payload of a frame."""


def publish_method(channel: int, exchange: str, routing_key: str) -> bytes:
    """The ``basic.publish`` frame, always mandatory."""
    method = spec.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True)
    return frame.Method(channel, method).marshal()


def header(channel: int, size: int, properties: spec.BasicProperties) -> bytes:
    """The content header frame."""
    return frame.Header(channel, size, properties).marshal()


def body_frames(channel: int, body: bytes, frame_max: int) -> list[bytes]:
    """The body in frames of at most ``frame_max`` bytes; none for an empty body."""
    room = frame_max - _OVERHEAD
    return [
        piece
        for start in range(0, len(body), room)
        for piece in (_FRAME.pack(3, channel, len(body[start : start + room])), body[start : start + room], FRAME_END)
    ]


def bell_prefix(channel: int, exchange: str, routing_key: str, size: int, properties: spec.BasicProperties) -> bytes:
    """Everything of a small message before its body; add the body and :data:`FRAME_END`."""
    return publish_method(channel, exchange, routing_key) + header(channel, size, properties) + _FRAME.pack(3, channel, size)


def ack(channel: int, tag: int, *, multiple: bool) -> bytes:
    """A ``basic.ack`` frame."""
    return _ACK.pack(1, channel, 13, 60, 80, tag, 1 if multiple else 0, 0xCE)


def emit(connection: Any, pieces: Sequence[bytes]) -> None:
    """Write frames to the connection, small ones as one buffer. A connection that is going down takes nothing: whoever waits for an
    answer learns it from the channel."""
    if not connection.is_open:
        return
    write = connection._output_marshaled_frames
    if sum(map(len, pieces)) <= 1 << 20:
        write([b"".join(pieces)])
    else:
        write(pieces)


def abort(connection: Any, error: Exception) -> None:
    """Drop the connection at once, without the closing handshake that a frozen or blocked broker would never answer."""
    terminate = getattr(connection, "_terminate_stream", None)
    if terminate is not None:
        terminate(error)
    else:
        connection.close(320, str(error)[:200])
