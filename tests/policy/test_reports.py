"""Reports on the real ledger: what was refused on a day, that somebody has looked at it, and statistics that identify nobody."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import Any

import pytest

from gateway.admin.reports import MINIMUM, LedgerReports
from gateway.errors import CommandRefused, InputRefused
from gateway.ledger import tables as t
from gateway.policy.rights import JAPAN
from message_formats import samples, writing
from tests.policy.kit import LINK, REGISTER, TRANSFER, WORK, Way, transfer, with_approvals
from tests.policy.kit import way as opened

pytestmark = pytest.mark.slow


def today() -> dt.date:
    """In Japan. Asked anew by each test: a run of all tests may begin on one day and end on the next."""
    return dt.datetime.now(JAPAN).date()


def yesterday() -> dt.date:
    return today() - dt.timedelta(days=1)


def month() -> str:
    return today().strftime("%Y-%m")


class Statement:
    """What the record would say had it been written on another day."""

    bulk, size = False, 1

    def __init__(self, statement: Any) -> None:
        self.statement = statement

    def plan(self, unit: Any) -> None: ...

    def apply(self, unit: Any) -> None:
        unit.conn.execute(self.statement)

    def finish(self, unit: Any) -> None: ...


def later(days: float) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(days=days)


def reports(where: Way, days: float = 0) -> LedgerReports:
    return LedgerReports(where.ledger, without=["destination-information"], clock=lambda: later(days))


async def noted(where: Way, day: dt.date, hour: float, kind: str, actor: str, **detail: Any) -> None:
    """An entry of the record of that day and hour in Japan."""
    at = dt.datetime.combine(day, dt.time(), JAPAN).timestamp() + hour * 3600
    text = f"{int(at * 1000):012x}"
    identity = f"{text[:8]}-{text[8:]}-7{len(actor):03x}-8000-{abs(hash((kind, actor, hour))) % 16**12:012x}"
    values = {"id": identity, "at": at, "kind": kind, "actor": actor, "detail": json.dumps(detail)}
    await where.ledger.submit(Statement(t.audit_entry.insert().values(values)))


# ---- what was refused on a day ---------------------------------------------------------------------------------------------------------


@pytest.mark.invariant("I8")
@pytest.mark.control("C-2-3-7")
@pytest.mark.control("C-3-3-5")
async def test_what_was_refused_today_stands_in_the_report_of_today(way: Way) -> None:
    await way.hand_in(transfer(1), transfer(2), work=WORK)  # nothing is approved
    await way.hand_in(transfer(3), work="transfer-3")
    report = await reports(way).refusals(today())
    assert [(each.kind, each.who, each.code, each.rule, each.what, each.count) for each in report.refusals] == [
        ("refused", LINK, "not-approved", "C-1-3-1", TRANSFER, 3),
    ]
    assert (report.over, report.checks) == (False, ())
    assert (await reports(way).refusals(yesterday())).refusals == ()


@pytest.mark.control("C-2-3-7")
async def test_refused_peers_and_persons_are_counted_within_the_day_in_japan(way: Way) -> None:
    await noted(way, yesterday(), -0.01, "peer-refused", "too-early", code="unknown-peer", count=9)
    await noted(way, yesterday(), 0.0, "peer-refused", "somebody", code="unknown-peer", place="intake", count=4)
    await noted(way, yesterday(), 23.99, "access-refused", "operator-d", code="role", operation="policy", count=2)
    await noted(way, yesterday(), 12.0, "access-refused", "operator-d", code="role", operation="policy")
    await noted(way, yesterday(), 24.0, "command-refused", "too-late", code="same-person", command="skip")
    await noted(way, yesterday(), 12.0, "accepted", "not-a-refusal")
    report = await reports(way).refusals(yesterday())
    assert [(each.kind, each.who, each.what, each.count) for each in report.refusals] == [
        ("access-refused", "operator-d", "policy", 3),
        ("peer-refused", "somebody", "intake", 4),
    ]


@pytest.mark.control("C-2-3-7")
async def test_who_has_looked_at_a_day_is_on_record_and_who_has_not_is_told(way: Way) -> None:
    for days in (3, 2, 1):
        await noted(way, today() - dt.timedelta(days=days), 9.0, "access-refused", "operator-d", code="role")
    reporting = reports(way)
    seen = await reporting.refusals(yesterday())
    assert seen.unchecked == (today() - dt.timedelta(days=3), today() - dt.timedelta(days=2))
    with pytest.raises(CommandRefused) as refused:
        await reporting.check("operator-a", yesterday(), "0" * 64, "nothing to do")
    assert refused.value.code == "changed-meanwhile"
    of_today = await reporting.refusals(today())
    with pytest.raises(CommandRefused) as refused:
        await reporting.check("operator-a", today(), of_today.digest, "nothing to do")
    assert refused.value.code == "day-not-over"
    checked = await reporting.check("operator-a", yesterday(), seen.digest, "operator-d was told to ask for the role")
    assert [(each.checked_by, each.result, each.same) for each in checked.checks] == [
        ("operator-a", "operator-d was told to ask for the role", True)
    ]
    assert yesterday() not in (await reporting.refusals(today())).unchecked
    (entry,) = await way.rows(t.audit_entry, t.audit_entry.c.kind == "daily-checked")
    assert (entry.actor, json.loads(entry.detail)["day"]) == ("operator-a", yesterday().isoformat())
    await noted(way, yesterday(), 22.0, "access-refused", "operator-e", code="role")
    assert [each.same for each in (await reporting.refusals(yesterday())).checks] == [False]


@pytest.mark.control("C-1-2-6")
@pytest.mark.control("C-3-2-3")
@pytest.mark.edge("FS1-8b", "recorded")
async def test_an_import_report_is_checked_by_two_persons_who_saw_the_same(way: Way) -> None:
    await way.hand_in(transfer(1), transfer(2), work=WORK)  # nothing is approved
    day = today()
    reporting = LedgerReports(way.ledger, without=[], systems={LINK: []})
    seen = await reporting.imports(LINK, day)
    assert (seen.checks, seen.checked) == ((), False)
    with pytest.raises(CommandRefused, match="changed-meanwhile"):
        await reporting.check_import("operator-a", LINK, day, "0" * 64, "as on paper")
    first = await reporting.check_import("operator-a", LINK, day, seen.digest, "as on paper")
    assert ([each.checked_by for each in first.checks], first.checked) == (["operator-a"], False)
    with pytest.raises(CommandRefused, match="same-person"):
        await reporting.check_import("operator-a", LINK, day, seen.digest, "once more")
    second = await reporting.check_import("operator-b", LINK, day, seen.digest, "the same")
    assert second.checked
    entries = await way.rows(t.audit_entry, t.audit_entry.c.kind == "import-checked")
    assert [(each.actor, json.loads(each.detail)["system"]) for each in entries] == [("operator-a", LINK), ("operator-b", LINK)]
    assert (await reporting.refusals(day)).checks == (), "that is another sheet"
    await way.hand_in(transfer(3), work=WORK)
    changed = await reporting.imports(LINK, day)
    assert (changed.checked, [each.same for each in changed.checks]) == (False, [False, False])


# ---- statistics ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.control("C-1-3-30")
@pytest.mark.control("C-1-3-26")
@pytest.mark.control("C-2-3-15")
async def test_numbers_that_stand_for_few_residents_are_left_out_however_large_they_are(way: Way) -> None:
    await way.apply(with_approvals())
    for serial in range(1, MINIMUM + 1):
        await way.hand_in(transfer(serial), work=WORK)
        await way.deliver()
    for _ in range(MINIMUM + 2):  # many provisions, one resident
        await way.hand_in(transfer(1), work="transfer-15")
    reporting = reports(way, days=40)
    found = await reporting.statistics("auditor-a", month(), "the yearly report")
    assert [(each.party, each.message_type, each.outcome, each.provisions) for each in found.lines] == [
        ("business-systems", TRANSFER, "provided", MINIMUM),
        ("business-systems", TRANSFER, "refused", None),
    ]
    names = {each.name for each in dataclasses.fields(found.lines[0])}
    assert names == {"party", "message_type", "outcome", "provisions"}  # counts, and nothing of anybody
    (entry,) = await way.rows(t.audit_entry, t.audit_entry.c.kind == "statistics-made")
    detail = json.loads(entry.detail)
    assert (entry.actor, detail["reason"], detail["left_out"]) == ("auditor-a", "the yearly report", 1)


@pytest.mark.control("C-3-3-8")
async def test_no_statistics_are_made_of_destination_information(ledger_url: str, tmp_path: Any) -> None:
    destination = "destination-information"
    async with opened(ledger_url, tmp_path, (destination, REGISTER, "city-cs")) as where:
        for serial in range(1, MINIMUM + 3):
            sample = samples.message(destination, serial)
            number = next(name for name in sample.items if name.endswith("control_number"))
            (answer,) = await where.hand_in(writing.write(destination, {**sample.items, number: f"{serial:023d}"}), system=REGISTER)
            assert answer.refusal is None
        found = await reports(where, days=40).statistics("auditor-a", month(), "the yearly report")
        assert found.lines == ()


@pytest.mark.control("C-1-3-30")
async def test_only_whole_months_that_are_over_are_counted(way: Way) -> None:
    with pytest.raises(CommandRefused) as refused:
        await reports(way).statistics("auditor-a", month(), "too early")
    assert refused.value.code == "month-not-over"
    for wrong in ("2026-13", "2026", "2026-10-01", ""):
        with pytest.raises(InputRefused):
            await reports(way).statistics("auditor-a", wrong, "no month")
