"""The ledger as the rest of the gateway sees it: operations through the one writer, reads beside it.

Whoever gives it a ``ring`` has the bells of every transaction rung after its commit (R15); without one the look-up finds the keys.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from gateway.delivery.rows import PartyTraits
from gateway.errors import LedgerUnavailable
from gateway.ledger import housekeeping as hk
from gateway.ledger.admission import Admit
from gateway.ledger.bells import Bell
from gateway.ledger.claims import Claimed, ClaimKeys, ClaimResult, TakeBack
from gateway.ledger.clock import Profile
from gateway.ledger.commands import Command
from gateway.ledger.dialogues import RecordLateAnswer
from gateway.ledger.engine import LedgerEngine, open_engine
from gateway.ledger.failures import OperationFailed
from gateway.ledger.groups import GroupRecord
from gateway.ledger.migrate import migrate
from gateway.ledger.outcomes import Learned, OutcomeResult, WriteOutcomes
from gateway.ledger.peer_refusals import RecordRefusals
from gateway.ledger.prepared import Admission, PreparedMessage, SealedPayload
from gateway.ledger.refusals import RefuseClaims, RefusedClaim
from gateway.ledger.replays import RememberMessage
from gateway.ledger.unit import run_group
from gateway.ledger.writer import Writer
from gateway.security.refusals import Refusal

T = TypeVar("T")


class Ledger:
    """All methods belong to the event loop; each returns after its commit, or raises
    :class:`~gateway.errors.LedgerUnavailable` (nothing was done, or with code ``commit-unknown`` nobody knows)."""

    def __init__(
        self,
        engine: LedgerEngine,
        *,
        ring: Callable[[Iterable[Bell]], None] | None = None,
        on_group: Callable[[GroupRecord], None] | None = None,
        gather_s: float = 0.0,
        live: Callable[[], bool] | None = None,
    ) -> None:
        """:param gather_s: between two groups of the writer, while callers come side by side; seconds.
        :param live: whether something live is under way, here or in another process; asked in the writer's thread."""
        self.engine = engine
        self.ring = ring
        self.writer = Writer(engine, run_group, on_group=on_group, gather_s=gather_s, live=live)

    @classmethod
    def open(cls, url: str, *, profile: Profile = "production", **kwargs: Any) -> Ledger:
        """Open the database, bring its schema up to date, start the writer. Blocks. ``profile`` counts for a new ledger only (R21).

        :raises ConfigurationError: the address, the server's settings, or a schema newer than this program.
        """
        engine = open_engine(url)
        migrate(engine, profile=profile)
        return cls(engine, **kwargs)

    async def close(self) -> None:
        """Finish what was handed in, then close."""
        await self.writer.close()
        await self.engine.close()

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run a query beside the writer."""
        return await self.engine.read(fn)

    def ring_all(self, bells: Iterable[Bell]) -> None:
        """Ring what a transaction asked for, after its commit."""
        if self.ring is not None:
            self.ring(bells)

    # ---- admission -----------------------------------------------------------------------------------------------------------------

    async def admit(
        self, messages: Sequence[PreparedMessage], *, intake: tuple[str, str, int] | None = None, bulk: bool = False
    ) -> list[Admission]:
        """Admit in this order, in one transaction, and ring.

        :raises IntakeEpochLost: another consumer serves that intake queue now (R16).
        """
        operation = Admit(messages=messages, intake=intake, bulk=bulk, size=len(messages))
        try:
            admissions, bells = await self._submit(operation)
        except OperationFailed as error:
            if error.code != "ledger-constraint":
                raise
            # another process has admitted the same 依頼管理番号 meanwhile: now that it is there, it is found, and refused by name
            admissions, bells = await self._submit(operation)
        self.ring_all(bells)
        return admissions  # type: ignore[no-any-return]

    async def quarantine(self, operation: hk.Quarantine) -> str:
        """Keep what was refused."""
        return await self._submit(operation)  # type: ignore[no-any-return]

    async def claim_intake(self, system: str, worker: str) -> int:
        """Become the consumer whose admissions count; returns the epoch (R16)."""
        return await self._submit(hk.ClaimIntake(system=system, worker=worker))  # type: ignore[no-any-return]

    # ---- processes -----------------------------------------------------------------------------------------------------------------

    async def register(self, role: str) -> str:
        """A fresh registration for this process (R6)."""
        return await self._submit(hk.RegisterProcess(role=role, host=host_name(), pid=os.getpid()))  # type: ignore[no-any-return]

    async def renew(self, worker: str) -> bool:
        """This process lives; False: the registration has been ended."""
        return await self._submit(hk.RenewProcess(id=worker))  # type: ignore[no-any-return]

    async def end(self, worker: str) -> None:
        """This registration ends: its claims are void at once."""
        await self._submit(hk.RenewProcess(id=worker, end=True))

    async def end_process(self, pid: int) -> None:
        """A process of this machine has ended (its supervisor saw it): its claims are void at once."""
        await self._submit(hk.EndProcess(host=host_name(), pid=pid))

    # ---- delivery ------------------------------------------------------------------------------------------------------------------

    async def claim(
        self, worker: str, party: str, keys: Sequence[str], traits: PartyTraits, *, probe: bool = False, bulk: bool = False
    ) -> ClaimResult:
        """Claim the heads of key rows, together."""
        operation = ClaimKeys(worker=worker, party=party, keys=keys, traits=traits, probe=probe, bulk=bulk, size=len(keys))
        result: ClaimResult = await self._submit(operation)
        self.ring_all(result.bells)
        return result

    async def take_back(self, worker: str, claims: Sequence[Claimed]) -> None:
        """Nothing was sent for these claims (R5)."""
        self.ring_all(await self._submit(TakeBack(worker=worker, claims=claims, size=len(claims))))

    async def refuse(self, worker: str, refused: Sequence[RefusedClaim]) -> None:
        """The policy no longer permits what these claims would send."""
        self.ring_all(await self._submit(RefuseClaims(worker=worker, refused=refused, size=len(refused))))

    async def write_outcomes(
        self, worker: str, party: str, learned: Sequence[Learned], traits: PartyTraits, *, go_on: bool = True, bulk: bool = False
    ) -> OutcomeResult:
        """Write what a call learned; claims the next numbers of the same keys unless told not to."""
        operation = WriteOutcomes(worker=worker, party=party, learned=learned, traits=traits, go_on=go_on, bulk=bulk, size=len(learned))
        result: OutcomeResult = await self._submit(operation)
        self.ring_all(result.bells)
        return result

    async def mark_rung(self, keys: Sequence[str]) -> None:
        """Ring for keys that the look-up found."""
        self.ring_all(await self._submit(hk.MarkRung(keys=keys, size=len(keys))))

    async def record_reply(
        self, party: str, correlation: str, kind: str, code: str | None, actor: str, *, digest: str | None = None
    ) -> None:
        """An answer came after its call (R14)."""
        reply = hk.RecordReply(party=party, correlation=correlation, kind=kind, code=code, actor=actor, digest=digest)
        self.ring_all(await self._submit(reply))

    async def record_late_answer(self, system: str, dialogue_id: str | None, size_bytes: int) -> None:
        """An answer came that nobody waits for (any more)."""
        await self._submit(RecordLateAnswer(system=system, dialogue_id=dialogue_id, size_bytes=size_bytes))

    async def remember_message(self, party: str, key: bytes, until: float) -> bool:
        """A signed message of a party, by a digest of its id; False: it was here before. ``until``: seconds, wall clock."""
        return await self._submit(RememberMessage(party=party, key=key, until=until))  # type: ignore[no-any-return]

    # ---- operators -----------------------------------------------------------------------------------------------------------------

    async def command(self, command: Command) -> dict[str, Any]:
        """Ask for a command, or decide one (R13).

        :raises CommandRefused: it does not fit what is there; the refusal is on record.
        """
        result, bells = await self._submit(command)
        self.ring_all(bells)
        return result  # type: ignore[no-any-return]

    async def record_refusals(self, refusals: Sequence[Refusal]) -> None:
        """Put refused peers on record, one entry for each of ``refusals`` (R22)."""
        await self._submit(RecordRefusals(refusals=refusals, size=len(refusals)))

    async def pause(self, party: str, actor: str, reason: str, *, paused: bool, manual: bool = False) -> None:
        """Stop deliveries to a party, or let them go on; ``manual``: its work is done by hand meanwhile."""
        await self._submit(hk.PauseParty(party=party, actor=actor, paused=paused, reason=reason, manual=manual))

    async def submit(self, operation: Any) -> Any:
        """Any other operation of a group (:class:`gateway.ledger.unit.LedgerOperation`), and its result. Rings nothing."""
        return await self._submit(operation)

    async def _submit(self, operation: Any) -> Any:
        return await self.writer.submit(operation)


def host_name() -> str:
    """This machine, as registrations name it."""
    return socket.gethostname()[:64]


__all__ = ["Ledger", "LedgerUnavailable", "SealedPayload", "host_name"]
