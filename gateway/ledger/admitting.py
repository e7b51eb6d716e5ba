"""All admissions of a group together: what they share is loaded once, then each message becomes rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select
from sqlalchemy.dialects import postgresql

from gateway.acquisition.machine import Ignored
from gateway.delivery import commands
from gateway.delivery.rows import UNPLACED, DeliveryRow, KeyRow, State
from gateway.ids import key_place, new_id, random_id
from gateway.ledger import operating
from gateway.ledger import statements as sql
from gateway.ledger import tables as t
from gateway.ledger.acquisitions import AcquisitionWork
from gateway.ledger.adding import add_delivery, append, provision_row
from gateway.ledger.bells import Bell, bell_of
from gateway.ledger.links import set_link
from gateway.ledger.prepared import Admission, PreparedDelivery, PreparedMessage, Refusal
from gateway.ledger.receipts import accepted
from gateway.ledger.subjects import Subjects
from gateway.ledger.unit import MARKS, Unit
from gateway.policy.marks import NONE, Flags, flags
from gateway.policy.rights import StalePolicy

if TYPE_CHECKING:
    from gateway.ledger.admission import Admit

NOT_BOUND = "not-bound"

_OF_MESSAGES = select(t.delivery.c.id, t.delivery.c.message_id, t.delivery.c.key_id).where(
    t.delivery.c.message_id.in_(bindparam("ids", expanding=True)), t.delivery.c.replaced_by.is_(None)
)


@dataclass(frozen=True, slots=True)
class _Seen:
    message_id: str
    content_mac: bytes
    receipt: bytes
    subject: str | None


class AdmissionWork:
    """The admissions of one group."""

    def __init__(self) -> None:
        self.operations: list[Admit] = []
        self._claimed: set[str] = set()
        """Messages whose rows were inserted while loading (PostgreSQL)."""
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._subjects = Subjects()
        self._party_keys: set[tuple[str, str]] = set()
        self._of_message: dict[str, list[str]] = {}
        self._key_at: dict[str, str] = {}
        self._acquisitions: AcquisitionWork | None = None
        self._marked: set[tuple[str, str]] = set()
        """Subject and mark, set by this group."""

    # ---- loading, in the order of locks --------------------------------------------------------------------------------------------

    def load(self, unit: Unit) -> None:
        # what a consumer without the epoch brought must leave no trace (R16)
        operations = [o for o in self.operations if o.intake is None or unit.holds_epoch(o.intake)]
        for operation in operations:
            operation.fit(unit.key_guard.get("key.blind"))
            if any(m.standing not in (None, unit.standing) for m in operation.messages):
                operation.outdated = StalePolicy()
        operations = [o for o in operations if not o.stale and o.outdated is None]
        messages = [m for operation in operations for m in operation.messages]
        self._subjects.load(unit, messages)
        self._require_marks(unit, operations)
        messages = [m for operation in operations if operation.outdated is None for m in operation.messages]
        self._load_seen(unit, messages)
        if any(m.step is not None for m in messages):
            self._acquisitions = AcquisitionWork()
            self._acquisitions.load(unit, messages, self._subjects.by_alias, self._subjects.of_message)
        self._load_party_keys(unit, messages)
        self._load_keys(unit, messages)

    def _require_marks(self, unit: Unit, operations: Sequence[Admit]) -> None:
        """A message is decided by the marks that its resident has in the order of acceptance; else it is decided anew."""
        subjects = {s for o in operations for m in o.messages if (s := self._subjects.of_message.get(m.message_id)) is not None}
        known = unit.marks(subjects) if subjects else {}
        if not any(known.get(s) for s in subjects) and not any(m.sets or m.marks for o in operations for m in o.messages):
            return  # the main way: nobody has a mark, and none was thought to
        marks = {subject: dict(known.get(subject, {})) for subject in subjects}
        for operation in operations:
            before = {subject: dict(found) for subject, found in marks.items()}
            expected: dict[str, Flags] = {}
            for m in operation.messages:
                subject = self._subjects.of_message.get(m.message_id)
                if subject is None:
                    continue
                expected[m.message_id] = flags(marks[subject].values(), unit.day)
                for change in m.sets:
                    if change.on:
                        marks[subject][change.mark] = change
                    else:
                        marks[subject].pop(change.mark, None)
            if any(m.deliveries and m.standing is not None and m.marks != expected.get(m.message_id, NONE) for m in operation.messages):
                operation.outdated = StalePolicy(expected)
                marks = before

    def _load_seen(self, unit: Unit, messages: Sequence[PreparedMessage]) -> None:
        """R17. On PostgreSQL the rows are claimed first: the loser of a race waits there for the winner's commit, then reads it."""
        if unit.postgresql:
            self._claim_messages(unit, messages)
        by_system: dict[str, set[str]] = {}
        for message in messages:
            wanted = by_system.setdefault(message.system, set())
            wanted.add(message.source_id)
            wanted.update(each for each in (message.corrects, message.resends) if each is not None)
        for system, ids in sorted(by_system.items()):
            for source_id, message_id, content_mac, receipt, subject in sql.rows(unit.conn, sql.SEEN, system, ids=sorted(ids)):
                if message_id not in self._claimed:
                    self._seen[(system, source_id)] = _Seen(message_id, content_mac, receipt, subject)

    def _claim_messages(self, unit: Unit, messages: Sequence[PreparedMessage]) -> None:
        if not messages:
            return
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for m in messages:
            rows.setdefault((m.system, m.source_id), self._message_row(m, unit.now))
        statement = postgresql.insert(t.message).on_conflict_do_nothing().returning(t.message.c.id)
        if rows:
            self._claimed.update(unit.conn.execute(statement, [rows[place] for place in sorted(rows)]).scalars())

    def _load_party_keys(self, unit: Unit, messages: Sequence[PreparedMessage]) -> None:
        by_party: dict[str, list[str]] = {}
        for message in messages:
            if (message.system, message.source_id) not in self._seen:
                for d in message.deliveries:
                    if d.party_key is not None:
                        by_party.setdefault(d.party, []).append(d.party_key)
        for party, keys in sorted(by_party.items()):
            for (known,) in sql.rows(unit.conn, sql.PARTY_KEYS, party, ids=keys):
                self._party_keys.add((party, known))

    def _load_keys(self, unit: Unit, messages: Sequence[PreparedMessage]) -> None:
        wanted: dict[str, dict[str, Any]] = {}
        corrected: set[str] = set()
        for message in messages:
            if (message.system, message.source_id) in self._seen:
                continue
            if message.corrects is not None and (seen := self._seen.get((message.system, message.corrects))) is not None:
                corrected.add(seen.message_id)
            for d in message.deliveries:
                subject = self._subjects.of_message.get(message.message_id, message.message_id)
                place = key_place(d.party, d.stream, subject)
                wanted.setdefault(
                    place,
                    {
                        "id": "", "place": place, "party": d.party, "stream": d.stream, "subject": subject, "next_number": 1, "head": 1,
                        "lane": d.lane, "claim_epoch": 0, "rings": 0,
                    },
                )  # fmt: skip
        self._find_keys(unit, wanted)
        unit.want_keys.update(self._key_at.values())
        if corrected:
            for row in unit.conn.execute(_OF_MESSAGES, {"ids": sorted(corrected)}):
                self._of_message.setdefault(row.message_id, []).append(row.id)
                unit.want_keys.add(row.key_id)
                unit.want_final.add(row.id)

    def _find_keys(self, unit: Unit, wanted: Mapping[str, dict[str, Any]]) -> None:
        """The key row of every place; missing ones are made. On PostgreSQL another process may make one at the same time."""
        if wanted:
            self._key_at.update(sql.rows(unit.conn, sql.PLACES, ids=sorted(wanted)))  # type: ignore[arg-type]
        new = [row | {"id": new_id()} for place, row in sorted(wanted.items()) if place not in self._key_at]
        unit.insert_ignore(t.key_row, new)
        if unit.postgresql and new:
            self._key_at.update(sql.rows(unit.conn, sql.PLACES, ids=[row["place"] for row in new]))  # type: ignore[arg-type]
        else:
            self._key_at.update((row["place"], row["id"]) for row in new)

    # ---- one message -------------------------------------------------------------------------------------------------------------

    def admit(self, unit: Unit, message: PreparedMessage, bells: list[Bell]) -> Admission:
        """Its place in every key, or the stored receipt, or why not."""
        place = (message.system, message.source_id)
        seen = self._seen.get(place)
        if seen is not None:
            if seen.content_mac == message.content_mac or seen.content_mac in message.earlier_macs():
                return Admission(message_id=seen.message_id, receipt=seen.receipt, duplicate=True)
            return self._refuse(unit, message, "same-id-other-content", "this id was accepted with other content", "R17", kept=True)
        for d in message.deliveries:
            if d.party_key is not None and (d.party, d.party_key) in self._party_keys:
                return self._refuse(unit, message, "party-key-reused", f"{d.party} has this 依頼管理番号 from another message", "R4")
        if message.bound and (not message.identifiers or message.identifiers[0] in self._subjects.new):
            return self._refuse(unit, message, NOT_BOUND, "nobody here is known by its key: kept for staff", "C-1-2-1")
        if self._subjects.changes_number(unit, message):
            why = "this resident is known by another Individual Number, which only the register and the notice of J-LIS change"
            return self._refuse(unit, message, "number-change-forbidden", why, "C-1-3-3")
        if message.answers and not self._asked(unit, message):
            why = "nothing was asked about this resident, so there is nothing to answer"
            return self._refuse(unit, message, "answer-without-request", why, "answers-a-request")
        replaced: dict[tuple[str, str], DeliveryRow] = {}
        if message.corrects is not None:
            refusal = self._replaced(unit, message, replaced)
            if refusal is not None:
                return self._refuse(unit, message, *refusal)
        if message.resends is not None and (refusal := self._resent(unit, message)) is not None:
            return self._refuse(unit, message, *refusal)
        ignored = None
        if self._acquisitions is not None and message.step is not None:
            subject = self._subjects.of_message.get(message.message_id)
            found = self._acquisitions.take(unit, message, self._subjects.by_alias, subject, self._subjects.new)
            if isinstance(found, Ignored):
                ignored, message = found.code, replace(message, deliveries=())
            elif found is not None:
                return self._refuse(unit, message, found.code, found.detail, found.rule)
        row = self._message_row(message, unit.now)
        if message.message_id not in self._claimed:
            unit.add(t.message, row)
        elif row["resends"] is not None:  # it was inserted before it was known what it sends again
            unit.conn.execute(t.message.update().where(t.message.c.id == message.message_id).values(resends=row["resends"]))
        receipt = row["receipt"]
        self._subjects.note_number(unit, message)
        self._subjects.new.difference_update(message.identifiers)
        self._seen[place] = _Seen(message.message_id, message.content_mac, receipt, row["subject"])
        ids = {d.party: random_id() for d in message.deliveries}
        for d in message.deliveries:
            if d.party_key is not None:
                self._party_keys.add((d.party, d.party_key))
            self._deliver(unit, message, d, ids=ids, old=replaced.get((d.party, d.stream)), bells=bells)
        self._set_marks(unit, message)
        if message.link is not None and (about := self._subjects.of_message.get(message.message_id)) is not None:
            set_link(unit, message, about)
        detail: dict[str, Any] = {"door": message.door, "type": message.type, "parties": [d.party for d in message.deliveries]}
        for name in ("corrects", "resends", "flow", "reference"):
            if (value := getattr(message, name)) is not None:
                detail[name] = value
        if days := sorted({d.effective_on for d in message.deliveries if d.effective_on is not None}):
            detail["effective_on"] = days[-1]
        if ignored is not None:
            detail["ignored"] = ignored
        unit.audit("accepted", message.system, message=message.message_id, **detail)
        if message.status is not None:
            operating.note(unit, message.system, message.message_id, message.status)
        return Admission(message_id=message.message_id, receipt=receipt)

    def _asked(self, unit: Unit, message: PreparedMessage) -> bool:
        """Whether a request that it may answer went out about its resident (F1-4, C-1-3-3), however long ago."""
        subject = self._subjects.of_message.get(message.message_id)
        if subject is None:
            return False
        places = [key_place(party, stream, subject) for party, stream in message.answers]
        found = unit.conn.execute(select(t.key_row.c.id).where(t.key_row.c.place.in_(places), t.key_row.c.next_number > 1)).first()
        return found is not None or any(unit.keys[key].next_number > 1 for place in places if (key := self._key_at.get(place)) in unit.keys)

    def _set_marks(self, unit: Unit, message: PreparedMessage) -> None:
        """Write what the message says about marks of its resident, in the transaction that accepts it."""
        subject = self._subjects.of_message.get(message.message_id)
        if subject is None or not message.sets:
            return
        if MARKS not in unit.key_guard:
            if not any(change.on or (subject, change.mark) in self._marked for change in message.sets):
                return  # nothing to take away
            unit.insert_ignore(t.meta, [{"name": MARKS, "value": "1"}])
        for change in message.sets:
            where = (t.person_mark.c.subject == subject, t.person_mark.c.mark == change.mark)
            known = change.mark in unit.marks((subject,)).get(subject, ()) or (subject, change.mark) in self._marked
            # on PostgreSQL somebody else may have set it since it was read
            was = (known or unit.postgresql) and unit.conn.execute(t.person_mark.delete().where(*where)).rowcount
            if change.on:
                self._marked.add((subject, change.mark))
                row = {
                    "subject": subject, "mark": change.mark, "since": change.since, "until": change.until,
                    "message_id": message.message_id, "at": unit.now,
                }  # fmt: skip
                unit.insert_ignore(t.person_mark, [row])
            if change.on or was:
                unit.audit("mark", message.system, message=message.message_id, mark=change.mark, on=change.on, until=change.until)

    def _deliver(
        self, unit: Unit, message: PreparedMessage, d: PreparedDelivery, *, ids: dict[str, str], old: DeliveryRow | None, bells: list[Bell]
    ) -> None:
        # a replacement keeps its place, also where nobody is named and the key row is the message's own (R4)
        subject = self._subjects.of_message.get(message.message_id, message.message_id)
        key = unit.keys[self._key_at[key_place(d.party, d.stream, subject)] if old is None else old.key_id]
        new = DeliveryRow(
            id=ids[d.party],
            message_id=message.message_id,
            party=d.party,
            key_id=key.id,
            number=key.next_number,
            lane=d.lane,
            state=State.QUEUED,
            party_key=d.party_key,
            way=d.way,
            content_digest=d.content_digest,
            payload_id=d.sealed.key_id,
            waits_for=ids.get(d.waits_for) if d.waits_for is not None else None,
            approval=d.approval,
            accepted_at=unit.now,
            updated_at=unit.now,
            effective_on=d.effective_on,
        )
        waits = d.effective_on is not None and d.effective_on > unit.day.isoformat()
        if old is None and d.newest:
            old = self._not_taken(unit, key, message.type)
        if old is None:
            if waits:
                new.number = UNPLACED  # it takes its place on that day (R2)
            else:
                append(key, new, unit.now, bells)
        else:
            if (old.number == key.head and not commands.never_sent(old)) or (old.number == key.head and key.held is not None):
                commands.replace(key, old, new, unit.now)
            else:
                commands.supersede(old, new, unit.now)
                if old.number == UNPLACED and not waits:
                    append(key, new, unit.now, bells)
            unit.move_dependents(old, new)
            unit.touch(delivery=old)
            unit.audit("replaced", message.system, delivery=old, by=new.id)
            if key.due_at is not None:
                bells.append(bell_of(key, unit.now))
        add_delivery(unit, new, d.sealed)
        if d.terms is not None:
            unit.add(t.provision, provision_row(unit, new, message, d.terms, self._subjects.of_message.get(message.message_id)))
        unit.touch(key)

    def _not_taken(self, unit: Unit, key: KeyRow, message_type: str) -> DeliveryRow | None:
        """The newest earlier delivery of this type that its receiver has not taken and cannot take any more: it may be superseded."""
        if key.idle:
            return None
        d, m = t.delivery.c, t.message.c
        query = (
            select(d.id)
            .join(t.message, m.id == d.message_id)
            .where(d.key_id == key.id, d.final_at.is_(None), d.replaced_by.is_(None), d.number >= key.head, m.type == message_type)
            .order_by(d.number.desc())
        )
        ids = list(unit.conn.execute(query).scalars())
        unit.load_deliveries(ids)
        for old in (unit.deliveries[each] for each in ids):
            known = commands.never_sent(old) or (old.number == key.head and commands.outcome_known(key, old, unit.now))
            if known and not old.state.final and old.replaced_by is None:
                return old
        return None

    def _resent(self, unit: Unit, message: PreparedMessage) -> tuple[str, str, str] | None:
        """Why a message may not be sent again as this one: code, detail, rule. The earlier one must be over: until then it is replaced."""
        assert message.resends is not None
        seen = self._seen.get((message.system, message.resends))
        if seen is None:
            return "resends-unknown", "the message to be sent again is not known", "R4"
        if seen.subject != self._subjects.of_message.get(message.message_id):
            return "resends-other-resident", "the message to be sent again is about another resident", "R4"
        d, m = t.delivery.c, t.message.c
        kind = unit.conn.execute(select(m.type).where(m.id == seen.message_id)).scalar()
        if kind is not None and kind != message.type:
            return "resends-other-type", "the message to be sent again is of another type", "R4"
        open_ones = select(d.id).where(d.message_id == seen.message_id, d.final_at.is_(None), d.replaced_by.is_(None)).limit(1)
        if kind is None or unit.conn.execute(open_ones).first() is not None:
            return "resends-not-over", "the message to be sent again is not over yet: where it is held, it is replaced (corrects)", "R4"
        return None

    def _replaced(self, unit: Unit, message: PreparedMessage, replaced: dict[tuple[str, str], DeliveryRow]) -> tuple[str, str, str] | None:
        """What this message may take the place of (R4), or why not: code, detail, rule."""
        assert message.corrects is not None
        seen = self._seen.get((message.system, message.corrects))
        if seen is None:
            return "corrects-unknown", "the message to be replaced is not known", "R4"
        if seen.subject != self._subjects.of_message.get(message.message_id):
            return "corrects-other-resident", "the message to be replaced is about another resident", "R4"
        old_ids = self._of_message.get(seen.message_id, [])
        unit.load_deliveries(old_ids)
        held = False
        for old in (unit.deliveries[i] for i in old_ids):
            key = unit.keys[old.key_id]
            if old.state.final:
                continue
            if old.waits_for_day and commands.never_sent(old):
                held = True  # it waits for its day: nobody has seen it
                replaced[(old.party, key.stream)] = old
                continue
            is_held_head = old.number == key.head and key.held is not None
            if is_held_head and commands.outcome_known(key, old, unit.now):
                held = True
            elif not commands.never_sent(old):
                return "corrects-outcome-unknown", "what became of the message to be replaced is not known yet", "R13"
            replaced[(old.party, key.stream)] = old
        if not held:
            return "corrects-not-held", "only a message that is held can be replaced", "R4"
        if missing := replaced.keys() - {(d.party, d.stream) for d in message.deliveries}:
            parties = ", ".join(sorted(party for party, _ in missing))
            return "corrects-other-parties", f"the replacement takes no place at {parties}", "R4"
        return None

    def leave_out(self, unit: Unit, message: PreparedMessage) -> None:
        """It is not admitted after all: what loading it has made goes again."""
        if message.message_id in self._claimed:
            self._claimed.discard(message.message_id)
            unit.conn.execute(t.message.delete().where(t.message.c.id == message.message_id))

    def _refuse(self, unit: Unit, message: PreparedMessage, code: str, detail: str, rule: str, *, kept: bool = False) -> Admission:
        if not kept:
            self.leave_out(unit, message)
        unit.audit("refused", message.system, door=message.door, type=message.type, id=message.source_id, code=code, rule=rule)
        return Admission(message_id=message.message_id, receipt=b"", refusal=Refusal(code=code, detail=detail, rule=rule))

    def close(self, unit: Unit) -> None:
        """What was not admitted leaves nothing of whom it was about."""
        if self._acquisitions is not None:
            self._acquisitions.close(unit)
        self._subjects.take_out(unit)

    def _id_of(self, system: str, source_id: str | None) -> str | None:
        """Our id of a message that is known by the sender's."""
        seen = self._seen.get((system, source_id)) if source_id is not None else None
        return None if seen is None else seen.message_id

    def _message_row(self, message: PreparedMessage, now: float) -> dict[str, Any]:
        return {
            "id": message.message_id,
            "system": message.system,
            "producer": message.producer,
            "source_id": message.source_id,
            "type": message.type,
            "schema": message.schema,
            "content_mac": message.content_mac,
            "door": message.door,
            "subject": self._subjects.of_message.get(message.message_id),
            "operator": message.operator,
            "terminal": message.terminal,
            "corrects": message.corrects,
            "work": message.work,
            "basis": message.basis,
            "flow": message.flow,
            "resends": self._id_of(message.system, message.resends),
            "municipality": message.municipality,
            "supplier": message.supplier,
            "accepted_at": now,
            "receipt": accepted(
                message_id=message.message_id, source_id=message.source_id, system=message.system, message_type=message.type, at=now
            ),
        }
