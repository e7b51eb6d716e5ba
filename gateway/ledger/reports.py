"""What the record says of a day (what was refused) and of a month (how much was provided), in numbers.

Statistics count residents, so that a number that stands for a few of them can be left out; nothing here names one.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from gateway.ids import random_id
from gateway.ledger import tables as t
from gateway.ledger.unit import Unit

REFUSALS = ("refused", "peer-refused", "access-refused", "command-refused", "erasure-refused")
"""Kinds of entries of the record that say that something was refused."""
_SKEW_S = 120.0
"""Ids are made by the clocks of our machines, times by the ledger's: how far they may be apart."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Refused:
    """How often somebody was refused for one reason."""

    kind: str
    who: str
    code: str
    rule: str
    what: str
    """Message type, command or operation; empty: none."""
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """That somebody has looked at the refusals of a day (日次確認チェックシート), or at an import report (確認用帳票)."""

    day: str
    digest: str
    result: str
    checked_by: str
    checked_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One line of the statistics."""

    party: str | None
    type: str | None
    outcome: str
    provisions: int
    residents: int


def refusals(conn: Connection, since: float, until: float) -> list[Refused]:
    """What was refused from ``since`` to before ``until`` (ledger time), in a fixed order."""
    e = t.audit_entry.c
    query = select(e.kind, e.actor, e.detail).where(
        e.id >= id_bound(since), e.id < id_bound(until, after=True), e.at >= since, e.at < until, e.kind.in_(REFUSALS)
    )
    found: Counter[tuple[str, str, str, str, str]] = Counter()
    for kind, actor, text in conn.execute(query):
        detail: dict[str, Any] = json.loads(text)
        what = detail.get("type") or detail.get("command") or detail.get("operation") or detail.get("place") or ""
        found[kind, actor, detail.get("code") or "", detail.get("rule") or "", what] += int(detail.get("count", 1))
    return sorted(Refused(kind=k, who=w, code=c, rule=r, what=x, count=n) for (k, w, c, r, x), n in found.items())


def digest_of(found: Collection[Refused]) -> str:
    """Names exactly these lines."""
    text = json.dumps([[getattr(each, name) for name in Refused.__dataclass_fields__] for each in found], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def checks(conn: Connection, first: str, last: str, system: str | None = None) -> list[Checked]:
    """Checks of these days, by day and time: of what was refused, or of the import report of a system."""
    c = t.daily_check.c
    query = select(*(c[name] for name in Checked.__dataclass_fields__)).where(c.day >= first, c.day <= last)
    query = query.where(c.system.is_(None) if system is None else c.system == system).order_by(c.day, c.checked_at)
    return [Checked(**row._mapping) for row in conn.execute(query)]


def begun(conn: Connection) -> float | None:
    """When the record begins."""
    return conn.execute(select(t.audit_entry.c.at).order_by(t.audit_entry.c.id).limit(1)).scalar()


def statistics(conn: Connection, since: float, until: float, without: Collection[str]) -> list[Cell]:
    """Provisions by party, type and outcome, without the types of which no statistics are made."""
    p = t.provision.c
    query = (
        select(p.party, p.type, p.outcome, func.count(), func.count(func.distinct(p.subject)))
        .where(p.at >= since, p.at < until, p.type.is_not(None), p.type.not_in(sorted(without)))
        .group_by(p.party, p.type, p.outcome)
        .order_by(p.party, p.type, p.outcome)
    )
    return [
        Cell(party=party, type=type_, outcome=outcome, provisions=count, residents=residents)
        for party, type_, outcome, count, residents in conn.execute(query)
    ]


def id_bound(at: float, *, after: bool = False) -> str:
    """The beginning of ids that are made surely before, or ``after``, then: they rise with time, which serves as the index."""
    moment = at + _SKEW_S if after else at - _SKEW_S
    return f"{max(0, int(moment * 1000)):012x}"[:8]


@dataclass(slots=True, kw_only=True)
class NoteCheck:
    """Somebody has looked at the refusals of a day, or at the import report of a system. What they say is compared before: reading a day is
    too long for the writer."""

    actor: str
    day: str
    digest: str
    text: str
    system: str | None = None
    bulk: bool = False
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is needed."""

    def apply(self, unit: Unit) -> None:
        unit.add(
            t.daily_check,
            {
                "id": random_id(), "day": self.day, "digest": self.digest, "result": self.text, "checked_by": self.actor,
                "checked_at": unit.now, "system": self.system,
            },
        )  # fmt: skip
        whose: dict[str, Any] = {} if self.system is None else {"system": self.system}
        kind = "daily-checked" if self.system is None else "import-checked"
        unit.audit(kind, self.actor, day=self.day, digest=self.digest, result=self.text, **whose)

    def finish(self, unit: Unit) -> None:
        return None
