"""A ledger of one table for the tests of engine and writer: operations that write a note. All content is fictitious."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, select

from gateway.ledger.engine import LedgerEngine, open_engine
from gateway.ledger.groups import GroupRecord, Operation
from gateway.ledger.writer import Writer

metadata = MetaData()
note = Table("note", metadata, Column("text", String, primary_key=True), Column("place", Integer, nullable=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Write(Operation[str]):
    """Write a note; the result is its text. ``act`` is called within the transaction, before the note is written."""

    text: str
    bulk: bool = False
    size: int = 1
    act: Callable[[Connection], object] | None = None
    answer: Exception | None = None


class Journal:
    """Does groups, and remembers them."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.records: list[GroupRecord] = []
        self.place = 0

    def run(self, connection: Connection, operations: Sequence[Write], now: float) -> list[Any]:
        assert now > 1_600_000_000
        self.groups.append([operation.text for operation in operations])
        results: list[Any] = []
        for operation in operations:
            if operation.act is not None:
                operation.act(connection)
            if operation.answer is not None:
                results.append(operation.answer)
                continue
            self.place += 1
            connection.execute(insert(note), {"text": operation.text, "place": self.place})
            results.append(operation.text)
        return results


def create_tables(engine: LedgerEngine) -> None:
    session = engine.session()
    session.begin()
    metadata.create_all(session.connection)
    session.commit()
    session.close()


def texts(connection: Connection) -> list[str]:
    return list(connection.scalars(select(note.c.text).order_by(note.c.place)))


@asynccontextmanager
async def ledger(url: str, **options: Any) -> AsyncIterator[tuple[LedgerEngine, Writer, Journal]]:
    """An engine with the table, its writer, and what the writer did."""
    engine = open_engine(url, **{key: options.pop(key) for key in ("lock_wait_s",) if key in options})
    await asyncio.to_thread(create_tables, engine)
    journal = Journal()
    options.setdefault("target_lock_s", 60.0)  # a gate holds the lock for long, which would teach the writer to make small groups
    writer = Writer(engine, options.pop("run", journal.run), on_group=journal.records.append, **options)
    try:
        yield engine, writer, journal
    finally:
        await writer.close()
        await engine.close()


class Gate:
    """Holds the writer within a transaction until opened, so that what comes meanwhile gathers."""

    def __init__(self) -> None:
        self._entered = threading.Event()
        self._open = threading.Event()

    def __call__(self, connection: Connection) -> None:
        self._entered.set()
        assert self._open.wait(10)

    async def entered(self) -> None:
        assert await asyncio.to_thread(self._entered.wait, 10)

    def open(self) -> None:
        self._open.set()
