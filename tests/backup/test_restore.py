"""A restored ledger is older than the world: nothing is sent twice silently, nothing erased comes back, all on record (R24, I9)."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import export, queries
from gateway.audit.checkpoint import Signer, public_pem
from gateway.audit.outside import read_file
from gateway.audit.sources import LedgerSource
from gateway.backup.create import create
from gateway.backup.manifest import MANIFEST, find, found, manifest_of, read
from gateway.backup.reading import lines, tables, verify
from gateway.backup.restore import restore, trusted_keys
from gateway.backup.sealed_file import CHUNK, BackupBroken
from gateway.contract import Effect, QueryAnswer, Unknown
from gateway.delivery.rows import NO_CONTENT, PartyTraits
from gateway.errors import CommandRefused, ConfigurationError, GatewayError
from gateway.ledger import restoring
from gateway.ledger import tables as t
from gateway.ledger.outcomes import Learned
from gateway.ledger.restoring import RESTORED
from gateway.security.keys import Kind
from tests.backup.kit import OTHER, Town
from tests.retention.test_keeper import DAYS, TRAITS, TYPE, admit, deliver_all, shift

pytestmark = [pytest.mark.rule("R24"), pytest.mark.invariant("I9"), pytest.mark.thorough]
DROPS = PartyTraits(party="city-cs", resend=True, memory_s=1e6, settle_s=1.0, call_s=10.0)


async def states(town: Town) -> dict[str, str]:
    return {row.id: row.state for row in await town.safe.rows(t.delivery)}


async def all_keys(town: Town) -> list[str]:
    return [row.id for row in await town.safe.rows(t.key_row)]


def content_of(file: Path, town: Town) -> list[tuple[str, list[Any]]]:
    with file.open("rb") as stream:
        return [(name, row) for name, _, row in tables(lines(stream, town.place.keys)) if row is not None]


# ---- the backup ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.control("C-3-7-3")
async def test_a_backup_has_everything_but_what_must_vanish(town: Town) -> None:
    await admit(town.safe, 3)
    await admit(town.safe, 2, OTHER)
    await deliver_all(town.safe)
    await admit(town.safe, 4)
    await admit(town.safe, 4, OTHER)
    file, manifest = await town.backup()
    content = content_of(file, town)
    type_ = [each.name for each in t.message.columns].index("type")
    of_message = {row[0]: row[type_] for name, row in content if name == "message"}
    assert len(of_message) == 13, "that they were sent is kept"
    held = [of_message[row[1]] for name, row in content if name == "data_key"]
    assert sorted(held) == [OTHER] * 8, "bodies of six and receipts of two"
    assert len([1 for name, _ in content if name == "payload"]) == 8
    ids = {row[0] for name, row in content if name in ("data_key", "payload")}
    vanishing = {row.id for row in await town.safe.rows(t.data_key) if of_message[row.message_id] == TYPE}
    assert len(vanishing) == 10, "bodies of seven and receipts of three"
    assert not ids & vanishing
    assert manifest.left_out == {"data_key": 10, "payload": 10}
    assert manifest.unfinished == {"city-cs": 8}
    done = await asyncio.to_thread(
        verify, file, town.place.keys, read_file(town.outside), trusted_keys(town.place.keys), town.folder / "scratch"
    )
    assert (done.opened, done.bodies) == (8, 6)
    assert done.chain.ok
    assert list((town.folder / "scratch").iterdir()) == [], "nothing of the trial stays"


@pytest.mark.control("C-1-3-25")
async def test_nothing_in_the_file_can_be_read_without_its_key(town: Town) -> None:
    await admit(town.safe, 2, OTHER)
    file, _ = await town.backup()
    text = file.read_bytes()
    [message, *_] = await town.safe.rows(t.message)
    assert message.id.encode() not in text
    for name, row in content_of(file, town):
        if name == "data_key":
            assert row[0].encode() not in text
    place = town.place.keys
    place.rotate(Kind.BACKUP)
    place.destroy(Kind.BACKUP, place.ids(Kind.BACKUP)[0])
    with pytest.raises(ConfigurationError, match="key-unknown"):
        content_of(file, town)


async def test_whatever_is_changed_in_a_backup_is_seen(town: Town) -> None:
    await admit(town.safe, 2, OTHER)
    file, manifest = await town.backup()
    trusted = trusted_keys(town.place.keys)
    whole = file.read_bytes()

    def code() -> str:
        with pytest.raises(GatewayError) as error:
            verify(file, town.place.keys, [], trusted, town.folder / "scratch")
        return error.value.code

    for altered in (whole[:-1], whole[:-20], whole + b"x", whole[:300] + bytes([whole[300] ^ 1]) + whole[301:]):
        file.write_bytes(altered)
        assert code() == "backup-digest"
        with pytest.raises(BackupBroken):  # and the seal itself says so, whatever a manifest says
            content_of(file, town)
    file.write_bytes(whole)
    said = json.loads(manifest_of(file).read_text())
    said["manifest"] = said["manifest"].replace('"block":', '"block":1')
    manifest_of(file).write_text(json.dumps(said))
    assert code() == "manifest-signature"
    said["signature"] = base64.b64encode(b"x").decode()
    manifest_of(file).write_text(json.dumps(said))
    assert code() == "manifest-signature"
    manifest_of(file).unlink()
    assert code() == "manifest-missing"
    assert manifest.file_bytes < CHUNK
    assert not list(town.place.directory.glob(".*")), "nothing half made lies about"


async def test_a_backup_is_found_by_its_id_or_as_the_newest(town: Town) -> None:
    await admit(town.safe, 1, OTHER)
    first, manifest = await town.backup()
    assert (
        find(town.place.directory, None) == first == find(town.place.directory, manifest.backup) == find(town.place.directory, str(first))
    )
    assert read(first) == manifest
    assert found(town.place.directory) == [first]
    with pytest.raises(ConfigurationError, match="backup-missing"):
        find(town.place.directory, "another")
    assert manifest_of(first).name == f"{manifest.backup}{MANIFEST}"


# ---- the way back ----------------------------------------------------------------------------------------------------------------------


async def test_everything_unfinished_is_unknown_and_every_party_stands_still(town: Town) -> None:
    await admit(town.safe, 2, OTHER)
    await deliver_all(town.safe)
    await admit(town.safe, 3, OTHER)
    await admit(town.safe, 2, OTHER, who=1)
    before = await states(town)
    [old] = [row.value for row in await town.safe.rows(t.meta, t.meta.c.name == "incarnation")]
    file, manifest = await town.backup()
    done, again = await town.restore(file)
    after = await states(again)
    assert {before[each] for each in after if after[each] == "delivered"} == {"delivered"}
    assert [state for state in after.values() if state != "delivered"] == ["unknown"] * 5
    assert done.unknown == {"city-cs": 5}
    for row in await again.safe.rows(t.delivery, t.delivery.c.final_at.is_(None)):
        assert row.unanswered_since == manifest.since < manifest.created_at, "sent, perhaps, from the moment of the backup"
        assert row.open_until > manifest.created_at
    assert {row.paused_by for row in await again.safe.rows(t.party_state)} == {RESTORED}
    assert {row.party for row in await again.safe.rows(t.party_state)} == {"city-cs", "prefecture-server"}
    [new] = [row.value for row in await again.safe.rows(t.meta, t.meta.c.name == "incarnation")]
    assert new == done.incarnation != old
    worker = await again.safe.ledger.register("worker")
    claimed = await again.safe.ledger.claim(worker, "city-cs", await all_keys(again), DROPS)
    assert (claimed.claimed, claimed.breaker_open) == ((), True), "nothing is sent"
    for paused in (False, True):
        if paused:
            await again.safe.ledger.pause("city-cs", "operator-a", "as well", paused=True)
        with pytest.raises(CommandRefused, match="restored-not-released"):
            await again.safe.ledger.pause("city-cs", "operator-a", "go on", paused=False)
    assert {row.paused_by for row in await again.safe.rows(t.party_state)} == {RESTORED}, "no one person resumes it, nor takes it over"


async def release(town: Town, party: str = "city-cs") -> None:
    from gateway.admin.retention import _release
    from gateway.approvals.kinds import Kind as Asked
    from gateway.ledger.approvals import Ask, Decide

    ledger = town.safe.ledger
    seen = await ledger.read(lambda conn: restoring.seen_of(conn, party))
    ask = Ask(kind=Asked.RESTORE_RELEASE, actor="operator-a", reason="compared", subject=f"restore {party}", seen_digest=seen, party=party)
    request = await ledger.submit(ask)
    with pytest.raises(CommandRefused, match="same-person"):
        await ledger.submit(Decide(request=request, actor="operator-a", approve=True, digest=seen, effect=_release))
    await ledger.submit(Decide(request=request, actor="operator-b", approve=True, digest=seen, effect=_release))


async def test_released_by_two_a_party_is_asked_or_gets_the_same_ids_again_or_a_person_decides(town: Town) -> None:
    await admit(town.safe, 1, OTHER)
    file, _ = await town.backup()
    [before] = await town.safe.rows(t.delivery)
    _, again = await town.restore(file)
    await release(again)
    ledger = again.safe.ledger
    worker = await ledger.register("worker")
    [claim] = (await ledger.claim(worker, "city-cs", await all_keys(again), DROPS)).claimed
    assert (claim.delivery_id, claim.resent, claim.query) == (before.id, True, False), "the same id; the party drops what it knows"
    await ledger.write_outcomes(worker, "city-cs", [Learned(claim=claim, answer=Unknown(code="timeout"))], DROPS, go_on=False)
    again.tamper("UPDATE delivery SET open_until = 1, not_before = NULL")
    asks = PartyTraits(party="city-cs", queries=True, settle_s=1.0, call_s=10.0)
    [claim] = (await ledger.claim(worker, "city-cs", await all_keys(again), asks)).claimed
    assert claim.query, "who can be asked is asked first"
    answer = QueryAnswer(effect=Effect.TOOK_EFFECT, code="00")
    await ledger.write_outcomes(worker, "city-cs", [Learned(claim=claim, answer=answer)], asks, go_on=False)
    assert set((await states(again)).values()) == {"delivered"}
    assert len(await again.safe.entries("restore-released")) == 1


async def test_who_neither_answers_queries_nor_drops_duplicates_is_a_persons_business(town: Town) -> None:
    await admit(town.safe, 1, OTHER)
    file, _ = await town.backup()
    _, again = await town.restore(file)
    await release(again)
    worker = await again.safe.ledger.register("worker")
    assert (await again.safe.ledger.claim(worker, "city-cs", await all_keys(again), TRAITS)).claimed == ()
    [key] = await again.safe.rows(t.key_row)
    assert key.held == "unknown"


async def test_what_waited_for_an_approval_or_another_delivery_still_waits_for_it(town: Town) -> None:
    await admit(town.safe, 2, OTHER)
    [first, second] = sorted(await town.safe.rows(t.delivery), key=lambda row: row.id)
    town.tamper(f"UPDATE delivery SET approval = 'release' WHERE id = '{first.id}'")
    town.tamper(f"UPDATE delivery SET waits_for = '{first.id}' WHERE id = '{second.id}'")
    file, _ = await town.backup()
    _, again = await town.restore(file)
    await release(again)
    worker = await again.safe.ledger.register("worker")
    assert (await again.safe.ledger.claim(worker, "city-cs", await all_keys(again), DROPS)).claimed == ()
    keys = {row.id: row for row in await again.safe.rows(t.key_row)}
    assert keys[first.key_id].held == "approval"
    assert (keys[second.key_id].held, keys[second.key_id].due_at) == (None, None)


async def test_whoever_waited_for_what_has_ended_since_is_due(town: Town) -> None:
    await admit(town.safe, 2, OTHER)
    [first, second] = sorted(await town.safe.rows(t.delivery), key=lambda row: row.id)
    town.tamper(f"UPDATE delivery SET waits_for = '{first.id}' WHERE id = '{second.id}'")
    town.tamper(f"UPDATE key_row SET due_at = NULL WHERE id = '{second.key_id}'")
    file, manifest = await town.backup()
    town.place.erasures.append("due", keys=[first.payload_id], ended=[[first.id, "delivered"]])
    await town.chain()
    done, again = await town.restore(file)
    assert (done.ended, done.unknown) == (1, {"city-cs": 1})
    await release(again)
    worker = await again.safe.ledger.register("worker")
    claimed = (await again.safe.ledger.claim(worker, "city-cs", await all_keys(again), DROPS)).claimed
    assert [each.delivery_id for each in claimed] == [second.id]
    assert manifest.unfinished == {"city-cs": 2}


@pytest.mark.control("C-3-7-1")
async def test_what_was_erased_since_does_not_come_back(town: Town) -> None:
    await admit(town.safe, 3, OTHER)
    await admit(town.safe, 3)
    file, manifest = await town.backup()
    assert manifest.rows["data_key"] == 3
    await deliver_all(town.safe)
    await shift(town.safe.ledger, DAYS)
    await town.keeper.run("test")
    await town.chain()
    kept = {row.id for row in await town.safe.rows(t.data_key)}
    done, again = await town.restore(file)
    assert (done.erased, done.ended) == (3, 6), "the list says what is gone, and that it was delivered"
    assert done.unknown == {}
    assert {row.state for row in await again.safe.rows(t.delivery)} == {"delivered"}
    assert await again.safe.rows(t.data_key) == []
    assert await again.safe.rows(t.payload) == []
    assert len(kept) == 3, "receipts of the others, which came after the backup"


@pytest.mark.control("C-3-7-3")
async def test_destination_information_that_was_under_way_cannot_be_sent_and_says_so(town: Town) -> None:
    await admit(town.safe, 1)
    file, _ = await town.backup()
    _, again = await town.restore(file)
    assert [row.payload_id for row in await again.safe.rows(t.delivery)] == [NO_CONTENT]
    await release(again)
    ledger = again.safe.ledger
    worker = await ledger.register("worker")
    assert (await ledger.claim(worker, "city-cs", await all_keys(again), DROPS)).claimed == ()
    [key] = await again.safe.rows(t.key_row)
    [delivery] = await again.safe.rows(t.delivery)
    assert (key.held, delivery.state, delivery.reason) == ("unknown", "unknown", "content-not-restored")
    again.tamper("UPDATE delivery SET state = 'queued', unanswered_since = NULL, open_until = NULL")  # two persons: it had no effect
    again.tamper("UPDATE key_row SET held = NULL, due_at = 1")
    assert (await ledger.claim(worker, "city-cs", await all_keys(again), DROPS)).claimed == ()
    [delivery] = await again.safe.rows(t.delivery)
    assert (delivery.state, delivery.reason) == ("expired", "content-not-restored")


# ---- what a restore refuses --------------------------------------------------------------------------------------------------------------


async def refused(town: Town, file: Path) -> str:
    with pytest.raises(ConfigurationError) as error:
        await asyncio.to_thread(restore, file, town.restore_place(), "local:tester")
    return error.value.code


async def test_without_the_newest_list_and_checkpoints_nothing_is_restored(town: Town) -> None:
    await admit(town.safe, 3)
    await town.chain()
    early = (town.outside.read_bytes(), b"")
    file, _ = await town.backup()
    at_backup = town.place.erasures.path.read_bytes()
    await deliver_all(town.safe)
    await shift(town.safe.ledger, DAYS)
    await town.keeper.run("test")
    await town.chain()
    newest, listed = town.outside.read_bytes(), town.place.erasures.path.read_bytes()

    town.place.erasures.path.unlink()
    assert await refused(town, file) == "erasure-list-missing"
    town.place.erasures.path.write_bytes(b"")
    assert await refused(town, file) == "erasure-list-broken", "older than the backup"
    town.place.erasures.path.write_bytes(at_backup)
    assert await refused(town, file) == "erasure-list-old", "cut short: the last checkpoint names a later line"
    town.place.erasures.path.write_bytes(b"\n".join(listed.splitlines()[:-2]) + b"\n")
    assert await refused(town, file) == "erasure-list-old"
    lines_ = listed.splitlines()
    town.place.erasures.path.write_bytes(b"\n".join([*lines_[:2], *lines_[3:]]) + b"\n")
    assert await refused(town, file) == "erasure-list-broken"
    town.place.erasures.path.write_bytes(listed)

    town.outside.unlink()
    assert await refused(town, file) == "checkpoints-missing"
    town.outside.write_bytes(early[1])
    assert await refused(town, file) == "checkpoints-old"
    town.outside.write_bytes(newest)
    done, _ = await town.restore(file)
    assert done.unknown == {}


async def test_nor_over_a_ledger_nor_without_the_keys(town: Town) -> None:
    await admit(town.safe, 1, OTHER)
    file, _ = await town.backup()
    with pytest.raises(ConfigurationError, match="ledger-not-empty"):
        await asyncio.to_thread(restore, file, town.restore_place(town.url), "local:tester")
    [kek] = town.place.keys.ids(Kind.KEK)
    town.place.keys.rotate(Kind.KEK)
    town.place.keys.destroy(Kind.KEK, kek)
    assert await refused(town, file) == "keys-lost"


# ---- the record --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.invariant("I8")
@pytest.mark.rule("R22")
async def test_the_chain_goes_on_and_says_what_was_lost(town: Town) -> None:
    await admit(town.safe, 2, OTHER)
    file, manifest = await town.backup()
    for number in range(3):
        await admit(town.safe, 1, OTHER, who=number)
        await town.chain()
    last = read_file(town.outside)[-1].read()
    done, again = await town.restore(file)
    assert done.lost_blocks == last.block - manifest.block == 3
    await again.chain()
    report = again.verify_chain()
    assert report.findings == []
    [said] = report.restored
    assert (said["block"], said["lost_to_block"], said["checkpoint"]) == (manifest.block, last.block, last.number + 1)
    [entry] = await again.safe.entries("restored")
    detail = json.loads(entry.detail)
    assert (detail["checkpoint"], detail["backup"], detail["lost_blocks"]) == (last.number, manifest.backup, 3)
    for number in range(5):
        await admit(again.safe, 1, OTHER, who=number)
        await again.chain()
    assert again.verify_chain().findings == [], "beyond the numbers of the lost blocks too"
    assert [line["kind"] for line in again.place.erasures.since(manifest.erasures_head)][-1] == "restored"


@pytest.mark.invariant("I8")
async def test_a_chain_that_was_cut_back_without_a_restore_is_still_seen(town: Town) -> None:
    await admit(town.safe, 2, OTHER)
    await town.chain()
    await admit(town.safe, 1, OTHER)
    await town.chain()
    town.tamper("UPDATE audit_entry SET block = NULL WHERE block = 2")
    town.tamper("DELETE FROM audit_block WHERE number = 2")
    assert [each.code for each in town.verify_chain().findings] == ["chain-truncated"]


@pytest.mark.invariant("I8")
@pytest.mark.rule("R23")
async def test_retention_does_not_look_like_tampering(town: Town) -> None:
    await admit(town.safe, 3)
    await admit(town.safe, 3, OTHER)
    await deliver_all(town.safe)
    await town.chain()
    for shifted in (DAYS, 6 * 366 * 86_400.0):
        await shift(town.safe.ledger, shifted)
        assert (await town.keeper.run("test")).erased
        await town.chain()
    assert await town.safe.rows(t.message) == [], "even the records are gone by then"
    report = town.verify_chain()
    assert (report.findings, report.restored) == ([], [])
    assert report.signed_to == report.last_block


@pytest.mark.invariant("I8")
async def test_a_third_person_sees_the_restore_with_openssl_alone(town: Town, repository: Path) -> None:
    await admit(town.safe, 2, OTHER)
    file, _ = await town.backup()
    await admit(town.safe, 1, OTHER)
    await town.chain()
    _, again = await town.restore(file)
    await again.chain()
    folder, key = town.folder / "taken-out", town.folder / "audit.pem"
    engine = again.safe.ledger.engine
    blocks = LedgerSource(engine.read_here).blocks()
    export.write(folder, (export.block_text(block, rows) for block, rows in blocks), export.stamped(engine.read_here(queries.checkpoints)))
    own = again.safe.keys.current(Kind.AUDIT)
    key.write_text(public_pem(Signer(own.id, own.secret).public), encoding="ascii")
    command = ["/bin/sh", str(repository / "docs" / "verify-audit.sh"), str(folder), str(key), "-o", str(town.outside)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "the ledger was restored" in done.stdout
    assert "all is well" in done.stdout


async def test_a_backup_is_of_one_moment_while_messages_come_in(town: Town) -> None:
    await admit(town.safe, 300, OTHER)
    await town.chain()
    engine = town.safe.ledger.engine
    making = asyncio.create_task(asyncio.to_thread(create, engine.read_here, engine.dialect, town.place, "local:tester"))
    came = 0
    while not making.done():
        await admit(town.safe, 20, OTHER)
        came += 20
    manifest = await making
    file = find(town.place.directory, manifest.backup)
    count = manifest.rows["message"]
    assert 300 <= count <= 300 + came
    assert came, "the writer did not wait for it"
    # of each message all or nothing; the trial has foreign keys as well
    assert manifest.rows["delivery"] == manifest.rows["data_key"] == manifest.rows["payload"] == count
    done = await asyncio.to_thread(
        verify, file, town.place.keys, read_file(town.outside), trusted_keys(town.place.keys), town.folder / "scratch"
    )
    assert (done.bodies, done.chain.ok) == (count, True)


async def test_keys_that_were_rotated_since_make_no_resident_another(town: Town) -> None:
    """The chain of blind keys leads from what the backup knows to what counts now; a former key-encryption key must still be there."""
    assert (await town.safe.submit(1)).refusal is None
    file, manifest = await town.backup()
    subjects = await town.safe.subjects()
    for kind in (Kind.BLIND, Kind.CONTENT):
        await town.safe.custodian.rotate(kind, "operator-a", "yearly")
        await town.safe.until_done()
    await town.chain()
    done, again = await town.restore(file)
    assert manifest.keys["blind"] != again.safe.keys.ids(Kind.BLIND)[-1:]
    await again.safe.until_done()
    assert (await again.safe.submit(1)).duplicate, "what was accepted before the backup gets its old receipt (R17)"
    assert not (await again.safe.submit(2)).duplicate
    assert await again.safe.subjects() == subjects, "the same resident"
    assert sum(done.unknown.values()) == len(await again.safe.rows(t.delivery)) - 1
