"""A worklist of a reconciliation says of which residents support measures are in force; fictitious."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.ids import new_id
from gateway.ledger import reconciliations
from gateway.ledger import tables as t
from tests.admin.test_desk import Hall, hall
from tests.admin.test_ledger_service import ledger_url, postgres_server, postgres_url
from tests.retention.test_rows import Write, comparison, difference

__all__ = ["hall", "ledger_url", "postgres_server", "postgres_url"]


@pytest.mark.control("C-1-3-31")
async def test_the_worklist_marks_residents_under_support_measures(hall: Hall) -> None:
    await hall.submit("m1")
    await hall.mark("m1")
    run = comparison(1.0)

    def write(unit: Any) -> None:
        subject = unit.conn.execute(t.person_mark.select()).one().subject
        unit.conn.execute(t.reconciliation.insert().values(run))
        for number, who in enumerate((subject, new_id(), None), 1):
            row = difference(run["id"], 1.0, "open", number=number, subject=who)
            unit.conn.execute(t.reconciliation_difference.insert().values(row))

    await hall.ledger.submit(Write(write))

    async def marked() -> list[bool]:
        rows = await hall.ledger.read(lambda conn: reconciliations.worklist(conn, run["id"], states=(), after=0, limit=10))
        return [row["protected"] for row in rows]

    assert await marked() == [True, False, False]
    await hall.mark("m1", until="2020-03-31")  # it has ended
    assert await marked() == [False, False, False]
