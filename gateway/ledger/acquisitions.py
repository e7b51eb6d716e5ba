"""Who may have a replica, and how far each acquisition of a code is: loaded, decided by :mod:`gateway.acquisition.machine`, written.

Part of an admission: decided on what is committed and on what the same group admitted before, and written in the same transaction, so that
nothing leaves by a link that was not there. Costs nothing where no message of the group is a step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, or_, select

from gateway.acquisition import machine
from gateway.acquisition.machine import Acquisition, Ignored, Link, Numbers, Refused, State
from gateway.acquisition.steps import INTEGRATED, PROCESSING, Kind, Step
from gateway.ids import random_id
from gateway.ledger import statements as sql
from gateway.ledger import tables as t
from gateway.ledger.prepared import PreparedMessage
from gateway.ledger.unit import Unit

Subjects = Mapping[tuple[str, bytes], str]
_IDENTIFIER = {"atena": "atena-number", "individual": "individual-number", "integrated": INTEGRATED}
_AT_ONCE = 500
_ALIAS = t.subject_alias
_L, _A = t.integrated_number, t.code_acquisition


class AcquisitionWork:
    """The steps of one group of admissions."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}
        self._acquisitions: dict[str, Acquisition] = {}
        self._by_number: dict[bytes, str] = {}
        """Acquisition by blind index of a processing number."""
        self._ids: dict[str, dict[str, Any]] = {}
        """Messages to be noted on a row, by its id or subject."""
        self._new: set[str] = set()
        self._dirty: set[str] = set()
        self._dirty_links: set[str] = set()
        self._known_links: set[str] = set()

    # ---- loading ---------------------------------------------------------------------------------------------------------------

    def load(self, unit: Unit, messages: Iterable[PreparedMessage], subjects: Subjects, subject_of: Mapping[str, str]) -> None:
        """What the steps among ``messages`` need. After the subjects, before the keys (R20)."""
        wanted: set[str] = set()
        persons: set[str] = set()
        blinds: set[bytes] = set()
        for message in messages:
            if message.step is None:
                continue
            blinds.update(message.step.numbers.values())
            wanted.update(subjects[each] for each in message.identifiers if each in subjects)
            if (person := subject_of.get(message.message_id)) is not None:
                wanted.add(person)
                if message.step.kind is Kind.ANSWER:
                    persons.add(person)
        self._load_numbers(unit, blinds)
        if self._by_number:
            ids = sorted(set(self._by_number.values()))
            persons.update(unit.conn.execute(select(_A.c.person).where(_A.c.id.in_(ids))).scalars())
        self._load_links(unit.conn, wanted | persons)
        for some in _parts(persons):
            for row in unit.conn.execute(select(_A).where(_A.c.person.in_(some)).order_by(_A.c.id).with_for_update()):
                self._acquisitions[row.id] = Acquisition(
                    id=row.id, person=row.person, state=State(row.state), asked_at=row.asked_at, due_at=row.due_at, bound=row.bound,
                    numbered=row.numbered,
                )  # fmt: skip

        if unit.postgresql:
            # what another process gave a number to, before this one had the lock on the person's acquisitions
            self._load_numbers(unit, blinds - self._by_number.keys())

    def _load_numbers(self, unit: Unit, blinds: Collection[bytes]) -> None:
        if blinds:
            for _, blind, found in sql.rows(unit.conn, sql.ALIASES, PROCESSING, ids=sorted(blinds)):
                self._by_number[bytes(blind)] = found

    def _load_links(self, conn: Connection, subjects: Collection[str]) -> None:
        for some in _parts(subjects):
            where = or_(_L.c.subject.in_(some), _L.c.atena.in_(some), _L.c.individual.in_(some))
            for row in conn.execute(select(_L).where(where).order_by(_L.c.subject).with_for_update()):
                registered = row.registered_id is not None
                self._links[row.subject] = Link(subject=row.subject, atena=row.atena, individual=row.individual, registered=registered)
                self._known_links.add(row.subject)

    # ---- one message -----------------------------------------------------------------------------------------------------------

    def take(
        self, unit: Unit, message: PreparedMessage, subjects: Subjects, subject: str | None, new: Collection[tuple[str, bytes]]
    ) -> Refused | Ignored | None:
        """Take one step, or say why not. ``subject``: of the message; ``new``: identifiers of which nobody has spoken before."""
        step = message.step
        if step is None or subject is None:
            return None
        found: Acquisition | Link | Ignored | Refused | None
        match step.kind:
            case Kind.LINK:
                found = self._link(message, subjects, new)
            case Kind.REGISTER:
                found = machine.register(self._links.get(subject), subject, linkage=step.matching.linkage)
                if isinstance(found, Link):
                    self._note_link(found, "registered_id", message.message_id)
            case Kind.REPLICA:
                found = machine.replica(self._links.get(subject), linkage=step.matching.linkage)
            case Kind.ASK:
                found = machine.ask(
                    self._links.get(subject), subject, id=random_id(), now=unit.now, limit_s=step.matching.limit_s,
                    linkage=step.matching.linkage,
                )  # fmt: skip
                if isinstance(found, Acquisition):
                    self._acquisitions[found.id] = found
                    self._new.add(found.id)
                    self._note(unit, found, "asked_id", message.message_id)
            case Kind.ANSWER:
                found = self._answer(unit, message, step, subject)
            case Kind.PAIR | Kind.HAND_ON:
                found = self._pair(unit, message, step, subject)
        return found if isinstance(found, (Ignored, Refused)) else None

    def _link(self, message: PreparedMessage, subjects: Subjects, new: Collection[tuple[str, bytes]]) -> Link | Refused:
        by_kind = dict(message.identifiers)
        who = {name: subjects[kind, by_kind[kind]] for name, kind in _IDENTIFIER.items()}
        unheard = frozenset(name for name, kind in _IDENTIFIER.items() if (kind, by_kind[kind]) in new)
        near = [
            each
            for each in self._links.values()
            if each.subject == who["integrated"] or each.atena == who["atena"] or each.individual == who["individual"]
        ]
        found = machine.link(Numbers(**who, new=unheard), near)
        if isinstance(found, Link):
            self._note_link(found, "linked_id", message.message_id)
        return found

    def _answer(self, unit: Unit, message: PreparedMessage, step: Step, person: str) -> Acquisition | Ignored | Refused:
        known = self._known(step)
        before = {each.id for each in self._of(person) if each.numbered}
        found = machine.answer(known, self._of(person), person, now=unit.now, limit_s=step.matching.limit_s)
        if isinstance(found, Refused):
            return found
        for each in self._of(person):
            if each.numbered and each.id not in before:  # also a late one: its number is known from now on
                self._note(unit, each, "answered_id", message.message_id)
                blind = step.numbers[message.hmac_key_id]
                row = {"kind": PROCESSING, "blind": blind, "hmac_key_id": message.hmac_key_id, "subject": each.id}
                unit.insert_ignore(t.subject_alias, [row])
                self._by_number[blind] = each.id
        return found

    def _pair(self, unit: Unit, message: PreparedMessage, step: Step, individual: str) -> Acquisition | Ignored | Refused:
        known = self._known(step)
        of_person = self._of(known.person) if known is not None else []
        states = {each.id: each.state for each in of_person}
        corrects = message.corrects is not None
        if step.kind is Kind.PAIR:
            found = machine.pair(
                known, of_person, self._links.get(known.person) if known is not None else None, individual, now=unit.now,
                limit_s=step.matching.limit_s, corrects=corrects, linkage=step.matching.linkage,
            )  # fmt: skip
            note = "paired_id"
        else:
            found = machine.hand_on(known, of_person, individual, corrects=corrects)
            note = "handed_id"
        if isinstance(found, Acquisition):
            self._note(unit, found, note, message.message_id)
            for each in of_person:
                if each.state is not states[each.id] and each is not found:
                    self._note(unit, each)
        return found

    def _known(self, step: Step) -> Acquisition | None:
        ids = (self._by_number.get(blind) for blind in step.numbers.values())
        return next((self._acquisitions[each] for each in ids if each is not None and each in self._acquisitions), None)

    def _of(self, person: str) -> list[Acquisition]:
        return [each for each in self._acquisitions.values() if each.person == person]

    # ---- writing ---------------------------------------------------------------------------------------------------------------

    def _note_link(self, row: Link, column: str, message_id: str) -> None:
        self._links[row.subject] = row
        if column != "registered_id" or "registered_id" not in self._ids.get(row.subject, {}):
            self._ids.setdefault(row.subject, {})[column] = message_id
        self._dirty_links.add(row.subject)

    def _note(self, unit: Unit, row: Acquisition, column: str | None = None, message_id: str = "") -> None:
        if column is not None:
            self._ids.setdefault(row.id, {})[column] = message_id
        self._ids.setdefault(row.id, {})["changed_at"] = unit.now
        self._dirty.add(row.id)

    def close(self, unit: Unit) -> None:
        """Write what changed."""
        for subject in sorted(self._dirty_links):
            link, more = self._links[subject], self._ids.get(subject, {})
            if subject not in self._known_links:
                new: dict[str, Any] = {
                    "subject": subject,
                    "atena": link.atena,
                    "individual": link.individual,
                    "linked_id": None,
                    "registered_id": None,
                }
                unit.add(_L, new | more)
            else:
                update: dict[str, Any] = {"atena": link.atena, "individual": link.individual, **more}
                if "registered_id" in more:
                    unit.conn.execute(_L.update().where(_L.c.subject == subject, _L.c.registered_id.is_(None)), [update])
                    update.pop("registered_id")
                unit.conn.execute(_L.update().where(_L.c.subject == subject), [update])
        for each in sorted(self._dirty):
            found, more = self._acquisitions[each], self._ids[each]
            changes: dict[str, Any] = {
                "state": found.state.value, "numbered": found.numbered, "bound": found.bound, "due_at": found.due_at, **more,
            }  # fmt: skip
            if each in self._new:
                row: dict[str, Any] = {
                    "id": each, "person": found.person, "state": "", "numbered": False, "bound": None, "asked_at": found.asked_at,
                    "changed_at": 0.0, "due_at": 0.0, "asked_id": "", "answered_id": None, "paired_id": None, "handed_id": None,
                }  # fmt: skip
                unit.add(_A, row | changes)
            else:
                unit.conn.execute(_A.update().where(_A.c.id == each), [changes])


def _parts(values: Collection[str]) -> Iterable[Sequence[str]]:
    ordered = sorted(values)
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]
