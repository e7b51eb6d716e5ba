"""The way of a message begins here: checked and sealed, committed by the ledger, its work queue rung, its receipt given back.

    Submission ──prepare──▶ PreparedMessage ──ledger.admit──▶ Admission (receipt) ──ring──▶ a worker claims its key row (``delivery/``)
         └─ refused ──────▶ Refused ────────ledger.quarantine──▶ kept for the operator

A message is *accepted* when the ledger has committed, never earlier (I1). The receipt is the ledger's bytes: the same message handed in
twice gets the same receipt twice, and the same id with other content is refused (R17). A refusal is committed too before the sender is
told, so that what was refused can be looked at (I10). The ledger rings the bells after its commit; they may get lost, since they only save
waiting (R15).

Both doors end here: :mod:`gateway.intake.https` with one message at a time, :mod:`gateway.intake.amqp` with batches in order of arrival.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from gateway.errors import InputRefused
from gateway.ids import new_id
from gateway.intake.cloudevents import EventAttributes
from gateway.intake.prepare import Preparer
from gateway.intake.submission import Submission
from gateway.ledger.housekeeping import Quarantine, RefusedProvision
from gateway.ledger.prepared import Admission, PreparedMessage
from gateway.ledger.unit import StaleKey
from gateway.policy.marks import NONE, Flags
from gateway.policy.rights import PolicyRefused, StalePolicy

log = structlog.get_logger("gateway.intake")

QUARANTINE = "quarantine"
"""Stands for the party in the sealing of what was refused: it is for the operators only."""
SUSPECTED = "number-suspected"
"""What the content guard found is not a mistake like others: somebody has to look (C-1-3-10), so the log says it at once."""
_AGAIN = 8
"""How often a message is decided anew because keys, policy or marks changed meanwhile, before the sender is asked to come again."""
LARGE_BYTES = 65_536
"""From here on a message is checked in a thread: the loop must not stand still for more than about 2 ms."""


class LedgerPort(Protocol):
    """What intake needs of the ledger."""

    async def admit(
        self, messages: Sequence[PreparedMessage], *, intake: tuple[str, str, int] | None = None, bulk: bool = False
    ) -> list[Admission]: ...

    async def quarantine(self, operation: Quarantine) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A message that the door refuses, with what is kept of it."""

    system: str
    door: str
    error: InputRefused
    source_id: str | None = None
    type: str | None = None
    body: bytes = field(default=b"", repr=False)
    submission: Submission | None = field(default=None, repr=False)
    marks: Flags = NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the sender is told: a receipt, or a refusal (``by_ledger``: it conflicts with what was accepted before)."""

    receipt: bytes = b""
    duplicate: bool = False
    refusal: InputRefused | None = None
    by_ledger: bool = False
    message_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A submission that passed the checks and was sealed."""

    prepared: PreparedMessage
    submission: Submission = field(repr=False)
    """What came: kept if the ledger refuses it, prepared anew if a key was rotated meanwhile."""

    @property
    def bulk(self) -> bool:
        """It goes by the bulk lane, all of it."""
        deliveries = self.prepared.deliveries
        return bool(deliveries) and all(delivery.lane == "bulk" for delivery in deliveries)


class Intake:
    """Admits messages. For one event loop."""

    def __init__(self, *, preparer: Preparer, ledger: LedgerPort) -> None:
        self._preparer = preparer
        self._ledger = ledger
        self.message_bytes = preparer.message_bytes

    def prepare(self, submission: Submission) -> Ready | Refused:
        """Check and seal one submission, without waiting. Takes about 0.2 ms for 3 KB: a caller with many lets the loop run in between."""
        return self._prepare(submission, NONE)

    def _prepare(self, submission: Submission, marks: Flags) -> Ready | Refused:
        try:
            return Ready(prepared=self._preparer.prepare(submission, marks), submission=submission)
        except InputRefused as e:
            attributes = submission.attributes
            if e.code == SUSPECTED:
                log.warning(SUSPECTED, system=submission.system, door=submission.door, type=attributes.type, place=e.place)
            return Refused(
                system=submission.system, door=submission.door, error=e, source_id=attributes.id, type=attributes.type,
                body=submission.data, submission=submission, marks=marks,
            )  # fmt: skip

    async def check(self, submission: Submission) -> Ready | Refused:
        """:meth:`prepare`, in a thread for a message so large that it would hold up the loop."""
        if len(submission.data) > LARGE_BYTES:
            return await asyncio.to_thread(self.prepare, submission)
        return self.prepare(submission)

    def is_ephemeral(self, attributes: EventAttributes, data: bytes) -> bool:
        """Whether a message is, or holds, a type that must not come by queue."""
        return self._preparer.is_ephemeral(attributes, data)

    def is_bulk(self, submission: Submission) -> bool:
        """Whether all its deliveries would go by the bulk lane; of what is to be refused that does not matter."""
        return self._preparer.is_bulk(submission)

    async def admit(self, batch: Sequence[Submission]) -> list[Answer]:
        """Admit several submissions of one system in their order; the answers are in that order too.

        :raises Unavailable: nothing was accepted, or it is not known; handing in the same messages again is safe.
        """
        return await self.commit([await self.check(each) for each in batch])

    async def admit_one(self, submission: Submission) -> Answer:
        """:meth:`admit` for one."""
        return (await self.commit((await self.check(submission),)))[0]

    async def admit_again(self, submission: Submission) -> Answer:
        """One submission that was refused and kept, and that two persons let in again. Every check holds, but what they waived
        (:attr:`Submission.waived`); what is refused once more is not kept once more.

        :raises Unavailable: see :meth:`admit`.
        """
        return await self.admit_prepared(await self.check(submission))

    async def admit_prepared(self, item: Ready | Refused) -> Answer:
        """:meth:`admit_again`, of what was checked already."""
        items, admissions = await self._admit([item], None)
        return _merge(items, admissions)[0][0]

    async def commit(self, items: Sequence[Ready | Refused], *, epoch: tuple[str, str, int] | None = None) -> list[Answer]:
        """Commit what :meth:`prepare` made, in order.

        :param epoch: (system, worker, epoch) of an active consumer (R16): a ledger that knows a later epoch admits nothing.
        :raises Unavailable: see :meth:`admit`.
        :raises IntakeEpochLost: another consumer of this system's queue has become the active one.
        """
        answers, refused = _merge(*await self._admit(items, epoch))
        if refused:
            await self.keep(refused, epoch=epoch)
        return answers

    async def _admit(
        self, items: Sequence[Ready | Refused], epoch: tuple[str, str, int] | None
    ) -> tuple[Sequence[Ready | Refused], Sequence[Admission]]:
        """Commit what passed; what was decided by keys, policy or marks that count no longer is decided anew."""
        items = await self._refused_by_what_counts(items)
        for last in (*[False] * (_AGAIN - 1), True):
            ready = [each for each in items if isinstance(each, Ready)]
            if not ready:
                break
            bulk = all(each.bulk for each in ready)
            try:
                return items, await self._ledger.admit([each.prepared for each in ready], intake=epoch, bulk=bulk)
            except StaleKey:
                if last:
                    raise
                self._preparer.refresh_keys()
                items = [self._anew(each, {}) for each in items]
            except StalePolicy as stale:
                if last:
                    raise
                await self._preparer.rights.refresh()
                items = [self._anew(each, stale.marks) for each in items]
        return items, ()

    async def _refused_by_what_counts(self, items: Sequence[Ready | Refused]) -> Sequence[Ready | Refused]:
        """A refusal by the policy is one by the version that counts now: this process may not have heard of a new one yet (I7)."""
        if not any(isinstance(each, Refused) and isinstance(each.error, PolicyRefused) for each in items):
            return items
        rights = self._preparer.rights
        before = rights.standing.token
        if (await rights.refresh()).token == before:
            return items
        return [
            self._prepare(each.submission, each.marks)
            if isinstance(each, Refused) and isinstance(each.error, PolicyRefused) and each.submission is not None
            else each
            for each in items
        ]

    def _anew(self, item: Ready | Refused, marks: Mapping[str, Flags]) -> Ready | Refused:
        """The same submission decided and sealed by what counts now."""
        if isinstance(item, Refused):
            return item
        return self._prepare(item.submission, marks.get(item.prepared.message_id, item.prepared.marks))

    async def keep(self, refused: Sequence[Refused], *, epoch: tuple[str, str, int] | None = None) -> None:
        """Keep refused messages for the operator, sealed (I10); ``epoch`` as for :meth:`commit`.

        :raises Unavailable: they are not kept; the sender must not be told of the refusal yet.
        """
        await asyncio.gather(*(self._ledger.quarantine(self._kept(each, epoch)) for each in refused))

    def _kept(self, refused: Refused, epoch: tuple[str, str, int] | None) -> Quarantine:
        kept_id, error = new_id(), refused.error
        sealed = None
        if refused.body:
            sealed = self._preparer.sealer.seal(refused.body, message_id=kept_id, message_type=refused.type or "unknown", party=QUARANTINE)
        return Quarantine(
            quarantine_id=kept_id,
            system=refused.system,
            door=refused.door,
            source_id=refused.source_id,
            type=refused.type,
            code=error.code,
            rule=error.rule,
            place=error.place,
            size_bytes=len(refused.body),
            sealed=sealed,
            intake=epoch,
            attributes=_json(refused.submission),
            provision=_record(refused),
        )


def _record(refused: Refused) -> RefusedProvision | None:
    """A refusal by the policy, or of who may send what to whom, is recorded like a provision (I7, C-2-5-2)."""
    error, submission = refused.error, refused.submission
    if submission is None or not (isinstance(error, PolicyRefused) or error.code == "not-permitted"):
        return None
    attributes = submission.attributes
    known = isinstance(error, PolicyRefused)
    return RefusedProvision(
        party=error.party if isinstance(error, PolicyRefused) else None,
        identifiers=error.identifiers if isinstance(error, PolicyRefused) else (),
        work=attributes.work if known else None,
        operator=attributes.operator,
        terminal=attributes.terminal,
    )


def _json(submission: Submission | None) -> str | None:
    """Attributes, to hand it in again should two persons want that. They hold no personal data: what did was refused before they became
    some, and then there is no submission."""
    if submission is None:
        return None
    attributes = dataclasses.asdict(submission.attributes)
    return json.dumps(attributes if submission.supplier is None else {**attributes, "supplier": submission.supplier}, sort_keys=True)


def _merge(items: Sequence[Ready | Refused], admissions: Sequence[Admission]) -> tuple[list[Answer], list[Refused]]:
    """Answers in the order of ``items``, and everything that was refused, by the checks or by the ledger."""
    answers: list[Answer] = []
    refused: list[Refused] = []
    found = iter(admissions)
    for item in items:
        if isinstance(item, Refused):
            refused.append(item)
            answers.append(Answer(refusal=item.error))
            continue
        admission = next(found)
        if admission.refusal is None:
            answers.append(Answer(receipt=admission.receipt, duplicate=admission.duplicate, message_id=admission.message_id))
            continue
        prepared = item.prepared
        error = InputRefused(admission.refusal.code, admission.refusal.detail, rule=admission.refusal.rule)
        refused.append(
            Refused(
                system=prepared.system,
                door=prepared.door,
                error=error,
                source_id=prepared.source_id,
                type=prepared.type,
                body=item.submission.data,
                submission=item.submission,
            )
        )
        answers.append(Answer(refusal=error, by_ledger=True))
    return answers, refused
