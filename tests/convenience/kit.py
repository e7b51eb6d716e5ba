"""What the tests of certificates at kiosks share: the systems at both ends of the gateway, and a look at its record."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from simulators.convenience.centre import Centre, End
from simulators.convenience.family import FamilyRegister
from simulators.convenience.issuing import IssuingSystem
from simulators.convenience.soap import Caller
from simulators.convenience.world import Holder
from simulators.harness.convenience import ConvenienceTown
from tests.support.broker import until

ANSWER_S = 3.0
PEOPLE = 40


@dataclass
class Ends:
    """Both ends of the gateway."""

    town: ConvenienceTown
    issuing: IssuingSystem = field(init=False)
    family: FamilyRegister = field(init=False)
    caller: Caller = field(init=False)
    centre: Centre = field(init=False)
    kiosk: int = 0

    async def open(self, **settings: Any) -> None:
        await self.open_issuing(**settings)
        await self.open_family()
        self.caller = self.town.caller()
        self.centre = self.town.centre(self.caller, deadline_s=ANSWER_S + 3.0)

    async def open_issuing(self, **settings: Any) -> None:
        issuing = self.issuing = self.town.issuing_system(**settings)
        issuing.start()
        await until(lambda: issuing.consuming)

    async def open_family(self) -> None:
        family = self.family = self.town.family_register()
        family.start()
        await until(lambda: family.consuming)

    async def close(self) -> None:
        await self.issuing.stop()
        await self.family.stop()
        await self.caller.close()
        self.centre.close()

    async def ask(self, holder: Holder, kind: str = "1", **more: Any) -> End:
        """At a new kiosk."""
        self.kiosk += 1
        return await self.centre.ask(self.kiosk, holder, kind, **more)

    async def hand_in(self, kind: str, items: Any, system: str = "resident-record-system") -> int:
        [status] = await self.town.hand_in(system, [(kind, items)])
        return status

    async def until_delivered(self, timeout_s: float = 60.0) -> None:
        """Nothing is under way to the issuing system."""
        await until(lambda: not self.rows("SELECT 1 FROM delivery WHERE final_at IS NULL LIMIT 1"), timeout_s)

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Of the ledger, beside its processes."""
        connection = sqlite3.connect(f"file:{self.town.var}/ledger/renkei.db?mode=ro", uri=True, timeout=10)
        try:
            connection.row_factory = sqlite3.Row
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def record(self, kind: str) -> list[dict[str, Any]]:
        """Entries of the audit record, with their details."""
        found = self.rows("SELECT actor, message_id, delivery_id, party, detail FROM audit_entry WHERE kind = ? ORDER BY at, id", kind)
        return [{**dict(row), **json.loads(row["detail"])} for row in found]

    async def settled(self) -> None:
        """A moment for what is written besides."""
        await asyncio.sleep(0)
