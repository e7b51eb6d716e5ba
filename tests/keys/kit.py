"""A key directory, a ledger and an intake that belong together: what the gateway process is made of, without doors and broker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from gateway.intake.admit import Answer, Intake
from gateway.ledger import tables as t
from gateway.ledger.ledger import Ledger
from gateway.operations.key_custodian import KeyCustodian
from gateway.security.day_keys import DayKeys
from gateway.security.kek import KekProvider
from gateway.security.keys import KeyStore
from gateway.security.sealing import Sealer
from tests.intake.kit import preparer, submission, xml

QUEUE_AGE_S = 1000.0


@dataclass
class Safe:
    """See the module's text. ``clock``: what the custodian takes for now."""

    ledger: Ledger
    keys: KeyStore
    day_keys: DayKeys
    sealer: Sealer
    intake: Intake
    custodian: KeyCustodian

    @classmethod
    async def open(
        cls,
        folder: Path,
        url: str,
        *,
        token: KekProvider | None = None,
        kek_in_token: bool = False,
        ephemeral: frozenset[str] = frozenset(),
    ) -> Safe:
        ledger = await asyncio.to_thread(Ledger.open, url, profile="test")
        keys = KeyStore(folder / "keys", token=token, kek_in_token=kek_in_token).ensure()
        days = DayKeys(folder / "day-keys").ensure()
        sealer = Sealer(keys, day_keys=days, ephemeral=ephemeral)
        custodian = KeyCustodian(ledger, keys, sealer, days, queue_age_s=QUEUE_AGE_S, rows=3, pause_s=0.0, followed_s=0.0)
        custodian._settle_s = 0.0  # nothing else writes here: no transaction can be open
        await custodian.adopt()
        return cls(ledger, keys, days, sealer, process(keys, ledger, sealer), custodian)

    async def close(self) -> None:
        await self.custodian.stop()
        await self.ledger.close()

    async def submit(self, number: int, who: int = 1, *, intake: Intake | None = None, **changed: str | None) -> Answer:
        """Message ``number`` about the fictitious resident ``who``: the same number, the same message."""
        return await (intake or self.intake).admit_one(submission(text(number, who, **changed), id=f"m{number}"))

    async def until_done(self) -> int:
        """Steps of the custodian until nothing is left to do; how many."""
        steps = 1
        while await self.custodian.step():
            steps += 1
            assert steps < 1000
        return steps

    async def rows(self, table: Any, *where: Any) -> list[Any]:
        def read(conn: Connection) -> list[Any]:
            return list(conn.execute(select(table).where(*where)))

        return await self.ledger.read(read)

    async def entries(self, kind: str) -> list[Any]:
        return await self.rows(t.audit_entry, t.audit_entry.c.kind == kind)

    async def subjects(self) -> set[str]:
        return {row.subject for row in await self.rows(t.subject_alias)}

    async def contents(self) -> list[bytes]:
        """All sealed bodies of deliveries, opened, in the order of their ids."""

        def read(conn: Connection) -> list[Any]:
            query = (
                select(t.payload.c.sealed, t.data_key, t.message.c.type)
                .join(t.data_key, t.data_key.c.id == t.payload.c.id)
                .join(t.message, t.message.c.id == t.data_key.c.message_id)
                .order_by(t.payload.c.id)
            )
            return list(conn.execute(query))

        return [opened(self.sealer, row) for row in await self.ledger.read(read)]


def process(keys: KeyStore, ledger: Ledger, sealer: Sealer | None = None) -> Intake:
    """The intake of one process; another one has a key store of its own that may not have noticed a rotation yet."""
    made = preparer(keys, sealer=sealer or Sealer(keys), refresh_keys=keys.refresh)
    return Intake(preparer=made, ledger=ledger)


def opened(sealer: Sealer, row: Any) -> bytes:
    return sealer.unseal(
        bytes(row.sealed), wrapped=bytes(row.wrapped), kek_id=row.kek_id, message_id=row.message_id, message_type=row.type, party=row.party
    )


def text(number: int, who: int = 1, **changed: str | None) -> bytes:
    return xml(who, request_control_number=f"TEST{number:012d}", **changed)
