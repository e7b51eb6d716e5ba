"""Every row of the lists, asserted on the bytes that are sealed for the recipient: exactly the permitted items, and nothing else.

The works, their recipients and what each may have come from the packaged data and the labelled sample of approvals.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from gateway.errors import InputRefused
from gateway.intake.prepare import Preparer
from gateway.intake.submission import Sender
from gateway.policy.items import Plan, every, present
from gateway.policy.loading import with_sample_approvals
from gateway.policy.model import Permission, Policy
from gateway.policy.rights import PolicyRefused, Rights
from gateway.policy.routes import PolicyTables, build
from gateway.security.keys import KeyStore
from gateway.security.sealing import Sealer
from message_formats import reading, samples
from message_formats.message import Message
from tests.intake.kit import preparer, submission
from tests.support.policy import TODAY


def transfers(policy: Policy) -> list[Permission]:
    """The 44 active transfers and the provision to the Board of Education: each a work of its own, with items of its own."""
    found = itertools.chain.from_iterable(policy.permissions.values())
    return [p for p in found if p.message_type == "resident-info-transfer" and policy.works[p.works[0]].active]


def printed(policy: Policy) -> list[tuple[str, Permission]]:
    """The 6 provisions and transfers of Ⅱ-5 that are neither paper nor network, with the way that each goes."""
    return [
        (work.id, permission)
        for work in policy.works.values()
        if work.id.startswith("file") and work.carried
        for permission in policy.by_work[work.id]
    ]


POLICY = with_sample_approvals()
ROWS = transfers(POLICY)
PRINTED = printed(POLICY)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyStore:
    return KeyStore(tmp_path_factory.mktemp("keys") / "keys").ensure()


def door(keys: KeyStore, permission: Permission, policy: Policy = POLICY, day: dt.date = TODAY) -> Preparer:
    """The checks of a door that routes this one way, on a day."""
    sides = {True: [s.id for s in policy.systems.values() if s.in_house], False: [s.id for s in policy.systems.values() if not s.in_house]}
    connection = {"from": permission.producer, "to": permission.consumer}
    route = {"party": permission.consumer, "stream": "s", "lane": "live"}
    tables: PolicyTables = build(
        {
            "systems": {"in-house": sides[True], "outside": sides[False]},
            "ephemeral": [],
            "connections": {permission.message_type: [connection]},
        },
        {"routes": {permission.message_type: [route]}},
    )
    noon = dt.datetime.combine(day, dt.time(3), dt.UTC).timestamp()
    sender = Sender(system=permission.producer, peer=permission.producer, types=frozenset({permission.message_type}))
    return preparer(
        keys, policy=tables, senders={permission.producer: sender}, parties=frozenset({permission.consumer}),
        rights=Rights(policy, clock=lambda: noon), message_bytes=1 << 24,
    )  # fmt: skip


def full(message_type: str) -> Message:
    """A valid, fictitious message with every item of its type that can stand together."""
    return samples.message(message_type, 7)


def handed_in(ready: Preparer, permission: Permission, message: Message, **claims: Any) -> Any:
    sent = submission(message.to_bytes(), system=permission.producer, source="/x", type=permission.message_type, **claims)
    return ready.prepare(sent)


def sealed_bytes(keys: KeyStore, made: Any) -> bytes:
    (delivery,) = made.deliveries
    return Sealer(keys).unseal(
        delivery.sealed.sealed, wrapped=delivery.sealed.wrapped, kek_id=delivery.sealed.kek_id, message_id=made.message_id,
        message_type=made.type, party=delivery.party,
    )  # fmt: skip


def texts(message: Message, permitted: frozenset[str]) -> tuple[set[str], set[str]]:
    """The values of permitted and of other leaves; a value that stands in both is only in the first."""
    inside, outside = set(), set()

    def walk(element: etree._Element, prefix: str) -> Iterator[tuple[str, str]]:
        for child in element:
            path = prefix + str(child.tag).rpartition("}")[2]
            if len(child):
                yield from walk(child, f"{path}/")
            elif child.text:
                yield path, child.text

    for path, text in walk(message.root, ""):
        (inside if path in permitted else outside).add(text)
    return inside, {text for text in outside if len(text) > 3 and not any(text in other for other in inside)}


def test_there_are_44_transfers_and_6_provisions_to_prove() -> None:
    assert len([p for p in ROWS if not p.works[0].startswith("file")]) == 44
    assert len({work for work, _ in PRINTED}) == 6


@pytest.mark.invariant("I7")
@pytest.mark.flow("FS1-8a")
@pytest.mark.control("C-1-3-1")
@pytest.mark.control("C-1-3-2")
@pytest.mark.control("C-1-3-5")
@pytest.mark.parametrize("permission", ROWS, ids=lambda p: p.works[0])
@pytest.mark.control("C-1-2-2")
@pytest.mark.edge("FS1-8a", "item-not-approved")
def test_exactly_the_items_approved_for_the_work_are_in_what_is_sealed(keys: KeyStore, permission: Permission) -> None:
    message = full(permission.message_type)
    assert set(present(message)) == every(permission.message_type)
    content = sealed_bytes(keys, handed_in(door(keys, permission), permission, message, work=permission.works[0]))
    got = reading.read(content, expected=permission.message_type)  # valid against the closed schema of the far side
    assert set(present(got)) == permission.items
    inside, outside = texts(message, permission.items)
    assert all(text.encode() in content for text in inside)
    assert not any(text.encode() in content for text in outside)


@pytest.mark.invariant("I7")
@pytest.mark.control("C-2-5-13")
@pytest.mark.control("C-3-5-6")
@pytest.mark.parametrize(("work", "permission"), [p for p in PRINTED if p[1].message_type != "resident-info-transfer"])
def test_a_provision_gives_every_item_of_its_closed_type_unedited(keys: KeyStore, work: str, permission: Permission) -> None:
    message = full(permission.message_type)
    made = handed_in(door(keys, permission), permission, message, work=work)
    assert sealed_bytes(keys, made) == message.to_bytes()
    if permission.message_type == "identity-information-notice":
        assert len(present(message)) == 8


@pytest.mark.invariant("I7")
@pytest.mark.parametrize("permission", ROWS, ids=lambda p: p.works[0])
def test_each_single_additional_item_is_refused_where_the_whole_must_be(keys: KeyStore, permission: Permission) -> None:
    strict = dataclasses.replace(permission, excess="refuse")
    policy = dataclasses.replace(POLICY, permissions={**POLICY.permissions, permission.triple: (strict,)})
    ready = door(keys, permission, policy)
    message = full(permission.message_type)
    exact = Plan(permission.message_type, permission.items).apply(message)
    assert handed_in(ready, permission, reading.read(exact.content), work=permission.works[0]).deliveries
    for extra in sorted(every(permission.message_type) - permission.items):
        more = Plan(permission.message_type, permission.items | _with_required(permission.message_type, extra)).apply(message)
        with pytest.raises(PolicyRefused) as refused:
            handed_in(ready, permission, reading.read(more.content), work=permission.works[0])
        assert (refused.value.code, refused.value.rule) == ("item-not-permitted", "C-1-5-4")
        assert extra in refused.value.safe_detail


def _with_required(message_type: str, path: str) -> frozenset[str]:
    """A leaf of a group whose other members its schema requires comes with them."""
    group = path.rpartition("/")[0]
    return frozenset(p for p in every(message_type) if p == path or (group.count("/") and p.startswith(f"{group}/")))


@pytest.mark.invariant("I7")
@pytest.mark.parametrize("permission", [*ROWS, *(p for _, p in PRINTED)], ids=lambda p: f"{p.message_type}-{p.works[0]}")
def test_a_wrong_work_a_wrong_basis_and_a_day_outside_are_refused(keys: KeyStore, permission: Permission) -> None:
    message = full(permission.message_type)
    good = {"work": permission.works[0]}
    others = {w for w in POLICY.works if w not in {x for p in POLICY.permissions[permission.triple] for x in p.works}}
    ready = door(keys, permission)
    for work in sorted(others)[::7]:
        with pytest.raises(PolicyRefused):
            handed_in(ready, permission, message, work=work)
    with pytest.raises(PolicyRefused) as refused:
        handed_in(ready, permission, message, **good, legalbasis="民法第1条")
    assert refused.value.code == "basis-wrong"
    assert permission.period.since is not None
    days = [permission.period.since - dt.timedelta(days=1)]
    if permission.period.until is not None:
        days.append(permission.period.until + dt.timedelta(days=1))
        assert handed_in(door(keys, permission, day=permission.period.until), permission, message, **good).deliveries
    assert handed_in(door(keys, permission, day=permission.period.since), permission, message, **good).deliveries
    for day in days:
        with pytest.raises(PolicyRefused) as refused:
            handed_in(door(keys, permission, day=day), permission, message, **good)
        assert refused.value.code == "outside-period"


@pytest.mark.invariant("I7")
def test_a_sender_of_another_system_is_refused_whatever_it_claims(keys: KeyStore) -> None:
    permission = ROWS[0]
    ready = door(keys, permission)
    with pytest.raises(InputRefused):
        ready.prepare(submission(full(permission.message_type).to_bytes(), system="tax-system", source="/x", type=permission.message_type))


@pytest.mark.invariant("I7")
def test_an_address_is_left_out_for_a_resident_under_support_measures(keys: KeyStore) -> None:
    permission = next(p for p in ROWS if p.withheld & p.items)
    message = full(permission.message_type)
    sent = submission(message.to_bytes(), system=permission.producer, source="/x", type=permission.message_type, work=permission.works[0])
    content = sealed_bytes(keys, door(keys, permission).prepare(sent, frozenset({"protected"})))
    address = message.items["address"]
    assert address is not None
    assert address.encode() not in content
    assert set(present(reading.read(content))) == permission.items - permission.withheld


def test_what_goes_whole_is_not_written_anew(tmp_path: Path) -> None:
    message = full("identity-information-update")
    plan = Plan("identity-information-update", every("identity-information-update"))
    filtered = plan.apply(message)
    assert plan.whole
    assert filtered.content == message.to_bytes()
    assert filtered.removed == ()
