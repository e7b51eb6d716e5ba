"""A hand-made gateway of the whole world: calls any operation of any profile, and takes what the parties send of their own accord."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from lxml import etree

from certs.authority import TestAuthority
from message_formats import profiles, reading, samples, writing
from simulators.control import Control
from simulators.juki_cs.party import JukiCs
from simulators.juki_cs.service import JukiCsSettings
from simulators.party import PartyServer
from simulators.soap.notices import Notice, Said
from simulators.soap.party import SoapParty
from simulators.world.cards import CardManagement
from simulators.world.prefecture import Prefecture
from simulators.world.service import CardManagementSettings, PrefectureSettings, WorldSettings, serving_world
from tests.simulators.conftest import SALT, SOAP, WSA, context_of

OTHER = samples.municipality_code(samples.OTHER_MUNICIPALITY_BASE)
OURS = samples.municipality_code()


@dataclass
class Gateway:
    """What a party's notices go to instead of a gateway."""

    taken: dict[str, tuple[str, Mapping[str, str | None], str | None]] = field(default_factory=dict)
    """(operation, items, municipality) by delivery id, in order of their coming."""
    away: int = 0
    """So many calls have no answer."""
    tries: int = 0
    refuse: str | None = None

    async def send(self, operation: str, records: Sequence[Notice], **_: Any) -> Said:
        self.tries += 1
        if self.away:
            self.away -= 1
            raise aiohttp.ClientConnectionError("away")
        results = []
        for each in records:
            again = each.delivery_id in self.taken
            if self.refuse is None:
                items = reading.read(each.xml.encode()).items
                self.taken.setdefault(each.delivery_id, (operation, items, each.municipality))
            outcome = "accepted" if self.refuse is None else "rejected"
            results.append({"delivery": each.delivery_id, "outcome": outcome, "code": self.refuse, "duplicate": again})
        return Said(status=200, results=tuple(results), signed=True)

    def of(self, operation: str) -> list[Mapping[str, str | None]]:
        """Items of what came by an operation."""
        return [items for name, items, _ in self.taken.values() if name == operation]


@dataclass
class Answered:
    """What came back on a call."""

    status: int
    fault: str | None
    results: list[dict[str, Any]]

    @property
    def one(self) -> tuple[str | None, str | None, bool]:
        """(outcome, code, duplicate) of the only receipt."""
        [found] = self.results
        return found["outcome"], found["code"], found["duplicate"]

    @property
    def content(self) -> Mapping[str, str | None]:
        """Items of the only answer."""
        [found] = self.results
        return reading.read(found["content"]).items


@dataclass
class World:
    """The parties of a world, and somebody who calls them."""

    parties: Mapping[str, tuple[SoapParty, PartyServer, Control]]
    gateway: Gateway
    session: aiohttp.ClientSession
    ports: Mapping[str, int] = field(default_factory=dict)
    """Of parties that run elsewhere."""

    @property
    def cs(self) -> JukiCs:
        party = self.parties["city-cs"][0]
        assert isinstance(party, JukiCs)
        return party

    @property
    def prefecture(self) -> Prefecture:
        party = self.parties["prefecture-server"][0]
        assert isinstance(party, Prefecture)
        return party

    @property
    def cards(self) -> CardManagement:
        party = self.parties["card-management-system"][0]
        assert isinstance(party, CardManagement)
        return party

    async def call(self, party: SoapParty, operation: str, *records: Mapping[str, Any]) -> Answered:
        """Records are ``xml`` or ``items``, and perhaps ``delivery``, ``municipality``, ``digest``."""
        declared = party.profile.operation(operation)
        body = "".join(_record(declared, each) for each in records)
        action = party.profile.action(operation)
        text = (
            f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"><soap:Header><wsa:Action>{action}</wsa:Action>'
            f"<wsa:MessageID>urn:uuid:{uuid.uuid4()}</wsa:MessageID><wsa:To>{party.profile.address}</wsa:To></soap:Header><soap:Body>"
            f'<j:{operation}Request xmlns:j="{party.profile.namespace}">{body}</j:{operation}Request></soap:Body></soap:Envelope>'
        )
        port = self.ports.get(party.name) or self.parties[party.name][1].listener.port
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{action}"'}
        async with self.session.post(f"https://127.0.0.1:{port}{party.envelopes.path}", data=text.encode(), headers=headers) as answer:
            return _read(answer.status, await answer.read(), party.profile)


def _record(operation: profiles.Operation, given: Mapping[str, Any]) -> str:
    xml = given.get("xml") or writing.write(operation.type, given["items"]).to_bytes().decode()
    more = f' municipality="{given["municipality"]}"' if "municipality" in given else ""
    if operation.digest:
        more += f' digest="{given.get("digest") or hashlib.sha256(xml.encode()).hexdigest()}"'
    return f'<j:Record deliveryId="{given.get("delivery") or uuid.uuid4()}"{more}>{xml}</j:Record>'


def _read(status: int, body: bytes, profile: profiles.Profile) -> Answered:
    content = etree.fromstring(body)[1][0]
    if content.tag == f"{{{SOAP}}}Fault":
        detail = content.find(f"detail/{{{profile.namespace}}}Fault")
        return Answered(status, detail.get("code") if detail is not None else "", [])
    results = [
        {
            "delivery": each.get("deliveryId"),
            "outcome": each.get("outcome"),
            "code": each.get("code"),
            "duplicate": each.get("duplicate") == "true",
            "content": etree.tostring(each[0], method="c14n", exclusive=True) if len(each) else b"",
        }
        for each in content
    ]
    return Answered(status, None, results)


def settings(folder: Path, authority: TestAuthority, *, alone: bool = False, **city_cs: Any) -> WorldSettings:
    """Of a world of 60 residents, without signatures: those have tests of their own."""

    def common(name: str) -> dict[str, Any]:
        files = authority.files(name)
        return {
            "token_file": folder / f"{name}.token",
            "certificate": files.certificate,
            "key": files.key,
            "ca": authority.ca,
            "crl": authority.crl,
            "journal": folder / f"{name}.jsonl",
            "salt": SALT,
        }

    quick = {"delay_s": 0.01, "quiet_s": 0.3, "population": 60, "city_seed": 5, **city_cs}
    return WorldSettings(
        city_cs=JukiCsSettings(**common("city-cs"), **quick),
        prefecture_server=None
        if alone
        else PrefectureSettings(**common("prefecture-server"), **{name: quick[name] for name in ("population", "city_seed", "quiet_s")}),
        card_management_system=None if alone else CardManagementSettings(**common("card-management-system")),
    )


@asynccontextmanager
async def running_world(given: WorldSettings, authority: TestAuthority, gateway: Gateway | None = None) -> AsyncIterator[World]:
    made = gateway or Gateway()
    async with serving_world(given) as parties:
        for party, _, _ in parties.values():
            party.notices = made  # type: ignore[assignment]
        connector = aiohttp.TCPConnector(ssl=context_of(authority, "gateway"))
        async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
            yield World(parties, made, session)
        await asyncio.sleep(0)
