"""Settings of the city CS simulator, and how it is put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from certs.peer import Authority
from certs.tls import client_context
from simulators.city import City
from simulators.control import Control
from simulators.encryption import Encryption
from simulators.juki_cs.beginning import empty, of_city
from simulators.juki_cs.notices import Notices
from simulators.juki_cs.party import JukiCs
from simulators.party import PartyServer
from simulators.serving import serve, serving
from simulators.settings import PartySettings
from simulators.signatures import Signatures


class JukiCsSettings(PartySettings):
    """Settings of the city CS simulator."""

    population: int = Field(default=0, ge=0)
    """Residents who are there from the beginning; 0: nobody."""
    city_seed: int = 1
    memory_s: float = Field(default=86400.0, ge=0)
    """How long a request control number (依頼管理番号) that took effect is remembered."""
    signing_certificate: Path | None = None
    signing_key: Path | None = None
    caller_signing_certificate: Path | None = None
    """With these three calls must be signed and answers are; without them neither."""
    gateway_url: str | None = None
    """Where the gateway takes what the city CS sends of its own accord: ``https://host:port``; needs signatures."""
    gateway_name: str = "gateway-juki-net"
    """Name that the gateway's certificate must bear there."""
    encryption_key: Path | None = None
    caller_encryption_certificate: Path | None = None
    """With these two the Bodies of signed calls must be encrypted besides, and those of answers are."""
    order_checked: bool = True
    """Off: what comes out of order takes effect all the same, so that a harness sees it as such instead of as a refusal."""

    @model_validator(mode="after")
    def _signs_both_ways(self) -> Self:
        if len({each is None for each in (self.signing_certificate, self.signing_key, self.caller_signing_certificate)}) != 1:
            raise ValueError("signing_certificate, signing_key and caller_signing_certificate belong together")
        if (self.encryption_key is None) != (self.caller_encryption_certificate is None) or (self.encryption_key and not self.signing_key):
            raise ValueError("encryption_key and caller_encryption_certificate belong together, and to signatures")
        return self


def build(settings: JukiCsSettings) -> JukiCs:
    """The party, not yet on the network."""
    authority = Authority(settings.ca, settings.crl)
    signatures = None
    if settings.signing_certificate and settings.signing_key and settings.caller_signing_certificate:
        signatures = Signatures(
            certificate=settings.signing_certificate,
            key=settings.signing_key,
            caller=settings.caller_signing_certificate,
            authority=authority,
            seen=settings.journal.with_name(f"{settings.journal.stem}.seen"),
            other=(settings.certificate, settings.key),
        )
    encryption = None
    if settings.encryption_key and settings.caller_encryption_certificate:
        encryption = Encryption(key=settings.encryption_key, caller=settings.caller_encryption_certificate)
    return JukiCs(
        signatures=signatures,
        notices=_notices(settings, signatures, encryption),
        encryption=encryption,
        salt=settings.the_salt(),
        caller=settings.caller,
        authority=authority,
        beginning=of_city(City(settings.city_seed, settings.population)) if settings.population else empty(),
        population=settings.population,
        memory_s=settings.memory_s,
        order_checked=settings.order_checked,
        seed=settings.seed,
    )


def _notices(settings: JukiCsSettings, signatures: Signatures | None, encryption: Encryption | None) -> Notices | None:
    if settings.gateway_url is None or signatures is None:
        return None
    context = client_context(settings.certificate, settings.key, settings.ca, settings.crl)
    return Notices(
        url=settings.gateway_url, server_name=settings.gateway_name, context=context, signatures=signatures, encryption=encryption
    )


@asynccontextmanager
async def serving_city_cs(settings: JukiCsSettings) -> AsyncIterator[tuple[JukiCs, PartyServer, Control]]:
    """The simulator inside this process, while the block runs: for tests."""
    party = build(settings)
    async with serving(party, settings) as (server, control):
        yield party, server, control


async def serve_city_cs(settings: JukiCsSettings) -> None:
    """The simulator as a process, until SIGTERM or SIGINT."""
    await serve(build(settings), settings)
