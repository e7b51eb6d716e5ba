"""What is past its time is erased everywhere in the ledger, on record, and what is being sent or unknown never (I9, R23)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.contract import Delivered, Receipt, Unknown
from gateway.delivery.rows import PartyTraits
from gateway.errors import CommandRefused, ConfigurationError
from gateway.ids import new_id
from gateway.ledger import retention as lr
from gateway.ledger import tables as t
from gateway.ledger.ledger import Ledger
from gateway.ledger.outcomes import Learned
from gateway.ledger.prepared import PreparedDelivery, PreparedMessage
from gateway.policy.routes import tables
from gateway.retention.calendar import BusinessCalendar
from gateway.retention.erasures import NO_HEAD, ErasureList
from gateway.retention.keeper import Keeper, Keeping
from gateway.retention.policy import load
from gateway.retention.search import dirty_free_pages, found_in
from gateway.security.keys import Kind
from tests.keys.kit import Safe

pytestmark = [pytest.mark.invariant("I9"), pytest.mark.rule("R23"), pytest.mark.thorough]
TYPE = "destination-information"
TRAITS = PartyTraits(party="city-cs", resend=False, memory_s=0.0, settle_s=1.0, call_s=10.0)
OK = Delivered(receipt=Receipt(code="00", body=b"<receipt/>"))
DAYS = 12 * 86_400.0
"""More than any run of holidays."""


@pytest.fixture
async def safe(tmp_path: Path, ledger_url: str) -> AsyncIterator[Safe]:
    made = await Safe.open(tmp_path, ledger_url, ephemeral=frozenset({TYPE}))
    yield made
    await made.close()


def keeper_of(safe: Safe, folder: Path) -> Keeper:
    keeping = Keeping(
        policy=load(None, tables().ephemeral), calendar=BusinessCalendar(), erasures=ErasureList(folder / "erasures.jsonl"), pause_s=0.0
    )
    keeper = Keeper(safe.ledger, keeping)
    keeper._settle_s = 0.0  # nothing else writes here
    return keeper


async def admit(safe: Safe, count: int, message_type: str = TYPE, *, who: int | None = None) -> list[str]:
    """Fictitious messages, sealed as intake would; destination information has no route yet, so they do not come through a door."""
    messages = []
    for number in range(count):
        message_id = new_id()
        sealed = safe.sealer.seal(f"fictitious {number}".encode(), message_id=message_id, message_type=message_type, party="city-cs")
        digest = hashlib.sha256(message_id.encode()).digest()
        person = digest if who is None else hashlib.sha256(str(who).encode()).digest()
        delivery = PreparedDelivery(party="city-cs", stream=message_type, lane="bulk", party_key=None, content_digest=digest, sealed=sealed)
        messages.append(
            PreparedMessage(
                message_id=message_id, system="resident-record-system", source_id=message_id, type=message_type, schema="s",
                content_mac=digest, door="file", identifiers=(("resident-record-code", person),),
                hmac_key_id=safe.keys.ids(Kind.BLIND)[-1], deliveries=(delivery,),
            )
        )  # fmt: skip
    for start in range(0, count, 200):
        await safe.ledger.admit(messages[start : start + 200], bulk=True)
    return [each.message_id for each in messages]


async def deliver_all(safe: Safe, answer: Any = OK) -> None:
    worker = await safe.ledger.register("worker")
    keys = [row.key_id for row in await safe.rows(t.delivery, t.delivery.c.final_at.is_(None))]
    for start in range(0, len(keys), 100):
        assert await safe.ledger.renew(worker)
        claimed = (await safe.ledger.claim(worker, "city-cs", keys[start : start + 100], TRAITS)).claimed
        receipt = [safe.sealer.seal(b"<receipt/>", message_id=c.message_id, message_type="receipt", party="city-cs") for c in claimed]
        learned = [
            Learned(claim=c, answer=answer, sealed=sealed if isinstance(answer, Delivered) else None)
            for c, sealed in zip(claimed, receipt, strict=True)
        ]
        await safe.ledger.write_outcomes(worker, "city-cs", learned, TRAITS, go_on=False)


async def shift(ledger: Ledger, seconds: float) -> None:
    await ledger.submit(lr.ShiftBusinessClock(offset_s=seconds, actor="test"))


@pytest.mark.control("C-3-7-1")
@pytest.mark.control("C-3-7-2")
@pytest.mark.control("C-1-7-15")
@pytest.mark.control("C-1-7-16")
@pytest.mark.parametrize(
    "count", [pytest.param(2000, marks=pytest.mark.thorough), pytest.param(100_000, marks=[pytest.mark.long, pytest.mark.timeout(3000)])]
)
async def test_destination_information_vanishes(safe: Safe, tmp_path: Path, count: int) -> None:
    keeper = keeper_of(safe, tmp_path)
    await admit(safe, count)
    await deliver_all(safe)
    kept = await safe.rows(t.data_key)
    assert len(kept) == 2 * count, "body and receipt of each"
    assert (await keeper.run("test")).erased == 0, "not due on the day on which it was sent"
    await shift(safe.ledger, DAYS)
    result = await keeper.run("test")
    assert result.erased == 2 * count
    assert await safe.rows(t.data_key) == []
    assert await safe.rows(t.payload) == []
    history = await safe.rows(t.disposal)
    assert {(row.rule, row.type, row.party, row.count) for row in history} == {
        ("destination-information", TYPE, "city-cs", count),
        ("destination-information-receipt", TYPE, "city-cs", count),
    }, "one line of the history for each rule, with the number erased"
    assert len(await safe.entries("provided")) == count, "the record of the provision stays"
    assert len(await safe.rows(t.delivery)) == count
    if safe.ledger.engine.dialect == "sqlite":
        assert result.proof == "nothing-left"
        assert found_in(safe.ledger.engine.files(), [bytes(row.wrapped) for row in kept])[1] == ()
        assert dirty_free_pages(safe.ledger.engine.files()[0]) == 0
    else:
        assert result.proof == "not-searched"
    safe.day_keys._now = lambda: 4e9  # the day of the key is over as well
    await safe.custodian.step()
    assert safe.day_keys.ids() == (), "what a copy of the ledger still holds opens no more"
    listed = list(keeper.keeping.erasures.since(NO_HEAD))
    assert {key for line in listed for key in line.get("keys", ())} == {row.id for row in kept}
    assert (await keeper.run("test")).erased == 0, "nothing is left to do"


@pytest.mark.control("C-3-7-4")
@pytest.mark.edge("F2-7", "unreachable")
async def test_what_was_never_delivered_expires(safe: Safe, tmp_path: Path) -> None:
    keeper = keeper_of(safe, tmp_path)
    await admit(safe, 3)
    await admit(safe, 3, who=1)  # three of one resident: the first is the head
    await shift(safe.ledger, DAYS)
    result = await keeper.run("test")
    assert (result.expired, result.refused) == (6, 0)
    assert {row.state for row in await safe.rows(t.delivery)} == {"expired"}
    assert await safe.rows(t.data_key) == [], "it vanishes at once"
    assert len(await safe.entries("expired")) == 6
    worker = await safe.ledger.register("worker")
    keys = [row.id for row in await safe.rows(t.key_row)]
    assert (await safe.ledger.claim(worker, "city-cs", keys, TRAITS)).claimed == ()


async def test_whoever_waits_behind_an_unknown_expires_and_the_unknown_does_not(safe: Safe, tmp_path: Path) -> None:
    keeper = keeper_of(safe, tmp_path)
    await admit(safe, 3, who=1)
    worker = await safe.ledger.register("worker")
    [key] = await safe.rows(t.key_row)
    [claim] = (await safe.ledger.claim(worker, "city-cs", [key.id], TRAITS)).claimed
    await shift(safe.ledger, DAYS)
    result = await keeper.run("test")
    assert (result.expired, result.refused) == (2, 1), "what is being sent must not expire (R23)"
    assert keeper.overdue == 1
    [body] = await safe.rows(t.payload)
    assert body.id == claim.payload_id
    await safe.ledger.write_outcomes(worker, "city-cs", [Learned(claim=claim, answer=Unknown(code="timeout"))], TRAITS, go_on=False)
    assert (await keeper.run("test")).refused == 1, "nor what is unknown"
    assert len(await safe.rows(t.payload)) == 1


async def test_a_key_goes_on_past_what_expired_in_its_place(safe: Safe, tmp_path: Path) -> None:
    keeper = keeper_of(safe, tmp_path)
    await admit(safe, 2, who=1)
    worker = await safe.ledger.register("worker")
    [key] = await safe.rows(t.key_row)
    [claim] = (await safe.ledger.claim(worker, "city-cs", [key.id], TRAITS)).claimed
    await shift(safe.ledger, DAYS)
    await keeper.run("test")
    await shift(safe.ledger, 0.0)
    await admit(safe, 1, who=1)
    found = await safe.ledger.write_outcomes(worker, "city-cs", [Learned(claim=claim, answer=OK)], TRAITS)
    assert len(found.next) == 1, "the third is next"
    states = [row.state for row in sorted(await safe.rows(t.delivery), key=lambda row: row.number)]
    assert states == ["delivered", "expired", "sending"]


@pytest.mark.control("C-2-7-4")
async def test_a_body_is_not_kept_after_delivery_but_the_receipt_is(safe: Safe, tmp_path: Path) -> None:
    keeper = keeper_of(safe, tmp_path)
    await admit(safe, 5, "identity-information-update")
    await deliver_all(safe)
    await admit(safe, 2, "identity-information-update")
    result = await keeper.run("test")
    assert result.erased == 5
    assert sorted(row.kind for row in await safe.rows(t.payload)) == ["delivery"] * 2 + ["receipt"] * 5
    await shift(safe.ledger, 6 * 366 * 86_400.0)
    assert (await keeper.run("test")).erased == 10, "five receipts, five records"
    assert len(await safe.rows(t.message)) == 2


@pytest.mark.control("C-1-7-15")
@pytest.mark.control("C-1-7-16")
@pytest.mark.rule("R22")
async def test_records_of_provision_are_kept_for_five_years_and_then_erased_on_record(safe: Safe, tmp_path: Path) -> None:
    """Though the body is gone at once; with what was searched by. What is under way stays with its record, however old it is."""
    keeper = keeper_of(safe, tmp_path)
    provided, refused = new_id(), new_id()
    [message_id] = await admit(safe, 1, "identity-information-update")
    [delivery] = await safe.rows(t.delivery)
    at = delivery.accepted_at

    def write(conn: Any) -> None:
        common = {"at": at, "message_id": None, "system": "resident-record-system", "type": "identity-search-result", "party": "city-cs"}
        ended = {"outcome": "provided", "outcome_at": at}
        conn.execute(t.provision.insert().values(id=provided, **common, **ended))
        conn.execute(t.provision.insert().values(id=refused, **common, outcome="refused", code="no-such-person"))
        conn.execute(t.provision.insert().values(id=delivery.id, **{**common, "message_id": message_id}, outcome="permitted"))
        conn.execute(t.inquiry.insert().values(id=provided, question="identity-search-request", reference="A-1", condition="{}"))

    await safe.ledger.submit(_Write(write))
    await keeper.run("test")
    await shift(safe.ledger, (5 * 365 - 1) * 86_400.0)
    await keeper.run("test")
    assert {row.id for row in await safe.rows(t.provision)} == {provided, refused, delivery.id}, "five years are not over"
    assert len(await safe.rows(t.inquiry)) == 1
    assert [row for row in await safe.rows(t.disposal) if row.place == "provision"] == []
    await shift(safe.ledger, (5 * 365 + 3) * 86_400.0)
    (rule,) = [each for each in keeper.keeping.policy.rules if each.place == "provision"]
    assert await keeper.due(rule) == 2
    await keeper.run("test")
    assert [row.id for row in await safe.rows(t.provision)] == [delivery.id], "it may still come to an end"
    assert await safe.rows(t.inquiry) == []
    [line] = [row for row in await safe.rows(t.disposal) if row.place == "provision"]
    assert (line.rule, line.count, line.oldest, line.newest) == ("provision-record", 2, at, at)
    assert len(await safe.entries("provisions-erased")) == 1
    await keeper.run("test")
    assert len([row for row in await safe.rows(t.disposal) if row.place == "provision"]) == 1


class _Write:
    """Rows that other parts of the ledger write, as a step of its writer."""

    bulk, size = False, 1

    def __init__(self, write: Any) -> None:
        self._write = write

    def plan(self, unit: Any) -> None: ...

    def apply(self, unit: Any) -> None:
        self._write(unit.conn)

    def finish(self, unit: Any) -> None: ...


async def test_a_purge_takes_one_party_only(safe: Safe, tmp_path: Path) -> None:
    keeper = keeper_of(safe, tmp_path)
    await admit(safe, 3, "identity-information-update")
    result = await keeper.purge("prefecture-server", "operator-a", "i-1")
    assert result.erased == 0
    result = await keeper.purge("city-cs", "operator-a", "i-2")
    assert (result.expired, result.erased) == (3, 3)
    assert {row.instruction for row in await safe.rows(t.disposal)} == {"i-2"}


def test_the_list_of_erasures_shows_what_was_taken_from_it(tmp_path: Path) -> None:
    listed = ErasureList(tmp_path / "erasures.jsonl")
    with pytest.raises(ConfigurationError, match="erasure-list-missing"):
        list(listed.since(NO_HEAD))
    heads = [listed.append("due", keys=[f"k{number}"]) for number in range(5)]
    assert [line["keys"] for line in listed.since(heads[2])] == [["k3"], ["k4"]]
    lines = listed.path.read_text().splitlines()
    for broken in (lines[:2] + lines[3:], [lines[0].replace("k0", "k9"), *lines[1:]], lines[:2]):
        listed.path.write_text("\n".join(broken) + "\n")
        with pytest.raises(ConfigurationError, match="erasure-list-broken"):
            list(listed.since(heads[3]))


async def test_the_clock_of_production_is_not_shifted(tmp_path: Path) -> None:
    ledger = await asyncio.to_thread(Ledger.open, f"sqlite:///{tmp_path}/l/r.db", profile="production")
    try:
        with pytest.raises(CommandRefused, match="business-clock-real"):
            await shift(ledger, 1.0)
    finally:
        await ledger.close()
