"""Refused peers on record: one entry for a peer, a minute and a reason, however often it knocks (I6, I8, R22)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gateway.errors import LedgerUnavailable
from gateway.ledger import tables as t
from gateway.ledger.ledger import Ledger
from gateway.operations.metrics import Metrics
from gateway.security.refusals import MOST_ROWS, OTHERS, Refusal, Refusals

pytestmark = [pytest.mark.invariant("I8"), pytest.mark.rule("R22")]


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.db")
    yield opened
    await opened.close()


async def entries(ledger: Ledger) -> list[tuple[str, dict[str, Any]]]:
    query = select(t.audit_entry).where(t.audit_entry.c.kind == "peer-refused").order_by(t.audit_entry.c.id)
    rows = await ledger.read(lambda connection: connection.execute(query).all())
    return sorted(((row.actor, json.loads(row.detail)) for row in rows), key=lambda each: (-each[1]["count"], each[0]))


def knock(refusals: Refusals, **changes: Any) -> None:
    refusals.note(**{"direction": "in", "place": "intake", "address": "192.0.2.7", "code": "revoked", "fingerprint": "ab" * 32, **changes})


async def test_a_minute_of_one_peer_is_one_entry_with_its_number(ledger: Ledger) -> None:
    clock, metrics = Clock(), Metrics()
    refusals = Refusals(ledger.record_refusals, count=metrics.peer_refused, clock=clock)
    for number in range(1000):
        knock(refusals, fingerprint=f"{number % 7:02x}" * 32)
    knock(refusals, code="expired")
    knock(refusals, who="resident-record-system")
    await refusals.flush()
    assert await entries(ledger) == [], "the minute is not over"
    clock.now += 60
    knock(refusals)
    await refusals.flush()
    found = await entries(ledger)
    assert [(actor, each["code"], each["count"]) for actor, each in found] == [
        ("unknown", "revoked", 1000),
        ("resident-record-system", "revoked", 1),
        ("unknown", "expired", 1),
    ]
    assert found[0][1] == {
        "direction": "in", "place": "intake", "address": "192.0.2.7", "code": "revoked", "count": 1000,
        "minute": "2027-01-15T08:00:00+00:00", "certificates": [f"{number:02x}" * 32 for number in range(5)],
    }  # fmt: skip
    await refusals.stop()
    assert len(await entries(ledger)) == 4, "what was counted is written at the end"
    assert b'renkei_peer_refusals_total{code="revoked",direction="in",place="intake"} 1002.0' in await metrics.render()


async def test_outsiders_cannot_fill_the_record(ledger: Ledger) -> None:
    clock = Clock()
    refusals = Refusals(ledger.record_refusals, clock=clock)
    for number in range(MOST_ROWS * 3):
        knock(refusals, address=f"2001:db8::{number:x}")
    await refusals.flush(all_of_them=True)
    found = [each for _, each in await entries(ledger)]
    assert len(found) == MOST_ROWS + 1
    assert sum(each["count"] for each in found) == MOST_ROWS * 3
    assert {each["address"]: each["count"] for each in found}[OTHERS] == MOST_ROWS * 2


async def test_nothing_is_lost_while_the_ledger_is_away() -> None:
    clock, written, away = Clock(), [], True

    async def write(rows: Sequence[Refusal]) -> None:
        if away:
            raise LedgerUnavailable("ledger-busy", "not now")
        written.extend(rows)

    refusals = Refusals(write, clock=clock)
    knock(refusals)
    clock.now += 61
    with pytest.raises(LedgerUnavailable):
        await refusals.flush()
    away = False
    await refusals.flush()
    assert [each.count for each in written] == [1]


def test_the_log_says_the_first_of_each_at_once(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals(lambda _rows: None, clock=Clock())  # type: ignore[arg-type, return-value]
    for _ in range(5):
        knock(refusals)
    assert [record.message for record in caplog.records] == ["peer-refused"]
