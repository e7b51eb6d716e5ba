"""What a peer showed in the handshake, also where the handshake refused it.

Python gives a peer's certificate only after a handshake that went well. Evidence of a refusal needs it as well (who tried?), and a path
check needs the intermediates that came with it. OpenSSL's message callback sees the ``Certificate`` message of TLS 1.2 and 1.3; CPython
has it since 3.8 under a private name. Where it were missing, everything works but refusals without fingerprint: a test notices.
"""

from __future__ import annotations

import ssl
from typing import Any, cast

_HANDSHAKE_RECORD = 22
_CERTIFICATE_MESSAGE = 11
_LONGEST_CHAIN_BYTES = 64 * 1024
_SHOWN = "renkei_shown_certificates"


class ObservedObject(ssl.SSLObject):
    """TLS over memory, as asyncio uses it."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            setattr(error, _SHOWN, getattr(self, _SHOWN, b""))
            raise


class ObservedSocket(ssl.SSLSocket):
    """TLS over a socket, as pika uses it."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            setattr(error, _SHOWN, getattr(self, _SHOWN, b""))
            raise


def observe(context: ssl.SSLContext) -> None:
    """Let connections of ``context`` remember the certificates that their peers show."""
    context.sslobject_class = ObservedObject
    context.sslsocket_class = ObservedSocket
    # the Python property of that name makes enums of every argument of every record; the one below it costs 0.3 µs
    raw: Any = next((each.__dict__["_msg_callback"] for each in ssl.SSLContext.__mro__[1:] if "_msg_callback" in each.__dict__), None)
    if raw is not None:
        raw.__set__(context, _note)


def shown_certificates(end: object) -> tuple[bytes, ...]:
    """The certificates (DER, the peer's own first) that the peer of ``end`` showed: a TLS object or socket of an observed context, or
    the exception that ended its handshake. Empty where none was shown or seen."""
    message = cast(bytes, getattr(end, _SHOWN, b""))
    return _chain(message)


def _note(connection: object, direction: str, version: int, content_type: int, message_type: int, data: bytes) -> None:
    if (
        content_type == _HANDSHAKE_RECORD
        and message_type == _CERTIFICATE_MESSAGE
        and direction == "read"
        and len(data) <= _LONGEST_CHAIN_BYTES
    ):
        setattr(connection, _SHOWN, (b"\x13" if version == ssl.TLSVersion.TLSv1_3 else b"\x12") + data)


def _chain(message: bytes) -> tuple[bytes, ...]:
    """Certificate message with its header: RFC 5246 section 7.4.2, RFC 8446 section 4.4.2. What does not fit is left out."""
    if len(message) < 9:
        return ()
    modern, at = message[0] == 0x13, 5
    if modern:
        at += 1 + message[at]
    at += 3
    found = []
    while at + 3 <= len(message):
        size = int.from_bytes(message[at : at + 3], "big")
        der = message[at + 3 : at + 3 + size]
        if not der or len(der) != size:
            break
        found.append(der)
        at += 3 + size
        if modern:
            at += 2 + int.from_bytes(message[at : at + 2], "big")
    return tuple(found)
