"""Settings of the city CS simulator, and how it is put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from pydantic import Field

from simulators.city import City
from simulators.control import Control
from simulators.juki_cs.party import JukiCs
from simulators.party import PartyServer
from simulators.serving import serve, serving
from simulators.soap.settings import SoapSettings


class JukiCsSettings(SoapSettings):
    """Settings of the city CS simulator."""

    population: int = Field(default=0, ge=0)
    """Residents who are there from the beginning; 0: nobody."""
    city_seed: int = 1
    memory_s: float = Field(default=86400.0, ge=0)
    """How long a request control number (依頼管理番号) that took effect is remembered."""
    order_checked: bool = True
    """Off: what comes out of order takes effect all the same, so that a harness sees it as such instead of as a refusal."""
    delay_s: float = Field(default=0.2, ge=0)
    """How long J-LIS and other municipalities take to answer."""
    quiet_s: float = Field(default=2.0, gt=0)
    """A reconciliation is over when nothing of it came for so long."""
    carries: tuple[Literal["prefecture-server", "card-management-system"], ...] = ()
    """Parties whose leg is left to the city CS (the gateway has ``legs.<party>: city-cs``): it tells them itself. Only within a world."""


def build(settings: JukiCsSettings) -> JukiCs:
    """The party, not yet on the network."""
    return JukiCs(
        **settings.parts("juki_cs"),
        city=City(settings.city_seed, settings.population) if settings.population else None,
        city_seed=settings.city_seed,
        memory_s=settings.memory_s,
        order_checked=settings.order_checked,
        delay_s=settings.delay_s,
        quiet_s=settings.quiet_s,
        carries=settings.carries,
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
