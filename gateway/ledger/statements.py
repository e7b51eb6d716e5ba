"""The statements of the way of a message, as text for the driver.

A group of operations runs the same ten statements again and again. SQLAlchemy's way of running them costs about 0.1 ms each and 10 µs for
each row, which for the small groups of a quiet hour is most of the work; so their text is made once for each size, from the tables'
columns, and handed to the driver. Lists of values are padded to a power of two, so that few texts occur and drivers keep them prepared.
Errors are the driver's own; ``gateway/ledger/failures.py`` knows them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table

from gateway.ledger import tables as t


def names(table: Table, prefix: str = "") -> str:
    """The columns of a table for a SELECT."""
    return ", ".join(f'{prefix}"{c.name}"' for c in table.columns)


KEYS = f"SELECT {names(t.key_row)} FROM key_row WHERE id IN ({{ids}}) ORDER BY id"
PLACES = "SELECT place, id FROM key_row WHERE place IN ({ids})"
HEADS = (
    f"SELECT {names(t.delivery, 'd.')} FROM key_row k JOIN delivery d ON d.key_id = k.id AND d.number BETWEEN k.head AND k.head + 1 "
    "WHERE k.id IN ({ids}) AND d.replaced_by IS NULL ORDER BY d.id"
)
HEAD = f"SELECT {names(t.delivery)} FROM delivery WHERE key_id = {{mark}} AND number = {{mark}} AND replaced_by IS NULL"
DELIVERIES = f"SELECT {names(t.delivery)} FROM delivery WHERE id IN ({{ids}}) ORDER BY id"
DEPENDENTS = "SELECT id, waits_for, key_id FROM delivery WHERE waits_for IN ({ids})"
STATES = "SELECT id, state FROM delivery WHERE id IN ({ids})"
LATE = "SELECT delivery_id, code FROM late_outcome WHERE delivery_id IN ({ids}) AND kind = 'delivered' ORDER BY at"
REPLIES = (
    "SELECT correlation, kind, code FROM reply WHERE party = {mark} AND correlation IN ({ids}) "
    "AND kind IN ('delivered', 'rejected', 'retry-later') ORDER BY at"
)
PAYLOADS = (
    "SELECT p.id, p.sealed, k.wrapped, k.kek_id, m.type, COALESCE(m.producer, m.system), m.work, m.basis, m.municipality FROM payload p "
    "JOIN data_key k ON k.id = p.id JOIN message m ON m.id = k.message_id WHERE p.id IN ({ids})"
)
MARKS = "SELECT subject, mark, since, until FROM person_mark WHERE subject IN ({ids})"
LIVE = "SELECT id FROM worker WHERE ended_at IS NULL AND renewed_at > {mark}"
PARTY = f"SELECT {names(t.party_state)} FROM party_state WHERE party = {{mark}}"
SEEN = "SELECT source_id, id, content_mac, receipt, subject FROM message WHERE system = {mark} AND source_id IN ({ids})"
ALIASES = "SELECT kind, blind, subject FROM subject_alias WHERE kind = {mark} AND blind IN ({ids})"
NUMBERS = "SELECT kind, blind, subject, superseded FROM subject_alias WHERE kind = {mark} AND blind IN ({ids})"
PARTY_KEYS = "SELECT party_key FROM delivery WHERE party = {mark} AND party_key IN ({ids})"


def mark_of(connection: Connection) -> str:
    """How this driver marks a parameter."""
    return "%s" if connection.dialect.name == "postgresql" else "?"


@functools.cache
def _text(statement: str, mark: str, size: int, lock: str) -> str:
    return statement.format(mark=mark, ids=", ".join([mark] * size)) + lock


def rows(connection: Connection, statement: str, *values: Any, ids: Sequence[Any] = (), lock: str = "") -> Sequence[Sequence[Any]]:
    """All rows of one of the statements above; ``values`` come before ``ids``. ``lock`` (``FOR UPDATE``) counts on PostgreSQL only."""
    mark = mark_of(connection)
    size = 1 << max(len(ids) - 1, 0).bit_length() if ids else 0
    text = _text(statement, mark, size, f" {lock}" if lock and mark == "%s" else "")
    padded = (*values, *ids, *[ids[-1]] * (size - len(ids))) if ids else values
    return execute(connection, text, padded)


def write_many(connection: Connection, text: str, values: Sequence[Sequence[Any]]) -> None:
    """One statement for many rows."""
    execute(connection, text, values, many=True)


def execute(connection: Connection, text: str, values: Sequence[Any], *, many: bool = False) -> Sequence[Sequence[Any]]:
    """The one way to the driver: everything above goes through here."""
    cursor = connection.connection.cursor()
    try:
        if many:
            cursor.executemany(text, values)
            return ()
        cursor.execute(text, values)
        return cursor.fetchall()
    finally:
        cursor.close()


_TOGETHER = 32


def insert(connection: Connection, table: str, columns: tuple[str, ...], new: Sequence[Sequence[Any]], *, ignore: bool = False) -> None:
    """Insert rows; ``ignore``: conflicts are expected and do not raise (R20).

    On SQLite several rows go in one statement: the driver lets go of Python's lock at each step, and gets it back only when the event loop
    lets go of it in turn, so that a busy loop would stretch a group of many steps, and with it the time that the database is locked.
    """
    mark = mark_of(connection)
    if mark == "%s":
        write_many(connection, insert_text(table, columns, 1, mark, ignore=ignore), new)
        return
    done = 0
    while done < len(new):
        size = min(_TOGETHER, 1 << ((len(new) - done).bit_length() - 1))
        flat = [value for row in new[done : done + size] for value in row]
        execute(connection, insert_text(table, columns, size, mark, ignore=ignore), flat)
        done += size


@functools.cache
def insert_text(table: str, columns: tuple[str, ...], size: int, mark: str, *, ignore: bool = False) -> str:
    """INSERT of so many rows."""
    conflict = " ON CONFLICT DO NOTHING" if ignore else ""
    listed = ", ".join(f'"{c}"' for c in columns)
    row = f"({', '.join([mark] * len(columns))})"
    return f"INSERT INTO {table} ({listed}) VALUES {', '.join([row] * size)}{conflict}"


@functools.cache
def update_text(table: str, columns: tuple[str, ...], key: str, mark: str) -> str:
    """UPDATE of one row by its key, which is the last parameter, for ``executemany``."""
    changes = ", ".join(f'"{c}" = {mark}' for c in columns)
    return f'UPDATE {table} SET {changes} WHERE "{key}" = {mark}'
