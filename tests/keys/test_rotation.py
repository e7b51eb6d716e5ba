"""Rotation beside the traffic: nothing is lost, nobody becomes two residents, an old key goes when nothing hangs on it, and any crash
between two steps leaves something that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.errors import CommandRefused, ConfigurationError
from gateway.keyring import require_keys
from gateway.ledger import keys as lk
from gateway.ledger import tables as t
from gateway.operations.key_custodian import KeyCustodian
from gateway.security import keys as module
from gateway.security.blind import BlindIndex
from gateway.security.kek import TokenKeks
from gateway.security.keys import KeyStore, Kind
from gateway.security.sealing import SealBroken, Sealer, kek_of
from gateway.security.token import Token, TokenUnavailable
from message_formats import samples
from tests.keys.kit import QUEUE_AGE_S, Safe, process, text

pytestmark = [pytest.mark.invariant("I5"), pytest.mark.thorough]


@pytest.fixture
async def safe(tmp_path: Path, ledger_url: str) -> AsyncIterator[Safe]:
    made = await Safe.open(tmp_path, ledger_url)
    yield made
    await made.close()


def unaware(safe: Safe, monkeypatch: pytest.MonkeyPatch) -> KeyStore:
    """The key store of a process that has just looked, and will not look again before it is told."""
    other = KeyStore(safe.keys.directory)
    for kind in Kind:
        other.get(kind, other.ids(kind)[-1])
    monkeypatch.setattr(module, "FOLLOW_S", 3600.0)
    return other


# ---- key-encryption keys ----------------------------------------------------------------------------------------------------------------


async def test_data_keys_are_wrapped_anew_in_small_steps_and_the_old_key_goes(safe: Safe) -> None:
    for number in range(7):
        await safe.submit(number, number)
    before = [row.sealed for row in await safe.rows(t.payload)]
    old = safe.keys.ids(Kind.KEK)[-1]
    new = await safe.custodian.rotate(Kind.KEK, "operator-a", "yearly")
    await safe.submit(7, 7)
    assert {kek_of(row.kek_id) for row in await safe.rows(t.data_key)} == {old, new}, "new messages use it at once"
    assert await safe.until_done() >= 3, "three rows in a step"
    assert {row.kek_id for row in await safe.rows(t.data_key)} == {new}
    assert safe.keys.ids(Kind.KEK) == (new,)
    assert not list(safe.keys.directory.glob(f"*{old}*"))
    assert [row.sealed for row in await safe.rows(t.payload)][:7] == before, "no ciphertext was touched"
    assert sorted(await safe.contents()) == sorted(text(number, number) for number in range(8))
    [rotated], [destroyed] = await safe.entries("key-rotated"), await safe.entries("key-destroyed")
    assert rotated.actor == "operator-a"
    assert (old in rotated.detail, new in rotated.detail, old in destroyed.detail) == (True, True, True)


async def test_a_crash_between_any_two_steps_changes_nothing_about_the_end(safe: Safe) -> None:
    for number in range(7):
        await safe.submit(number, number)
    await safe.custodian.rotate(Kind.KEK, "operator-a", "test")
    for _ in range(100):
        # a new process each time: what it knows is in the rows and in the index
        keys = KeyStore(safe.keys.directory).ensure()
        custodian = KeyCustodian(safe.ledger, keys, Sealer(keys), safe.day_keys, queue_age_s=QUEUE_AGE_S, rows=2, pause_s=0, followed_s=0)
        custodian._settle_s = 0
        await custodian.adopt()
        if not await custodian.step():
            break
    assert len(keys.ids(Kind.KEK)) == 1
    assert len(await safe.contents()) == 7


async def test_an_old_key_stays_while_anything_hangs_on_it(safe: Safe, monkeypatch: pytest.MonkeyPatch) -> None:
    await safe.submit(1)
    old = safe.keys.ids(Kind.KEK)[-1]
    [row] = await safe.rows(t.data_key)
    damaged = lk.Wrapped(id=row.id, message_id=row.message_id, path=row.kek_id, wrapped=row.wrapped)
    await safe.ledger.submit(lk.Rewrap(renewed=[(damaged, old, bytes(40))]))
    await safe.custodian.rotate(Kind.KEK, "operator-a", "test")
    await safe.until_done()
    assert old in safe.keys.ids(Kind.KEK), "the damaged row can still be looked at with its key"


@pytest.mark.invariant("I1")
async def test_what_a_late_process_sealed_under_a_destroyed_key_is_sealed_anew(safe: Safe, monkeypatch: pytest.MonkeyPatch) -> None:
    other = unaware(safe, monkeypatch)
    late = process(other, safe.ledger)
    await safe.custodian.rotate(Kind.KEK, "operator-a", "test")
    await safe.until_done()
    assert len(other._index.of(Kind.KEK)) == 1, "it has not noticed"
    answer = await safe.submit(1, intake=late)
    assert answer.receipt
    assert await safe.contents() == [text(1)]


@pytest.mark.rule("R20")
async def test_a_barred_key_is_never_taken_and_disturbs_nobody_else(safe: Safe) -> None:
    old = safe.keys.ids(Kind.KEK)[-1]
    stale = safe.intake.prepare(_submission(1))
    await safe.custodian.rotate(Kind.KEK, "operator-a", "test")
    await safe.until_done()
    fresh = safe.intake.prepare(_submission(2))
    results = await asyncio.gather(
        safe.ledger.admit([stale.prepared]),
        safe.ledger.admit([fresh.prepared]),
        return_exceptions=True,  # type: ignore[union-attr]
    )
    assert isinstance(results[0], lk.StaleKey)
    assert not isinstance(results[1], BaseException)
    assert old not in {row.kek_id for row in await safe.rows(t.data_key)}
    assert [row.source_id for row in await safe.rows(t.message)] == ["m2"], "nothing of it was done"


async def test_a_key_is_not_destroyed_before_every_process_can_have_noticed(safe: Safe) -> None:
    safe.custodian._followed_s = 10.0
    now = [safe.keys.since(safe.keys.ids(Kind.KEK)[-1])]
    safe.custodian._clock = lambda: now[0]
    await safe.custodian.rotate(Kind.KEK, "operator-a", "test")
    now[0] = safe.keys.since(safe.keys.ids(Kind.KEK)[-1]) + 9
    await safe.until_done()
    assert len(safe.keys.ids(Kind.KEK)) == 2
    now[0] += 2
    await safe.until_done()
    assert len(safe.keys.ids(Kind.KEK)) == 1


# ---- in a token -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.control("C-2-2-9")
async def test_moving_to_a_token_is_a_rotation(tmp_path: Path, ledger_url: str, soft_token: Token) -> None:
    safe = await Safe.open(tmp_path, ledger_url)
    await safe.submit(1)
    await safe.close()
    safe = await Safe.open(tmp_path, ledger_url, token=TokenKeks(soft_token), kek_in_token=True)
    assert await safe.contents() == [text(1)]
    new = await safe.custodian.rotate(Kind.KEK, "operator-a", "into the token")
    await safe.submit(2, 2)
    await safe.until_done()
    assert new.startswith("hsm-")
    assert safe.keys.ids(Kind.KEK) == (new,)
    assert not list(safe.keys.directory.glob("kek-*")), "no key-encryption key is on the disk"
    assert sorted(await safe.contents()) == sorted([text(1), text(2, 2)])
    again = await safe.custodian.rotate(Kind.KEK, "operator-a", "within the token")
    await safe.until_done()
    assert safe.keys.ids(Kind.KEK) == (again,)
    assert len(await safe.contents()) == 2
    with pytest.raises(ConfigurationError, match="key-unknown"):
        TokenKeks(soft_token).wrap(new, bytes(32))
    await safe.close()
    with pytest.raises(ConfigurationError, match="token-not-configured"):
        KeyStore(tmp_path / "keys").ensure()


def test_a_key_in_a_token_wraps_and_nothing_else(tmp_path: Path, soft_token: Token) -> None:
    from pkcs11 import Attribute, ObjectClass

    keys = KeyStore(tmp_path / "keys", token=TokenKeks(soft_token), kek_in_token=True).ensure()
    kek = keys.ids(Kind.KEK)[-1]

    def look(session: object) -> dict[str, bool]:
        found = session.get_key(object_class=ObjectClass.SECRET_KEY, id=kek.encode())  # type: ignore[attr-defined]
        names = ("WRAP", "UNWRAP", "ENCRYPT", "DECRYPT", "EXTRACTABLE", "SENSITIVE")
        return {name: found[Attribute[name]] for name in names}

    assert soft_token.run(look) == {
        "WRAP": True, "UNWRAP": True, "ENCRYPT": False, "DECRYPT": False, "EXTRACTABLE": False, "SENSITIVE": True,
    }  # fmt: skip
    sealed = Sealer(keys).seal(b"x", message_id="m", message_type="t", party="p")
    broken = bytes([sealed.wrapped[0] ^ 1]) + sealed.wrapped[1:]
    with pytest.raises(SealBroken, match="data-key-broken"):
        Sealer(keys).unseal(sealed.sealed, wrapped=broken, kek_id=sealed.kek_id, message_id="m", message_type="t", party="p")


def test_a_token_that_is_away_is_not_a_broken_seal(tmp_path: Path, soft_token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = KeyStore(tmp_path / "keys", token=TokenKeks(soft_token), kek_in_token=True).ensure()
    sealed = Sealer(keys).seal(b"x", message_id="m", message_type="t", party="p")

    def away(work: object) -> None:
        raise TokenUnavailable("token-unreachable", "away")

    monkeypatch.setattr(soft_token, "run", away)
    with pytest.raises(TokenUnavailable) as caught:
        Sealer(keys).unseal(sealed.sealed, wrapped=sealed.wrapped, kek_id=sealed.kek_id, message_id="m", message_type="t", party="p")
    assert caught.value.retry


# ---- blind indexes ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.invariant("I3")
async def test_rotated_blind_indexes_move_nobody(safe: Safe) -> None:
    for number in range(6):
        await safe.submit(number, number)
    before = await safe.rows(t.subject_alias)
    old = safe.keys.ids(Kind.BLIND)[-1]
    new = await safe.custodian.rotate(Kind.BLIND, "operator-a", "test")
    assert await safe.custodian.step()
    generations = {row.hmac_key_id for row in await safe.rows(t.subject_alias)}
    assert generations == {old, new}, "half way"
    for number in range(6):
        await safe.submit(10 + number, number)  # those that are renewed and those that are not
    await safe.submit(20, 20)
    await safe.until_done()
    for number in range(6):
        await safe.submit(30 + number, number)
    after = await safe.rows(t.subject_alias)
    assert {row.hmac_key_id for row in after} == {new}
    assert {row.subject for row in after} > {row.subject for row in before}
    assert len({row.subject for row in after}) == 7, "six residents and a new one"
    assert not {bytes(row.blind) for row in before} & {bytes(row.blind) for row in after}, "who has the old key finds nobody"
    assert len({row.id for row in await safe.rows(t.key_row)}) == 7


@pytest.mark.control("C-1-3-3")
async def test_a_former_individual_number_stays_a_former_one_under_rotated_indexes(safe: Safe) -> None:
    await safe.submit(1, individual_number=samples.individual_number(1))
    await safe.submit(2, individual_number=samples.individual_number(2))

    async def numbers() -> list[bool]:
        return sorted(row.superseded for row in await safe.rows(t.subject_alias, t.subject_alias.c.kind == "individual-number"))

    assert await numbers() == [False, True]
    await safe.custodian.rotate(Kind.BLIND, "operator-a", "test")
    await safe.until_done()
    assert await numbers() == [False, True]
    await safe.submit(3, individual_number=samples.individual_number(1))
    assert await numbers() == [False, True], "the register took its change back"


@pytest.mark.invariant("I3")
async def test_a_process_that_has_not_noticed_the_rotation_takes_nobody_for_another(safe: Safe, monkeypatch: pytest.MonkeyPatch) -> None:
    await safe.submit(1)
    other = unaware(safe, monkeypatch)
    late = process(other, safe.ledger)
    await safe.custodian.rotate(Kind.BLIND, "operator-a", "test")
    await safe.until_done()
    assert (await safe.submit(2, intake=late)).receipt
    assert (await safe.submit(3, 2, intake=late)).receipt
    assert (await safe.submit(4, 2)).receipt
    assert len(await safe.subjects()) == 2


@pytest.mark.invariant("I3")
async def test_a_process_that_notices_before_the_ledger_is_told_takes_nobody_for_another(safe: Safe) -> None:
    await safe.submit(1)
    safe.keys.rotate(Kind.BLIND)  # and then the process that rotated dies
    await safe.submit(2)
    await safe.submit(3, 2)
    assert {row.hmac_key_id for row in await safe.rows(t.subject_alias)} == {safe.keys.ids(Kind.BLIND)[0]}
    await safe.custodian.adopt()
    await safe.until_done()
    await safe.submit(4, 2)
    assert len(await safe.subjects()) == 2
    assert {row.hmac_key_id for row in await safe.rows(t.subject_alias)} == {safe.keys.ids(Kind.BLIND)[1]}


async def test_a_second_rotation_waits_for_the_first(safe: Safe) -> None:
    for number in range(6):
        await safe.submit(number, number)
    await safe.custodian.rotate(Kind.BLIND, "operator-a", "test")
    with pytest.raises(CommandRefused, match="rotation-under-way"):
        await safe.custodian.rotate(Kind.BLIND, "operator-a", "again")
    await safe.until_done()
    await safe.custodian.rotate(Kind.BLIND, "operator-a", "again")
    await safe.until_done()
    await safe.submit(10, 3)
    assert len(await safe.subjects()) == 6


def test_the_index_of_a_generation_is_made_from_the_one_before() -> None:
    first = BlindIndex(b"1" * 32, "a")
    second = BlindIndex(b"2" * 32, "b", earlier=(b"1" * 32,), former_id="a")
    code = samples.resident_record_code(1)
    assert second.both("resident-record-code", code) == (second.of("resident-record-code", code), first.of("resident-record-code", code))
    assert second.renewed(first.of("resident-record-code", code)) == second.of("resident-record-code", code)
    assert BlindIndex(b"2" * 32, "b").of("resident-record-code", code) != second.of("resident-record-code", code)


# ---- the others -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("R17")
async def test_the_same_message_is_known_after_the_content_key_was_rotated(safe: Safe) -> None:
    first = await safe.submit(1)
    await safe.custodian.rotate(Kind.CONTENT, "operator-a", "test")
    again = await safe.submit(1)
    assert (again.receipt, again.duplicate) == (first.receipt, True)
    other = await safe.submit(1, name_furigana="みほん")
    assert other.refusal is not None
    assert other.refusal.code == "same-id-other-content"


async def test_a_queue_key_opens_until_the_longest_queue_age_has_passed(safe: Safe) -> None:
    old = safe.keys.ids(Kind.JWE)[-1]
    new = await safe.custodian.rotate(Kind.JWE, "operator-a", "test")
    now = [safe.keys.since(new) + QUEUE_AGE_S - 1]
    safe.custodian._clock = lambda: now[0]
    await safe.until_done()
    assert safe.keys.ids(Kind.JWE) == (old, new)
    now[0] += 2
    await safe.until_done()
    assert safe.keys.ids(Kind.JWE) == (new,)


async def test_what_is_shown_of_keys(safe: Safe) -> None:
    await safe.submit(1)
    old = safe.keys.ids(Kind.KEK)[-1]
    new = await safe.custodian.rotate(Kind.KEK, "operator-a", "test")
    shown = {(view.kind, view.id): (view.state, view.uses) for view in await safe.custodian.views()}
    assert shown["kek", new] == ("current", 0)
    assert shown["kek", old] == ("former", 1)
    assert shown["blind", safe.keys.ids(Kind.BLIND)[-1]] == ("current", 2)
    secrets = [safe.keys.get(Kind.KEK, each).secret.hex() for each in (old, new)]
    text_of_all = repr(await safe.custodian.views())
    assert not any(secret in text_of_all for secret in secrets)


async def test_a_ledger_whose_keys_are_gone_is_not_served(safe: Safe, tmp_path: Path) -> None:
    await safe.submit(1)
    await safe.ledger.read(lambda conn: require_keys(conn, safe.keys))
    fresh = KeyStore(tmp_path / "other").ensure()
    with pytest.raises(ConfigurationError, match="keys-lost"):
        await safe.ledger.read(lambda conn: require_keys(conn, fresh))


async def test_new_keys_for_a_ledger_that_holds_nothing_are_taken(safe: Safe, tmp_path: Path) -> None:
    keys = KeyStore(tmp_path / "other").ensure()
    await safe.ledger.read(lambda conn: require_keys(conn, keys))
    custodian = KeyCustodian(safe.ledger, keys, Sealer(keys), safe.day_keys, queue_age_s=QUEUE_AGE_S)
    await custodian.adopt()
    assert (await safe.submit(1, intake=process(keys, safe.ledger))).receipt


@pytest.mark.slow
async def test_every_key_under_traffic(safe: Safe) -> None:
    """Two processes submit without a pause while every key is rotated twice; all is accepted, opens, and residents stay who they are."""
    other = process(KeyStore(safe.keys.directory), safe.ledger)
    await safe.custodian.start()
    sent = 0
    stop = asyncio.Event()

    async def register(mine: int) -> None:
        nonlocal sent
        number = mine * 100_000
        while not stop.is_set():
            answer = await safe.submit(number, number % 40, intake=other if mine else None)
            assert answer.receipt, answer.refusal
            sent += 1
            number += 1
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(register(each)) for each in (0, 1)]
    for kind in (Kind.KEK, Kind.BLIND, Kind.CONTENT, Kind.JWE) * 2:
        await safe.custodian.rotate(kind, "operator-a", "test")
        while kind in (Kind.KEK, Kind.BLIND) and await pending(safe, kind):
            assert not any(task.done() for task in tasks), [task.exception() for task in tasks if task.done()]
            await asyncio.sleep(0.02)
    stop.set()
    await asyncio.gather(*tasks)
    assert len(await safe.contents()) == sent
    assert len(await safe.subjects()) == 40
    assert safe.custodian._task is not None
    assert not safe.custodian._task.done()


async def pending(safe: Safe, kind: Kind) -> bool:
    if kind is Kind.KEK:
        return len(safe.keys.ids(Kind.KEK)) > 1
    return (await safe.ledger.read(lk.guard)).former is not None


def _submission(number: int) -> object:
    from tests.intake.kit import submission

    return submission(text(number, number), id=f"m{number}")
