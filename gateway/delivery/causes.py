"""Why a call failed: codes for what aiohttp and OpenSSL say, and which TLS alerts prove that nothing was read (R10)."""

from __future__ import annotations

import errno
import ssl

import aiohttp

from certs.reasons import ALERT

_HANDSHAKE_ALERTS = frozenset(
    {
        "HANDSHAKE_FAILURE",
        "BAD_CERTIFICATE",
        "UNSUPPORTED_CERTIFICATE",
        "CERTIFICATE_REVOKED",
        "CERTIFICATE_EXPIRED",
        "CERTIFICATE_UNKNOWN",
        "UNKNOWN_CA",
        "ACCESS_DENIED",
        "DECRYPT_ERROR",
        "CERTIFICATE_REQUIRED",
    }
)
_RESETS = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})


def causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = getattr(current, "os_error", None) or current.__cause__ or current.__context__
    return found


def alert(error: BaseException) -> str | None:
    """The code of a TLS alert that ends a handshake, if ``error`` stems from one."""
    cause = tls_cause(error)
    match = ALERT.fullmatch(getattr(cause, "reason", None) or "")
    if match and match[1] in _HANDSHAKE_ALERTS:
        return f"tls-alert-{match[1].lower().replace('_', '-')}"
    return None


def tls_cause(error: BaseException) -> ssl.SSLError | None:
    # aiohttp's own classes also derive from SSLError, but have none of its attributes
    return next((each for each in causes(error) if isinstance(each, ssl.SSLError) and not isinstance(each, aiohttp.ClientError)), None)


def code_before(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "name-not-resolved"
    for cause in causes(error):
        if isinstance(cause, ssl.SSLEOFError | ConnectionResetError | ConnectionAbortedError | aiohttp.ServerDisconnectedError):
            return "handshake-cut"
        if isinstance(cause, ConnectionRefusedError):
            return "connection-refused"
        if isinstance(cause, TimeoutError):
            return "connect-timeout"
    return "unreachable"


def code_after(error: BaseException) -> str:
    if tls_cause(error) is not None:
        return "tls-broken"
    for cause in causes(error):
        if isinstance(cause, aiohttp.ServerDisconnectedError):
            return "connection-closed"
        if isinstance(cause, aiohttp.ClientPayloadError):
            return "answer-truncated"
        if isinstance(cause, aiohttp.ClientResponseError):
            return "answer-malformed"
        if isinstance(cause, ConnectionError) or (isinstance(cause, OSError) and cause.errno in _RESETS):
            return "connection-reset"
    return "call-failed"
