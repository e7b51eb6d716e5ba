"""Whom messages are about: subjects by their aliases, found or made for all messages of a group at once (R17)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects import postgresql

from gateway.ids import random_id
from gateway.ledger import statements as sql
from gateway.ledger import tables as t
from gateway.ledger.prepared import PreparedMessage
from gateway.ledger.unit import Unit
from gateway.policy.rules import REGISTER

NUMBER = "individual-number"
NUMBER_NOTICE = "individual-number-notice"
_NUMBERS = select(t.subject_alias.c.blind).where(t.subject_alias.c.subject == bindparam("subject"), text(f"kind = '{NUMBER}'"))
"""With the kind in its text: that is how its index is found."""


OUTSIDE = frozenset({"soap", "fetch"})
"""Doors of the parties outside."""


def _says_which(message: PreparedMessage) -> bool:
    """Its sender decides which Individual Number a resident has."""
    return message.system == REGISTER or message.type == NUMBER_NOTICE


class Subjects:
    """The subjects of one group of admissions."""

    def __init__(self) -> None:
        self.by_alias: dict[tuple[str, bytes], str] = {}
        self.of_message: dict[str, str] = {}
        """Our id of a message → whom it is about; a message about nobody is not in it."""
        self.new: set[tuple[str, bytes]] = set()
        """Aliases that this group has added."""
        self.superseded: set[tuple[str, bytes]] = set()
        """Individual Numbers of residents who have another one now."""
        self._renewing: str | None = None
        """The former generation of blind indexes, while there may be rows of it."""

    def load(self, unit: Unit, messages: Sequence[PreparedMessage]) -> None:
        """Who the messages are about: aliases that are known, in the order of locks, and new ones for the rest."""
        self._renewing = unit.key_guard.get("key.blind.former")
        wanted = {identifier for m in messages for identifier in m.identifiers}
        if not wanted:
            return
        if self._renewing is not None:
            # in the same statement: a row that is being renewed is seen in one form or the other
            wanted.update(identifier for m in messages for identifier in self.former(m))
        self._read_aliases(unit, wanted)
        new: list[dict[str, Any]] = []
        for message in messages:
            new.extend(self._place(message))
        if new:
            new.sort(key=lambda row: (row["kind"], row["blind"]))
            self.new = self._insert_aliases(unit, new)
            if len(self.new) < len(new):
                # another process has given one of them to another subject meanwhile: what is committed counts
                self._read_aliases(unit, {(row["kind"], row["blind"]) for row in new})
                for message in messages:
                    if message.identifiers:
                        self.of_message[message.message_id] = self.by_alias[message.identifiers[0]]

    def former(self, message: PreparedMessage) -> tuple[tuple[str, bytes], ...]:
        return message.former_identifiers if self._renewing is not None and message.former_hmac_key_id == self._renewing else ()

    def _insert_aliases(self, unit: Unit, rows: Sequence[dict[str, Any]]) -> set[tuple[str, bytes]]:
        """The aliases that were not there yet. On SQLite nobody else writes meanwhile."""
        if not unit.postgresql:
            unit.insert_ignore(t.subject_alias, rows)
            return {(row["kind"], row["blind"]) for row in rows}
        statement = postgresql.insert(t.subject_alias).on_conflict_do_nothing().returning(t.subject_alias.c.kind, t.subject_alias.c.blind)
        return {(row.kind, bytes(row.blind)) for row in unit.conn.execute(statement, list(rows))}

    def _read_aliases(self, unit: Unit, wanted: Collection[tuple[str, bytes]]) -> None:
        by_kind: dict[str, list[bytes]] = {}
        for kind, blind in wanted:
            by_kind.setdefault(kind, []).append(blind)
        for kind, blinds in sorted(by_kind.items()):
            if kind == NUMBER:
                for _, blind, subject, superseded in sql.rows(unit.conn, sql.NUMBERS, kind, ids=sorted(blinds)):
                    self.by_alias[(kind, blind)] = subject
                    if superseded:
                        self.superseded.add((kind, blind))
                continue
            for _, blind, subject in sql.rows(unit.conn, sql.ALIASES, kind, ids=sorted(blinds)):
                self.by_alias[(kind, blind)] = subject

    def _place(self, message: PreparedMessage) -> Iterable[dict[str, Any]]:
        """The subject of a message: that of its first identifier, else that of any other, else a new one; unknown aliases are added.

        An alias that is known is never moved to another subject, so a changed resident code moves nobody (section 5).
        """
        if not message.identifiers:
            return
        known = (*message.identifiers, *self.former(message))
        subject = next((s for i in known if (s := self.by_alias.get(i)) is not None), None) or random_id()
        self.of_message[message.message_id] = subject
        for kind, blind in message.identifiers:
            if (kind, blind) not in self.by_alias:
                self.by_alias[(kind, blind)] = subject
                yield {"kind": kind, "blind": blind, "hmac_key_id": message.hmac_key_id, "subject": subject}

    def changes_number(self, unit: Unit, message: PreparedMessage) -> bool:
        """Whether it gives a known resident another Individual Number (C-1-3-3), and may not. A former one is another, too, where one of
        our own systems is late with it: the newest counts (FS5-4). What comes from outside may be older than the change."""
        if _says_which(message):
            return False
        given = {i for i in (*message.identifiers, *self.former(message)) if i[0] == NUMBER}
        subject = self.of_message.get(message.message_id)
        if not given:
            return False
        if own := {i for i in given if self.by_alias.get(i) == subject and i not in self.new}:
            return own <= self.superseded and message.door not in OUTSIDE
        known = {i for i, of in self.by_alias.items() if i[0] == NUMBER and of == subject}
        known |= {(NUMBER, bytes(blind)) for blind in unit.conn.execute(_NUMBERS, {"subject": subject}).scalars()}
        return bool(known - given - self.new)  # what others of the group bring is not known yet

    def note_number(self, unit: Unit, message: PreparedMessage) -> None:
        """The register, or J-LIS, says which number a resident has: from now on any other of theirs is a former one.

        Called for a message that is admitted, before its identifiers are known for good.
        """
        subject = self.of_message.get(message.message_id)
        if subject is None or not _says_which(message):
            return
        given = {i for i in (*message.identifiers, *self.former(message)) if i[0] == NUMBER and self.by_alias.get(i) == subject}
        is_known = any(i not in self.new for i in message.identifiers)
        if not given or not (given & self.superseded or (is_known and given & self.new)):
            return
        others = {(NUMBER, bytes(blind)) for blind in unit.conn.execute(_NUMBERS, {"subject": subject}).scalars()} - given
        c = t.subject_alias.c
        for numbers, superseded in ((others, True), (given, False)):
            blinds = sorted(blind for _, blind in numbers)
            changed = t.subject_alias.update().where(c.kind == NUMBER, c.blind.in_(blinds), c.superseded.is_(not superseded))
            unit.conn.execute(changed.values(superseded=superseded))
        self.superseded = (self.superseded | others) - given

    def take_out(self, unit: Unit) -> None:
        """What was not admitted does not say who is who: its identifiers go again."""
        if self.new:
            where = (t.subject_alias.c.kind == bindparam("k"), t.subject_alias.c.blind == bindparam("b"))
            unit.conn.execute(t.subject_alias.delete().where(*where), [{"k": k, "b": b} for k, b in sorted(self.new)])
