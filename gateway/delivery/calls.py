"""One call to a party: claims in, outcomes out. Whatever happens in between, every claim gets an outcome (R5, R9, R10)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from gateway.contract import Adapter, CallNotPrepared, Effect, Envelope, Outcome, QueryAnswer, RetryLater, Unknown
from gateway.delivery.liveness import Liveness
from gateway.delivery.results import Results
from gateway.delivery.rows import START_S
from gateway.errors import GatewayError
from gateway.ledger.claims import Claimed
from gateway.ledger.clock import boot_time
from gateway.ledger.outcomes import Learned, receipt_of
from gateway.ledger.prepared import PreparedMessage
from gateway.ledger.refusals import RefusedClaim
from gateway.policy.rights import PolicyRefused, Rights, Standing, Terms
from gateway.security.sealing import Sealer
from message_formats import reading

_log = logging.getLogger(__name__)
_OUTCOMES: tuple[type, ...] = get_args(Outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What became of some claims: outcomes to write, and claims to take back because it was too late to start."""

    learned: tuple[Learned, ...]
    unsent: tuple[Claimed, ...]
    refused: tuple[RefusedClaim, ...] = ()
    """What the policy does not permit any more: nothing of it was sent."""
    seconds: float | None = None
    """How long the party took; None: it was not called."""


class Caller:
    """Makes the calls to one party. Belongs to the event loop of the worker."""

    def __init__(
        self,
        adapter: Adapter,
        sealer: Sealer,
        liveness: Liveness,
        rights: Rights,
        *,
        calls: int,
        call_s: float,
        query_s: float = 10.0,
        results: Results | None = None,
    ) -> None:
        self.adapter = adapter
        self._results = results
        self._rights = rights
        self._sealer = sealer
        self._liveness = liveness
        self._free = asyncio.Semaphore(calls)
        self._call_s = call_s
        self._query_s = query_s

    async def send(self, registration: str, claims: Sequence[Claimed]) -> Called:
        """Deliver ``claims`` in one call, if it can still start in time and this process is alive in its own eyes."""
        async with self._free:
            learned: list[Learned] = []
            refused: list[RefusedClaim] = []
            less: dict[str, Terms] = {}
            pairs: list[tuple[Claimed, Envelope]] = []
            try:
                standing = await self._standing(claims)
            except GatewayError as error:
                # what may leave is not known: nothing does
                _log.error("policy-unreadable", extra={"code": error.code, "party": self.adapter.manifest.party})
                answer = RetryLater(code=error.code)
                return Called(learned=tuple(Learned(claim=c, answer=answer, ours=True, spends=False) for c in claims), unsent=())
            for claim in claims:
                try:
                    pairs.append((claim, self._allowed(standing, claim, self._open(claim), less)))
                except PolicyRefused as error:
                    refused.append(RefusedClaim(claim=claim, code=error.code, rule=error.rule or "", version=error.version))
                except GatewayError as error:
                    # Not the party's doing: nothing was sent. What passes (a token that does not answer) spends nothing either; what does
                    # not is held in the end, for somebody must look at the keys.
                    _log.error("unseal-failed", extra={"code": error.code, "party": claim.party, "message_id": claim.message_id})
                    learned.append(Learned(claim=claim, answer=RetryLater(code=error.code), ours=True, spends=not error.retry))
            if not pairs:
                return Called(learned=tuple(learned), unsent=(), refused=tuple(refused))
            if not self._may_start(registration, claims):
                return Called(learned=tuple(learned), unsent=tuple(claim for claim, _ in pairs), refused=tuple(refused))
            started = boot_time()
            try:
                answers = await self._deliver([envelope for _, envelope in pairs])
            except CallNotPrepared as error:
                # our own doing, and nothing was sent: as with what does not open
                _log.error("call-not-prepared", extra={"code": error.code, "party": self.adapter.manifest.party})
                answer = RetryLater(code=error.code)
                learned += [Learned(claim=claim, answer=answer, ours=True, spends=not error.passing) for claim, _ in pairs]
                return Called(learned=tuple(learned), unsent=(), refused=tuple(refused))
            seconds = boot_time() - started
        learned += [self._learned(claim, answer, less.get(claim.delivery_id)) for (claim, _), answer in zip(pairs, answers, strict=True)]
        return Called(learned=tuple(learned), unsent=(), refused=tuple(refused), seconds=seconds)

    def _result(self, claim: Claimed, answer: Outcome | QueryAnswer) -> PreparedMessage | None:
        """What whoever handed it in is told by a message of its own."""
        return None if self._results is None else self._results.of_or_none(claim, answer)

    async def decide_again(self) -> None:
        """By the policy that counts now: before :meth:`seal_again`."""
        await self._rights.refresh()

    async def _standing(self, claims: Sequence[Claimed]) -> Standing:
        """The policy that counted when the claims were committed, or a later one: one for the whole call."""
        standing = self._rights.standing
        if any(claim.standing != standing.token for claim in claims):
            standing = await self._rights.refresh()
        return standing

    def _allowed(self, standing: Standing, claim: Claimed, envelope: Envelope, less: dict[str, Terms]) -> Envelope:
        """What was sealed was filtered when it was accepted; here the policy may only take away (FS1-8a).

        :raises PolicyRefused: it may not go at all any more.
        """
        grant = standing.grant(
            claim.message_type, claim.system, claim.consumer or claim.party, work=claim.work, basis=claim.basis, marks=claim.marks
        )
        if grant.permit.whole:
            return envelope
        filtered = grant.plan.apply(reading.read(envelope.content, expected=claim.message_type))
        if not filtered.removed:
            return envelope
        less[claim.delivery_id] = grant.terms(filtered.items)
        return replace(envelope, content=filtered.content)

    async def ask(self, registration: str, claim: Claimed) -> Called:
        """Query what became of one delivery (R9)."""
        async with self._free:
            if not self._may_start(registration, [claim]):
                return Called(learned=(), unsent=(claim,))
            try:
                envelope = self._open(claim)
            except GatewayError as error:
                _log.error("unseal-failed", extra={"code": error.code, "party": claim.party, "message_id": claim.message_id})
                return Called(
                    learned=(Learned(claim=claim, answer=QueryAnswer(effect=Effect.NOT_KNOWN, code=error.code), ours=True),), unsent=()
                )
            try:
                async with asyncio.timeout(self._query_s):
                    answer = await self.adapter.query(envelope)
            except GatewayError as error:
                answer = QueryAnswer(effect=Effect.NOT_KNOWN, code=error.code)
            except TimeoutError:
                answer = QueryAnswer(effect=Effect.NOT_KNOWN, code="query-timeout")
            except Exception as error:
                answer = QueryAnswer(effect=Effect.NOT_KNOWN, code="query-failed")
                escaped("query", error)
        return Called(learned=(self._learned(claim, answer),), unsent=())

    def seal_again(self, learned: Sequence[Learned]) -> tuple[Learned, ...]:
        """The same with receipts sealed under the keys that count now."""
        return tuple(replace(self._learned(each.claim, each.answer, each.terms), ours=each.ours, spends=each.spends) for each in learned)

    def _may_start(self, registration: str, claims: Sequence[Claimed]) -> bool:
        """The last look before the first byte (R5, R6)."""
        oldest = min(claim.booted_at for claim in claims)
        return self._liveness.alive(registration) and boot_time() - oldest <= START_S

    def _open(self, claim: Claimed) -> Envelope:
        content = self._sealer.unseal(
            claim.sealed,
            wrapped=claim.wrapped,
            kek_id=claim.kek_id,
            message_id=claim.message_id,
            message_type=claim.message_type,
            party=claim.party,
        )
        return Envelope(
            delivery_id=claim.delivery_id,
            message_id=claim.message_id,
            message_type=claim.message_type,
            party_key=claim.party_key,
            attempt=claim.attempt,
            resent=claim.resent,
            content=content,
            work=claim.work,
            municipality=claim.municipality,
        )

    async def _deliver(self, envelopes: list[Envelope]) -> Sequence[Outcome]:
        """The adapter's call under its deadline. What escapes from it is unknown, never success (R9).

        :raises CallNotPrepared: nothing was sent.
        """
        code = "call-failed"
        try:
            async with asyncio.timeout(self._call_s):
                answers = await self.adapter.deliver(envelopes)
        except TimeoutError:
            code = "call-timeout"
        except asyncio.CancelledError:
            # the process stops while the call is under way: its outcome is unknown, and is still written
            code = "call-cancelled"
            _uncancel()
        except CallNotPrepared:
            raise
        except Exception as error:
            escaped("deliver", error)
        else:
            if len(answers) == len(envelopes) and all(isinstance(answer, _OUTCOMES) for answer in answers):
                return answers
            _log.error("adapter-broke-contract", extra={"code": "outcomes", "party": self.adapter.manifest.party})
        return [Unknown(code=code)] * len(envelopes)

    def _learned(self, claim: Claimed, answer: Outcome | QueryAnswer, terms: Terms | None = None) -> Learned:
        receipt, result = receipt_of(answer), self._result(claim, answer)
        if receipt is None or not receipt.body:
            return Learned(claim=claim, answer=answer, terms=terms, result=result)
        sealed = self._sealer.seal(receipt.body, message_id=claim.message_id, message_type="receipt", party=claim.party)
        return Learned(claim=claim, answer=answer, sealed=sealed, content_type=receipt.content_type, terms=terms, result=result)


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        with contextlib.suppress(RuntimeError):
            task.uncancel()


def escaped(where: str, error: Exception) -> None:
    # the text of a foreign exception may hold personal data: its class and place say enough (I5)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    at = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace else ""
    _log.error("adapter-raised", extra={"code": type(error).__name__, "operation": where, "at": at})
