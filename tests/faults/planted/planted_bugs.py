"""The planted bugs: for each, which modules of the product it changes, and how. Imported by ``sitecustomize`` only.

Where a bug needs an accident at one certain moment, the patch makes that moment longer, so that one of a dozen accidents hits it.
"""

import asyncio
import functools
import time


def _ack_before_commit(module):
    """R16: the message is acked when it was taken, not when its receipt is confirmed."""
    settle = module.AmqpDoor._settle

    @functools.wraps(settle)
    async def early(self, batch):
        self._consumer.ack_up_to(batch[-1].delivery)
        await asyncio.sleep(0.2)
        await settle(self, batch)

    module.AmqpDoor._settle = early


def _answered_before_commit(module):
    """I1: "accepted" is said while the transaction is still open."""
    transact = module.Writer._transact

    def early(self, entries):
        run = self._run_group

        def tell_at_once(connection, operations, now):
            results = run(connection, operations, now)
            if any(type(operation).__name__ == "Admit" for operation in operations):
                for entry, result in zip(entries, results, strict=True):
                    setattr(entry, "error" if isinstance(result, BaseException) else "result", result)
                self._tell(entries)
                time.sleep(0.06)
            return results

        self._run_group = tell_at_once
        try:
            return transact(self, entries)
        finally:
            self._run_group = run

    module.Writer._transact = early


def _no_sending_commit(module):
    """R5: the claim is kept in memory; the ledger holds neither `sending` nor whose it is."""

    def commit(key, head, worker, now, traits):
        head.clean = True
        head.attempts += 1
        head.reason = None

    def mine(key, head, worker, epoch, delivery_id):
        found = head is not None and head.id == delivery_id and not head.state.final
        if found:
            head.state = module.State.SENDING
        return found

    module._commit_sending = commit
    module.mine = mine


def _epoch_not_checked(module):
    """R7: an outcome is written on whatever the key is working on now."""
    module.mine = lambda key, head, worker, epoch, delivery_id: head is not None and head.state is module.State.SENDING


def _requeued_after_crash(module):
    """R8: what a dead worker was sending is queued again, as if it had never been sent."""

    def take_over(key, head, now, traits):
        if head.state is module.State.SENDING:
            head.state = module.State.QUEUED
            head.call_deadline = None
        key.claim_worker = None

    module._take_over = take_over


def _bell_only(module):
    """R15: nobody looks for what is due."""

    async def nothing(self, party, found):
        await self._resume(party)

    module.Worker._act = nothing


def _void_claims_not_found(module):
    """R6: the look-up takes unclaimed keys only; those of a dead worker are found by nobody."""
    look = module._look

    def unclaimed(conn, traits):
        return look(conn, traits)._replace(void=())

    module._look = unclaimed


def _unknown_believed(module):
    """R9: a call without an answer is taken for delivered."""

    def lost(key, head, code, facts, traits):
        module.deliver(key, head, "believed", facts.now)

    module._lost = lost


def _unknown_requeued(module):
    """R9: a call without an answer is taken for one that had no effect."""

    def lost(key, head, code, facts, traits):
        module._fail(key, head, facts.now)
        head.not_before = key.due_at = facts.now + 0.2

    module._lost = lost


def _number_from_memory(module):
    """R2: a process counts the numbers of a resident itself."""
    append = module._append
    numbers: dict[str, int] = {}

    def remembered(key, new, now, bells):
        key.next_number = numbers.get(key.id, 1)
        append(key, new, now, bells)
        numbers[key.id] = key.next_number

    module._append = remembered


def _breaker_spends_budget(module):
    """R12: an attempt into an outage counts against the record."""
    outcome = module.outcome

    def spending(key, head, answer, members, *, facts, traits):
        outcome(key, head, answer, members, facts=facts, traits=traits)
        if isinstance(answer, module.PartyDown):
            head.spent += 1
            if head.spent >= traits.retry.budget:
                module.hold(key, head, module.Hold.BUDGET, "budget-spent")

    module.outcome = spending


def _refused_passed_over(module):
    """I3: what the party refused is passed over, and what comes behind it goes on."""

    def refuse(key, head, code, now):
        module.clear(head)
        module.move(head, module.Event.REFUSED, module.State.QUEUED, now)
        head.outcome_code = code
        head.state = module.State.REJECTED
        head.final_at = now
        module.advance(key, now)

    module._refuse = refuse


PATCHES = {
    "ack-before-commit": {"gateway.intake.amqp": _ack_before_commit},
    "answered-before-commit": {"gateway.ledger.writer": _answered_before_commit},
    "no-sending-commit": {"gateway.delivery.machine": _no_sending_commit},
    "epoch-not-checked": {"gateway.delivery.machine": _epoch_not_checked},
    "requeued-after-crash": {"gateway.delivery.machine": _requeued_after_crash},
    "bell-only": {"gateway.delivery.worker": _bell_only},
    "void-claims-not-found": {"gateway.delivery.worker": _void_claims_not_found},
    "unknown-believed": {"gateway.delivery.machine": _unknown_believed},
    "unknown-requeued": {"gateway.delivery.machine": _unknown_requeued},
    "number-from-memory": {"gateway.ledger.admission": _number_from_memory},
    "breaker-spends-budget": {"gateway.delivery.machine": _breaker_spends_budget},
    "refused-passed-over": {"gateway.delivery.machine": _refused_passed_over},
}
"""Bug → module → what is done to it. The runs that convict them are in ``simulators/harness/planted.py``."""
