"""What the tests of outbound messages share: a register at the HTTPS door, and the journals of the parties. All data is fictitious."""

from __future__ import annotations

import json
import sqlite3
import uuid
from types import TracebackType
from typing import Any

import aiohttp

from certs.tls import client_context
from message_formats import samples, writing
from simulators.harness.town import REGISTER, Town
from simulators.journal import read_entries
from tests.support.broker import until

EFFECT = ("effect", "taken", "passed-on")


def message(kind: str, serial: int = 1, **changes: str | None) -> bytes:
    """A valid message of that type."""
    return writing.write(kind, {**samples.items(kind, serial), **changes}).to_bytes()


class Register:
    """Hands messages in, and looks at what became of them."""

    def __init__(self, town: Town) -> None:
        self.town = town
        own = town.files.identity(REGISTER)
        self._context = client_context(own["certificate"], own["key"], own["ca"], own["crl"])
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Register:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._context), trust_env=False)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()

    async def hand_in(self, kind: str, data: bytes, **attributes: str) -> tuple[int, dict[str, Any]]:
        """One message; status and answer. The id of the message is in the answer."""
        assert self._session is not None
        given = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": f"urn:renkei:system:{REGISTER}", "type": kind, **attributes}
        headers = {"Content-Type": "application/xml", **{f"ce-{name}": value for name, value in given.items()}}
        url = f"https://127.0.0.1:{self.town.ports.https}/v1/messages"
        async with self._session.post(url, data=data, headers=headers, server_hostname="gateway") as answer:
            return answer.status, json.loads(await answer.read())

    async def accepted(self, kind: str, data: bytes, **attributes: str) -> str:
        """The gateway's id of a message that it took."""
        status, answer = await self.hand_in(kind, data, **attributes)
        assert status == 202, answer
        return str(answer["message"])

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Of the ledger, beside its processes."""
        connection = sqlite3.connect(f"file:{self.town.var}/ledger/renkei.db?mode=ro", uri=True, timeout=10)
        try:
            connection.row_factory = sqlite3.Row
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def deliveries(self, message_id: str) -> dict[str, Any]:
        """The deliveries of a message by party."""
        rows = self.rows("SELECT d.*, k.held FROM delivery d JOIN key_row k ON k.id = d.key_id WHERE d.message_id = ?", message_id)
        return {row["party"]: row for row in rows}

    def journal(self, party: str, delivery_id: str) -> list[dict[str, Any]]:
        """What a party noted of a delivery."""
        return [entry for entry in read_entries(self.town.journal_of(party)) if entry.get("delivery") == delivery_id]

    async def until_delivered(self, message_id: str, *parties: str, timeout_s: float = 40.0) -> dict[str, Any]:
        """Wait until a message has taken effect once at each of ``parties``, by their own journals; the deliveries."""
        await until(
            lambda: all((found := self.deliveries(message_id).get(p)) is not None and found["state"] == "delivered" for p in parties),
            timeout_s,
        )
        found = self.deliveries(message_id)
        for party in parties:
            noted = self.journal(party, found[party]["id"])
            assert sum(entry["kind"] in EFFECT for entry in noted) == 1, (party, noted)
        return found
