"""What the messages of one party need: signing and encrypting ours, opening and verifying theirs. The host gives it to the adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lxml import etree

from certs.peer import Authority
from gateway.contract import CallNotPrepared, Finding
from gateway.errors import GatewayError
from gateway.security.soap.errors import MessageRefused
from gateway.security.soap.keys import OwnKey, PartyCertificates, Signer
from gateway.security.soap.replay import Replays, require_first
from gateway.security.soap.signing import LIFETIME_S, security_header, sign_envelope
from gateway.security.soap.verifier import Freshness, HeldSigners, VerifiedMessage, verify
from message_formats import reading
from message_formats.errors import FormatError

if TYPE_CHECKING:
    from gateway.security.soap.encryption import DecryptionKey, Recipient  # python-xmlsec is loaded only where messages are encrypted


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """With what Bodies are encrypted within TLS, both ways: after signing, so that the signature stays evidence of the content."""

    recipient: Recipient
    own: DecryptionKey


LARGE_BYTES = 65_536
"""From here on a message is decrypted and verified in a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSecurity:
    """Signatures with one party, as its configuration says. For one event loop; keys stay loaded and follow their files."""

    party: str
    own: Signer
    signer: PartyCertificates
    replays: Replays
    freshness: Freshness
    lifetime_s: float = LIFETIME_S
    encryption: Encryption | None = None

    def header(self, parts: Sequence[tuple[bytes, bytes]]) -> bytes:
        """The Security header over parts whose digests are known (:func:`gateway.security.soap.signing.digest`)."""
        return security_header(self.own.current(), parts, lifetime_s=self.lifetime_s)

    def sign(self, envelope: etree._Element) -> bytes:
        """A complete message, signed; changes ``envelope``."""
        return sign_envelope(envelope, self.own.current(), lifetime_s=self.lifetime_s)

    def answer(self, envelope: etree._Element) -> bytes:
        """:meth:`sign`, and encrypted where the party's profile asks for it."""
        signed = self.sign(envelope)
        return signed if self.encryption is None else self.encryption.recipient.encrypt(reading.parse(signed))

    async def request(self, build: Callable[[], bytes]) -> bytes:
        """What ``build`` signs, encrypted where the party's profile asks for it. A token is waited for in a thread, not on the loop.

        :raises CallNotPrepared: it cannot be made now; nothing was sent.
        """
        try:
            signed = await asyncio.to_thread(build) if self.own.waits else build()
            return signed if self.encryption is None else self.encryption.recipient.encrypt(reading.parse(signed))
        except GatewayError as error:
            raise CallNotPrepared(error.code, passing=error.retry) from error

    def opened(self, data: bytes, *, limits: reading.Limits = reading.DEFAULT) -> bytes:
        """A message of the party as it was signed, which is what :meth:`verify` takes and what is evidence. Proves nothing yet.

        :raises MessageRefused: its profile asks for encryption, and it is not encrypted, or not for us.
        """
        if self.encryption is None:
            return data
        try:
            envelope = reading.parse(data, limits)
        except FormatError as error:
            raise MessageRefused("message-malformed") from error
        return self.encryption.own.decrypt(envelope)

    async def open(self, data: bytes, *, limits: reading.Limits = reading.DEFAULT) -> bytes:
        """:meth:`opened`, in a thread for a message so large that the loop would stand still for it."""
        if self.encryption is None or len(data) <= LARGE_BYTES:
            return self.opened(data, limits=limits)
        return await asyncio.to_thread(self.opened, data, limits=limits)

    async def made(self, build: Callable[[], bytes]) -> bytes:
        """What ``build`` makes with :meth:`answer`: a token is waited for in a thread, not on the loop."""
        return await asyncio.to_thread(build) if self.own.waits else build()

    async def verify(self, data: bytes, *, limits: reading.Limits = reading.DEFAULT) -> VerifiedMessage:
        """A message of the party, verified, fresh, and here for the first time.

        :raises MessageRefused: with the reason.
        """
        if len(data) > LARGE_BYTES:  # about 20 ms for half a megabyte: the loop must not stand still for it
            held = HeldSigners(self.signer.candidates(None))
            message = await asyncio.to_thread(verify, data, held, freshness=self.freshness, limits=limits)
        else:
            message = verify(data, self.signer, freshness=self.freshness, limits=limits)
        await require_first(self.replays, self.party, message)
        return message

    def check(self) -> list[Finding]:
        """For ``renkei check``: the keys of both sides can be used now."""
        remedy = "look at parties.*.signatures and parties.*.encryption, and at the files below certificates.directory"
        detail = "our signing key and the party's certificate can be used"
        try:
            self.signer.check()
            self.own.current()
            problem = self.own.problem or self.signer.problem
            if self.encryption is not None:
                detail = "our keys and the party's certificates for signing and encryption can be used"
                self.encryption.recipient.check()
                problem = problem or self.encryption.recipient.problem or self.encryption.own.problem
        except GatewayError as error:
            problem = error.safe_detail
        return [Finding(name="signatures", ok=problem is None, detail=problem or detail, remedy=remedy if problem else "")]


def open_security(
    party: str,
    *,
    own: tuple[Path, Path] | Signer,
    partner: Path,
    authority: Authority,
    replays: Replays,
    freshness: Freshness | None = None,
    lifetime_s: float = LIFETIME_S,
    encryption: tuple[Path, Path] | None = None,
) -> MessageSecurity:
    """From files: our certificate and key (or a key in a token), and the party's certificates. ``authority`` must have issued the party's.
    ``encryption``: the party's certificate to encrypt for, and our key to decrypt with.

    :raises ConfigurationError: one cannot be used.
    """
    return MessageSecurity(
        party=party,
        own=OwnKey(*own) if isinstance(own, tuple) else own,
        signer=PartyCertificates(partner, authority),
        replays=replays,
        freshness=freshness or Freshness(),
        lifetime_s=lifetime_s,
        encryption=None if encryption is None else _encryption(*encryption, authority),
    )


def _encryption(partner: Path, own: Path, authority: Authority) -> Encryption:
    from gateway.security.soap.encryption import DecryptionKey, Recipient

    return Encryption(recipient=Recipient(partner, authority), own=DecryptionKey(own))
