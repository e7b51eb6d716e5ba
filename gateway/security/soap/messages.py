"""What the messages of one party need: signing ours, verifying theirs. The host gives it to the adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from certs.peer import Authority
from gateway.contract import Finding
from gateway.errors import ConfigurationError
from gateway.security.soap.errors import MessageRefused
from gateway.security.soap.keys import OwnKey, PartyCertificates
from gateway.security.soap.replay import Replays, require_first
from gateway.security.soap.signing import LIFETIME_S, security_header, sign_envelope
from gateway.security.soap.verifier import Freshness, HeldSigners, VerifiedMessage, verify
from message_formats import reading

LARGE_BYTES = 65_536
"""From here on a message is verified in a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSecurity:
    """Signatures with one party, as its configuration says. For one event loop; keys stay loaded and follow their files."""

    party: str
    own: OwnKey
    signer: PartyCertificates
    replays: Replays
    freshness: Freshness
    lifetime_s: float = LIFETIME_S

    def header(self, parts: Sequence[tuple[bytes, bytes]]) -> bytes:
        """The Security header over parts whose digests are known (:func:`gateway.security.soap.signing.digest`)."""
        return security_header(self.own.current(), parts, lifetime_s=self.lifetime_s)

    def sign(self, envelope: etree._Element) -> bytes:
        """A complete message, signed; changes ``envelope``."""
        return sign_envelope(envelope, self.own.current(), lifetime_s=self.lifetime_s)

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
        problem = self.own.problem or self.signer.problem
        remedy = "look at parties.*.signatures and the files below certificates.directory"
        if problem is not None:
            return [Finding(name="signatures", ok=False, detail=problem, remedy=remedy)]
        try:
            self.signer.check()
            self.own.current()
        except (MessageRefused, ConfigurationError) as error:
            return [Finding(name="signatures", ok=False, detail=error.safe_detail, remedy=remedy)]
        return [Finding(name="signatures", ok=True, detail="our signing key and the party's certificate can be used")]


def open_security(
    party: str,
    *,
    own: tuple[Path, Path],
    partner: Path,
    authority: Authority,
    replays: Replays,
    freshness: Freshness | None = None,
    lifetime_s: float = LIFETIME_S,
) -> MessageSecurity:
    """From files: our certificate and key, and the party's certificates. ``authority`` must have issued the party's.

    :raises ConfigurationError: one cannot be used.
    """
    return MessageSecurity(
        party=party,
        own=OwnKey(*own),
        signer=PartyCertificates(partner, authority),
        replays=replays,
        freshness=freshness or Freshness(),
        lifetime_s=lifetime_s,
    )
