"""Small steps that erase content (I9): data key first, then body, then the line of the disposal history and the entry of the record, in one
transaction. Finality is looked at again in it: nothing that is not final is erased.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.ledger import tables as t
from gateway.ledger.retention.looking import MARK, Due, Mark
from gateway.ledger.unit import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the disposal history that steps of a run add to."""

    id: str
    run: str
    rule: str
    place: str
    type: str | None
    party: str | None
    began_at: float
    actor: str
    instruction: str | None = None


def note(unit: Unit, line: Line, count: int, oldest: float, newest: float) -> None:
    make = postgresql.insert if unit.postgresql else sqlite.insert
    c = t.disposal.c
    statement = make(t.disposal).values(
        id=line.id, run=line.run, rule=line.rule, place=line.place, type=line.type, party=line.party, count=count, oldest=oldest,
        newest=newest, began_at=line.began_at, ended_at=unit.now, actor=line.actor, instruction=line.instruction,
    )  # fmt: skip
    new = statement.excluded
    smallest, largest = (func.least, func.greatest) if unit.postgresql else (func.min, func.max)
    more = {
        "count": c["count"] + new["count"], "oldest": smallest(c.oldest, new.oldest), "newest": largest(c.newest, new.newest),
        "ended_at": new.ended_at,
    }  # fmt: skip
    unit.conn.execute(statement.on_conflict_do_update(index_elements=["id"], set_=more))


@dataclass(slots=True, kw_only=True)
class EraseStep:
    """Destroy some data keys, then their bodies. Result: how many keys.

    Of a message that has an unfinished delivery to that party nothing is touched (R23).
    """

    line: Line
    due: Sequence[Due]
    bulk: bool = True
    size: int = 1
    erased: int = 0

    def plan(self, unit: Unit) -> None:
        self.erased = 0

    def apply(self, unit: Unit) -> None:
        d = t.delivery.c
        pairs = sorted({(each.message_id, each.party) for each in self.due})
        open_ones = select(d.message_id, d.party).where(d.message_id.in_(sorted({m for m, _ in pairs})), d.final_at.is_(None))
        unfinished = {tuple(row) for row in unit.conn.execute(open_ones)}
        due = [each for each in self.due if (each.message_id, each.party) not in unfinished]
        ids = sorted(each.key for each in due)
        if not ids:
            return
        gone = unit.conn.execute(delete(t.data_key).where(t.data_key.c.id.in_(ids)))
        unit.conn.execute(delete(t.payload).where(t.payload.c.id.in_(ids)))
        if gone.rowcount == 0:
            return  # another process was faster
        self.erased = gone.rowcount
        note(unit, self.line, self.erased, min(each.at for each in due), max(each.at for each in due))
        messages = sorted({each.message_id for each in due})
        unit.audit(
            "content-erased", self.line.actor, rule=self.line.rule, type=self.line.type, to=self.line.party, count=self.erased,
            disposal=self.line.id, messages=messages,
        )  # fmt: skip

    def finish(self, unit: Unit) -> int:
        return self.erased


@dataclass(slots=True, kw_only=True)
class SetMark:
    """A rule has come so far with a party."""

    name: str
    mark: Mark
    bulk: bool = True
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """One row of ``meta``."""

    def apply(self, unit: Unit) -> None:
        set_fact(unit, f"{MARK}{self.name}", self.mark.text())

    def finish(self, unit: Unit) -> None:
        return None


@dataclass(slots=True, kw_only=True)
class RecordDisposal:
    """Files that were disposed of, or what a search found afterwards: a line of the history, and an entry."""

    line: Line
    count: int = 0
    oldest: float = 0.0
    newest: float = 0.0
    proof: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    bulk: bool = True
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """One row."""

    def apply(self, unit: Unit) -> None:
        if self.count:
            note(unit, self.line, self.count, self.oldest, self.newest)
            unit.audit(
                "files-erased",
                self.line.actor,
                rule=self.line.rule,
                place=self.line.place,
                count=self.count,
                disposal=self.line.id,
                **self.detail,
            )
        if self.proof is not None:
            unit.conn.execute(update(t.disposal).where(t.disposal.c.run == self.line.run).values(proof=self.proof))
            unit.audit("erasure-searched", self.line.actor, run=self.line.run, proof=self.proof, **self.detail)

    def finish(self, unit: Unit) -> None:
        return None


def set_fact(unit: Unit, name: str, value: str) -> None:
    """A fact in ``meta``."""
    make = postgresql.insert if unit.postgresql else sqlite.insert
    statement = make(t.meta).values(name=name, value=value)
    unit.conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": statement.excluded.value}))
