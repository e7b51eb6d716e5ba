"""TLS contexts for both ends, with everything on that must be on, and following their files.

TLS 1.3, and 1.2 only where a party needs it (ECDHE with AES-GCM). No session tickets: a resumed session skips revocation. No
renegotiation, no compression, strict path checks, revocation lists for the whole path where given. Trust comes from the arguments
alone, never from the environment or the system's store.

A context looks at its files when a connection begins, at most once a second: a new certificate, trusted authority or revocation list counts
from the next connection on, in both directions, and connections that are open stay. Files that cannot be used (half written, a key
that does not belong to the certificate yet) change nothing: what was loaded last stays in force, ``problem`` says why, and it is tried
again at the next connection.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from certs.errors import CertificateError
from certs.files import require_private
from certs.handshake import observe
from certs.peer import Authority, PeerIdentity, identity_of, peer_name, require_peer

__all__ = ["Authority", "FollowingContext", "PeerIdentity", "client_context", "identity_of", "peer_name", "require_peer", "server_context"]

TLS12_CIPHERS = "ECDHE+AESGCM:@SECLEVEL=2"
"""Security level 2 of OpenSSL: nothing below 112 bits, so no RSA under 2048 and no SHA-1 in a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """Everything that a context is made from."""

    cert: Path
    key: Path
    ca: Path
    crl: Path | None
    minimum: ssl.TLSVersion

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        stats = [os.stat(each) for each in (self.cert, self.key, self.ca, self.crl) if each is not None]
        return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in stats)


class FollowingContext(ssl.SSLContext):
    """A context that gives each new connection what its files hold now. For one event loop or thread."""

    RECHECK_FILES_S = 1.0

    problem: str | None
    """Why the files on disk could not be taken over, if so: for ``check`` and alarms."""
    reloads: int
    """How often they were."""

    def __new__(cls, protocol: int, *_: object) -> FollowingContext:
        return super().__new__(cls, protocol)

    def __init__(self, protocol: int, files: _Files, harden: Callable[[ssl.SSLContext, _Files], None]) -> None:
        self._protocol, self._files, self._harden = protocol, files, harden
        self._stamp = _stamp_of(files)
        harden(self, files)
        self._fresh: ssl.SSLContext | None = None
        self._looked_at = time.monotonic()
        self.problem, self.reloads = None, 0

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        fresh = self._follow()
        return super().wrap_bio(*arguments, **options) if fresh is None else fresh.wrap_bio(*arguments, **options)

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        fresh = self._follow()
        return super().wrap_socket(*arguments, **options) if fresh is None else fresh.wrap_socket(*arguments, **options)

    def generation(self) -> int:
        """Rises whenever other files were taken over: a connection that was made before shows what no longer counts."""
        self._follow()
        return self.reloads

    def look(self) -> None:
        """Look at the files now, for who wants to know of a problem without a connection."""
        self._looked_at = float("-inf")
        self._follow()

    def _follow(self) -> ssl.SSLContext | None:
        now = time.monotonic()
        if now - self._looked_at < self.RECHECK_FILES_S:
            return self._fresh
        self._looked_at = now
        try:
            stamp = self._files.stamp()
            if stamp != self._stamp:
                self._fresh = self._made_anew()
                self._stamp = stamp
                self.reloads += 1
            self.problem = None
        except CertificateError as error:
            self.problem = error.safe_detail
        except OSError as error:
            self.problem = f"certificate file cannot be read ({error.strerror})"
        return self._fresh

    def _made_anew(self) -> ssl.SSLContext:
        fresh = ssl.SSLContext(self._protocol)
        self._harden(fresh, self._files)
        # what the owner of this context has set since it was made
        fresh.check_hostname = self.check_hostname
        fresh.minimum_version, fresh.maximum_version = self.minimum_version, self.maximum_version
        return fresh


def server_context(
    cert: Path | str,
    key: Path | str,
    ca: Path | str,
    crl: Path | str | None = None,
    *,
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> FollowingContext:
    """For a listener that requires a client certificate from ``ca``.

    OpenSSL keeps TLS 1.2 sessions by id even without tickets and Python cannot turn that off: whoever sets ``minimum`` to 1.2 relies
    on :func:`certs.peer.require_peer` for each request, which is the rule anyway.

    :raises CertificateError: a file is missing, malformed, or a key that others may read.
    """
    return FollowingContext(ssl.PROTOCOL_TLS_SERVER, _files(cert, key, ca, crl, minimum), _harden_server)


def client_context(
    cert: Path | str,
    key: Path | str,
    ca: Path | str,
    crl: Path | str | None = None,
    *,
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> FollowingContext:
    """For connections that we open. The host name is checked against the alternative names, never against the common name.

    :raises CertificateError: as for :func:`server_context`.
    """
    return FollowingContext(ssl.PROTOCOL_TLS_CLIENT, _files(cert, key, ca, crl, minimum), _harden_client)


def _files(cert: Path | str, key: Path | str, ca: Path | str, crl: Path | str | None, minimum: ssl.TLSVersion) -> _Files:
    if minimum < ssl.TLSVersion.TLSv1_2:
        raise CertificateError("tls-version", "TLS before 1.2 is never used")
    return _Files(cert=Path(cert), key=Path(key), ca=Path(ca), crl=None if crl is None else Path(crl), minimum=minimum)


def _stamp_of(files: _Files) -> tuple[tuple[int, int, int], ...] | None:
    try:
        return files.stamp()
    except OSError:
        return None  # loading says which file it is


def _harden_server(context: ssl.SSLContext, files: _Files) -> None:
    _harden(context, files)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_REQUIRED


def _harden_client(context: ssl.SSLContext, files: _Files) -> None:
    context.hostname_checks_common_name = False
    _harden(context, files)


def _harden(context: ssl.SSLContext, files: _Files) -> None:
    context.minimum_version = files.minimum
    context.set_ciphers(TLS12_CIPHERS)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    require_private(files.key)
    _load(context.load_cert_chain, "certificate and key", files.cert, files.key)
    _load(context.load_verify_locations, "authority", files.ca)
    if files.crl is not None:
        _load(context.load_verify_locations, "revocation list", files.crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    observe(context)


def _load(loader: object, what: str, *paths: Path) -> None:
    names = " and ".join(each.name for each in paths)
    try:
        loader(*paths)  # type: ignore[operator]  # two bound methods of SSLContext, which share no type
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "unreadable"
        raise CertificateError("certificate-file-unusable", f"{what} ({names}) cannot be loaded: {reason}") from error
