"""TLS contexts for both ends, with everything on that must be on.

TLS 1.3, and 1.2 only where a party needs it (ECDHE with AES-GCM). No session tickets: a resumed session skips revocation. No
renegotiation, no compression, strict path checks, revocation lists for the whole path where given. Trust comes from the arguments
alone, never from the environment or the system's store.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from certs.errors import CertificateError
from certs.files import require_private
from certs.peer import Authority, PeerIdentity, identity_of, peer_name, require_peer

__all__ = ["Authority", "PeerIdentity", "client_context", "identity_of", "peer_name", "require_peer", "server_context"]

TLS12_CIPHERS = "ECDHE+AESGCM"


def server_context(
    cert: Path | str,
    key: Path | str,
    ca: Path | str,
    crl: Path | str | None = None,
    *,
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> ssl.SSLContext:
    """For a listener that requires a client certificate from ``ca``.

    OpenSSL keeps TLS 1.2 sessions by id even without tickets and Python cannot turn that off: whoever sets ``minimum`` to 1.2 relies
    on :func:`certs.peer.require_peer` for each request, which is the rule anyway.

    :raises CertificateError: a file is missing, malformed, or a key that others may read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context, cert=cert, key=key, ca=ca, crl=crl, minimum=minimum)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(
    cert: Path | str,
    key: Path | str,
    ca: Path | str,
    crl: Path | str | None = None,
    *,
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> ssl.SSLContext:
    """For connections that we open. The host name is checked against the alternative names, never against the common name.

    :raises CertificateError: as for :func:`server_context`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    _harden(context, cert=cert, key=key, ca=ca, crl=crl, minimum=minimum)
    return context


def _harden(
    context: ssl.SSLContext,
    *,
    cert: Path | str,
    key: Path | str,
    ca: Path | str,
    crl: Path | str | None,
    minimum: ssl.TLSVersion,
) -> None:
    if minimum < ssl.TLSVersion.TLSv1_2:
        raise CertificateError("tls-version", "TLS before 1.2 is never used")
    context.minimum_version = minimum
    context.set_ciphers(TLS12_CIPHERS)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    require_private(Path(key))
    _load(context.load_cert_chain, "certificate and key", Path(cert), Path(key))
    _load(context.load_verify_locations, "authority", Path(ca))
    if crl is not None:
        _load(context.load_verify_locations, "revocation list", Path(crl))
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _load(loader: object, what: str, *paths: Path) -> None:
    names = " and ".join(each.name for each in paths)
    try:
        loader(*paths)  # type: ignore[operator]  # two bound methods of SSLContext, which share no type
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "unreadable"
        raise CertificateError("certificate-file-unusable", f"{what} ({names}) cannot be loaded: {reason}") from error
