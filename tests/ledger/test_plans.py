"""What runs often finds what it looks for by an index, on both databases: a ledger of a year must not be slower than a new one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event

from gateway.contract import Delivered, Pending, Receipt, Rejected
from gateway.delivery.rows import PartyTraits
from gateway.ledger import bulk, counts, lookup, policies, quarantine, queries, reports, requests
from gateway.ledger import statements as sql
from gateway.ledger import tables as t
from gateway.ledger.housekeeping import ClaimIntake, RecordReply
from gateway.ledger.unit import run_group
from tests.ledger.kit import REGISTER, START, TYPE, Book, person, prepared, to

pytestmark = pytest.mark.thorough

OK = Delivered(receipt=Receipt(code="ok", body=b""))
AT_Q = PartyTraits(party="q")
SMALL = {"worker", "party_state", "intake_epoch", "quarantine", "command", "meta", "CONSTANT"}
"""Tables that stay small; reading all of them is fine."""

PARTIAL = "key_row_claimed|key_row_held|delivery_unfinished"
"""Indexes of what is under way only: reading all of one is fine."""


@contextmanager
def statements(connection: Connection) -> Iterator[list[tuple[str, Any]]]:
    """Every SELECT, UPDATE and DELETE that is executed, once."""
    seen: dict[str, Any] = {}

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if re.match(r"\s*(SELECT|UPDATE|DELETE)", statement):
            seen.setdefault(statement, parameters[0] if many or isinstance(parameters, list) else parameters)

    execute = sql.execute

    def note_text(connection: Connection, text: str, values: Any, *, many: bool = False) -> Any:
        note(connection, None, text, values, None, many)
        return execute(connection, text, values, many=many)

    found: list[tuple[str, Any]] = []
    event.listen(connection, "before_cursor_execute", note)
    sql.execute = note_text
    try:
        yield found
    finally:
        sql.execute = execute
        event.remove(connection, "before_cursor_execute", note)
    found.extend(seen.items())


def scanned(connection: Connection, statement: str, parameters: Any) -> list[str]:
    """Large tables that the statement would read from end to end, if everything in them were worth an index."""
    if connection.dialect.name == "sqlite":
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        names = [
            found.group(1) for row in plan if (found := re.match(r"SCAN (?:TABLE )?(\w+)\b(?! USING .*INDEX (?:" + PARTIAL + "))", row[3]))
        ]
    else:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).all()
        names = [m.group(1) for row in plan if (m := re.search(r"Seq Scan on (\w+)", row[0]))]
    return [name for name in names if name not in SMALL]


def a_day(book: Book) -> list[Any]:
    """The operations of the main ways, as (what to do with the session's connection)."""
    worker = book.worker()
    book.do(ClaimIntake(system=REGISTER, worker="w1"))
    book.admit(*(prepared(f"m{i}", to("p"), to("q", waits_for="p"), who=person(i, ("individual-number", f"9999-{i}"))) for i in range(5)))
    return [worker]


@pytest.mark.invariant("I4")
def test_the_ways_of_a_message_use_their_indexes(book: Book) -> None:
    [worker] = a_day(book)
    connection = book.session.connection
    with statements(connection) as seen:
        message = prepared("n1", to("p"), to("q", waits_for="p"), who=person(1, ("individual-number", "9999-1")))
        book.admit(message, intake=(REGISTER, "w1", 1))
        claim = book.claim_one(worker, book.key_of("m0"))
        book.write(worker, (claim, OK), go_on=True)
        at_q = book.claim_one(worker, book.key_of("m0", "q"), AT_Q)
        book.write(worker, (at_q, Pending(correlation="c", deadline_s=60)), traits=AT_Q)
        book.admit(prepared("o1", who=person(1, ("individual-number", "9999-77")), system="tax-system"))
        book.do(RecordReply(party="q", correlation="c", kind="delivered", code=None, actor="q"))
        book.claim(worker, book.key_of("m0", "q"), traits=AT_Q)
        book.write(worker, (book.claim_one(worker, book.key_of("m2")), Rejected(code="E103")))
        book.admit(prepared("n2", to("p"), to("q", waits_for="p"), who=person(2), corrects="m2"))
        book.write(worker, (book.claim_one(worker, book.key_of("m3")), Rejected(code="E103")))
        book.approve(book.ask("skip", book.delivery("m3")))
    assert len(seen) > 15
    book.session.begin()
    slow = {statement: tables for statement, parameters in seen if (tables := scanned(connection, statement, parameters))}
    book.session.rollback()
    assert not slow


def reads() -> dict[str, Any]:
    return {
        "due_keys": lambda c: lookup.due_keys(c, "p", 1.0, 60.0, 100),
        "void_keys": lambda c: lookup.void_keys(c, "p", 1.0, 100),
        "party_row": lambda c: lookup.party_row(c, "p"),
        "own_message": lambda c: queries.own_message(c, REGISTER, "m1"),
        "by the sender's id": lambda c: queries.find_messages(c, "m1"),
        "message": lambda c: queries.message(c, queries.find_messages(c, "m1")[0]),
        "held": lambda c: queries.held(c, parties=["p"], limit=10, after=None),
        "held from all": lambda c: queries.held(c, parties=None, limit=10, after=(1.0, "a")),
        "counts": lambda c: counts.counts(c, ["p", "q"]),
        "backlog": queries.backlog,
        "aliases": lambda c: queries.subjects_of(c, "resident-record-code", [person(1)[0][1]]),
        "requests": lambda c: requests.requests(c, waiting_only=True),
        "requests about deliveries": lambda c: requests.waiting_requests(c, ["a", "b"]),
        "kept refusals": lambda c: quarantine.entries(c, kept_only=True, limit=10, before="z"),
        "a kept refusal": lambda c: quarantine.sealed_body(c, "a"),
        "refusals of a day": lambda c: reports.refusals(c, START, START + 86_400.0),
        "statistics of a month": lambda c: reports.statistics(c, START, START + 86_400.0, []),
        "checks of days": lambda c: reports.checks(c, "2026-11-01", "2026-11-30"),
        "protected": lambda c: policies.protected(c, "a"),
        "bulk": lambda c: bulk.find(c, "p", TYPE) or bulk._digest(c, "p", TYPE, 1.0),
    }


@pytest.mark.parametrize("name", list(reads()))
def test_what_is_read_beside_uses_indexes(book: Book, name: str) -> None:
    a_day(book)
    connection = book.session.connection
    book.session.begin()
    with statements(connection) as seen:
        reads()[name](connection)
    assert seen
    slow = {statement: tables for statement, parameters in seen if (tables := scanned(connection, statement, parameters))}
    book.session.rollback()
    assert not slow


@pytest.mark.rule("R15")
def test_the_look_up_does_not_sort_or_read_the_backlog(book: Book) -> None:
    """Due keys come in the order of their index; void ones by the index of claims, not by that of what is due."""
    a_day(book)
    connection = book.session.connection
    book.session.begin()
    with statements(connection) as seen:
        lookup.due_keys(connection, "p", 1.0, 60.0, 100)
        lookup.void_keys(connection, "p", 1.0, 100)
    explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
    plans = {statement: " ".join(str(row) for row in connection.exec_driver_sql(explain + statement, args)) for statement, args in seen}
    book.session.rollback()
    due = next(plan for statement, plan in plans.items() if "ORDER BY" in statement)
    void = next(plan for statement, plan in plans.items() if "ORDER BY" not in statement)
    assert "key_row_due" in due
    assert "SORT" not in due.upper()
    assert "TEMP B-TREE" not in due.upper()
    assert "key_row_claimed" in void


def test_the_number_of_statements_does_not_grow_with_the_group(book: Book) -> None:
    """The cost of a group grows with its rows, not with its operations."""
    [worker] = a_day(book)
    del worker
    found = []
    for size in (2, 20):
        book.session.begin()
        executed: list[str] = []

        def note(_conn: Any, _cursor: Any, statement: str, *_: Any, into: list[str] = executed) -> None:
            into.append(statement)

        event.listen(book.session.connection, "before_cursor_execute", note)
        from gateway.ledger.admission import Admit

        operations = [Admit(messages=[prepared(f"{size}-{i}", who=100 * size + i)]) for i in range(size)]
        run_group(book.session.connection, operations, book.now)
        event.remove(book.session.connection, "before_cursor_execute", note)
        book.session.rollback()
        found.append(len(executed))
    assert found[0] == found[1]
    assert len(book.rows(t.message)) == 5
