"""The world as one process: the parties that are wanted, each behind its own listener and control page, and what passes between them.

A party can run in a process of its own as well. It does then whatever the gateway asks of it; what would pass between it and another party
waits in its outbox. Within a world the fault ``down`` takes one party away for the gateway and for its neighbours.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from lxml import etree
from pydantic import BaseModel, ConfigDict, Field

from simulators.city import City
from simulators.control import Control
from simulators.errors import BadSettings
from simulators.intermediate.party import IntermediateServer
from simulators.intermediate.service import IntermediateSettings
from simulators.intermediate.service import build as build_intermediate
from simulators.juki_cs.party import JukiCs
from simulators.juki_cs.service import JukiCsSettings
from simulators.juki_cs.service import build as build_city_cs
from simulators.party import PartyServer, until_told_to_stop
from simulators.serving import serve, serving
from simulators.soap.envelope import read_record
from simulators.soap.notices import Notice
from simulators.soap.outbox import Neighbour
from simulators.soap.party import SoapParty
from simulators.soap.settings import SoapSettings
from simulators.world.cards import CardManagement
from simulators.world.prefecture import Prefecture


class PrefectureSettings(SoapSettings):
    """Settings of the prefecture server simulator."""

    population: int = Field(default=0, ge=0)
    """Residents of our city whom it knows from the beginning."""
    city_seed: int = 1
    quiet_s: float = Field(default=2.0, gt=0)
    """A reconciliation is over when nothing of it came for so long."""


class CardManagementSettings(SoapSettings):
    """Settings of the card management simulator."""


class WorldSettings(BaseModel):
    """Settings of a world: those of each party that is in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    city_cs: JukiCsSettings | None = None
    prefecture_server: PrefectureSettings | None = None
    card_management_system: CardManagementSettings | None = None
    intermediate_server: IntermediateSettings | None = None
    ready_file: Path | None = None
    """Written when all of them serve."""


def build_prefecture(settings: PrefectureSettings) -> Prefecture:
    """The party, not yet on the network."""
    city = City(settings.city_seed, settings.population) if settings.population else None
    return Prefecture(**settings.parts("prefecture_server"), city=city, city_seed=settings.city_seed, quiet_s=settings.quiet_s)


def build_cards(settings: CardManagementSettings) -> CardManagement:
    """The party, not yet on the network."""
    return CardManagement(**settings.parts("card_management"))


def build_world(settings: WorldSettings) -> dict[str, tuple[SoapParty, SoapSettings]]:
    """The parties of a world by their ids, connected with one another, with the settings of each.

    :raises BadSettings: nobody is in it.
    """
    made: dict[str, tuple[SoapParty, SoapSettings]] = {}
    if settings.city_cs is not None:
        made["city-cs"] = (build_city_cs(settings.city_cs), settings.city_cs)
    if settings.prefecture_server is not None:
        made["prefecture-server"] = (build_prefecture(settings.prefecture_server), settings.prefecture_server)
    if settings.card_management_system is not None:
        made["card-management-system"] = (build_cards(settings.card_management_system), settings.card_management_system)
    if settings.intermediate_server is not None:
        made["intermediate-server"] = (build_intermediate(settings.intermediate_server), settings.intermediate_server)
    if not made:
        raise BadSettings("world-empty", "give the settings of at least one party")
    for party, _ in made.values():
        party.outbox.neighbours = {name: neighbour(other) for name, (other, _) in made.items() if other is not party}
    return made


def neighbour(party: SoapParty) -> Neighbour:
    """How the other parties of the world reach this one."""

    def pass_to(operation: str, record: Notice, by: str) -> str | None:
        if party.faults.listener_mode() != "up":
            raise ConnectionError(party.name)
        if isinstance(party, JukiCs):
            return party.doing.pass_on(operation, record, by)
        if isinstance(party, IntermediateServer):
            return party.pass_on(operation, record, by)
        data = record.xml.encode()
        found = read_record(etree.fromstring(data), record.delivery_id, party.profile.operation(operation), data, None, None)
        return party.take(found, operation, by=by).code

    return pass_to


@asynccontextmanager
async def serving_world(settings: WorldSettings) -> AsyncIterator[Mapping[str, tuple[SoapParty, PartyServer, Control]]]:
    """The world inside this process, while the block runs."""
    async with AsyncExitStack() as stack:
        found: dict[str, tuple[SoapParty, PartyServer, Control]] = {}
        for name, (party, own) in build_world(settings).items():
            server, control = await stack.enter_async_context(serving(party, own))
            found[name] = (party, server, control)
        if settings.ready_file is not None:
            settings.ready_file.write_text(json.dumps({"pid": os.getpid(), "parties": sorted(found)}) + "\n", encoding="utf-8")
            stack.callback(_unlink, settings.ready_file)
        yield found


def _unlink(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()


async def serve_world(settings: WorldSettings) -> None:
    """The world as a process, until SIGTERM or SIGINT."""
    async with serving_world(settings):
        await until_told_to_stop()


async def serve_alone(build: Callable[[Any], SoapParty], settings: SoapSettings) -> None:
    """One party as a process."""
    await serve(build(settings), settings)
