"""What the tests of fetching share: a town with a mailbox, whose business clock can be shifted. All residents are fictitious."""

from __future__ import annotations

import asyncio
import http.client
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from message_formats import samples, writing
from simulators.journal import read_entries
from tests.inbound.kit import Ends
from tests.support.broker import until

IMMIGRATION = "residence-card-issuance-system"
PORTAL = "application-management-system"
HOUR_S = 3_600.0
REGISTER = "resident-record-system"
DAY_S = 86_400.0
THEIRS = {"<sex>1<": "<sex>M<", "<sex>2<": "<sex>F<", "<article_30_45_category>1<": "<article_30_45_category>01<"}
"""The Bureau's codes in place of ours."""


def status_notice(serial: int, **changes: str | None) -> str:
    """A notice as the Immigration Bureau writes it, with its own codes."""
    xml = writing.write("residence-status-notice", {**samples.items("residence-status-notice", serial), **changes}).to_bytes().decode()
    for ours, theirs in THEIRS.items():
        xml = xml.replace(ours, theirs)
    return xml


def address_notice(serial: int, **changes: str) -> bytes:
    """A notice as the register writes it."""
    return writing.write("residence-address-notice", {**samples.items("residence-address-notice", serial), **changes}).to_bytes()


def card_of(serial: int) -> str:
    """The card number of a fictitious resident."""
    return str(samples.items("residence-status-notice", serial)["residence_card_number"])


@dataclass
class Mailboxes(Ends):
    """Both ends of the gateway, and the parties with mailboxes."""

    party: str = IMMIGRATION
    given: list[dict[str, str]] = field(default_factory=list)
    """What the register was given, in order."""

    def decide(self, kind: str, items: Mapping[str, str]) -> str:
        self.given.append(dict(items))
        return super().decide(kind, items)

    # ---- the party

    def control(self, method: str, path: str, what: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.town.ports.parties[self.party].control, timeout=30)
        try:
            token = (self.town.folder / f"{self.party}.token").read_text().strip()
            body = None if what is None else json.dumps(what)
            connection.request(method, path, body, {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            found = json.loads(answer.read())
            assert answer.status < 300, found
            return found
        finally:
            connection.close()

    async def put(self, batch: str, records: Mapping[str, str], **more: Any) -> None:
        """A batch into the mailbox."""
        what = {"batch": batch, "records": [{"id": name, "xml": xml} for name, xml in records.items()], **more}
        await asyncio.to_thread(self.control, "POST", "/_sim/emit", what)

    def journal(self, *kinds: str) -> list[dict[str, Any]]:
        return [each for each in read_entries(self.town.folder / f"{self.party}.jsonl") if each["kind"] in kinds]

    # ---- time

    def shift(self, seconds: float) -> None:
        """Business time goes on by so much."""
        connection = sqlite3.connect(self.town.var / "ledger" / "renkei.db", timeout=30, isolation_level=None)
        try:
            connection.execute("UPDATE meta SET value = CAST(CAST(value AS REAL) + ? AS TEXT) WHERE name = 'business_offset_s'", (seconds,))
        finally:
            connection.close()

    def runs(self, party: str = IMMIGRATION) -> list[Any]:
        return self.rows("SELECT * FROM fetch_run WHERE party = ? ORDER BY due_at", party)

    async def next_run(self, seconds: float = DAY_S, *, party: str = IMMIGRATION, timeout_s: float = 40.0) -> Any:
        """The next moment of the calendar comes; its run, once ended."""
        before = len(self.runs(party))
        self.shift(seconds)
        await until(lambda: len(runs := self.runs(party)) > before and runs[-1]["ended_at"] is not None, timeout_s)
        return self.runs(party)[-1]

    # ---- what became of it

    def batch(self, batch: str) -> Any:
        found = self.rows("SELECT * FROM fetch_batch WHERE batch = ?", batch)
        return found[0] if found else None

    def records(self, batch: str) -> dict[str, tuple[str, str | None]]:
        """(outcome, code) of each record of a batch."""
        query = "SELECT r.* FROM fetch_record r JOIN fetch_batch b ON b.id = r.batch_id WHERE b.batch = ? ORDER BY r.number"
        return {row["record"]: (row["outcome"], row["code"]) for row in self.rows(query, batch)}

    def taken(self, source_id: str, system: str = IMMIGRATION) -> list[Any]:
        """The deliveries of what came under this id."""
        query = "SELECT d.*, m.producer, m.door, m.subject FROM delivery d JOIN message m ON m.id = d.message_id"
        return self.rows(f"{query} WHERE m.system = ? AND m.source_id = ?", system, source_id)

    async def hand_in(
        self, source_id: str, xml: bytes, *, kind: str = "residence-address-notice", expected: int = 202, **more: str
    ) -> None:
        """The register submits a message over HTTPS."""
        connector = aiohttp.TCPConnector(ssl=self.town._register_context())
        headers = {
            "ce-specversion": "1.0", "ce-id": source_id, "ce-source": f"/{REGISTER}", "ce-type": kind, "Content-Type": "application/xml",
            **{f"ce-{name}": value for name, value in more.items()},
        }  # fmt: skip
        async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
            url = f"https://127.0.0.1:{self.town.ports.https}/v1/messages"
            async with session.post(url, data=xml, headers=headers, server_hostname="gateway") as answer:
                said = await answer.text()
                assert answer.status in (200, 201, 202) if expected == 202 else answer.status == expected, (answer.status, said)
