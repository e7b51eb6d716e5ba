"""Why a certificate or a handshake was refused: one table of stable codes for the numbers and words of OpenSSL.

Codes go into evidence, metrics and answers; a peer's text never does.
"""

from __future__ import annotations

import re
import ssl

HOSTNAME_MISMATCH = 62

# X509_V_ERR_* of OpenSSL's x509_vfy.h; every other number is "path-invalid"
_VERIFY = {
    2: "issuer-unknown",
    3: "crl-missing",
    7: "signature-invalid",
    8: "crl-signature-invalid",
    9: "not-yet-valid",
    10: "expired",
    11: "crl-not-yet-valid",
    12: "crl-expired",
    18: "self-signed",
    19: "issuer-unknown",
    20: "issuer-unknown",
    21: "issuer-unknown",
    22: "path-too-long",
    23: "revoked",
    25: "path-too-long",
    26: "wrong-purpose",
    32: "issuer-not-an-authority",
    33: "crl-missing",
    34: "unknown-critical-extension",
    44: "crl-missing",
    47: "name-not-permitted",
    48: "name-not-permitted",
    HOSTNAME_MISMATCH: "wrong-peer",
    64: "wrong-peer",
    66: "weak-key",
    67: "weak-key",
    68: "weak-signature",
    79: "issuer-not-an-authority",
    **dict.fromkeys(range(80, 95), "certificate-malformed"),  # what X509_V_FLAG_X509_STRICT adds
}

# reasons of ssl.SSLError for handshakes that fail before or without a certificate
_HANDSHAKE = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no-certificate",
    "HTTP_REQUEST": "not-tls",
    "HTTPS_PROXY_REQUEST": "not-tls",
    "WRONG_VERSION_NUMBER": "not-tls",
    "RECORD_LAYER_FAILURE": "not-tls",
    "PACKET_LENGTH_TOO_LONG": "not-tls",
    "BAD_RECORD_TYPE": "not-tls",
    "UNSUPPORTED_PROTOCOL": "tls-version",
    "VERSION_TOO_LOW": "tls-version",
    "TLSV1_ALERT_PROTOCOL_VERSION": "tls-version",
    "INAPPROPRIATE_FALLBACK": "tls-downgrade",
    "NO_SHARED_CIPHER": "no-shared-cipher",
    "NO_SUITABLE_KEY_SHARE": "no-shared-cipher",
    "NO_SUITABLE_GROUPS": "no-shared-cipher",
    "NO_SHARED_GROUPS": "no-shared-cipher",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "no-shared-cipher",
    "NO_SHARED_SIGNATURE_ALGORITHMS": "no-shared-cipher",
    "WRONG_SIGNATURE_TYPE": "weak-signature",
    "EE_KEY_TOO_SMALL": "weak-key",
    "CA_MD_TOO_WEAK": "weak-signature",
    "BAD_SIGNATURE": "key-not-proved",
}
ALERT = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_ALERT_(\w+)")
"""How the ssl module spells an alert that the other side sent."""


def verify_code(number: int) -> str:
    """The code for a result of OpenSSL's path check."""
    return _VERIFY.get(number, "path-invalid")


def handshake_code(error: BaseException) -> str:
    """The code for what ended a handshake.

    ``tls-alert-…`` is what the other side said of us; ``handshake-cut``: the connection ended without a word; ``handshake-failed``: the
    rest.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return verify_code(error.verify_code)
    if isinstance(error, TimeoutError):
        return "handshake-timeout"
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        reason = getattr(error, "reason", None) or ""
        if reason in _HANDSHAKE:
            return _HANDSHAKE[reason]
        alert = ALERT.fullmatch(reason)
        return f"tls-alert-{alert[1].lower().replace('_', '-')}" if alert else "handshake-failed"
    return "handshake-cut" if isinstance(error, OSError) else "handshake-failed"
