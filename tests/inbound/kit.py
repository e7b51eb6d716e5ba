"""What the tests of inbound messages share: a town whose city CS sends notices, and the register's end of its queue."""

from __future__ import annotations

import asyncio
import http.client
import json
import sqlite3
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pika
from pika.credentials import ExternalCredentials

from certs.tls import client_context
from message_formats import samples, writing
from simulators.harness.town import REGISTER, Town
from simulators.journal import read_entries
from simulators.register.inbox import Inbox
from tests.support.broker import until


def notice(kind: str = "move-in-notice", serial: int = 1, **changes: str | None) -> str:
    """A valid, fictitious message of that type as the text of an element."""
    return writing.write(kind, {**samples.items(kind, serial), **changes}).to_bytes().decode()


async def publish(town: Town, body: bytes) -> None:
    """An acknowledgement of the register, as it is."""
    context = client_context(*(town.certificates / f for f in (f"{REGISTER}.pem", f"{REGISTER}.key", "ca.pem", "ca.crl")))
    where = pika.ConnectionParameters(
        host="127.0.0.1", port=town.ports.broker_tls, virtual_host="renkei", credentials=ExternalCredentials(),
        ssl_options=pika.SSLOptions(context, "broker"),
    )  # fmt: skip

    def send() -> None:
        with pika.BlockingConnection(where) as connection:
            connection.channel().basic_publish(f"acks.{REGISTER}", "in", body)

    await asyncio.to_thread(send)


@dataclass
class Ends:
    """Both ends of the gateway."""

    town: Town
    unknown: set[str] = field(default_factory=set)
    """Resident record codes that the register has not committed yet."""
    refused: set[str] = field(default_factory=set)
    moment: Callable[[str], None] = lambda name: None
    inbox: Inbox | None = None

    def decide(self, kind: str, items: Mapping[str, str]) -> str:
        code = items.get("resident_record_code", "")
        return "not-yet" if code in self.unknown else "refused" if code in self.refused else "accepted"

    async def open_register(self) -> None:
        """The register runs."""
        inbox = self.inbox = self.town.inbox(self.decide, self._at)
        inbox.start()
        try:
            await until(lambda: inbox.consuming, 30.0)  # a broker that was killed by the test before takes some seconds to come back
        except BaseException:
            await self.close_register()  # the next test opens one of its own
            raise

    def _at(self, name: str) -> None:
        self.moment(name)

    async def close_register(self) -> None:
        if self.inbox is not None:
            await self.inbox.stop()
            self.inbox = None

    # ---- the city CS

    async def send(self, *xml: str, operation: str = "SendMoveInNotice", ids: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
        """The city CS sends; its answer. A call without an answer is an empty one."""
        names = ids or tuple(str(uuid.uuid4()) for _ in xml)
        records = [{"delivery": name, "xml": text} for name, text in zip(names, xml, strict=True)]
        return await asyncio.to_thread(self._emit, {"operation": operation, "records": records, **more})

    async def send_until_accepted(
        self, xml: str, delivery: str, *, operation: str = "SendMoveInNotice", timeout_s: float = 40.0
    ) -> dict[str, Any]:
        """As a party does that has no answer: the same delivery id again, in a new message."""
        found: dict[str, Any] = {}

        async def accepted() -> bool:
            nonlocal found
            found = await self.send(xml, operation=operation, ids=(delivery,))
            results = found.get("results") or [{}]
            if results[0].get("outcome") != "accepted":
                await asyncio.sleep(0.2)
            return bool(results[0].get("outcome") == "accepted")

        await until(accepted, timeout_s)
        return found

    def _emit(self, what: Mapping[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.town.ports.control, timeout=30)
        try:
            token = (self.town.folder / "city-cs.token").read_text().strip()
            connection.request("POST", "/_sim/emit", json.dumps(what), {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            found = json.loads(answer.read())
        finally:
            connection.close()
        return found if answer.status == 200 else {"status": 0, "fault": None, "results": [], "problem": found}

    # ---- what became of it

    @property
    def effects(self) -> list[str]:
        """Delivery ids that took effect at the register, in order."""
        file = self.town.folder / "inbox.jsonl"
        return [entry["delivery"] for entry in read_entries(file) if entry["kind"] == "effect"] if file.exists() else []

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Of the ledger, beside its processes."""
        connection = sqlite3.connect(f"file:{self.town.var}/ledger/renkei.db?mode=ro", uri=True, timeout=10)
        try:
            connection.row_factory = sqlite3.Row
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def delivery(self, source_id: str) -> Any:
        """The delivery to the register of what came under this id, with its message and key; None: nothing came."""
        found = self.rows(
            "SELECT d.*, m.system, m.producer, m.door, m.subject, k.held FROM delivery d JOIN message m ON m.id = d.message_id "
            "JOIN key_row k ON k.id = d.key_id WHERE m.system = 'city-cs' AND m.source_id = ?",
            source_id,
        )
        return found[0] if found else None

    async def until_state(self, source_id: str, state: str, timeout_s: float = 40.0) -> Any:
        await until(lambda: (found := self.delivery(source_id)) is not None and found["state"] == state, timeout_s)
        return self.delivery(source_id)

    def replies(self, delivery_id: str) -> set[str]:
        """What the register said of a delivery. A reply that is faster than the outcome of its call is put on record as not matched yet,
        and found by that outcome (R14)."""
        found = [each for kind in ("reply", "reply-not-matched") for each in self.record(kind)]
        return {each["outcome"] for each in found if delivery_id in (each["delivery_id"], each.get("correlation", "").partition(".")[0])}

    def record(self, kind: str) -> list[dict[str, Any]]:
        """Entries of the audit record, with their details."""
        found = self.rows("SELECT actor, message_id, delivery_id, party, detail FROM audit_entry WHERE kind = ? ORDER BY at, id", kind)
        return [{**dict(row), **json.loads(row["detail"])} for row in found]
