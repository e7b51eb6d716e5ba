"""Settings of the simulated intermediate server, and how it is put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from simulators.control import Control
from simulators.intermediate.party import IntermediateServer
from simulators.party import PartyServer
from simulators.serving import serve, serving
from simulators.soap.settings import SoapSettings


class IntermediateSettings(SoapSettings):
    """Settings of the intermediate server simulator."""

    gateway_name: str = "gateway-lgwan"
    delay_s: float = Field(default=0.0, ge=0)
    """How long the network takes for a processing number."""


def build(settings: IntermediateSettings) -> IntermediateServer:
    """The party, not yet on the network."""
    return IntermediateServer(**settings.parts("intermediate_server"), delay_s=settings.delay_s)


@asynccontextmanager
async def serving_intermediate(settings: IntermediateSettings) -> AsyncIterator[tuple[IntermediateServer, PartyServer, Control]]:
    """The simulator inside this process, while the block runs."""
    party = build(settings)
    async with serving(party, settings) as (server, control):
        yield party, server, control


async def serve_intermediate(settings: IntermediateSettings) -> None:
    """The simulator as a process, until SIGTERM or SIGINT."""
    await serve(build(settings), settings)
