"""Which in-house system is at the other end of a connection: from its certificate, asked again for every request (I6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from certs.errors import CertificateError
from certs.handshake import shown_certificates
from certs.path import Purpose
from certs.peer import TlsObject, identity_of
from gateway.errors import PeerRefused
from gateway.intake.submission import Sender


class Vouches(Protocol):
    """What is needed of :class:`certs.peer.Authority`."""

    def require(self, der: bytes, purpose: Purpose, chain: Callable[[], Sequence[bytes]] = ...) -> None: ...


class PeerDirectory:
    """Certificates of the sending systems. For one event loop.

    A certificate names a system by one of its alternative names, or by its common name where the configuration says ``CN=…``. One that
    names two systems names none.
    """

    def __init__(self, senders: Iterable[Sender], authority: Vouches) -> None:
        self._authority = authority
        senders = list(senders)
        self._by_name: dict[str, tuple[str, str | None]] = {sender.peer: (sender.system, None) for sender in senders}
        self._by_name |= {each.peer: (sender.system, each.name) for sender in senders for each in sender.suppliers}
        self._pins = {sender.system: sender.pins for sender in senders if sender.pins}
        self._by_certificate: dict[bytes, tuple[str, str | None]] = {}

    def system_of(self, tls: TlsObject | None) -> str:
        """:meth:`sender_of` without the department."""
        return self.sender_of(tls)[0]

    def sender_of(self, tls: TlsObject | None) -> tuple[str, str | None]:
        """The system whose certificate the peer of this connection showed, and the department behind it if the certificate is that one's;
        valid and unrevoked now. About 3 µs for one seen before.

        :raises PeerRefused: ``no-certificate``, ``unknown-sender`` (a certificate of our authority, but not of a sending system), or the
            code of ``certs`` for one that is out of date or revoked, ``not-pinned``.
        """
        der = tls.getpeercert(True) if tls is not None else None
        if not der:
            raise PeerRefused("no-certificate", "the sender showed no certificate")
        found = self._by_certificate.get(der) or self._name(der)
        system = found[0]
        try:
            self._authority.require(der, Purpose.CLIENT, lambda: shown_certificates(tls)[1:])
        except CertificateError as e:
            self._by_certificate.pop(der, None)
            raise PeerRefused(e.code, f"the certificate of {system}: {e.safe_detail}", who=system) from e
        return found

    def _name(self, der: bytes) -> tuple[str, str | None]:
        try:
            identity = identity_of(der)
        except CertificateError as e:
            raise PeerRefused(e.code, e.safe_detail) from e
        names = {*identity.sans, f"CN={identity.common_name}"}
        senders = {self._by_name[name] for name in names if name in self._by_name}
        if len(senders) != 1:
            raise PeerRefused("unknown-sender", f"certificate {identity.fingerprint_sha256[:16]} belongs to no sending system")
        found = senders.pop()
        system = found[0]
        pins = self._pins.get(system)
        if pins is not None and identity.fingerprint_sha256 not in pins and identity.key_sha256 not in pins:
            raise PeerRefused("not-pinned", f"certificate {identity.fingerprint_sha256[:16]} is none of those pinned", who=system)
        if len(self._by_certificate) > 256:  # a peer cannot make this grow: it holds certificates of our own systems only
            self._by_certificate.clear()
        self._by_certificate[der] = found
        return found
