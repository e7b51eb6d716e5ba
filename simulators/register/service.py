"""Settings of the register simulator, and how it is put together."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from certs.tls import client_context
from simulators.city import KINDS, City
from simulators.references import References, Vault
from simulators.register.amqp_door import AmqpDoor, Broker
from simulators.register.https_door import HttpsDoor
from simulators.register.keys import GatewayKey, from_file
from simulators.register.lanes import Lanes
from simulators.register.record import RegisterRecord
from simulators.register.register import Pace, Register
from simulators.register.source import CityDays, Source
from simulators.settings import read_secret


class AmqpSettings(BaseModel):
    """How the register reaches the broker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(ge=1, le=65535)
    vhost: str = "renkei"
    user: str = "resident-record-system"
    password_file: Path | None = None
    """Without one the client certificate is the login; needs ``tls``."""
    tls: bool = False
    server_name: str = "broker"
    """DNS name that the broker's certificate must carry, with ``tls``."""
    jwks: Path | None = None
    """File with the gateway's keys; without, they are fetched from ``GET /v1/keys``."""
    window: int = Field(default=200, ge=1)
    most_unanswered: int = Field(default=2000, ge=1)
    resend_after_s: float = Field(default=10.0, gt=0)


class RegisterSettings(BaseModel):
    """Settings of the register simulator."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str = "resident-record-system"
    url: str
    """Of the gateway's HTTPS door: ``https://127.0.0.1:8443``."""
    server_name: str | None = "gateway"
    certificate: Path
    key: Path
    ca: Path
    crl: Path | None = None
    amqp: AmqpSettings | None = None
    https_share: float = Field(default=0.2, ge=0, le=1)
    """Share of the residents whose messages go by HTTPS; 1 without ``amqp``."""
    order: Literal["receipt", "confirm"] = "receipt"
    https_in_flight: int = Field(default=16, ge=1)
    https_timeout_s: float = Field(default=30.0, gt=0)
    record: Path
    record_sync: Literal["os", "disk"] = "os"
    salt: str | None = Field(default=None, min_length=1, repr=False)
    salt_file: Path | None = None
    population: int = Field(default=400_000, ge=1)
    city_seed: int = 1
    days: tuple[int, ...] = (1,)
    kinds: tuple[str, ...] = KINDS
    """What happens in the city; see :class:`simulators.city.City`."""
    events_a_day: int | None = Field(default=None, ge=1)
    spoil: int = Field(default=0, ge=0)
    spoil_every: int = Field(default=1, ge=1)
    per_s: float | None = Field(default=None, gt=0)
    in_hand: int = Field(default=4000, ge=1)
    watch_every_s: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_salt(self) -> Self:
        if (self.salt is None) == (self.salt_file is None):
            raise ValueError("give either salt or salt_file")
        return self

    def the_salt(self) -> str:
        """The salt of the run."""
        return self.salt if self.salt is not None else read_secret(self.salt_file)


def build(settings: RegisterSettings, *, source: Source | None = None) -> Register:
    """The register, not yet running. ``source``: instead of the days of a city."""
    references = References(settings.the_salt())
    if source is None:
        city = City(settings.city_seed, settings.population, kinds=settings.kinds)
        source = CityDays(
            city, references, days=settings.days, events_a_day=settings.events_a_day, spoil=settings.spoil, spoil_every=settings.spoil_every
        )
    record, lanes, https, amqp = doors(settings)
    pace = Pace(per_s=settings.per_s, in_hand=settings.in_hand, watch_every_s=settings.watch_every_s)
    return Register(source=source, references=references, record=record, lanes=lanes, https=https, amqp=amqp, pace=pace)


def doors(settings: RegisterSettings) -> tuple[RegisterRecord, Lanes, HttpsDoor, AmqpDoor | None]:
    """The register's record, what is to be sent, and both ways out; neither is open yet."""
    salt = settings.the_salt()
    references = References(salt)
    context = client_context(settings.certificate, settings.key, settings.ca, settings.crl)
    record = RegisterRecord(settings.record, vault=Vault(salt), references=references, sync=settings.record_sync)
    lanes = Lanes(https_share=settings.https_share if settings.amqp is not None else 1.0, order=settings.order)
    https = HttpsDoor(
        url=settings.url,
        context=context,
        lanes=lanes,
        record=record,
        server_name=settings.server_name,
        in_flight=settings.https_in_flight,
        timeout_s=settings.https_timeout_s,
    )
    amqp = _amqp(settings, settings.amqp, context=context, https=https, lanes=lanes, record=record) if settings.amqp is not None else None
    return record, lanes, https, amqp


def _amqp(
    settings: RegisterSettings, amqp: AmqpSettings, *, context: ssl.SSLContext, https: HttpsDoor, lanes: Lanes, record: RegisterRecord
) -> AmqpDoor:
    broker = Broker(
        host=amqp.host,
        port=amqp.port,
        vhost=amqp.vhost,
        user=amqp.user,
        password=read_secret(amqp.password_file) if amqp.password_file is not None else None,
        context=context if amqp.tls else None,
        server_name=amqp.server_name,
    )
    key = GatewayKey(from_file(amqp.jwks) if amqp.jwks is not None else https.keys)
    return AmqpDoor(
        broker=broker,
        system=settings.system,
        key=key,
        lanes=lanes,
        record=record,
        window=amqp.window,
        most_unanswered=amqp.most_unanswered,
        resend_after_s=amqp.resend_after_s,
    )
