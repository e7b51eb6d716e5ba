"""A door, a real ledger and a caller for one way of the policy, without sockets: what is handed in, and what the party gets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from gateway.admin.ledger_desk import LedgerDesk
from gateway.admin.policy import PolicyAdmin
from gateway.approvals.kinds import Kind
from gateway.contract import Adapter, AdapterHost, Delivered, Envelope, Manifest, Outcome, Receipt
from gateway.delivery.calls import Called, Caller
from gateway.delivery.rows import PartyTraits
from gateway.intake.admit import Answer, Intake
from gateway.intake.submission import Sender
from gateway.ledger import policies
from gateway.ledger import tables as t
from gateway.ledger.ledger import Ledger
from gateway.policy.loading import build, packaged_text, parse
from gateway.policy.model import Policy
from gateway.policy.rights import Rights
from gateway.policy.routes import PolicyTables
from gateway.policy.routes import build as build_tables
from gateway.security.keys import KeyStore
from gateway.security.sealing import Sealer
from message_formats import samples, writing
from tests.intake.kit import preparer, submission

TRANSFER, LINK, WORK = "resident-info-transfer", "internal-link-system", "transfer-2"
REGISTER = "resident-record-system"
MARK = "resident-protection-mark"
DECIDED = frozenset(
    {
        ("resident-protection-mark", REGISTER, "integration-gateway"),
        ("identity-confirmation-request", REGISTER, "city-cs"),
        ("identity-confirmation-result", "city-cs", REGISTER),
        ("identity-search-request", REGISTER, "city-cs"),
        ("identity-search-result", "city-cs", REGISTER),
        ("identity-inquiry-request", REGISTER, "national-server"),
        ("identity-inquiry-result", "national-server", REGISTER),
        ("wide-area-certificate-request", REGISTER, "other-municipality-cs"),
        ("wide-area-certificate-data", "other-municipality-cs", REGISTER),
        ("move-out-certificate-request", REGISTER, "other-municipality-cs"),
    }
)
"""Ways (type, from, to) that are no steps of the specification: what the register tells the gateway itself, and the dialogues of the
integrated terminal, which the gateway offers to the register as well."""


class Party(Adapter):
    """An adapter that keeps what it was given."""

    manifest = Manifest(
        name="tests",
        party="business-systems",
        description_en="a party of the tests",
        description_ja="試験用の相手先",
        message_types=(TRANSFER,),
    )

    def __init__(self) -> None:
        super().__init__(AdapterHost(settings=None, http=None))  # type: ignore[arg-type]
        self.got: list[bytes] = []

    async def check(self) -> Sequence[Any]:
        return ()

    async def deliver(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        self.got += [each.content for each in envelopes]
        return [Delivered(receipt=Receipt(code="ok", body=b"")) for _ in envelopes]


@dataclass
class Way:
    """One process of a gateway: door and caller, with a view of the policy of its own."""

    ledger: Ledger
    keys: KeyStore
    rights: Rights
    intake: Intake
    party: Party
    caller: Caller
    worker: str
    liveness: Any
    desk: LedgerDesk
    admin: PolicyAdmin
    traits: dict[str, PartyTraits] = field(default_factory=dict)

    async def hand_in(self, *messages: Any, system: str = LINK, **claims: Any) -> list[Answer]:
        return await self.intake.admit(
            [submission(each.to_bytes(), system=system, source="/x", type=each.type_name, **claims) for each in messages]
        )

    async def rows(self, table: Any, *conditions: Any, order: Any = None) -> list[Any]:
        def read(conn: Connection) -> list[Any]:
            query = select(table).where(*conditions)
            return list(conn.execute(query if order is None else query.order_by(order)))

        return await self.ledger.read(read)

    async def deliver(self, party: str = "business-systems") -> Called | None:
        """Claim what is due for a party, call it, write what came of it."""
        traits = PartyTraits(party=party, resend=True, memory_s=1e6)
        keys = [row.id for row in await self.rows(t.key_row, t.key_row.c.party == party, t.key_row.c.held.is_(None))]
        result = await self.ledger.claim(self.worker, party, keys, traits)
        if not result.claimed:
            return None
        called = await self.caller.send(self.worker, result.claimed)
        if called.refused:
            await self.ledger.refuse(self.worker, called.refused)
        if called.learned:
            await self.ledger.write_outcomes(self.worker, party, called.learned, traits, go_on=False)
        return called

    async def apply(self, policy: Policy, asked: str = "operator-a", approved: str = "operator-b") -> int:
        """Have a version count."""
        request = await self.ask(policy, asked)
        await self.desk.approve(approved, request, bytes.fromhex(policy.digest))
        return (await self.ledger.read(policies.active)).version

    async def ask(self, policy: Policy, asked: str = "operator-a") -> str:
        """Ask for it at the desk; returns the request."""
        base = (await self.ledger.read(policies.active)).version
        return (await self.admin.ask(asked, policy.document, "a test", base)).request_id


class Alive:
    """A liveness of which nothing is asked but whether this process lives."""

    def __init__(self, worker: str) -> None:
        self.id = worker

    def alive(self, registration: str) -> bool:
        return registration == self.id


async def _entitled(_name: str, _kind: Kind) -> bool:
    return True


def tables(*more: tuple[str, str, str]) -> PolicyTables:
    """Routes for the transfer, the mark, and ``more`` (type, producer, consumer)."""
    ways = [(TRANSFER, LINK, "business-systems"), ("identity-information-update", REGISTER, "city-cs"), *more]
    systems = sorted({system for _, *ends in ways for system in ends} | {"integration-gateway"})
    connections: dict[str, list[dict[str, str]]] = {MARK: [{"from": REGISTER, "to": "integration-gateway"}]}
    routes: dict[str, list[dict[str, str]]] = {}
    for message_type, producer, consumer in ways:
        connections.setdefault(message_type, []).append({"from": producer, "to": consumer})
        routes.setdefault(message_type, []).append({"party": consumer, "stream": "s", "lane": "live"})
    return build_tables({"systems": {"in-house": systems, "outside": []}, "ephemeral": [], "connections": connections}, {"routes": routes})


@asynccontextmanager
async def way(url: str, folder: Path, *more: tuple[str, str, str]) -> AsyncIterator[Way]:
    ledger = await asyncio.to_thread(Ledger.open, url, profile="test")
    keys = KeyStore(folder / "keys").ensure()
    routed = tables(*more)
    senders = {
        system: Sender(system=system, peer=system, types=frozenset(routed.types)) for system in {c.sender for c in routed.connections}
    }
    rights = Rights(load=lambda: ledger.read(policies.active))
    ready = preparer(
        keys,
        policy=routed,
        senders=senders,
        parties=frozenset(c.receiver for c in routed.connections),
        rights=rights,
        message_bytes=1 << 20,
    )
    worker = await ledger.register("worker")
    liveness = Alive(worker)
    party = Party()
    caller = Caller(party, Sealer(keys), liveness, rights, calls=4, call_s=5.0)  # type: ignore[arg-type]
    desk = LedgerDesk(ledger, Sealer(keys), lambda name: PartyTraits(party=name), entitled=_entitled)
    admin = PolicyAdmin(ledger, keys, rights, routed)
    admin.serve_at(desk)
    try:
        yield Way(
            ledger=ledger, keys=keys, rights=rights, intake=Intake(preparer=ready, ledger=ledger), party=party, caller=caller,
            worker=worker, liveness=liveness, desk=desk, admin=admin,
        )  # fmt: skip
    finally:
        await ledger.close()


def with_approvals(**changes: dict[str, Any] | None) -> Policy:
    """The packaged policy with the sample of approvals, in which some are other, or gone (None)."""
    document = parse(packaged_text("approvals-sample.yaml"), onto=build(parse(packaged_text())))
    approvals = {**document["approvals"]}
    for work, approval in changes.items():
        key = work.replace("_", "-")
        if approval is None:
            approvals.pop(key)
        else:
            approvals[key] = {**approvals[key], **approval}
    return build(json.loads(json.dumps({**document, "approvals": approvals})))


def transfer(serial: int = 7) -> Any:
    return samples.message(TRANSFER, serial)


def mark(serial: int = 7, **changes: str | None) -> Any:
    """Support measures for the same resident as :func:`transfer` of that serial."""
    items = {**samples.items(MARK, serial), "state": "2", "starts_on": "20260101", "ends_on": None, **changes}
    items["atena_number"] = samples.items(TRANSFER, serial)["atena_number"]
    return writing.write(MARK, items)
