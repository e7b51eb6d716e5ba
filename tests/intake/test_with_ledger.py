"""Both doors with the real ledger, on SQLite and on PostgreSQL: what was said to a sender is what is on disk."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from certs.authority import TestAuthority
from gateway.broker import BrokerEndpoint
from gateway.intake.admit import QUARANTINE, Intake
from gateway.ledger import tables as t
from gateway.ledger.bells import Bell
from gateway.ledger.ledger import Ledger
from gateway.ledger.queries import own_message
from gateway.security.sealing import Sealer
from message_formats import samples
from tests.intake.kit import OTHER, REGISTER, TYPE, House, headers, house, submission, xml
from tests.intake.queues import bench
from tests.intake.test_documents import OPENAPI, check
from tests.intake.web import Web, serve
from tests.support.broker import Names, until

pytestmark = pytest.mark.slow


@dataclass
class Real:
    ledger: Ledger
    url: str
    worker: str
    rung: list[Bell] = field(default_factory=list)

    async def rows(self, table: Any) -> list[Any]:
        def read(conn: Connection) -> list[Any]:
            return list(conn.execute(select(table)))

        return await self.ledger.read(read)

    async def status(self, system: str, source_id: str) -> dict[str, Any] | None:
        return await self.ledger.read(lambda conn: own_message(conn, system, source_id))


@pytest.fixture
async def real(ledger_url: str) -> AsyncIterator[Real]:
    rung: list[Bell] = []
    ledger = await asyncio.to_thread(Ledger.open, ledger_url, ring=rung.extend)
    yield Real(ledger, ledger_url, await ledger.register("gateway"), rung)
    await ledger.close()


def with_ledger(home: House, real: Real) -> House:
    home.intake = Intake(preparer=home.intake._preparer, ledger=real.ledger)
    home.ledger.status = real.status  # type: ignore[method-assign]
    return home


@pytest.fixture
async def door(real: Real, people: TestAuthority, tmp_path: Path) -> AsyncIterator[Web]:
    async with serve(with_ledger(house(tmp_path), real), people) as running:
        yield running


@pytest.mark.invariant("I1")
@pytest.mark.invariant("I5")
async def test_what_was_said_is_committed_and_nothing_is_in_clear(door: Web, real: Real, tmp_path: Path) -> None:
    head = headers(ce_operator="staff-0042", ce_terminal="T1")
    answer = await door.post(head=head)
    assert answer.status == 202
    (message,) = await real.rows(t.message)
    (delivery,) = await real.rows(t.delivery)
    assert (bytes(message.receipt), message.source_id, message.system) == (answer.body, head["ce-id"], REGISTER)
    assert (message.operator, message.terminal, message.door) == ("staff-0042", "T1", "https")
    assert (delivery.party, delivery.state, delivery.party_key) == ("city-cs", "queued", "SAMPLE0000000001")
    (bell,) = real.rung
    assert (bell.party, bell.lane, bell.key_id) == ("city-cs", "live", delivery.key_id)
    (payload,) = await real.rows(t.payload)
    (key,) = await real.rows(t.data_key)
    opened = Sealer(door.house.keys).unseal(
        bytes(payload.sealed), wrapped=bytes(key.wrapped), kek_id=key.kek_id, message_id=message.id, message_type=TYPE, party="city-cs"
    )
    assert opened == xml()
    items = samples.identity_items()
    names = [items[name] or "" for name in ("resident_record_code", "individual_number", "name_kanji", "address")]
    everything = repr([await real.rows(table) for table in (t.message, t.delivery, t.key_row, t.audit_entry, t.subject_alias, t.payload)])
    files = b"".join(f.read_bytes() for f in tmp_path.rglob("*.db*"))
    for value in names:
        assert value not in everything
        assert value.encode() not in files


@pytest.mark.rule("R17")
@pytest.mark.invariant("I2")
async def test_the_same_message_many_times_at_once_is_accepted_once_with_one_receipt(door: Web, real: Real) -> None:
    head = headers()
    answers = await asyncio.gather(*(door.post(head=head) for _ in range(8)))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.body for answer in answers}) == 1
    assert len(await real.rows(t.message)) == 1
    assert len(await real.rows(t.delivery)) == 1


@pytest.mark.rule("R17")
@pytest.mark.invariant("I10")
async def test_what_is_refused_is_kept_sealed_for_the_operator(door: Web, real: Real) -> None:
    head = headers()
    await door.post(head=head)
    other = xml(sex="1")
    assert (await door.post(other, head)).json["code"] == "same-id-other-content"
    broken = xml()[:-4]
    assert (await door.post(broken)).json["code"] == "malformed-xml"
    assert (await door.post(head=headers(ce_id=None))).json["code"] == "missing-attribute"
    kept = {row.code: row for row in await real.rows(t.quarantine)}
    assert set(kept) == {"same-id-other-content", "malformed-xml", "missing-attribute"}
    payloads = {row.id: row for row in await real.rows(t.payload) if row.kind == "quarantine"}
    wrapped = {row.message_id: row for row in await real.rows(t.data_key)}
    for code, body in (("same-id-other-content", other), ("malformed-xml", broken), ("missing-attribute", xml())):
        row, key = kept[code], wrapped[kept[code].id]
        payload = payloads[key.id]
        opened = Sealer(door.house.keys).unseal(
            bytes(payload.sealed),
            wrapped=bytes(key.wrapped),
            kek_id=key.kek_id,
            message_id=row.id,
            message_type=row.type or "unknown",
            party=QUARANTINE,
        )
        assert (opened, row.size_bytes, row.system) == (body, len(body), REGISTER)
    assert len(await real.rows(t.message)) == 1


@pytest.mark.invariant("I5")
async def test_a_sender_sees_what_became_of_its_message_as_described(door: Web) -> None:
    head = headers()
    accepted = (await door.post(head=head)).json
    answer = await door.send("GET", f"/v1/messages/{head['ce-id']}")
    assert answer.status == 200
    check(OPENAPI, OPENAPI["components"]["schemas"]["MessageStatus"], answer.json)
    assert (answer.json["message"], answer.json["accepted_at"]) == (accepted["message"], accepted["accepted_at"])
    (delivery,) = answer.json["deliveries"]
    assert (delivery["party"], delivery["state"]) == ("city-cs", "queued")
    assert samples.individual_number(1) not in answer.body.decode()
    assert (await door.send("GET", f"/v1/messages/{head['ce-id']}", by=OTHER)).status == 404


async def test_the_last_one_in_and_out_is_the_number_of_the_key(door: Web, real: Real) -> None:
    """R2: the messages of one resident get their numbers in the order in which they were accepted."""
    for serial in range(1, 4):
        changes = {"request_control_number": f"SAMPLE-R{serial}", "update_sequence_number": str(serial)}
        assert (await door.post(xml(1, **changes))).status == 202
    assert [(d.number, d.party_key) for d in await real.rows(t.delivery)] == [(n, f"SAMPLE-R{n}") for n in (1, 2, 3)]
    (key,) = await real.rows(t.key_row)
    assert (key.head, key.next_number) == (1, 4)


@pytest.mark.invariant("I1")
@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
async def test_a_locked_database_accepts_nothing_and_says_so(door: Web, real: Real) -> None:
    path = real.url.removeprefix("sqlite:///")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    head = headers()
    answer = await door.post(head=head)
    assert answer.status == 503
    assert answer.json["code"].startswith("ledger-")
    assert int(answer.headers["Retry-After"]) >= 1
    holder.execute("ROLLBACK")
    holder.close()
    assert await real.rows(t.message) == []
    assert (await door.post(head=head)).status == 202
    assert len(await real.rows(t.message)) == 1


@pytest.mark.rule("R16")
@pytest.mark.rule("R17")
async def test_by_queue_in_order_with_the_epoch_of_the_ledger(
    endpoint: BrokerEndpoint, declared: Names, real: Real, tmp_path: Path
) -> None:
    async with bench(endpoint, declared, tmp_path) as queue:
        home = with_ledger(queue.home, real)
        ids = [str(uuid.uuid4()) for _ in range(150)]
        for number, each in enumerate(ids, 1):  # all of one resident: the numbers of the key show the order (R2)
            await queue.register.send(xml(1, request_control_number=f"SAMPLE-Q{number}", update_sequence_number=str(number)), each)
        first = await queue.door(home=home, ledger=real.ledger, known=real.status, worker=lambda: real.worker)
        await queue.register.answers(150)
        bad = await queue.register.send(b"<")
        await queue.register.answers(151)
        (epoch,) = await real.rows(t.intake_epoch)
        assert (epoch.system, epoch.worker, epoch.epoch) == (declared.system, real.worker, 1)
        messages = {m.id: m for m in await real.rows(t.message)}
        in_order = [messages[d.message_id] for d in sorted(await real.rows(t.delivery), key=lambda d: d.number)]
        assert [m.source_id for m in in_order] == ids
        assert [bytes(m.receipt) for m in in_order] == queue.register.receipts[:150]
        assert [row.source_id for row in await real.rows(t.quarantine)] == [bad]

        # another process takes over; what the former one still holds is refused by the ledger
        other = await real.ledger.register("gateway")
        await real.ledger.claim_intake(declared.system, other)
        late = [await queue.register.send(xml(9, request_control_number=f"SAMPLE-L{n}")) for n in range(5)]
        await queue.register.answers(156)
        assert {m.source_id for m in await real.rows(t.message)} == {*ids, *late}
        (epoch,) = await real.rows(t.intake_epoch)
        assert (epoch.worker, epoch.epoch) == (real.worker, 3), "it closed its channel, came in again and claimed the next epoch"
        await until(lambda: first._subscription.unacked == 0)


@pytest.mark.rule("R17")
async def test_one_message_through_both_doors_is_one_message(endpoint: BrokerEndpoint, declared: Names, real: Real, tmp_path: Path) -> None:
    async with bench(endpoint, declared, tmp_path) as queue:
        home = with_ledger(queue.home, real)
        await queue.door(home=home, ledger=real.ledger, known=real.status, worker=lambda: real.worker)
        sent = await queue.register.send()
        await queue.register.answers(1)
        again = await home.intake.admit_one(submission(xml(), system=declared.system, id=sent, source="/x"))
        assert (again.receipt, again.duplicate) == (queue.register.receipts[0], True)
