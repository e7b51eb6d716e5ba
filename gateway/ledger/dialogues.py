"""The record of a dialogue: that somebody asked about a resident, and what was said, before it is said (I7, I8).

Nothing of the content is kept, in either direction. The transaction that records an answer is the one that decides whether it may go: the
policy and the marks of the resident that it was filtered by must be those that count in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.ledger import currency
from gateway.ledger import tables as t
from gateway.ledger.currency import Currency, NotCurrent
from gateway.ledger.unit import MARKS, Unit
from gateway.policy.marks import NONE, Flags, flags
from gateway.policy.rights import StalePolicy, Terms

ANSWERED, ANSWER_REFUSED = "answered", "answer-refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """What is kept of a question of one of our systems, so that a suspicious one can be compared with its application (C-2-3-8)."""

    question: str
    """Message type."""
    operator: str | None = None
    terminal: str | None = None
    reference: str | None = None
    """The application or notification that it belongs to, by its number at the asking system."""
    condition: Mapping[str, str] = field(default_factory=dict)
    """What was asked by: items, with their values masked."""
    missing: tuple[str, ...] = ()
    """Of operator, terminal and reference."""


@dataclass(slots=True, kw_only=True)
class RecordDialogue:
    """Record one dialogue. Result: None; or, of an answer, :class:`StalePolicy` where it was decided by what counts no longer (nothing is
    recorded then), or :class:`NotCurrent` (recorded as refused)."""

    dialogue_id: str
    """Of ours, random; also that of the record of provision."""
    asked_by: str
    """Who put the question to us: the party at whose listener it came, or one of our systems."""
    recipient: str
    """Who has the answer, and whose question it is."""
    responder: str
    message_type: str
    """Of the answer."""
    source_id: str
    outcome: str
    """``answered``, or why not: ``refused``, ``no-answer``, ``answer-refused``."""
    identifiers: tuple[tuple[str, bytes], ...] = ()
    also: tuple[tuple[str, bytes], ...] = ()
    """Further persons in the answer, whose marks count as well."""
    inquiry: Inquiry | None = None
    code: str | None = None
    rule: str | None = None
    standing: str | None = None
    marks: Flags = NONE
    terms: Terms | None = None
    current: Currency | None = None
    """What must still be so of the resident when an answer is recorded."""
    until: float | None = None
    """The deadline of an answer, on the clock that a freeze does not stop (:func:`gateway.ledger.clock.boot_time`)."""
    bulk: bool = False
    size: int = 1
    stale: StalePolicy | NotCurrent | None = None

    def plan(self, unit: Unit) -> None:
        self.stale = None

    def apply(self, unit: Unit) -> None:
        subject = currency.subject_of(unit.conn, self.identifiers)
        outcome, code, rule = self.outcome, self.code, self.rule
        if self.outcome == ANSWERED:
            now = self._marks(unit, subject)
            if self.standing != unit.standing or self.marks != now:
                self.stale = StalePolicy({self.dialogue_id: now})
                return
            try:
                if self.until is not None and unit.booted_at > self.until:
                    raise NotCurrent("no-answer-in-time")
                if self.current is not None:
                    currency.confirm(unit.conn, self.current)
            except NotCurrent as error:
                self.stale, outcome, code, rule = error, ANSWER_REFUSED, error.code, error.rule
        provided = outcome == ANSWERED
        asked = self.inquiry
        unit.add(
            t.provision,
            {
                "id": self.dialogue_id, "at": unit.now, "subject": subject, "message_id": None, "system": self.responder,
                "type": self.message_type, "party": self.recipient, "work": None,
                "terms": unit.note_terms(self.terms) if provided and self.terms is not None else None,
                "operator": asked.operator if asked is not None else None, "terminal": asked.terminal if asked is not None else None,
                "outcome": "provided" if provided else "refused", "outcome_at": unit.now, "code": code, "rule": rule,
            },
        )  # fmt: skip
        detail: dict[str, Any] = {"dialogue": self.dialogue_id, "type": self.message_type, "to": self.recipient, "id": self.source_id}
        if asked is not None:
            condition = json.dumps(asked.condition, ensure_ascii=False, separators=(",", ":"))
            unit.add(
                t.inquiry,
                {"id": self.dialogue_id, "question": asked.question, "reference": asked.reference, "condition": condition},
            )
            detail |= {"question": asked.question, "asked_by": sorted(asked.condition), "reference": asked.reference}
            detail |= {"operator": asked.operator, "terminal": asked.terminal}
            if asked.missing:
                detail["missing"] = list(asked.missing)
        unit.audit("dialogue", self.asked_by, outcome=outcome, code=code, rule=rule, **detail)

    def _marks(self, unit: Unit, subject: str | None) -> Flags:
        if MARKS not in unit.key_guard:
            return NONE
        subjects = {found for each in self.also if (found := currency.subject_of(unit.conn, (each,))) is not None}
        subjects |= {subject} if subject is not None else set()
        marks = unit.marks(sorted(subjects)) if subjects else {}
        return frozenset().union(*(flags(each.values(), unit.day) for each in marks.values()))

    def finish(self, unit: Unit) -> StalePolicy | NotCurrent | None:
        return self.stale


@dataclass(slots=True, kw_only=True)
class RecordLateAnswer:
    """An answer came that nobody waits for: it was not opened, and is gone. That it came is on record."""

    system: str
    dialogue_id: str | None
    """None: none that this process knows of."""
    size_bytes: int
    bulk: bool = True
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is needed."""

    def apply(self, unit: Unit) -> None:
        unit.audit("late-answer", self.system, dialogue=self.dialogue_id, size_bytes=self.size_bytes)

    def finish(self, unit: Unit) -> None:
        return None
