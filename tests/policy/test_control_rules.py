"""Controls of the assessment about ways, items, identifiers and the time for which records are kept, each on the code that enforces it.

All residents are made up.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.policy_api import ProvisionQuery
from gateway.errors import InputRefused
from gateway.ledger import provisions
from gateway.ledger import tables as t
from gateway.ledger.retention import ShiftBusinessClock
from gateway.policy.decision import Permit, Request, decide
from gateway.policy.items import Plan, every, present
from gateway.policy.loading import with_sample_approvals
from gateway.policy.model import Permission
from gateway.policy.routes import tables as routes
from gateway.retention.calendar import BusinessCalendar
from gateway.retention.erasures import ErasureList
from gateway.retention.keeper import Keeper, Keeping
from gateway.retention.policy import load
from gateway.security.keys import KeyStore
from message_formats import catalogue, reading, samples, writing
from message_formats.errors import FormatError
from tests.intake.kit import submission
from tests.policy.kit import REGISTER, TRANSFER, WORK, Way, transfer, with_approvals
from tests.policy.kit import way as opened
from tests.policy.test_items import door, handed_in
from tests.support.policy import TODAY

POLICY = with_sample_approvals()
IMMIGRATION = {"residence-card-issuance-system", "immigration-link-terminal", "immigration-bureau"}
JUKI_NET = {"j-lis", "city-cs"}
YEAR = 365.25 * 86_400.0


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyStore:
    return KeyStore(tmp_path_factory.mktemp("keys") / "keys").ensure()


def producers(message_type: str, consumer: str) -> set[str]:
    """Who may hand this to whom, of all systems."""
    found = set()
    for producer in POLICY.systems:
        works = [p.works[0] for p in POLICY.permissions.get((message_type, producer, consumer), ())] or [None]
        asked = (Request(message_type=message_type, producer=producer, consumer=consumer, on=TODAY, work=work) for work in works)
        found |= {producer for each in asked if isinstance(decide(POLICY, each), Permit)}
    return found


def ways(*, producers: set[str] | None = None, types: set[str] | None = None) -> list[Permission]:
    permissions = itertools.chain.from_iterable(POLICY.permissions.values())
    return [
        p
        for p in permissions
        if p.leg == "gateway" and (producers is None or p.producer in producers) and (types is None or p.message_type in types)
    ]


# ---- who may hand in -------------------------------------------------------------------------------------------------------------------


@pytest.mark.invariant("I7")
@pytest.mark.parametrize(
    "message_type",
    [
        pytest.param("identity-information-update", marks=pytest.mark.control("C-2-2-1")),
        pytest.param("destination-information", marks=pytest.mark.control("C-3-2-1")),
    ],
)
@pytest.mark.edge("F2-1", "other-source")
def test_the_city_cs_gets_it_from_the_core_only(message_type: str) -> None:
    assert producers(message_type, "city-cs") == {REGISTER}


@pytest.mark.control("C-M-6-2")
@pytest.mark.edge("FS6-4", "other-system")
def test_the_replica_is_made_by_the_core_its_internal_link_and_the_atena_system_only() -> None:
    assert producers("provision-replica-update", "intermediate-server") <= {REGISTER, "internal-link-system", "atena-system"}
    assert producers("provision-replica-update", "intermediate-server")


@pytest.mark.control("C-1-3-9")
def test_the_certificate_system_hands_no_data_back_to_where_they_come_from() -> None:
    sources = {p.producer for p in ways() if p.consumer == "certificate-issuance-system"} - {"convenience-server"}
    assert {REGISTER, "tax-system"} <= sources
    handed = {(p.message_type, p.consumer) for p in ways(producers={"certificate-issuance-system"})}
    assert {name for name, consumer in handed if consumer in sources} == {"family-register-certificate-request"}  # a question, no data


@pytest.mark.control("C-1-5-11")
@pytest.mark.edge("FS1-8a", "not-permitted")
def test_only_systems_with_a_permission_reach_the_internal_link() -> None:
    link = "internal-link-system"
    expected = {p.producer for p in ways() if p.consumer == link}
    found = set().union(*(producers(message_type, link) for message_type in catalogue.names()))
    assert found == expected
    assert not found & {"former-resident-record-system", "city-cs", "citizen", "certificate-centre"}


# ---- nothing beyond the items of the list ----------------------------------------------------------------------------------------------


def _with_more(content: bytes, element: bytes) -> bytes:
    """With one element more at the end."""
    end = content.rindex(b"</")
    return content[:end] + element + content[end:]


@pytest.mark.parametrize(
    "permission",
    [
        *(pytest.param(p, id=p.id, marks=pytest.mark.control("C-1-2-3")) for p in ways(producers=IMMIGRATION)),
        *(
            pytest.param(p, id=p.id, marks=pytest.mark.control("C-1-2-4"))
            for p in ways(producers={"j-lis", "city-cs"})
            if p.consumer == REGISTER
        ),
        *(pytest.param(p, id=p.id, marks=pytest.mark.control("C-3-2-2")) for p in ways(types={"destination-information"})),
    ],
)
@pytest.mark.edge("F1-6", "item-not-listed")
def test_an_item_that_is_not_on_the_list_is_not_taken_in(keys: KeyStore, permission: Permission) -> None:
    ready = door(keys, permission)
    message = samples.message(permission.message_type, 7)
    claims = {"work": permission.works[0]}
    assert handed_in(ready, permission, message, **claims).deliveries
    more = _with_more(message.to_bytes(), b"<religion>none</religion>")
    with pytest.raises(FormatError):
        reading.read(more)
    with pytest.raises(InputRefused) as refused:
        ready.prepare(submission(more, system=permission.producer, source="/x", type=permission.message_type, **claims))
    assert "none" not in str(refused.value)


@pytest.mark.control("C-1-5-10")
def test_what_goes_to_another_department_bears_the_atena_number() -> None:
    for permission in ways(types={TRANSFER}):
        assert not permission.approved or "atena_number" in permission.items, permission.id
    items = {**samples.items(TRANSFER, 7), "atena_number": None}
    with pytest.raises(FormatError) as refused:
        reading.read(writing.write(TRANSFER, items).to_bytes())
    assert "atena_number" in str(refused.value)


@pytest.mark.control("C-A-2-1")
@pytest.mark.parametrize(
    ("message_type", "permitted", "place"),
    [
        ("identity-information-update", every("identity-information-update"), "name_kanji"),
        (TRANSFER, POLICY.by_work["transfer-2"][0].items, "name"),
    ],
)
def test_characters_that_are_not_in_the_standard_pass_unchanged_whole_or_filtered(
    message_type: str, permitted: frozenset[str], place: str
) -> None:
    message = samples.message(message_type, 3)
    name = message.items[place]
    assert name is not None
    assert "\U000e0102" in name  # a variation selector
    filtered = Plan(message_type, permitted).apply(message)
    assert bool(filtered.removed) is (message_type == TRANSFER)
    got = reading.read(filtered.content)
    for path in sorted(permitted & set(present(message)) & message.items.keys()):
        assert got.items[path] == message.items[path], path


# ---- with the ledger, and its retention ------------------------------------------------------------------------------------------------


def keeper_of(where: Way, folder: Path) -> Keeper:
    keeping = Keeping(
        policy=load(None, routes().ephemeral), calendar=BusinessCalendar(), erasures=ErasureList(folder / "erasures.jsonl"), pause_s=0.0
    )
    keeper = Keeper(where.ledger, keeping)
    keeper._settle_s = 0.0  # nothing else writes here
    return keeper


@pytest.mark.slow
@pytest.mark.control("C-3-2-5")
@pytest.mark.edge("F2-7", "edited")
async def test_destination_information_arrives_byte_for_byte(ledger_url: str, tmp_path: Path) -> None:
    destination = samples.message("destination-information", 5)
    async with opened(ledger_url, tmp_path, (destination.type_name, REGISTER, "city-cs")) as where:
        await where.hand_in(destination, system=REGISTER)
        await where.deliver("city-cs")
        assert where.party.got == [destination.to_bytes()]


@pytest.mark.slow
@pytest.mark.invariant("I8")
@pytest.mark.control("C-1-2-11")
async def test_each_acceptance_is_on_record(way: Way) -> None:
    await way.apply(with_approvals())
    await way.hand_in(transfer(1), transfer(2), work=WORK)
    await way.hand_in(transfer(1), work="transfer-3")
    entries = await way.rows(t.audit_entry, t.audit_entry.c.kind == "accepted")
    messages = await way.rows(t.message)
    assert len(messages) == 3
    assert {each.message_id for each in entries} == {each.id for each in messages}
    assert {each.actor for each in entries} == {"internal-link-system"}


@pytest.mark.slow
@pytest.mark.invariant("I8")
@pytest.mark.control("C-1-5-1")
@pytest.mark.control("C-3-5-1")
@pytest.mark.control("C-3-5-3")
async def test_records_of_provision_are_found_by_the_resident_for_five_years(way: Way, tmp_path: Path) -> None:
    """Bodies, data keys and receipts are long gone by then; the retention table is the packaged one."""
    await way.apply(with_approvals())
    for serial in (7, 8):
        await way.hand_in(transfer(serial), work=WORK, operator="staff-0042")
        await way.deliver()
    before = await way.ledger.read(lambda conn: provisions.search(conn, provisions.Wanted()))
    await way.ledger.submit(ShiftBusinessClock(offset_s=4.99 * YEAR, actor="test"))
    assert (await keeper_of(way, tmp_path).run("test")).erased > 0
    assert await way.rows(t.payload) == []
    assert await way.ledger.read(lambda conn: provisions.search(conn, provisions.Wanted())) == before
    number = samples.items(TRANSFER, 7)["atena_number"]
    assert number is not None
    page = await way.admin.provisions("auditor-a", ProvisionQuery(reason="request 12", by="atena-number", value=number, masked=False))
    assert [(each.outcome, each.operator) for each in page.items] == [("provided", "staff-0042")]
    assert set(page.items[0].items) == set(before[0].items)


@pytest.mark.slow
@pytest.mark.invariant("I9")
@pytest.mark.control("C-1-7-15")
@pytest.mark.control("C-3-7-1")
async def test_what_was_refused_is_kept_sealed_for_its_time_and_the_entry_stays(way: Way, tmp_path: Path) -> None:
    """Thirty days for the operator and the sender; destination information one business day. The table is the packaged one."""
    for message_type in (TRANSFER, "destination-information"):
        sent = submission(b"<broken", system="internal-link-system", source="/x", type=message_type)
        (answer,) = await way.intake.admit([sent])
        assert answer.refusal is not None
    keeper = keeper_of(way, tmp_path)

    async def with_body(days: float) -> list[str | None]:
        await way.ledger.submit(ShiftBusinessClock(offset_s=days * 86_400.0, actor="test"))
        await keeper.run("test")
        entries = await way.desk.quarantine(kept_only=False, limit=10, before=None)
        assert {(each.type, each.code, each.place) for each in entries} == seen
        return sorted(str(each.type) for each in entries if each.has_body)

    seen = {(each.type, each.code, each.place) for each in await way.desk.quarantine(kept_only=False, limit=10, before=None)}
    assert await with_body(0) == ["destination-information", TRANSFER]
    assert await with_body(12) == [TRANSFER]  # more than any run of holidays
    assert await with_body(29) == [TRANSFER]
    assert await with_body(31) == []
    assert await way.rows(t.payload) == await way.rows(t.data_key) == []
    for each in await way.desk.quarantine(kept_only=False, limit=10, before=None):
        assert not each.releasable


# ---- residents under support measures ---------------------------------------------------------------------------------------------------


STATUTORY = {
    "core-cs-reconciliation-data", "destination-information", "family-register-supplement-notice", "identity-information-update",
    "move-out-certificate-data", "residence-address-notice",
}  # fmt: skip
"""What the law has the municipality hand on of everybody; the receiving office keeps a mark of its own."""


QUESTIONS = {"identity-confirmation-request", "identity-inquiry-request", "identity-search-request"}
"""What an operator reads from a document or an application, and asks whether it is so: nothing of the register's."""


@pytest.mark.invariant("I7")
def test_every_way_out_with_an_address_says_what_becomes_of_protected_residents() -> None:
    """A new way does not go unnoticed: it withholds the address, refuses, stays among the core's own systems, or is demanded by law."""
    own = {REGISTER, "internal-link-system", "atena-system", "certificate-issuance-system", "family-register-system"}
    approvals = json.loads(POLICY.document)["approvals"]
    silent = set()
    for permission in ways():
        if any(approvals.get(work, {}).get("protected") == "permit" for work in permission.works):
            continue  # two persons have approved that this work needs it
        addresses = {p for p in permission.items if p.rpartition("/")[2] in ("address", "previous_address")}
        decision = decide(POLICY, _request(permission, protected=True))
        left = decision.items & addresses if isinstance(decision, Permit) else set()
        if left and permission.consumer not in own:
            silent.add(permission.message_type)
    assert silent <= STATUTORY | QUESTIONS


def _request(permission: Permission, **more: Any) -> Request:
    names = {"message_type": permission.message_type, "producer": permission.producer, "consumer": permission.consumer}
    return Request(**names, on=TODAY, work=permission.works[0], **more)
