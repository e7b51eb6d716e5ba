"""Settings of the three simulators, and how each is put together, in a process of its own or inside a test's."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self, cast

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, model_validator

from certs.peer import Authority
from certs.tls import client_context
from simulators.convenience import family, issuing
from simulators.convenience.centre import Centre
from simulators.convenience.certificates import Paper, Pdf, Plain
from simulators.convenience.family import FamilyRegister
from simulators.convenience.issuing import MISCHIEFS, IssuingSystem, Mischief
from simulators.convenience.queues import QueueSystem
from simulators.convenience.soap import Caller
from simulators.convenience.world import holders
from simulators.errors import DoorRefused
from simulators.party import until_told_to_stop
from simulators.register.amqp_door import Broker
from simulators.register.keys import GatewayKey
from simulators.settings import read_secret
from simulators.signatures import Signatures


class _Settings(BaseModel):
    """What all three have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificate: Path
    key: Path
    ca: Path
    crl: Path
    journal: Path
    url: str
    """Of the gateway: its HTTPS door (queues: for its keys), or the listener of the centre."""
    server_name: str = "gateway"
    """Name that its certificate must bear there."""
    salt: str | None = Field(default=None, min_length=1, repr=False)
    salt_file: Path | None = None
    seed: int = 0
    ready_file: Path | None = None

    @model_validator(mode="after")
    def _one_salt(self) -> Self:
        if (self.salt is None) == (self.salt_file is None):
            raise ValueError("give either salt or salt_file")
        return self

    def the_salt(self) -> str:
        """The salt of the run."""
        return self.salt if self.salt is not None else read_secret(self.salt_file)

    def context(self) -> ssl.SSLContext:
        """As client."""
        return client_context(self.certificate, self.key, self.ca, self.crl)


class QueueSettings(_Settings):
    """Of a system at its queues."""

    broker_port: int
    broker_host: str = "127.0.0.1"
    broker_name: str = "broker"
    jwk: Path
    """Its private key for what comes by queue."""


class IssuingSettings(QueueSettings):
    """Of the issuing system."""

    paper: Literal["plain", "pdf"] = "plain"
    mischief: dict[str, float] = {}
    """What goes wrong by chance: name → probability."""
    slow_s: float = Field(default=0.5, ge=0)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if unknown := self.mischief.keys() - MISCHIEFS:
            raise ValueError(f"mischief: {', '.join(sorted(unknown))}: not one of {', '.join(sorted(MISCHIEFS))}")
        return self


class CentreSettings(_Settings):
    """Of the certificate centre with its kiosks."""

    signing_certificate: Path
    signing_key: Path
    gateway_signing_certificate: Path
    people: int = Field(default=100, ge=5)
    requests: int = Field(default=100, ge=1)
    """Together with those of a former run that the journal has."""
    at_once: int = Field(default=100, ge=1)
    every_s: float = Field(default=0.0, ge=0)
    """From the beginning of one wave of requests to the next one's, at least."""
    open_below: int = Field(default=1, ge=1)
    """The next wave begins when fewer requests than this are open."""
    surge: int = Field(default=0, ge=0)
    """Every tenth wave is longer by so many."""
    deadline_s: float = Field(default=30.0, gt=0)


def _queues(settings: QueueSettings, system: str) -> dict[str, Any]:
    context = settings.context()

    async def keys() -> Any:
        timeout = aiohttp.ClientTimeout(total=5)
        connector = aiohttp.TCPConnector(ssl=context)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, trust_env=False, timeout=timeout) as session,
                session.get(f"{settings.url}/v1/keys", server_hostname=settings.server_name) as answer,
            ):
                return json.loads(await answer.read())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise DoorRefused("gateway-key-missing", "the gateway's keys cannot be had") from error

    host, port = settings.broker_host, settings.broker_port
    broker = Broker(host=host, port=port, user=system, context=context, server_name=settings.broker_name)
    return {"broker": broker, "key": settings.jwk, "gateway_key": GatewayKey(keys), "journal": settings.journal}


def build_issuing(settings: IssuingSettings, paper: Paper | None = None) -> IssuingSystem:
    """The issuing system, not started."""
    made = paper or (Pdf() if settings.paper == "pdf" else Plain())
    one = IssuingSystem(
        salt=settings.the_salt(), paper=made, seed=settings.seed, slow_s=settings.slow_s, **_queues(settings, issuing.SYSTEM)
    )
    one.mischief = cast(dict[Mischief, float], dict(settings.mischief))
    return one


def build_family(settings: QueueSettings) -> FamilyRegister:
    """The family register system, not started."""
    return FamilyRegister(salt=settings.the_salt(), **_queues(settings, family.SYSTEM))


def build_caller(settings: CentreSettings) -> Caller:
    """How the centre calls."""
    signatures = Signatures(
        certificate=settings.signing_certificate,
        key=settings.signing_key,
        caller=settings.gateway_signing_certificate,
        authority=Authority(settings.ca, settings.crl),
        seen=settings.journal.with_name(f"{settings.journal.stem}.seen"),
        other=(settings.certificate, settings.key),
    )
    return Caller(url=settings.url, server_name=settings.server_name, context=settings.context(), signatures=signatures)


def build_centre(settings: CentreSettings, caller: Caller) -> Centre:
    """The centre with its kiosks."""
    seed = settings.seed + (settings.journal.stat().st_size if settings.journal.exists() else 0)  # goes on differently
    return Centre(caller=caller, journal=settings.journal, salt=settings.the_salt(), deadline_s=settings.deadline_s, seed=seed)


async def serve(system: QueueSystem, ready_file: Path | None) -> None:
    """A system at its queues, until told to stop."""
    system.start()
    try:
        while not system.consuming:  # noqa: ASYNC110  pika tells nobody
            await asyncio.sleep(0.02)
        with _ready(ready_file):
            await until_told_to_stop()
    finally:
        await system.stop()


async def run_centre(settings: CentreSettings) -> dict[str, int]:
    """All requests that the journal does not have yet; how they ended."""
    caller = build_caller(settings)
    centre = build_centre(settings, caller)
    try:
        with _ready(settings.ready_file):
            count = settings.requests - centre.asked
            await centre.run(
                tuple(holders(settings.people)),
                count,
                at_once=settings.at_once,
                every_s=settings.every_s,
                open_below=settings.open_below,
                surge=settings.surge,
            )
    finally:
        await caller.close()
        centre.close()
    return dict(sorted(centre.counts.items()))


@contextmanager
def _ready(file: Path | None) -> Iterator[None]:
    """The ready file, while the block runs."""
    if file is not None:
        half = file.with_name(file.name + ".new")
        half.write_text(json.dumps({"pid": os.getpid()}) + "\n", encoding="utf-8")
        half.rename(file)
    try:
        yield
    finally:
        if file is not None:
            file.unlink(missing_ok=True)
