"""Records of provision (提供記録), read for operators and for disclosure requests (開示請求). Independent of bodies: nothing is opened."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from gateway.ledger import tables as t
from gateway.ledger.unit import Unit

_P = t.provision.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """One record."""

    id: str
    at: float
    subject: str | None
    message_id: str | None
    system: str
    type: str | None
    party: str | None
    work: str | None
    basis: tuple[str, ...]
    items: tuple[str, ...]
    policy: int | None
    operator: str | None
    terminal: str | None
    outcome: str
    """``permitted`` (accepted, not ended), ``sent-unknown`` (sent, without an answer so far), ``provided``, ``refused``, …"""
    outcome_at: float | None
    code: str | None
    rule: str | None
    question: str | None = None
    """Of a dialogue that one of our systems began: the message type of the question."""
    reference: str | None = None
    """The application that it belongs to, as the asking system names it (C-2-3-8)."""
    condition: Mapping[str, str] | None = None
    """What was asked by: items, values masked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which records; None does not narrow. Times are ledger time, both ends included."""

    subjects: Collection[str] | None = None
    since: float | None = None
    until: float | None = None
    party: str | None = None
    message_type: str | None = None
    outcome: str | None = None
    reference: str | None = None
    limit: int = 200
    after: tuple[float, str] | None = None


def search(conn: Connection, wanted: Wanted) -> list[Provision]:
    """Records in order of time."""
    query = (
        select(
            t.provision, t.provision_terms.c.text, t.delivery.c.state, t.delivery.c.attempts,
            t.inquiry.c.question, t.inquiry.c.reference, t.inquiry.c.condition,
        )
        .outerjoin(t.provision_terms, t.provision_terms.c.id == _P.terms)
        .outerjoin(t.delivery, t.delivery.c.id == _P.id)
        .outerjoin(t.inquiry, t.inquiry.c.id == _P.id)
        .order_by(_P.at, _P.id)
        .limit(wanted.limit)
    )  # fmt: skip
    if wanted.subjects is not None:
        query = query.where(_P.subject.in_(sorted(wanted.subjects)))
    if wanted.since is not None:
        query = query.where(_P.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(_P.at <= wanted.until)
    for column, value in (
        (_P.party, wanted.party), (_P.type, wanted.message_type), (_P.outcome, wanted.outcome), (t.inquiry.c.reference, wanted.reference),
    ):  # fmt: skip
        if value is not None:
            query = query.where(column == value)
    if wanted.after is not None:
        at, identity = wanted.after
        query = query.where(or_(_P.at > at, and_(_P.at == at, _P.id > identity)))
    return [_provision(row._mapping) for row in conn.execute(query)]


def _provision(row: Mapping[Any, Any]) -> Provision:
    terms = json.loads(row["text"]) if row["text"] is not None else {}
    outcome = row["outcome"]
    if outcome == "permitted" and (row["attempts"] or 0) > 0 and row["state"] != "queued":
        outcome = "sent-unknown"
    return Provision(
        id=row["id"], at=row["at"], subject=row["subject"], message_id=row["message_id"], system=row["system"], type=row["type"],
        party=row["party"], work=row["work"] or terms.get("work"), basis=tuple(terms.get("basis", ())),
        items=tuple(terms.get("items", ())), policy=terms.get("policy"), operator=row["operator"], terminal=row["terminal"],
        outcome=outcome, outcome_at=row["outcome_at"], code=row["code"], rule=row["rule"], question=row["question"],
        reference=row["reference"], condition=None if row["condition"] is None else json.loads(row["condition"]),
    )  # fmt: skip


@dataclass(slots=True, kw_only=True)
class RecordSearch:
    """Somebody looked at records of provision: on record, without whom they were about (C-1-3-19)."""

    actor: str
    detail: dict[str, Any]
    export: bool = False
    """They were put into a file."""
    bulk: bool = False
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is needed."""

    def apply(self, unit: Unit) -> None:
        unit.audit("provisions-exported" if self.export else "provisions-searched", self.actor, **self.detail)

    def finish(self, unit: Unit) -> None:
        return None
