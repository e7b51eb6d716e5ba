"""Every table of the ledger has a rule or a reason; rows without bodies go by theirs, on record, and what is still needed stays (I9).

All data are fictitious.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.errors import ConfigurationError
from gateway.ids import new_id
from gateway.ledger import retention as lr
from gateway.ledger import tables as t
from gateway.ledger.adding import add_sealed
from gateway.ledger.links import LINKAGE, LINKAGE_TYPE
from gateway.policy.routes import tables
from gateway.retention import policy as retention_policy
from gateway.retention.calendar import JST
from gateway.retention.erasures import NO_HEAD, ErasureList, keys_of
from gateway.retention.keeper import Keeper
from gateway.retention.proof import Places, prove
from tests.keys.kit import Safe
from tests.retention.test_keeper import admit, deliver_all, keeper_of, shift

pytestmark = pytest.mark.invariant("I9")
DAY = 86_400.0
YEAR = 365.25 * DAY


@pytest.fixture
async def safe(tmp_path: Path, ledger_url: str) -> AsyncIterator[Safe]:
    made = await Safe.open(tmp_path, ledger_url)
    yield made
    await made.close()


def packaged() -> Any:
    return yaml.safe_load(Path(retention_policy.__file__).with_name("data").joinpath("retention.yaml").read_text(encoding="utf-8"))


# ---- no table is forgotten --------------------------------------------------------------------------------------------------------------


@pytest.mark.control("C-1-7-15")
def test_every_table_of_the_ledger_has_a_rule_or_a_reason() -> None:
    policy = retention_policy.load(None, tables().ephemeral)
    ruled = {table for rule in policy.of(*retention_policy.ROWS) for table in lr.PLACES[rule.place].tables} | set(lr.CONTENT)
    kept = {table for entry in packaged()["kept"] for table in entry.get("tables", ())}
    assert ruled | kept == set(t.metadata.tables), "a table without a rule"
    assert not ruled & kept, "kept for ever, and erased"
    assert set(retention_policy.ROWS) == set(lr.PLACES)


@pytest.mark.control("C-1-7-15")
def test_a_page_that_forgets_a_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    page = packaged()
    page["kept"] = [entry for entry in page["kept"] if entry["place"] != "policy"]
    with pytest.raises(ConfigurationError, match="policy_document, policy_version, provision_terms"):
        retention_policy.build(page, tables().ephemeral)
    page = packaged()
    page["rules"] = [rule for rule in page["rules"] if rule["place"] != "reconciliation"]
    with pytest.raises(ConfigurationError, match="reconciliation needs exactly one rule"):
        retention_policy.build(page, tables().ephemeral)
    page = packaged()
    page["kept"][0]["tables"].append("atena_link")
    with pytest.raises(ConfigurationError, match="atena_link"):
        retention_policy.build(page, tables().ephemeral)
    metadata = type(t.metadata)()
    for table in t.metadata.tables.values():
        table.to_metadata(metadata)
    type(t.message)("brand_new", metadata)
    monkeypatch.setattr(retention_policy, "metadata", metadata)
    with pytest.raises(ConfigurationError, match="brand_new"):
        retention_policy.build(packaged(), tables().ephemeral)


# ---- each place by its rule -------------------------------------------------------------------------------------------------------------


class Write:
    """Rows that other parts of the ledger write, as a step of its writer."""

    bulk, size = False, 1

    def __init__(self, write: Any) -> None:
        self._write = write

    def plan(self, unit: Any) -> None: ...

    def apply(self, unit: Any) -> None:
        self._write(unit)

    def finish(self, unit: Any) -> None: ...


async def insert(safe: Safe, *rows: tuple[Any, dict[str, Any]]) -> None:
    def write(unit: Any) -> None:
        for table, values in rows:
            unit.conn.execute(table.insert().values(values))

    await safe.ledger.submit(Write(write))


async def now_of(safe: Safe) -> float:
    return (await safe.ledger.read(lr.clocks)).ledger


def ids(rows: list[Any]) -> set[str]:
    return {row[0] for row in rows}


def batch(at: float, **changed: Any) -> dict[str, Any]:
    row = {
        "id": new_id(), "party": "family-register-system", "batch": new_id(), "run": None, "imported_at": at, "records": 1, "accepted": 1,
        "set_aside": 0, "refused": 0, "items_dropped": 0, "acknowledged_at": at,
    }  # fmt: skip
    return {**row, **changed}


def run(at: float, **changed: Any) -> dict[str, Any]:
    row = {
        "id": new_id(), "party": "family-register-system", "due_at": at, "began_at": at, "ended_at": at, "attempts": 1, "missed": 0,
        "batches": 0, "records": 0,
    }  # fmt: skip
    return {**row, **changed}


def record(of: str, number: int = 1) -> dict[str, Any]:
    return {
        "batch_id": of, "number": number, "record": f"r-{number}", "outcome": "accepted", "duplicate": False, "items_dropped": 0,
    }  # fmt: skip


def command(at: float, **changed: Any) -> dict[str, Any]:
    row = {
        "id": new_id(), "kind": "policy", "seen_state": "-", "seen_digest": b"-", "seen_epoch": 0, "reason": "fictitious",
        "requested_by": "a.sato", "requested_at": at, "expires_at": at, "status": "done", "decided_by": "b.suzuki", "decided_at": at,
    }  # fmt: skip
    return {**row, **changed}


def comparison(at: float, **changed: Any) -> dict[str, Any]:
    row = {
        "id": new_id(), "run": new_id(), "other": "city-cs", "party": "city-cs", "cut_off": at, "status": "done", "buckets": 1,
        "next_bucket": 1, "differing": 1, "found": 1, "ours_digest": "-", "theirs_digest": "-", "ours_records": 1, "theirs_records": 1,
        "reason": "fictitious", "began_by": "a.sato", "began_at": at, "changed_at": at,
    }  # fmt: skip
    return {**row, **changed}


def difference(of: str, at: float, state: str, **changed: Any) -> dict[str, Any]:
    row = {
        "id": new_id(), "reconciliation": of, "number": 1, "kind": "changed", "items": "address", "reference": new_id(), "state": state,
        "changed_at": at,
    }  # fmt: skip
    return {**row, **changed}


@pytest.mark.control("C-1-7-15")
@pytest.mark.control("C-1-7-16")
@pytest.mark.control("C-1-2-18")
@pytest.mark.control("C-2-5-4")
@pytest.mark.control("C-2-5-6")
@pytest.mark.control("C-3-5-5")
@pytest.mark.parametrize("place", ["import", "request", "reconciliation", "medium", "refusal", "daily-check", "anomaly", "acquisition"])
async def test_rows_go_when_their_time_is_over_and_not_a_day_before(safe: Safe, tmp_path: Path, place: str) -> None:
    keeper = keeper_of(safe, tmp_path)
    at = await now_of(safe) - 10.0
    old, needed, counted, term = _rows_of(place, at)
    await insert(safe, *old, *needed)
    before = {table: ids(await safe.rows(table)) for table, _ in [*old, *needed]}
    await shift(safe.ledger, term - 2 * DAY)
    await keeper.run("test")
    assert {table: ids(await safe.rows(table)) for table in before} == before, "its time is not over"
    await shift(safe.ledger, term + 2 * DAY)
    (rule,) = keeper.keeping.policy.of(place)  # type: ignore[arg-type]
    assert await keeper.due(rule) == counted, "as `renkei retention plan` says"
    [late] = [each for each in await proof(safe, keeper, DAY) if each.place == f"ledger-rows {place}"]
    assert (late.verdict, late.searched) == ("remains", counted), "as `renkei retention prove` says"
    await keeper.run("test")
    left = {table: ids(await safe.rows(table)) for table in before}
    assert left == {table: {_id(values) for t_, values in needed if t_ is table} for table in before}, "what is needed stays"
    [line] = [row for row in await safe.rows(t.disposal) if row.place == place]
    assert (line.rule, line.count, line.oldest, line.newest) == (rule.rule, counted, at, at)
    [entry] = await safe.entries("rows-erased")
    assert json.loads(entry.detail)["place"] == place
    assert {each.verdict for each in await proof(safe, keeper, DAY) if each.place.startswith("ledger-rows")} == {"nothing-left"}


def _id(values: dict[str, Any]) -> str:
    return str(values.get("id") or values.get("batch_id") or values.get("request_id"))


def _rows_of(place: str, at: float) -> tuple[list[tuple[Any, dict[str, Any]]], list[tuple[Any, dict[str, Any]]], int, float]:
    """Rows that are due, rows of the same age that are still needed, how many are counted, after how long."""
    five = 5 * YEAR
    match place:
        case "import":
            of_it, told, silent = run(at), batch(at), batch(at, acknowledged_at=None)
            told["run"] = of_it["id"]
            waiting = run(at, due_at=at + 1)
            silent["run"] = waiting["id"]
            old = [(t.fetch_run, run(at, due_at=at + 2)), (t.fetch_batch, {**told, "run": None}), (t.fetch_record, record(told["id"]))]
            return old, [(t.fetch_run, waiting), (t.fetch_batch, silent), (t.fetch_record, record(silent["id"]))], 2, five
        case "request":
            under_way = command(at, kind="bulk-output", status="approved")
            of_delivery = command(at, kind="skip", delivery_id=new_id())
            return [(t.command, command(at)), (t.command, command(at, status="waiting", decided_at=None))], [
                (t.command, under_way), (t.command, of_delivery),
            ], 2, five  # fmt: skip
        case "reconciliation":
            done, paused, undecided = comparison(at), comparison(at, status="paused"), comparison(at)
            return [(t.reconciliation, done), (t.reconciliation_difference, difference(done["id"], at, "resolved"))], [
                (t.reconciliation, paused), (t.reconciliation, undecided),
                (t.reconciliation_difference, difference(undecided["id"], at, "open")),
            ], 1, five  # fmt: skip
        case "medium":
            written = {
                "request_id": new_id(), "target": "card-management", "medium": "m-1", "type": "card-feed", "count": 1, "size_bytes": 1,
                "digest": "-", "operator": "a.sato", "approved_by": "b.suzuki", "began_at": at, "ended_at": at,
            }  # fmt: skip
            return [(t.medium_output, written)], [], 1, five
        case "refusal":
            refused = {"id": new_id(), "system": "resident-record-system", "door": "file", "code": "x", "size_bytes": 1, "at": at}
            return [(t.quarantine, refused)], [], 1, five
        case "daily-check":
            check = {"id": new_id(), "day": "2026-04-01", "digest": "-", "result": "-", "checked_by": "a.sato", "checked_at": at}
            return [(t.daily_check, check)], [], 1, five
        case "anomaly":
            late = {"link": "family-register", "kind": "late", "cause": "-", "since": at, "raised_at": at, "changed_at": at}
            return [(t.anomaly, {**late, "id": new_id(), "cleared_at": at})], [(t.anomaly, {**late, "id": new_id()})], 1, YEAR
        case _:
            asked = {
                "id": new_id(), "person": new_id(), "state": "handed-on", "numbered": True, "asked_at": at, "changed_at": at, "due_at": at,
                "asked_id": new_id(),
            }  # fmt: skip
            alias = {"blind": b"p" * 32, "kind": "processing-number", "hmac_key_id": "g", "subject": asked["id"]}
            assert alias["subject"]
            return [(t.code_acquisition, asked), (t.subject_alias, alias)], [], 1, 400 * DAY


async def proof(safe: Safe, keeper: Keeper, grace: float) -> list[Any]:
    """As for an instance: what ended more than a day before it was due."""
    if not keeper.keeping.erasures.path.exists():
        keeper.keeping.erasures.append("begun")
    clocks = await safe.ledger.read(lr.clocks)
    calendar = keeper.keeping.calendar
    rows = {
        rule.place: min(rule.after.due_before(clocks.business - grace, calendar), clocks.ledger)
        for rule in keeper.keeping.policy.of(*retention_policy.ROWS)
    }
    places = Places(engine=safe.ledger.engine, erasures=keeper.keeping.erasures, calendar=calendar, now=clocks.business, rows=rows)
    return await asyncio.to_thread(prove, places)


# ---- persons ----------------------------------------------------------------------------------------------------------------------------


async def link(safe: Safe, subject: str) -> tuple[str, bytes]:
    """A sealed, fictitious atena number of this subject: its data key, and that key as it is wrapped."""
    message_id = new_id()
    sealed = safe.sealer.seal(b"fictitious atena number", message_id=message_id, message_type=LINKAGE_TYPE, party=LINKAGE)

    def write(unit: Any) -> None:
        payload = add_sealed(unit, LINKAGE, sealed, message_id=message_id, party=LINKAGE)
        row = {"subject": subject, "payload_id": payload, "message_id": message_id, "at": unit.now}
        unit.conn.execute(t.atena_link.insert().values(row))

    await safe.ledger.submit(Write(write))
    return sealed.key_id, sealed.wrapped


@pytest.mark.control("C-1-7-6")
@pytest.mark.control("C-1-7-15")
async def test_links_and_indexes_live_as_long_as_the_resident_is_known(safe: Safe, tmp_path: Path) -> None:
    """Of who had died they go after five years, the sealed number's data key first; of everybody else they stay."""
    keeper = keeper_of(safe, tmp_path)
    at = await now_of(safe) - 10.0
    dead, alive, spoken_of, partner = new_id(), new_id(), new_id(), new_id()
    keys = {who: await link(safe, who) for who in (dead, alive, spoken_of)}

    def alias(subject: str, kind: str = "resident-record-code") -> tuple[Any, dict[str, Any]]:
        return t.subject_alias, {"blind": (kind + subject).encode(), "kind": kind, "hmac_key_id": "g", "subject": subject}

    def died(subject: str) -> tuple[Any, dict[str, Any]]:
        return t.person_mark, {"subject": subject, "mark": "deceased", "message_id": new_id(), "at": at}

    provision = {"id": new_id(), "at": at, "subject": spoken_of, "system": "resident-record-system", "outcome": "permitted"}
    await insert(
        safe, *map(alias, (dead, alive, spoken_of)), alias(dead, "individual-number"), alias(partner, "integrated-atena-number"),
        died(dead), died(spoken_of), (t.provision, {**provision, "outcome_at": at + 5 * DAY}),
        (t.integrated_number, {"subject": partner, "atena": dead}), (t.integrated_number, {"subject": new_id(), "atena": alive}),
    )  # fmt: skip
    await shift(safe.ledger, 5 * YEAR - 2 * DAY)
    await keeper.run("test")
    assert len(await safe.rows(t.subject_alias)) == 5
    assert len(await safe.rows(t.atena_link)) == 3
    await shift(safe.ledger, 5 * YEAR + 2 * DAY)
    done = await keeper.run("test")
    assert {(line.rule, line.type, line.count) for line in done.lines} == {
        ("deceased-person", LINKAGE_TYPE, 1), ("deceased-person", None, 1),
    }  # fmt: skip
    assert {row.subject for row in await safe.rows(t.subject_alias)} == {alive, spoken_of}
    assert {row.subject for row in await safe.rows(t.atena_link)} == {alive, spoken_of}
    assert {row.atena for row in await safe.rows(t.integrated_number)} == {alive}
    assert [row.subject for row in await safe.rows(t.person_mark)] == [spoken_of]
    assert {row.id for row in await safe.rows(t.data_key)} == {keys[alive][0], keys[spoken_of][0]}
    listed = keys_of(list(ErasureList(tmp_path / "erasures.jsonl").since(NO_HEAD)))
    assert listed == {keys[dead][0]}, "on the list outside, so that a restore does not bring it back"
    assert {each.verdict for each in await proof(safe, keeper, 0.0)} <= {"nothing-left", "not-searched"}
    if safe.ledger.engine.dialect == "sqlite":
        assert done.proof == "nothing-left"
        assert all(keys[dead][1] not in file.read_bytes() for file in safe.ledger.engine.files() if file.exists())
    await insert(safe, alias(dead))  # a link whose resident is gone would be seen
    stray = new_id()
    await link(safe, stray)

    def forget(unit: Any) -> None:
        unit.conn.execute(t.atena_link.delete().where(t.atena_link.c.subject == stray))

    await safe.ledger.submit(Write(forget))
    assert next(each for each in await proof(safe, keeper, 0.0) if each.place == "ledger-rows").verdict == "remains"


async def test_the_link_does_not_keep_the_record_of_its_feed_nor_of_any_other_message(safe: Safe, tmp_path: Path) -> None:
    """Feeds of the whole register stand before everything else, and their links stay: what is behind them must be found."""
    keeper = keeper_of(safe, tmp_path)
    keeper._keeping = type(keeper.keeping)(**{name: getattr(keeper.keeping, name) for name in keeper.keeping.__slots__} | {"rows": 2})
    messages = await admit(safe, 5, "identity-information-update")
    await deliver_all(safe)

    def links(unit: Any) -> None:
        for number, message_id in enumerate(messages[:3]):
            sealed = safe.sealer.seal(b"fictitious", message_id=message_id, message_type=LINKAGE_TYPE, party=LINKAGE)
            payload = add_sealed(unit, LINKAGE, sealed, message_id=message_id, party=LINKAGE)
            unit.conn.execute(t.atena_link.insert().values(subject=f"s-{number}", payload_id=payload, message_id=message_id, at=unit.now))

    await safe.ledger.submit(Write(links))
    await shift(safe.ledger, 5 * YEAR + 2 * DAY)
    await keeper.run("test")
    assert await safe.rows(t.message) == []
    assert len(await safe.rows(t.atena_link)) == len(await safe.rows(t.data_key)) == 3


@pytest.mark.control("C-1-7-15")
async def test_a_support_measure_goes_five_years_after_its_last_day(safe: Safe, tmp_path: Path) -> None:
    keeper = keeper_of(safe, tmp_path)
    at = await now_of(safe) - 10.0
    over, lasting = new_id(), new_id()
    mark = {"mark": "support-1", "since": "2020-01-01", "message_id": new_id(), "at": at}
    last_day = (dt.datetime.fromtimestamp(at, JST) - dt.timedelta(days=1)).date().isoformat()
    await insert(safe, *((t.person_mark, {**mark, "subject": who, "until": until}) for who, until in ((over, last_day), (lasting, None))))
    await shift(safe.ledger, 5 * YEAR - 3 * DAY)
    await keeper.run("test")
    assert len(await safe.rows(t.person_mark)) == 2
    await shift(safe.ledger, 5 * YEAR + 3 * DAY)
    await keeper.run("test")
    assert [row.subject for row in await safe.rows(t.person_mark)] == [lasting]
