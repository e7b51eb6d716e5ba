"""One call to a party: claims in, outcomes out. Whatever happens in between, every claim gets an outcome (R5, R9, R10)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from gateway.contract import Adapter, Effect, Envelope, Outcome, QueryAnswer, RetryLater, Unknown
from gateway.delivery.liveness import Liveness
from gateway.delivery.rows import START_S
from gateway.errors import GatewayError
from gateway.ledger.claims import Claimed
from gateway.ledger.clock import boot_time
from gateway.ledger.outcomes import Learned, receipt_of
from gateway.security.sealing import Sealer

_log = logging.getLogger(__name__)
_OUTCOMES: tuple[type, ...] = get_args(Outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What became of some claims: outcomes to write, and claims to take back because it was too late to start."""

    learned: tuple[Learned, ...]
    unsent: tuple[Claimed, ...]
    seconds: float | None = None
    """How long the party took; None: it was not called."""


class Caller:
    """Makes the calls to one party. Belongs to the event loop of the worker."""

    def __init__(self, adapter: Adapter, sealer: Sealer, liveness: Liveness, *, calls: int, call_s: float, query_s: float = 10.0) -> None:
        self.adapter = adapter
        self._sealer = sealer
        self._liveness = liveness
        self._free = asyncio.Semaphore(calls)
        self._call_s = call_s
        self._query_s = query_s

    async def send(self, registration: str, claims: Sequence[Claimed]) -> Called:
        """Deliver ``claims`` in one call, if it can still start in time and this process is alive in its own eyes."""
        async with self._free:
            learned: list[Learned] = []
            pairs: list[tuple[Claimed, Envelope]] = []
            for claim in claims:
                try:
                    pairs.append((claim, self._open(claim)))
                except GatewayError as error:
                    # Not the party's doing: nothing was sent. What passes (a token that does not answer) spends nothing either; what does
                    # not is held in the end, for somebody must look at the keys.
                    _log.error("unseal-failed", extra={"code": error.code, "party": claim.party, "message_id": claim.message_id})
                    learned.append(Learned(claim=claim, answer=RetryLater(code=error.code), ours=True, spends=not error.retry))
            if not pairs:
                return Called(learned=tuple(learned), unsent=())
            if not self._may_start(registration, claims):
                return Called(learned=tuple(learned), unsent=tuple(claim for claim, _ in pairs))
            started = boot_time()
            answers = await self._deliver([envelope for _, envelope in pairs])
            seconds = boot_time() - started
        learned += [self._learned(claim, answer) for (claim, _), answer in zip(pairs, answers, strict=True)]
        return Called(learned=tuple(learned), unsent=(), seconds=seconds)

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
                _escaped("query", error)
        return Called(learned=(self._learned(claim, answer),), unsent=())

    def seal_again(self, learned: Sequence[Learned]) -> tuple[Learned, ...]:
        """The same with receipts sealed under the keys that count now."""
        return tuple(replace(self._learned(each.claim, each.answer), ours=each.ours, spends=each.spends) for each in learned)

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
        )

    async def _deliver(self, envelopes: list[Envelope]) -> Sequence[Outcome]:
        """The adapter's call under its deadline. What escapes from it is unknown, never success (R9)."""
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
        except Exception as error:
            _escaped("deliver", error)
        else:
            if len(answers) == len(envelopes) and all(isinstance(answer, _OUTCOMES) for answer in answers):
                return answers
            _log.error("adapter-broke-contract", extra={"code": "outcomes", "party": self.adapter.manifest.party})
        return [Unknown(code=code)] * len(envelopes)

    def _learned(self, claim: Claimed, answer: Outcome | QueryAnswer) -> Learned:
        receipt = receipt_of(answer)
        if receipt is None or not receipt.body:
            return Learned(claim=claim, answer=answer)
        sealed = self._sealer.seal(receipt.body, message_id=claim.message_id, message_type="receipt", party=claim.party)
        return Learned(claim=claim, answer=answer, sealed=sealed, content_type=receipt.content_type)


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        with contextlib.suppress(RuntimeError):
            task.uncancel()


def _escaped(where: str, error: Exception) -> None:
    # the text of a foreign exception may hold personal data: its class and place say enough (I5)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    at = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace else ""
    _log.error("adapter-raised", extra={"code": type(error).__name__, "operation": where, "at": at})
