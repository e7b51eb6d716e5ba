"""The world of the model test with the real ledger as its store: the same faults, the same properties, every step an operation in SQL.

Three keys: k0 and k1 are one resident at two parties (k1's message may wait for k0's), k2 is another resident at the first party. One
history is one database transaction that is rolled back, so that no history sees another; groups are made of one operation or of several.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from gateway.contract import Delivered, Effect, QueryAnswer
from gateway.delivery import machine
from gateway.delivery.rows import LIVENESS_S, START_S, DeliveryRow, Hold, KeyRow, State
from gateway.errors import CommandRefused
from gateway.ledger import tables as t
from gateway.ledger.admission import Admit
from gateway.ledger.claims import Claimed, ClaimKeys, TakeBack
from gateway.ledger.commands import Command, Correction, Seen
from gateway.ledger.housekeeping import RegisterProcess, RenewProcess
from gateway.ledger.lookup import due_keys, void_keys
from gateway.ledger.outcomes import Learned, WriteOutcomes
from gateway.ledger.unit import run_group
from tests.delivery.world import Task, Worker, World, must
from tests.ledger import kit

PLACES = {"k0": ("p", 0), "k1": ("q", 0), "k2": ("p", 2)}
APPROVER = "operator-b"


class LedgerWorld(World):
    """See the module's text. ``book`` gives the database."""

    def __init__(self, kind: str, book: kit.Book, seed: int, *, workers: int = 3) -> None:
        self.book = book
        self.rng = random.Random(seed)
        self.gathered: list[tuple[Any, Callable[[Any], None]]] | None = None
        self.claimed: dict[tuple[str, int], Claimed] = {}
        self.sources: dict[str, str] = {}
        self.waiting: list[tuple[str, bytes]] = []
        self.draining = False
        self.operations = 0
        self.real: dict[str, str] = {}
        super().__init__(kind, keys=3, workers=0)
        self.traits_of = {party: dataclasses.replace(self.traits, party=party) for party in ("p", "q")}
        book.session.begin()
        # the first message of each key makes its key row; numbering starts with it
        for name in PLACES:
            self.admit(name)
        self.reload()
        self.workers = []
        for _ in range(workers):
            self.workers.append(Worker("", self.now))
            self.register(self.workers[-1])

    def end(self) -> None:
        self.book.session.rollback()

    # ---- operations ---------------------------------------------------------------------------------------------------------------

    def submit(self, operation: Any, then: Callable[[Any], None] = lambda _: None) -> None:
        """Carry out an operation now, or with the group that is being gathered."""
        if self.gathered is not None:
            self.gathered.append((operation, then))
            return
        self.carry_out([(operation, then)])

    def carry_out(self, pairs: list[tuple[Any, Callable[[Any], None]]]) -> None:
        self.operations += len(pairs)
        results = run_group(self.book.session.connection, [operation for operation, _ in pairs], self.now)
        self.reload()
        for (_, then), result in zip(pairs, results, strict=True):
            then(result)
        self.check_rest()
        self.check_numbers()

    def reload(self) -> None:
        connection = self.book.session.connection
        names = {real: name for name, real in self.real.items()}
        for row in connection.execute(select(t.key_row)).mappings():
            if row["id"] in names:
                values = {**row, "id": names[row["id"]], "held": Hold(row["held"]) if row["held"] else None}
                self.keys[names[row["id"]]] = KeyRow(**values)
        self.deliveries = {
            row["id"]: DeliveryRow(
                **{**row, "key_id": names[row["key_id"]], "state": State(row["state"]), "content_digest": bytes(row["content_digest"])}
            )
            for row in connection.execute(select(t.delivery)).mappings()
            if row["key_id"] in names
        }

    def check_numbers(self) -> None:
        """R2: one delivery for each number, none left out, and everything before the head is final."""
        for key in self.keys.values():
            here = sorted(d.number for d in self.deliveries.values() if d.key_id == key.id and d.replaced_by is None)
            must(here == list(range(1, key.next_number)), "R2: a number is missing or was given twice")
            before = [d for d in self.deliveries.values() if d.key_id == key.id and d.number < key.head]
            must(all(d.state.final for d in before), "I3: something before the head is not final")
        for d in self.deliveries.values():
            if d.reason == "predecessor-not-delivered" and d.waits_for is not None:
                must(self.deliveries[d.waits_for].replaced_by is None, "R4: what waited for a corrected delivery was given up")

    def rang(self, bells: Any) -> None:
        names = {real: name for name, real in self.real.items()}
        self.bells += [names[bell.key_id] for bell in bells]

    # ---- admission ----------------------------------------------------------------------------------------------------------------

    def admit(self, key_id: str, waits_for: str | None = None) -> str:
        party, serial = PLACES[key_id]
        source = self._fresh()
        deliveries = [kit.to(party, party_key=self._fresh())]
        if waits_for is not None:  # a dependent follows what it waits for in the same message (R3)
            deliveries = [kit.to("p", party_key=self._fresh()), kit.to("q", party_key=self._fresh(), waits_for="p")]
        message = kit.prepared(source, *deliveries, who=serial)
        self.sources[message.message_id] = source
        self.submit(Admit(messages=[message]), self._admitted)
        if key_id not in self.real:
            query = select(t.delivery.c.key_id).where(t.delivery.c.message_id == message.message_id, t.delivery.c.party == party)
            self.real[key_id] = self.book.session.connection.execute(query).scalar_one()
        return source

    def _admitted(self, result: Any) -> None:
        admissions, bells = result
        must(all(a.refusal is None for a in admissions), "a message of its own was refused")
        self.rang(b for b in bells if b.key_id in self.real.values())

    def replace(self, key: KeyRow) -> None:
        """The register replaces the message of a held head (R4)."""
        head = self.head(key)
        if head is None or key.held is None:
            return
        mates = [d for d in self.deliveries.values() if d.message_id == head.message_id and d.replaced_by is None]
        parties = sorted({d.party for d in mates})
        serial = PLACES[key.id][1]
        deliveries = [kit.to(p, party_key=self._fresh(), waits_for="p" if p == "q" and "p" in parties else None) for p in parties]
        source = self._fresh()
        message = kit.prepared(source, *deliveries, who=serial, corrects=self.sources[head.message_id])
        self.sources[message.message_id] = source

        def done(result: Any) -> None:
            self.rang(result[1])

        self.submit(Admit(messages=[message]), done)

    # ---- workers -----------------------------------------------------------------------------------------------------------------

    def register(self, worker: Worker) -> None:
        worker.registration, worker.renewed_at, worker.frozen = "", self.now, False

        def done(registration: str) -> None:
            worker.registration = registration

        self.carry_out([(RegisterProcess(role="worker", host="h", pid=1), done)])

    def try_claim(self, worker: Worker, key_id: str) -> machine.Claim:
        if worker.frozen or not worker.registration:
            return machine.Claim.NOTHING
        if self.draining and self.real[key_id] not in self.found():
            return machine.Claim.NOTHING
        party = PLACES[key_id][0]
        keys = [self.real[key_id]]
        if party == "p" and self.rng.random() < 0.3:
            keys = [self.real["k0"], self.real["k2"]]
        registration = worker.registration

        def done(result: Any) -> None:
            self.rang(result.bells)
            self.took(worker, registration, result.claimed)

        self.submit(ClaimKeys(worker=registration, party=party, keys=keys, traits=self.traits_of[party], probe=True), done)
        return machine.Claim.NOTHING

    def found(self) -> set[str]:
        """What the look-up finds: nobody tries anything else at the end, so that a missing promise of a wake-up shows."""
        connection = self.book.session.connection
        rows = [
            *(row for p in ("p", "q") for row in due_keys(connection, p, self.now, self.traits.horizon_s, 10)),
            *(row for p in ("p", "q") for row in void_keys(connection, p, self.now, 10)),
        ]
        return {row.id for row in rows}

    def took(self, worker: Worker, registration: str, claimed: Any) -> None:
        names = {real: name for name, real in self.real.items()}
        for one in claimed:
            name = names[one.key_id]
            self.claimed[(name, one.epoch)] = one
            must(one.party_key == self.deliveries[one.delivery_id].party_key, "the claim names another party key")
            if worker.registration == registration:
                worker.tasks.append(
                    Task(
                        key=name, epoch=one.epoch, delivery=one.delivery_id, party_key=one.party_key, registration=registration,
                        claimed_at=self.now, phase="query" if one.query else "write",
                    )
                )  # fmt: skip

    def write(self, worker: Worker, task: Task) -> None:
        if self.now - task.claimed_at > START_S or not self.alive(worker) or worker.registration != task.registration:
            worker.tasks.remove(task)
            claim = self.claimed[(task.key, task.epoch)]
            self.submit(TakeBack(worker=task.registration, claims=[claim]), self.rang)
            return
        super().write(worker, task)

    def outcome(self, worker: Worker, task: Task, members: int = 1) -> None:
        party = PLACES[task.key][0]
        together = [task]
        if self.rng.random() < 0.5:
            together += [
                other
                for other in worker.tasks
                if other is not task
                and other.phase == "answered"
                and other.registration == task.registration
                and PLACES[other.key][0] == party
            ]
        for each in together:
            worker.tasks.remove(each)
            if isinstance(each.answer, Delivered) and not each.answer.duplicate:
                self.learned.add(each.delivery)
        learned = [Learned(claim=self.claimed[(each.key, each.epoch)], answer=each.answer) for each in together if each.answer is not None]
        self._written(worker, task.registration, party, learned)

    def queried(self, worker: Worker, task: Task) -> None:
        worker.tasks.remove(task)
        effect = {True: Effect.TOOK_EFFECT, False: Effect.NO_EFFECT, None: Effect.NOT_KNOWN}[task.effect]
        learned = [Learned(claim=self.claimed[(task.key, task.epoch)], answer=QueryAnswer(effect=effect, code="query"))]
        self._written(worker, task.registration, PLACES[task.key][0], learned)

    def _written(self, worker: Worker, registration: str, party: str, learned: list[Learned]) -> None:
        def done(result: Any) -> None:
            self.rang(result.bells)
            self.took(worker, registration, result.next)

        go_on = self.rng.random() < 0.5
        traits = self.traits_of[party]
        self.submit(WriteOutcomes(worker=registration, party=party, learned=learned, traits=traits, go_on=go_on), done)

    def crash(self, worker: Worker) -> None:
        for r in self.requests:
            if r.task in worker.tasks:
                r.task = None
        worker.tasks.clear()
        if self.rng.random() < 0.5:  # otherwise nobody saw it end: its registration runs out
            self.submit(RenewProcess(id=worker.registration, end=True))
        self.register(worker)

    def thaw(self, worker: Worker) -> None:
        worker.frozen = False
        if self.now - worker.renewed_at >= LIVENESS_S:
            if self.rng.random() < 0.5:
                self.submit(RenewProcess(id=worker.registration, end=True))
            self.register(worker)

    def advance(self, seconds: float, rng: random.Random) -> None:
        super().advance(seconds, rng)
        for worker in self.workers:
            if not worker.frozen:
                self.submit(RenewProcess(id=worker.registration))

    # ---- the operators -----------------------------------------------------------------------------------------------------------

    def command(self, key: KeyRow, what: str) -> bool:
        head = self.head(key)
        if head is None or key.idle:
            return False
        seen = Seen(delivery_id=head.id, state="unknown" if head.state is State.UNKNOWN else "held", content_digest=head.content_digest)
        took = any(e[2] == head.id for e in self.effects) if what == "settle" else None
        if what == "settle" and head.open_at(self.now):
            return False  # the operator asks the party only after everything has settled
        correction = None
        if what == "correct":
            correction = Correction(party_key=self._fresh(), content_digest=kit.digest(self._fresh()), sealed=kit.sealed())
        traits = self.traits_of[head.party]

        def asked(result: Any) -> None:
            if not isinstance(result, CommandRefused):
                self.rang(result[1])
                if what != "retry":
                    self.waiting.append((result[0]["request"], correction.content_digest if correction else head.content_digest))

        self.submit(
            Command(kind=what, actor="operator-a", seen=seen, reason="r", took_effect=took, correction=correction, traits=traits), asked
        )
        return True

    def approve(self) -> None:
        """The second person approves some request, however old it is."""
        request, digest = self.waiting.pop(self.rng.randrange(len(self.waiting)))

        def done(result: Any) -> None:
            if not isinstance(result, CommandRefused):
                self.rang(result[1])

        self.submit(Command(kind="", actor=APPROVER, command_id=request, approved_digest=digest, traits=self.traits), done)

    # ---- driving -----------------------------------------------------------------------------------------------------------------

    def step(self, rng: random.Random) -> None:
        """One random step, most often one that can do something."""
        dice = rng.random()
        held = [key for key in self.keys.values() if key.held is not None]
        busy = [(w, task) for w in self.workers if not w.frozen for task in w.tasks if task.phase != "wait"]
        if dice < 0.06 and self.waiting:
            self.approve()
        elif dice < 0.15 and held:
            what = rng.choice(["retry", "skip", "correct", "settle", "replace"])
            key = rng.choice(held)
            self.replace(key) if what == "replace" else self.command(key, what)
        elif dice < 0.22 and self.gathered is None:
            self.gathered = []
            for _ in range(rng.randrange(2, 5)):
                self.step(rng)
            pairs, self.gathered = self.gathered, None
            if pairs:
                self.carry_out(pairs)
        elif dice < 0.50 and busy:
            self.work(*rng.choice(busy))
        elif dice < 0.62 and self.requests:
            self.party_takes(rng.choice(self.requests), rng.choices(["effect", "reject", "fail", "reject-call"], [66, 17, 12, 5])[0])
        elif dice < 0.76:
            due = [key for key in self.keys.values() if key.due_at is not None and (key.due_at <= self.now or rng.random() < 0.1)]
            self.try_claim(rng.choice(self.workers), rng.choice(due or list(self.keys.values())).id)
        elif dice < 0.83:
            key = rng.choice(list(self.keys.values()))
            if key.next_number - key.head < 4:
                self.admit(key.id, "k0" if key.id == "k1" and rng.random() < 0.7 else None)
        elif dice < 0.88:
            self.advance(rng.choice([0.2, 0.9, 0.9, 2.2, 3.6, 9.0, 30.0]), rng)
        else:
            self.fault(rng, rng.choice(self.workers), rng.choice(list(self.keys.values())))

    def drain(self, rng: random.Random) -> None:
        self.draining = True
        super().drain(rng)
