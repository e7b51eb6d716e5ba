"""Identifiers that the gateway makes."""

from __future__ import annotations

import hashlib
import secrets
import time


def new_id() -> str:
    """32 hexadecimal digits, rising with time (so that an index stays compact), 80 bits of them random. For rows of ours."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def random_id() -> str:
    """A UUID (version 7): 74 random bits behind the time in milliseconds. Delivery ids that a party sees tell nothing else (R4)."""
    raw = bytearray((time.time_ns() // 1_000_000).to_bytes(6) + secrets.token_bytes(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def key_place(party: str, stream: str, subject: str) -> str:
    """What a key row is found by: 40 hexadecimal digits that follow from (party, stream, subject). A subject is random: they tell nothing.

    The first 12 are those of the subject, which rise with time: key rows of new residents lie together in the index, and a commit of many
    writes few of its pages. The others are a digest of all three.
    """
    return (
        subject.replace("-", "")[:12].rjust(12, "0")
        + hashlib.blake2b("\0".join((party, stream, subject)).encode(), digest_size=14).hexdigest()
    )
