"""A ledger for tests with a clock of its own: operations are carried out in the caller's thread, at the time that the test says.

All people, identifiers and contents are fictitious; bodies are not even sealed, as the ledger never looks into them.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, select

from gateway.delivery.rows import DeliveryRow, Hold, KeyRow, PartyTraits, State
from gateway.ids import new_id
from gateway.ledger import tables as t
from gateway.ledger.admission import Admit
from gateway.ledger.bells import Bell
from gateway.ledger.claims import Claimed, ClaimKeys, ClaimResult
from gateway.ledger.commands import Command, Correction, Seen
from gateway.ledger.engine import LedgerEngine, open_engine
from gateway.ledger.housekeeping import RegisterProcess, RenewProcess
from gateway.ledger.migrate import migrate
from gateway.ledger.outcomes import Learned, OutcomeResult, WriteOutcomes
from gateway.ledger.prepared import Admission, PreparedDelivery, PreparedMessage
from gateway.ledger.unit import run_group
from gateway.security.sealing import Sealed

REGISTER = "resident-record-system"
TYPE = "identity-information-update"
TRAITS = PartyTraits(party="p", resend=True, memory_s=1e6, settle_s=5.0, call_s=20.0)
START = 1_793_664_000.0
_numbers = itertools.count(1)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def sealed(text: str = "body") -> Sealed:
    return Sealed(key_id=new_id(), kek_id="kek", wrapped=b"wrapped " + text.encode(), sealed=b"sealed " + text.encode())


def person(serial: int, *more: tuple[str, str]) -> tuple[tuple[str, bytes], ...]:
    """Identifiers of a made-up resident: the resident record code, and what else is known."""
    return tuple((kind, digest(f"{kind} {value}")) for kind, value in (("resident-record-code", f"999-{serial}"), *more))


def to(
    party: str = "p",
    *,
    stream: str = "s",
    lane: str = "live",
    party_key: str | None = "",
    content: str = "body",
    waits_for: str | None = None,
) -> PreparedDelivery:
    """A delivery; its party key is a fresh one unless given."""
    return PreparedDelivery(
        party=party,
        stream=stream,
        lane=lane,
        party_key=f"key-{next(_numbers)}" if party_key == "" else party_key,
        content_digest=digest(content),
        sealed=sealed(content),
        waits_for=waits_for,
    )


def prepared(source_id: str, *deliveries: PreparedDelivery, who: Any = 1, content: str = "content", **more: Any) -> PreparedMessage:
    """A message that has passed the door: ``who`` is a serial number, identifiers, or None."""
    values: dict[str, Any] = {
        "message_id": new_id(),
        "system": REGISTER,
        "source_id": source_id,
        "type": TYPE,
        "schema": f"urn:renkei:format:{TYPE}:1",
        "content_mac": digest(content),
        "door": "https",
        "identifiers": () if who is None else person(who) if isinstance(who, int) else who,
        "hmac_key_id": "hmac-1",
        "deliveries": deliveries or (to(),),
        **more,
    }
    return PreparedMessage(**values)


class Book:
    """One ledger and one session of it."""

    def __init__(self, url: str) -> None:
        self.engine: LedgerEngine = open_engine(url)
        migrate(self.engine, profile="test")
        self.session = self.engine.session()
        self.now = START

    def close(self) -> None:
        self.session.close()
        self.engine.close_here()

    def group(self, *operations: Any) -> list[Any]:
        """One group, committed; results as the writer would tell them, exceptions among them."""
        self.session.begin()
        try:
            results = run_group(self.session.connection, operations, self.now)
            self.session.commit()
        except BaseException:
            self.session.rollback()
            raise
        return results

    def do(self, operation: Any) -> Any:
        """One operation; raises what it refuses with."""
        [result] = self.group(operation)
        if isinstance(result, BaseException):
            raise result
        return result

    # ---- what most tests do ------------------------------------------------------------------------------------------------------

    def admit(self, *messages: PreparedMessage, intake: tuple[str, str, int] | None = None) -> list[Admission]:
        admissions, self.bells = self.do(Admit(messages=messages, intake=intake))
        return admissions

    bells: Sequence[Bell] = ()

    def worker(self) -> str:
        return self.do(RegisterProcess(role="worker", host="test", pid=1))  # type: ignore[no-any-return]

    def renew(self, *workers: str) -> None:
        for each in workers:
            assert self.do(RenewProcess(id=each))

    def claim(self, worker: str, *keys: str, traits: PartyTraits = TRAITS, probe: bool = False) -> ClaimResult:
        return self.do(ClaimKeys(worker=worker, party=traits.party, keys=keys, traits=traits, probe=probe))  # type: ignore[no-any-return]

    def claim_one(self, worker: str, key: str, traits: PartyTraits = TRAITS) -> Claimed:
        [claimed] = self.claim(worker, key, traits=traits).claimed
        return claimed

    def write(self, worker: str, *learned: tuple[Claimed, Any], traits: PartyTraits = TRAITS, go_on: bool = False) -> OutcomeResult:
        items = [Learned(claim=claim, answer=answer) for claim, answer in learned]
        operation = WriteOutcomes(worker=worker, party=traits.party, learned=items, traits=traits, go_on=go_on)
        return self.do(operation)  # type: ignore[no-any-return]

    def ask(
        self, kind: str, row: DeliveryRow, actor: str = "operator-a", *, state: str = "held", traits: PartyTraits = TRAITS, **more: Any
    ) -> str:
        """Ask for a command as somebody who has just looked; returns the request."""
        values: dict[str, Any] = {"seen": Seen(delivery_id=row.id, state=state, content_digest=row.content_digest), "reason": "a reason"}
        result, self.bells = self.do(Command(kind=kind, actor=actor, traits=traits, **{**values, **more}))
        return result["request"]  # type: ignore[no-any-return]

    def approve(
        self,
        request: str,
        actor: str = "operator-b",
        *,
        approve: bool = True,
        digest: bytes | None = None,
        traits: PartyTraits = TRAITS,
        **more: Any,
    ) -> None:
        if digest is None:
            row = self.row(t.command, t.command.c.id == request)
            digest = bytes(row["content_digest"] or row["seen_digest"]) if row else b""
        operation = Command(kind="", actor=actor, traits=traits, command_id=request, approve=approve, approved_digest=digest, **more)
        _, self.bells = self.do(operation)

    def correction(self, party_key: str | None = None, content: str = "corrected") -> Correction:
        return Correction(party_key=party_key or f"key-{next(_numbers)}", content_digest=digest(content), sealed=sealed(content))

    # ---- looking -----------------------------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self.engine.backend.readers.connect() as connection, connection.begin():
            yield connection

    def rows(self, table: Any, *conditions: Any, order: Any = None) -> list[dict[str, Any]]:
        query = select(table).where(*conditions)
        with self.reading() as connection:
            return [dict(row) for row in connection.execute(query if order is None else query.order_by(order)).mappings()]

    def row(self, table: Any, *conditions: Any) -> dict[str, Any]:
        found = self.rows(table, *conditions)
        assert len(found) == 1, f"{len(found)} rows"
        return found[0]

    def key(self, key_id: str) -> KeyRow:
        values = self.row(t.key_row, t.key_row.c.id == key_id)
        return KeyRow(**{**values, "held": Hold(values["held"]) if values["held"] else None})

    def key_of(self, source_id: str, party: str = "p") -> str:
        """The key row of the newest delivery of a message to a party."""
        return self.delivery(source_id, party).key_id

    def delivery(self, source_id: str, party: str = "p") -> DeliveryRow:
        """The delivery of a message that was not replaced, or the last that was."""
        message = self.row(t.message, t.message.c.source_id == source_id)
        found = self.rows(t.delivery, t.delivery.c.message_id == message["id"], t.delivery.c.party == party, order=t.delivery.c.accepted_at)
        chosen = next((row for row in found if row["replaced_by"] is None), found[-1])
        return DeliveryRow(**{**chosen, "state": State(chosen["state"]), "content_digest": bytes(chosen["content_digest"])})

    def record(self, kind: str) -> list[dict[str, Any]]:
        return self.rows(t.audit_entry, t.audit_entry.c.kind == kind, order=t.audit_entry.c.id)
