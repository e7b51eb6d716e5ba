"""Settings that every SOAP party has besides those of every party, and what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from certs.peer import Authority
from certs.tls import client_context
from message_formats import profiles
from message_formats.profiles import Profile
from simulators.encryption import Encryption
from simulators.settings import PartySettings
from simulators.signatures import Signatures
from simulators.soap.notices import Notices
from simulators.soap.security import Security


class SoapSettings(PartySettings):
    """Settings of a simulated SOAP party."""

    signing_certificate: Path | None = None
    signing_key: Path | None = None
    caller_signing_certificate: Path | None = None
    """With these three calls must be signed and answers are; without them neither."""
    gateway_url: str | None = None
    """Where the gateway takes what the party sends of its own accord: ``https://host:port``; needs signatures."""
    gateway_name: str = "gateway-juki-net"
    """Name that the gateway's certificate must bear there."""
    encryption_key: Path | None = None
    caller_encryption_certificate: Path | None = None
    """With these two the Bodies of signed calls must be encrypted besides, and those of answers are."""

    @model_validator(mode="after")
    def _signs_both_ways(self) -> Self:
        if len({each is None for each in (self.signing_certificate, self.signing_key, self.caller_signing_certificate)}) != 1:
            raise ValueError("signing_certificate, signing_key and caller_signing_certificate belong together")
        if (self.encryption_key is None) != (self.caller_encryption_certificate is None) or (self.encryption_key and not self.signing_key):
            raise ValueError("encryption_key and caller_encryption_certificate belong together, and to signatures")
        return self

    def parts(self, profile: str | Profile) -> dict[str, Any]:
        """What the constructor of every :class:`~simulators.soap.party.SoapParty` takes. ``profile``: a packaged one by name, or another.

        :raises BadSettings: a file cannot be used.
        """
        authority = Authority(self.ca, self.crl)
        security = self._security(authority)
        return {
            "salt": self.the_salt(),
            "caller": self.caller,
            "authority": authority,
            "seed": self.seed,
            "security": security,
            "notices": self._notices(profiles.get(profile) if isinstance(profile, str) else profile, security),
        }

    def _security(self, authority: Authority) -> Security | None:
        if not (self.signing_certificate and self.signing_key and self.caller_signing_certificate):
            return None
        signatures = Signatures(
            certificate=self.signing_certificate,
            key=self.signing_key,
            caller=self.caller_signing_certificate,
            authority=authority,
            seen=self.journal.with_name(f"{self.journal.stem}.seen"),
            other=(self.certificate, self.key),
        )
        encryption = None
        if self.encryption_key and self.caller_encryption_certificate:
            encryption = Encryption(key=self.encryption_key, caller=self.caller_encryption_certificate)
        return Security(signatures=signatures, encryption=encryption)

    def _notices(self, profile: Profile, security: Security | None) -> Notices | None:
        if self.gateway_url is None or security is None:
            return None
        return Notices(
            profile=profile,
            url=self.gateway_url,
            server_name=self.gateway_name,
            context=client_context(self.certificate, self.key, self.ca, self.crl),
            signatures=security.signatures,
            encryption=security.encryption,
        )
