"""Settings of the simulated residence card issuing system, and how it is put together."""

from __future__ import annotations

from certs.peer import Authority
from simulators.immigration.party import Immigration
from simulators.settings import PartySettings


class ImmigrationSettings(PartySettings):
    """Settings of the simulator."""

    day_offset: int = 0
    """Its calendar is so many days ahead of the machine's."""


def build(settings: ImmigrationSettings) -> Immigration:
    """The party, not yet on the network."""
    return Immigration(
        salt=settings.the_salt(),
        caller=settings.caller,
        authority=Authority(settings.ca, settings.crl),
        seed=settings.seed,
        day_offset=settings.day_offset,
    )
