"""One transaction of the ledger as a unit of work: load under lock what a group of operations needs, let them decide, write once.

Every group goes through the same steps, so that there is one order of locks (R20): intake epochs, messages, key rows (sorted),
deliveries (sorted), parties. Operations say in ``plan`` what they need, change rows in ``apply`` one after the other (a later one sees
what an earlier one did), and pick up in ``finish`` what had to be read last. All statements are set-based: the cost of a group grows
with its rows and not with its operations.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, Table, bindparam, func, select

from gateway.delivery.breaker import PartyRow
from gateway.delivery.machine import Facts
from gateway.delivery.rows import LIVENESS_S, DeliveryRow, Hold, KeyRow, LateReceipt, State
from gateway.errors import LedgerUnavailable
from gateway.ids import new_id
from gateway.ledger import statements as sql
from gateway.ledger import tables as t
from gateway.ledger.clock import boot_time
from gateway.ledger.engine import pipelined
from gateway.ledger.row_values import (
    DELIVERY_CHANGES,
    DELIVERY_COLUMNS,
    KEY_CHANGES,
    KEY_COLUMNS,
    PARTY_CHANGES,
    PARTY_COLUMNS,
    delivery_values,
    key_values,
)
from gateway.policy.marks import Flags, MarkChange, flags
from gateway.policy.rights import Terms, day_of, token

_EPOCHS = select(t.intake_epoch).where(t.intake_epoch.c.system.in_(bindparam("ids", expanding=True))).order_by(t.intake_epoch.c.system)
_TURN = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("name"), 14)))
_TABLES = t.metadata.sorted_tables
_GUARD = "SELECT name, value FROM meta"
POLICY_VERSION, MARKS = "policy.version", "policy.marks"
"""Facts in ``meta``: the version of the policy that counts; that some resident has, or had, a mark."""
POLICY_REFUSED = "policy-refused"
"""Why a delivery ended that the policy no longer permitted."""
_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


class StaleKey(LedgerUnavailable):
    """This was made with a key that no longer counts: make it anew with the present ones (``gateway/ledger/keys.py``). Nothing was done."""

    def __init__(self) -> None:
        super().__init__("key-stale", "a key was rotated meanwhile: what was sealed with it is sealed anew", retry_after_s=0.1)


class LedgerOperation(Protocol):
    """What the writer's groups are made of."""

    bulk: bool
    size: int

    def plan(self, unit: Unit) -> None:
        """Say what is needed; no statement yet."""
        ...

    def apply(self, unit: Unit) -> None:
        """Decide and change rows."""
        ...

    def finish(self, unit: Unit) -> Any:
        """The result, after everything was written (an exception object is raised to this operation's caller only)."""
        ...


class Unit:
    """The rows of one group, and what is to be written of them."""

    def __init__(self, conn: Connection, now: float) -> None:
        self.conn = conn
        self.now = now
        self.booted_at = boot_time()
        """The same moment on the clock that a freeze does not stop: the two seconds of R5 count from here."""
        self.postgresql = conn.dialect.name == "postgresql"
        self.want_epochs: set[str] = set()
        """Systems whose intake epoch decides here (R16)."""
        self.want_keys: set[str] = set()
        self.want_final: set[str] = set()
        """Deliveries that may become final here: whoever waits for them must be woken (R3)."""
        self.want_replies: set[tuple[str, str]] = set()
        """Party and correlation of answers that may have come before the outcome of their call (R14)."""
        self.keys: dict[str, KeyRow] = {}
        self.deliveries: dict[str, DeliveryRow] = {}
        self._places: dict[tuple[str, int], DeliveryRow] = {}
        self._dependents: dict[str, list[tuple[str, str]]] = {}
        self._asked_dependents: set[str] = set()
        self._states: dict[str, State] = {}
        self._epochs: dict[str, tuple[str, int]] = {}
        self._late: dict[str, LateReceipt] = {}
        self._replies: dict[tuple[str, str], LateReceipt] = {}
        self._parties: dict[str, PartyRow] = {}
        self._locked_parties: set[str] = set()
        self._live: frozenset[str] | None = None
        self._dirty_keys: set[str] = set()
        self._dirty_deliveries: set[str] = set()
        self._dirty_parties: set[str] = set()
        self._inserts: dict[str, list[dict[str, Any]]] = {}
        self._payloads: dict[str, tuple[bytes, bytes, str, str, str, str | None, str | None, str | None]] = {}
        self._marks: dict[str, dict[str, MarkChange]] = {}
        self._terms: dict[str, str] = {}
        self._provisions: dict[str, tuple[str, float, str | None, str | None, str]] = {}
        self._sent: dict[str, str] = {}
        self._guard: dict[str, str] | None = None
        self.want_payloads: set[str] = set()
        self.admissions: Any = None
        """The shared admission work of the group (:mod:`gateway.ledger.admission`)."""

    # ---- loading ----------------------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Lock and read what was planned."""
        self.lock_replies(self.want_replies)
        if self.want_epochs:
            # shared, so that a consumer that takes over waits until what the former one admits has committed (R16)
            query = _EPOCHS.with_for_update(read=True) if self.postgresql else _EPOCHS
            self._epochs = {r.system: (r.worker, r.epoch) for r in self.conn.execute(query, {"ids": sorted(self.want_epochs)})}
        if self.admissions is not None:
            self.admissions.load(self)
        if self.want_final:
            self.want_keys.update(self.read_dependents(sorted(self.want_final)))
        if self.want_keys:
            self.load_keys(sorted(self.want_keys))

    def read_dependents(self, ids: Sequence[str]) -> set[str]:
        """The key rows of what waits for these deliveries; such links never change, so they are read before the lock."""
        self._asked_dependents.update(ids)
        keys: set[str] = set()
        for delivery_id, waits_for, key_id in sql.rows(self.conn, sql.DEPENDENTS, ids=ids):
            self._dependents.setdefault(waits_for, []).append((delivery_id, key_id))
            keys.add(key_id)
        return keys

    def load_keys(self, ids: Sequence[str]) -> None:
        """Lock key rows, then their heads and the numbers after those."""
        for row in sql.rows(self.conn, sql.KEYS, ids=ids, lock="FOR UPDATE"):
            values = dict(zip(KEY_COLUMNS, row, strict=True))
            values["held"] = Hold(values["held"]) if values["held"] else None
            self.keys[values["id"]] = KeyRow(**values)
        self._take(sql.rows(self.conn, sql.HEADS, ids=ids, lock="FOR UPDATE OF d"))
        # also about the number after the head, which may become the head within this group
        places = ((key.id, number) for key in (self.keys[i] for i in ids if i in self.keys) for number in (key.head, key.head + 1))
        self._read_about([self._places[place] for place in places if place in self._places])

    def load_deliveries(self, ids: Iterable[str]) -> None:
        """Lock deliveries by id, whose key rows are locked already."""
        missing = sorted(i for i in ids if i not in self.deliveries)
        if missing:
            self._take(sql.rows(self.conn, sql.DELIVERIES, ids=missing, lock="FOR UPDATE"))

    def _take(self, found: Iterable[Sequence[Any]]) -> None:
        for row in found:
            values = dict(zip(DELIVERY_COLUMNS, row, strict=True))
            values["state"] = State(values["state"])
            if values["id"] not in self.deliveries:
                self.put(DeliveryRow(**values))

    def put(self, delivery: DeliveryRow) -> None:
        """Make a delivery known under its place."""
        self.deliveries[delivery.id] = delivery
        if delivery.replaced_by is None:
            self._places[(delivery.key_id, delivery.number)] = delivery

    def _read_about(self, heads: Iterable[DeliveryRow]) -> None:
        """Predecessors, late receipts and replies: only for heads that can have some, which on the main way is none."""
        heads = list(heads)
        waits = {h.waits_for for h in heads if h.waits_for is not None} - self._states.keys()
        if waits:
            for delivery_id, state in sql.rows(self.conn, sql.STATES, ids=sorted(waits)):
                self._states[delivery_id] = State(state)
        late = {h.id for h in heads if h.unanswered or h.state in (State.UNKNOWN, State.AWAITING_REPLY)}
        if late:
            for delivery_id, code in sql.rows(self.conn, sql.LATE, ids=sorted(late)):
                self._late[delivery_id] = LateReceipt(kind="delivered", code=code)
        replies = {(h.party, h.correlation) for h in heads if h.correlation is not None} | self.want_replies
        for party in sorted({party for party, _ in replies}):
            ids = sorted(correlation for of, correlation in replies if of == party)
            for correlation, kind, code in sql.rows(self.conn, sql.REPLIES, party, ids=ids):
                self._replies[(party, correlation)] = LateReceipt(kind=kind, code=code)

    # ---- looking ----------------------------------------------------------------------------------------------------------------

    def head(self, key: KeyRow | None) -> DeliveryRow | None:
        """The head delivery of a loaded key row; read now if an earlier operation of this group moved the head further."""
        if key is None or key.idle:
            return None
        found = self._places.get((key.id, key.head))
        if found is None:
            self._take(sql.rows(self.conn, sql.HEAD, key.id, key.head))
            found = self._places.get((key.id, key.head))
            if found is not None:
                self._read_about([found])
        return found

    def facts(self, head: DeliveryRow | None) -> Facts:
        """What the machine may look at for ``head``."""
        if head is None:
            return Facts(now=self.now)
        late = self._late.get(head.id)
        if late is None and head.correlation is not None:
            late = self._replies.get((head.party, head.correlation))
        predecessor = None
        if head.waits_for is not None:
            known = self.deliveries.get(head.waits_for)
            predecessor = known.state if known is not None else self._states.get(head.waits_for)
        party = self._parties.get(head.party)
        return Facts(now=self.now, late=late, predecessor=predecessor, party_answered_at=party.answered_at if party else None)

    def reply(self, party: str, correlation: str) -> LateReceipt | None:
        """A reply that came before the outcome of its call (R14)."""
        return self._replies.get((party, correlation))

    def lock_replies(self, replies: Iterable[tuple[str, str]]) -> None:
        """Whoever commits a correlation and whoever brings its reply must see each other: on PostgreSQL they take turns here (R14)."""
        if self.postgresql:
            for party, correlation in sorted(replies):
                self.conn.execute(_TURN, {"name": f"{party} {correlation}"})

    def note_late(self, delivery_id: str, code: str | None) -> None:
        """A late receipt written in this group, for the operations that follow in it (R7)."""
        self._late[delivery_id] = LateReceipt(kind="delivered", code=code)

    def holds_epoch(self, intake: tuple[str, str, int]) -> bool:
        """This consumer (system, worker, epoch) is still the one that serves the system's intake queue (R16)."""
        return self._epochs.get(intake[0]) == intake[1:]

    def note_reply(self, party: str, correlation: str, kind: str, code: str | None) -> None:
        """A reply written in this group, for the operations that follow in it (R14)."""
        if kind in ("delivered", "rejected", "retry-later"):
            self._replies[(party, correlation)] = LateReceipt(kind=kind, code=code)

    def is_void(self, worker: str | None) -> bool:
        """The claims of ``worker`` count no longer (R6)."""
        if worker is None:
            return False
        if self._live is None:
            self._live = frozenset(row[0] for row in sql.rows(self.conn, sql.LIVE, self.now - LIVENESS_S))
        return worker not in self._live

    def party(self, party: str, *, lock: bool = False) -> PartyRow:
        """The state of a party; with ``lock`` read again under lock, to be changed."""
        if party in self._parties and (not lock or party in self._locked_parties):
            return self._parties[party]
        update = "FOR UPDATE" if lock else ""
        found = sql.rows(self.conn, sql.PARTY, party, lock=update)
        if not found:
            self.insert_ignore(t.party_state, [{"party": party, "breaker": "closed", "failures": 0}])
            found = sql.rows(self.conn, sql.PARTY, party, lock=update)
        self._parties[party] = PartyRow(**dict(zip(PARTY_COLUMNS, found[0], strict=True)))
        if lock:
            self._locked_parties.add(party)
        return self._parties[party]

    @property
    def key_guard(self) -> dict[str, str]:
        """Which keys count (:mod:`gateway.ledger.keys`) and the other facts of the ledger, read once in this transaction."""
        if self._guard is None:
            self._guard = {str(name): str(value) for name, value in sql.rows(self.conn, _GUARD)}
        return self._guard

    @property
    def standing(self) -> str:
        """The version of the policy and the business clock that count: what a decision must have been made by (I7)."""
        facts = self.key_guard
        return token(int(facts.get(POLICY_VERSION, "0")), float(facts.get("business_offset_s", "0")))

    @property
    def day(self) -> dt.date:
        """Today in Japan, by business time."""
        return day_of(self.now, float(self.key_guard.get("business_offset_s", "0")))

    def marks(self, subjects: Iterable[str]) -> dict[str, dict[str, MarkChange]]:
        """The marks of residents that decide what may leave; those that this group has set are not among them."""
        if MARKS not in self.key_guard:
            return {}
        missing = sorted(set(subjects) - self._marks.keys())
        if missing:
            self._marks.update((subject, {}) for subject in missing)
            for subject, mark, since, until in sql.rows(self.conn, sql.MARKS, ids=missing):
                self._marks[subject][mark] = MarkChange(mark=mark, since=since, until=until)
        return self._marks

    def flags(self, subject: str) -> Flags:
        """What counts for a resident today."""
        if MARKS not in self.key_guard:
            return frozenset()
        return flags(self.marks([*(key.subject for key in self.keys.values()), subject])[subject].values(), self.day)

    def payload(self, payload_id: str) -> tuple[bytes, bytes, str, str, str, str | None, str | None, str | None]:
        """Sealed body, wrapped data key, the id of its key-encryption key; of the message its type, system, work, claimed legal basis and
        the municipality at the other end. Read with the claim."""
        return self._payloads[payload_id]

    # ---- changing ----------------------------------------------------------------------------------------------------------------

    def touch(self, key: KeyRow | None = None, delivery: DeliveryRow | None = None, party: PartyRow | None = None) -> None:
        """These rows were changed."""
        if key is not None:
            self._dirty_keys.add(key.id)
        if delivery is not None:
            self._dirty_deliveries.add(delivery.id)
        if party is not None:
            self._dirty_parties.add(party.party)

    def wake_dependents(self, delivery: DeliveryRow) -> list[KeyRow]:
        """R3: whoever waited for ``delivery`` is due, in this transaction."""
        if delivery.id not in self._asked_dependents:
            # it became final without a call (a late receipt, a predecessor that failed), which nobody could plan: their key rows are
            # locked out of order, and should that end in a deadlock the writer repeats the group
            missing = self.read_dependents([delivery.id]) - self.keys.keys()
            if missing:
                self.load_keys(sorted(missing))
        woken = []
        for _, key_id in self._dependents.get(delivery.id, ()):
            key = self.keys[key_id]
            if key.held is None and not key.idle:
                key.due_at = self.now
                self.touch(key)
                woken.append(key)
        return woken

    def move_dependents(self, old: DeliveryRow, new: DeliveryRow) -> None:
        """What waited for the replaced delivery waits for its replacement (R4)."""
        self.load_deliveries([d for d, _ in self._dependents.get(old.id, ())])
        for delivery_id, _ in self._dependents.get(old.id, ()):
            self.deliveries[delivery_id].waits_for = new.id
            self.touch(delivery=self.deliveries[delivery_id])

    def add(self, table: Table, row: dict[str, Any]) -> None:
        """Insert a row with the rest of the group. All rows of a table name the same columns in the same order."""
        self._inserts.setdefault(table.name, []).append(row)

    def audit(
        self,
        kind: str,
        actor: str,
        *,
        message: str | None = None,
        delivery: DeliveryRow | None = None,
        delivery_id: str | None = None,
        **detail: Any,
    ) -> None:
        """An entry of the record, in the transaction that it records (R22). ``detail`` holds codes and ids, never personal data.

        ``delivery`` names message and party as well; without its row at hand, ``message`` and ``delivery_id`` do.
        """
        self.add(
            t.audit_entry,
            {
                "id": new_id(),
                "at": self.now,
                "kind": kind,
                "actor": actor,
                "message_id": message if delivery is None else delivery.message_id,
                "delivery_id": delivery_id if delivery is None else delivery.id,
                "party": None if delivery is None else delivery.party,
                "detail": _json(detail) if detail else "{}",
                "block": None,
            },
        )

    def note_terms(self, terms: Terms, *, sent: str | None = None) -> str:
        """Terms that a record of provision names; ``sent``: the delivery that went on these terms and not on those at its acceptance."""
        self._terms[terms.id] = terms.text
        if sent is not None:
            self._sent[sent] = terms.id
        return terms.id

    def note_provision(self, delivery_id: str, outcome: str, code: str | None, rule: str | None = None) -> None:
        """What became of a provision where its delivery does not tell: it is not final, or the policy refused it."""
        self._provisions[delivery_id] = (outcome, self.now, code, rule, delivery_id)

    def insert_ignore(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        """Insert what is not there yet; conflicts are expected and do not raise (R20)."""
        self._insert(table, rows, ignore=True)

    # ---- writing ----------------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write everything, and read the payloads of what was claimed."""
        if self.admissions is not None:
            self.admissions.close(self)
        if t.data_key.name in self._inserts:
            self._refuse_barred(self._inserts[t.data_key.name])
        with pipelined(self.conn):  # one round trip for all of it (R21)
            for table in _TABLES:
                if table.name in self._inserts:
                    self._insert(table, self._inserts[table.name])
            deliveries = (self.deliveries[i] for i in sorted(self._dirty_deliveries))
            self._update("delivery", DELIVERY_CHANGES, "id", [delivery_values(d) for d in deliveries])
            self._update("key_row", KEY_CHANGES, "id", [key_values(self.keys[i]) for i in sorted(self._dirty_keys)])
            parties = (self._parties[p] for p in sorted(self._dirty_parties))
            self._write_provisions()
            self._update("party_state", PARTY_CHANGES, "party", [(*(getattr(p, c) for c in PARTY_CHANGES), p.party) for p in parties])
        if self.want_payloads:
            for payload_id, *found in sql.rows(self.conn, sql.PAYLOADS, ids=sorted(self.want_payloads)):
                self._payloads[payload_id] = tuple(found)

    def _write_provisions(self) -> None:
        """Records of provision follow their deliveries: what is final is said in the transaction that makes it so (I8)."""
        if self._terms:
            rows = [{"id": key, "text": text} for key, text in sorted(self._terms.items())]
            self._insert(t.provision_terms, rows, ignore=True)
        ended = dict(self._provisions)
        for delivery_id in self._dirty_deliveries:
            d = self.deliveries[delivery_id]
            if d.state.final:
                if d.reason == POLICY_REFUSED and d.id in ended:
                    continue  # which rule, has been noted
                outcome = _OUTCOME_OF[d.state] if d.replaced_by is None else "replaced"
                ended[d.id] = (outcome, self.now, d.reason or d.outcome_code, None, d.id)
        self._update("provision", ("outcome", "outcome_at", "code", "rule"), "id", [ended[i] for i in sorted(ended)])
        self._update("provision", ("terms",), "id", [(terms, i) for i, terms in sorted(self._sent.items())])

    def _refuse_barred(self, data_keys: Sequence[dict[str, Any]]) -> None:
        """Nothing is taken that was sealed under a key which is about to be destroyed (:mod:`gateway.ledger.keys`)."""
        barred = {name.removeprefix("key.barred.") for name in self.key_guard if name.startswith("key.barred.")}
        if barred and any(row["kek_id"].partition("/")[0] in barred for row in data_keys):
            raise StaleKey

    def _insert(self, table: Table, new: Sequence[dict[str, Any]], *, ignore: bool = False) -> None:
        if new:
            sql.insert(self.conn, table.name, tuple(new[0]), [tuple(row.values()) for row in new], ignore=ignore)

    def _update(self, table: str, columns: Sequence[str], key: str, changed: Sequence[tuple[Any, ...]]) -> None:
        if changed:
            sql.write_many(self.conn, sql.update_text(table, tuple(columns), key, sql.mark_of(self.conn)), changed)


_OUTCOME_OF = {State.DELIVERED: "provided", State.REJECTED: "rejected", State.SKIPPED: "skipped", State.EXPIRED: "expired"}


def run_group(conn: Connection, operations: Sequence[LedgerOperation], now: float) -> list[Any]:
    """Carry out a group in the writer's transaction; one result for each operation, in order."""
    unit = Unit(conn, now)
    for operation in operations:
        operation.plan(unit)
    unit.load()
    for operation in operations:
        operation.apply(unit)
    unit.flush()
    return [operation.finish(unit) for operation in operations]
