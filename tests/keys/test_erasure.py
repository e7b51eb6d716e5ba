"""Erasure: the key goes, and nothing that anybody kept of the ciphertext opens any more; what is not final is never erased."""

from __future__ import annotations

import datetime as dt
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.contract import Delivered, Pending, Receipt, Unknown
from gateway.delivery.rows import PartyTraits
from gateway.errors import CommandRefused, ConfigurationError
from gateway.ledger import tables as t
from gateway.ledger.outcomes import Learned
from gateway.operations.key_custodian import vanishes_at
from gateway.retention.calendar import BusinessCalendar
from gateway.security.day_keys import JST, DayKeys
from gateway.security.erasure import Eraser
from gateway.security.keys import KeyStore, Kind
from gateway.security.sealing import SealBroken, Sealer
from tests.intake.kit import TYPE
from tests.keys.kit import Safe, opened, text

pytestmark = [pytest.mark.invariant("I9"), pytest.mark.rule("R23"), pytest.mark.thorough]
TRAITS = PartyTraits(party="city-cs", resend=False, memory_s=0.0, settle_s=1.0, call_s=10.0)
OK = Delivered(receipt=Receipt(code="00", body=b"<receipt/>"))


@pytest.fixture
async def safe(tmp_path: Path, ledger_url: str) -> AsyncIterator[Safe]:
    made = await Safe.open(tmp_path, ledger_url)
    yield made
    await made.close()


async def claimed(safe: Safe, number: int) -> Any:
    [message] = await safe.rows(t.message, t.message.c.source_id == f"m{number}")
    [delivery] = await safe.rows(t.delivery, t.delivery.c.message_id == message.id)
    worker = await safe.ledger.register("worker")
    [claim] = (await safe.ledger.claim(worker, "city-cs", [delivery.key_id], TRAITS)).claimed
    return worker, claim


async def deliver(safe: Safe, number: int, answer: Any = OK) -> str:
    worker, claim = await claimed(safe, number)
    sealed = safe.sealer.seal(b"<receipt/>", message_id=claim.message_id, message_type="receipt", party="city-cs")
    learned = Learned(claim=claim, answer=answer, sealed=sealed if isinstance(answer, Delivered) else None)
    await safe.ledger.write_outcomes(worker, "city-cs", [learned], TRAITS, go_on=False)
    return str(claim.message_id)


async def test_the_key_goes_and_is_nowhere_on_the_disk(safe: Safe) -> None:
    for number in range(30):
        await safe.submit(number, number)
    message_id = await deliver(safe, 7)
    kept = [row for row in await safe.rows(t.data_key) if row.message_id == message_id]
    bodies = {row.id: bytes(row.sealed) for row in await safe.rows(t.payload)}
    assert len(kept) == 2, "the body and the party's receipt"
    proof = await Eraser(safe.ledger).erase(message_id, "city-cs", actor="retention", reason="due")
    assert set(proof.keys) == {row.id for row in kept}
    assert not [row for row in await safe.rows(t.data_key) if row.message_id == message_id]
    assert not [row for row in await safe.rows(t.payload) if row.id in proof.keys]
    [entry] = await safe.entries("content-erased")
    assert (entry.actor, entry.message_id) == ("retention", message_id)
    assert len(await safe.contents()) == 29, "nobody else lost anything"
    if safe.ledger.engine.dialect == "sqlite":
        assert proof.proved
        assert "renkei" not in str(proof.remains)
        for file in safe.ledger.engine.files():  # looked at by the test's own means as well
            content = file.read_bytes() if file.exists() else b""
            assert not any(bytes(row.wrapped) in content for row in kept)
            assert not any(bodies[row.id] in content for row in kept)
    again = await Eraser(safe.ledger).erase(message_id, "city-cs", actor="retention", reason="due")
    assert again.keys == (), "the second time nothing is left to do"


async def test_a_copy_of_the_bodies_does_not_open_after_it(safe: Safe, tmp_path: Path) -> None:
    """A copy of what was sealed, with the key directory and the ledger as it is now in the attacker's hands."""
    await safe.submit(1)
    message_id = await deliver(safe, 1)
    [body] = [row for row in await safe.rows(t.payload) if row.kind == "delivery"]
    await Eraser(safe.ledger).erase(message_id, "city-cs", actor="retention", reason="due")
    await safe.submit(2, 2)
    for row in await safe.rows(t.data_key):  # every wrapped key that there still is
        with pytest.raises(SealBroken):
            safe.sealer.unseal(
                bytes(body.sealed), wrapped=bytes(row.wrapped), kek_id=row.kek_id, message_id=message_id, message_type=TYPE, party="city-cs"
            )


async def test_a_copy_of_the_whole_ledger_from_before_ends_with_its_key_encryption_key(tmp_path: Path) -> None:
    safe = await Safe.open(tmp_path, f"sqlite:///{tmp_path}/ledger/renkei.db")
    await safe.submit(1)
    message_id = await deliver(safe, 1)
    stolen = tmp_path / "stolen"
    stolen.mkdir()
    for file in safe.ledger.engine.files():  # with the write-ahead log: a copy of a running ledger
        shutil.copy(file, stolen / file.name)
    await Eraser(safe.ledger).erase(message_id, "city-cs", actor="retention", reason="due")
    assert text(1) in contents_of(stolen / "renkei.db", safe.sealer), "a full copy opens as long as its key-encryption key is there"
    await safe.custodian.rotate(Kind.KEK, "operator-a", "after an erasure")
    await safe.until_done()
    for sealer in (safe.sealer, Sealer(KeyStore(safe.keys.directory))):
        with pytest.raises(ConfigurationError, match="key-unknown"):
            contents_of(stolen / "renkei.db", sealer)
    await safe.close()


def contents_of(database: Path, sealer: Sealer) -> list[bytes]:
    connection = sqlite3.connect(database)
    connection.row_factory = _Row
    try:
        query = (
            "SELECT p.sealed, k.wrapped, k.kek_id, k.message_id, k.party, m.type FROM payload p JOIN data_key k ON k.id = p.id "
            "JOIN message m ON m.id = k.message_id WHERE p.kind = 'delivery'"
        )
        return [opened(sealer, row) for row in connection.execute(query)]
    finally:
        connection.close()


class _Row(sqlite3.Row):
    def __getattr__(self, name: str) -> Any:
        return self[name]


@pytest.mark.parametrize(
    ("state", "code"),
    [("queued", "not-final"), ("sending", "outcome-unknown"), ("unknown", "outcome-unknown"), ("awaiting", "outcome-unknown")],
)
async def test_what_is_not_final_is_never_erased(safe: Safe, state: str, code: str) -> None:
    await safe.submit(1)
    [message] = await safe.rows(t.message)
    if state == "sending":
        await claimed(safe, 1)
    elif state == "unknown":
        await deliver(safe, 1, Unknown(code="timeout"))
    elif state == "awaiting":
        await deliver(safe, 1, Pending(correlation="c-1", deadline_s=60))
    with pytest.raises(CommandRefused, match=code) as caught:
        await Eraser(safe.ledger).erase(message.id, "city-cs", actor="retention", reason="due")
    assert caught.value.rule == "R23"
    assert await safe.contents() == [text(1)]
    [entry] = await safe.entries("erasure-refused")
    assert code in entry.detail


async def test_what_does_not_exist_is_said(safe: Safe) -> None:
    with pytest.raises(CommandRefused, match="delivery-unknown"):
        await Eraser(safe.ledger).erase("no-such", "city-cs", actor="retention", reason="due")


async def test_a_receipt_may_be_kept_longer(safe: Safe) -> None:
    await safe.submit(1)
    message_id = await deliver(safe, 1)
    await Eraser(safe.ledger).erase(message_id, "city-cs", actor="retention", reason="due", kinds=("delivery", "command"))
    assert [row.kind for row in await safe.rows(t.payload)] == ["receipt"]


# ---- day keys --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.control("C-3-7-1")
@pytest.mark.control("C-3-7-3")
async def test_no_copy_of_the_ledger_opens_what_had_to_vanish(tmp_path: Path, ledger_url: str) -> None:
    safe = await Safe.open(tmp_path, ledger_url, ephemeral=frozenset({TYPE}))  # as if this type were one that must vanish
    now = [1_793_664_000.0]  # a Tuesday
    safe.day_keys._now = lambda: now[0]
    await safe.submit(1)
    [row] = [row for row in await safe.rows(t.data_key) if row.party == "city-cs"]
    _, _, day = row.kek_id.partition("/")
    assert day == safe.day_keys.ids()[0]
    assert (await safe.rows(t.payload))[0].kind == "delivery"
    assert await safe.contents() == [text(1)]

    await safe.custodian.rotate(Kind.KEK, "operator-a", "a rotation needs no day key")
    await safe.until_done()
    [row] = await safe.rows(t.data_key)
    assert row.kek_id == f"{safe.keys.ids(Kind.KEK)[-1]}/{day}"
    assert await safe.contents() == [text(1)]

    await safe.custodian.step()
    assert safe.day_keys.ids() == (day,), "it is not delivered yet"
    await deliver(safe, 1)
    await safe.custodian.step()
    assert safe.day_keys.ids() == (day,), "it is not due yet"
    await shift(safe, 5 * 86_400.0)
    now[0] = time.time() + 5 * 86_400.0
    copy = next(row for row in await safe.rows(t.data_key) if "/" in row.kek_id)  # of the key table itself, from a backup
    [body] = [each for each in await safe.rows(t.payload) if each.id == copy.id]
    await safe.custodian.step()
    assert safe.day_keys.ids() == ()
    assert not list(safe.day_keys.directory.glob("*.key"))
    with pytest.raises(SealBroken, match="day-key-destroyed"):
        safe.sealer.unseal(
            bytes(body.sealed),
            wrapped=bytes(copy.wrapped),
            kek_id=copy.kek_id,
            message_id=copy.message_id,
            message_type=TYPE,
            party=copy.party,
        )
    assert any(day in entry.detail for entry in await safe.entries("key-destroyed"))
    await safe.close()


@pytest.mark.control("C-3-7-1")
@pytest.mark.invariant("I1")
async def test_what_was_sealed_just_before_midnight_and_is_in_no_row_yet_keeps_its_day_key(tmp_path: Path, ledger_url: str) -> None:
    """Between sealing and commit there is a queue: the key of a day on which nothing else was sent must not end at its midnight."""
    safe = await Safe.open(tmp_path, ledger_url, ephemeral=frozenset({TYPE}))
    midnight = BusinessCalendar.next_midnight(time.time())
    safe.day_keys._now = lambda: midnight - 0.5
    sealed = safe.sealer.seal(b"fictitious", message_id="m", message_type=TYPE, party="city-cs")
    await shift(safe, midnight + 1.0 - time.time())
    safe.day_keys._now = lambda: midnight + 1.0
    await safe.custodian.step()
    opened = safe.sealer.unseal(
        sealed.sealed, wrapped=sealed.wrapped, kek_id=sealed.kek_id, message_id="m", message_type=TYPE, party="city-cs"
    )  # fmt: skip
    assert opened == b"fictitious"
    await shift(safe, 5 * 86_400.0)
    safe.day_keys._now = lambda: time.time() + 5 * 86_400.0
    await safe.custodian.step()
    assert safe.day_keys.ids() == (), "it ends when everything of its day must vanish, used or not"
    await safe.close()


async def shift(safe: Safe, seconds: float) -> None:
    """Business time of this test ledger goes on by so much (R21)."""
    from gateway.ledger.clock import OFFSET
    from gateway.ledger.keys import SetGuard

    await safe.ledger.submit(SetGuard(kind="test", actor="test", values={OFFSET: str(seconds)}))


def test_day_keys_are_private_and_marked_for_backups(tmp_path: Path) -> None:
    days = DayKeys(tmp_path / "day-keys").ensure()
    key_id, wrapped = days.wrap(bytes(32))
    assert days.unwrap(key_id, wrapped) == bytes(32)
    assert DayKeys(tmp_path / "day-keys").ensure().wrap(bytes(32))[0] == key_id, "one key for each day, whoever asks"
    assert (tmp_path / "day-keys" / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")
    with pytest.raises(ConfigurationError, match="key-current"):
        days.destroy(key_id)
    file = tmp_path / "day-keys" / f"day-{key_id}.key"
    file.chmod(0o644)
    with pytest.raises(ConfigurationError, match="key-file-permissions"):
        DayKeys(tmp_path / "day-keys").ensure()
    file.chmod(0o600)
    (tmp_path / "day-keys").chmod(0o755)
    with pytest.raises(ConfigurationError, match="key-directory-permissions"):
        DayKeys(tmp_path / "day-keys").ensure()


@pytest.mark.control("C-3-7-1")
@pytest.mark.parametrize(
    ("sent", "gone"),
    [("2026-11-24 09:00", "2026-11-26 00:00"), ("2026-11-27 23:59", "2026-12-01 00:00"), ("2026-11-28 12:00", "2026-12-01 00:00")],
)
def test_it_vanishes_when_the_business_day_after_has_ended(sent: str, gone: str) -> None:
    def at(text: str) -> float:
        return dt.datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=JST).timestamp()

    assert vanishes_at(at(sent)) == at(gone)
