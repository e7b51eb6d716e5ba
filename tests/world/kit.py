"""What the tests of whole flows on the Juki-net's side share: the register hands in, the parties do, the register receives."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from certs.tls import client_context
from message_formats import samples, writing
from simulators.harness.town import REGISTER
from tests.inbound.kit import Ends
from tests.support.broker import until

PARTIES = ("city-cs", "prefecture-server", "card-management-system")
TYPES = (
    "move-in-notice",
    "family-register-supplement-notice",
    "move-out-certificate-data",
    "move-out-certificate-request",
    "individual-number-generation-request",
    "individual-number-change-request",
    "resident-code-change-notice",
    "code-acquisition-number-pair",
    "destination-information",
    "card-management-update",
    "card-continuation-request",
    "core-cs-reconciliation-data",
    "reconciliation-identity-data",
)
OTHER = samples.municipality_code(samples.OTHER_MUNICIPALITY_BASE)


@dataclass
class Whole(Ends):
    """Both ends, and the world behind one of them."""

    received: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    """(message type, items) of what came to the register, each as often as it came."""

    def decide(self, kind: str, items: Mapping[str, str]) -> str:
        self.received.append((kind, dict(items)))
        return super().decide(kind, items)

    async def hand_in(self, kind: str, items: Mapping[str, str | None], municipality: str | None = None, message_id: str = "") -> str:
        """The register hands a message in by HTTPS; its id."""
        xml = writing.write(kind, items).to_bytes()
        context = client_context(*(self.town.certificates / f for f in (f"{REGISTER}.pem", f"{REGISTER}.key", "ca.pem", "ca.crl")))
        name = message_id or str(uuid.uuid4())
        head = {"ce-specversion": "1.0", "ce-id": name, "ce-source": "/register", "ce-type": kind, "Content-Type": "application/xml"}
        if municipality is not None:
            head["ce-municipality"] = municipality
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), trust_env=False) as session,
            session.post(f"https://localhost:{self.town.ports.https}/v1/messages", data=xml, headers=head) as answer,
        ):
            assert answer.status == 202, await answer.text()
        return name

    async def came(self, kind: str, *, timeout_s: float = 40.0, **items: str) -> Mapping[str, str]:
        """Wait until the register has a message of that type with those items."""

        def found() -> Mapping[str, str] | None:
            fitting = (each for name, each in self.received if name == kind and all(each.get(key) == value for key, value in items.items()))
            return next(fitting, None)

        await until(lambda: found() is not None, timeout_s)
        result = found()
        assert result is not None
        return result

    def ends_of(self, message_id: str) -> dict[str, tuple[str, str | None]]:
        """(state, why its resident is held) of the deliveries of a message by party."""
        rows = self.rows(
            "SELECT d.party, d.state, k.held FROM delivery d JOIN message m ON m.id = d.message_id JOIN key_row k ON k.id = d.key_id "
            "WHERE m.source_id = ?",
            message_id,
        )
        return {row["party"]: (row["state"], row["held"]) for row in rows}

    async def delivered(self, message_id: str, *parties: str, timeout_s: float = 40.0) -> None:
        """Wait until a message has arrived at all of its parties, which are these."""
        await until(lambda: [state for state, _ in self.ends_of(message_id).values()] == ["delivered"] * len(parties), timeout_s)
        assert set(self.ends_of(message_id)) == set(parties)

    async def simulated(self, party: str, method: str, path: str, body: Any = None) -> Any:
        """The control API of a simulated party."""
        url, token = self.town.control(party)
        async with (
            aiohttp.ClientSession(trust_env=False) as session,
            session.request(method, f"{url}{path}", json=body, headers={"Authorization": f"Bearer {token}"}) as answer,
        ):
            text = await answer.text()
            assert answer.status in (200, 201), text
            return json.loads(text)

    async def do(self, party: str, **what: Any) -> Any:
        """Something that a party begins."""
        return await self.simulated(party, "POST", "/_sim/emit", what)

    async def state(self, party: str) -> Any:
        return await self.simulated(party, "GET", "/_sim/state")

    async def until_state_of(self, party: str, **expected: Any) -> None:
        """Wait until a party says that."""

        async def reached() -> bool:
            state = await self.state(party)
            if all(state.get(key) == value for key, value in expected.items()):
                return True
            await asyncio.sleep(0.1)
            return False

        await until(reached, 40.0)
