"""The one process that chains (R22): a lease in the ledger says which; whoever holds it gathers committed entries into blocks.

Every process looks twice a second. Whoever finds the lease free, or its holder dead in the ledger's eyes (R6), takes it. Entries are
found by an index of what is in no block yet, so nothing depends on their ids or on clocks: what commits late is chained late, and is never
missed. Blocks and checkpoints are written by the ledger's writer as bulk work, in bounded groups, beside traffic and not before it.

Nothing stops it for good: what fails is tried again at the next look, and meanwhile told: by ``/readyz``, by ``renkei check``, by the
metric ``renkei_audit_unchained_seconds``, and in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from gateway.audit import operations as ops
from gateway.audit import queries
from gateway.audit.canonical import Block, build
from gateway.audit.checkpoint import Checkpoint, Signed, Signer, utc_second
from gateway.audit.errors import AuditError
from gateway.audit.outside import MANY, OutsideFile
from gateway.delivery.liveness import Liveness
from gateway.errors import GatewayError, LedgerUnavailable, Unavailable
from gateway.ledger.clock import ledger_time
from gateway.ledger.failures import OperationFailed
from gateway.ledger.leases import Held, ReleaseLease, TakeLease
from gateway.ledger.ledger import Ledger
from gateway.security.keys import KeyStore, Kind

if TYPE_CHECKING:
    from gateway.audit.timestamp import TimeStamper

LOOK_S: Final = 0.4
"""Between two looks: with it, and the time to write a block, an entry is chained within a second."""
GROUP: Final = 400
"""Most entries in a block: marking them holds the lock for about a millisecond."""
BEHIND_S: Final = 10.0
"""An entry that is unchained for so long makes the processes not ready: somebody must look."""
LATE_STAMPS: Final = 5
"""Checkpoints without a time stamp that are tried again at each checkpoint."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainerOptions:
    """What the configuration says about it."""

    instance: str
    checkpoint_s: float
    erasures: Callable[[], str | None] = lambda: None
    """Where the list of erasures outside the ledger ends, for checkpoints to say. Blocks."""


class Chainer:
    """One per process. Belongs to the event loop; it needs the process's registration (R6)."""

    def __init__(
        self,
        ledger: Ledger,
        liveness: Liveness,
        keys: KeyStore,
        outside: OutsideFile,
        options: ChainerOptions,
        stamper: TimeStamper | None = None,
    ) -> None:
        self._ledger = ledger
        self._liveness = liveness
        self._keys = keys
        self._outside = outside
        self._options = options
        self._stamper = stamper
        self._task: asyncio.Task[None] | None = None
        self._stamping: asyncio.Task[None] | None = None
        self._signers: dict[str, Signer] = {}
        self._held: Held | None = None
        self._checkpoint_due = 0.0
        self._outside_due = False
        self._looked_at = time.monotonic()
        self.state: queries.ChainState | None = None
        """As of the last look."""
        self.failed: GatewayError | None = None
        """Why the last look did not get through."""
        self.cpu_s = 0.0
        """Time of this process spent on building blocks, in seconds (for the bench)."""

    @property
    def holds(self) -> bool:
        """This process chains, as far as it knows."""
        return self._held is not None

    @property
    def age_s(self) -> float:
        """How long the oldest unchained entry has waited, in seconds: as of the last look, and since then."""
        if self.state is None or self.state.oldest_at is None:
            return 0.0
        return self.state.age_s + time.monotonic() - self._looked_at

    async def start(self) -> None:
        """Look for the first time soon, and go on."""
        self._task = asyncio.create_task(self._keep(), name="audit-chain")

    async def stop(self) -> None:
        """Chain what is left, sign where it ends, let go. If another process holds the lease, it does that."""
        for task in (self._task, self._stamping):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        try:
            await self.once(reason="shutdown")
            if self._held is not None:
                await self._ledger.submit(ReleaseLease(held=self._held, bulk=False))
        except GatewayError as error:  # the next one that starts does it
            _log.warning("audit-not-closed", extra={"code": error.code})
        self._held = None

    async def check(self) -> None:
        """For ``/readyz``. Raises Unavailable while entries stay unchained or checkpoints unwritten."""
        if self._task is not None and self._task.done():
            raise Unavailable("audit-stopped", "a bug has stopped the chaining of audit entries in this process: restart it")
        if self._task is not None and time.monotonic() - self._looked_at > BEHIND_S:
            raise Unavailable("audit-stopped", "nobody in this process has looked at the audit entries for a while")
        if self.age_s > BEHIND_S:
            code = f" ({self.failed.code})" if self.failed is not None else ""
            raise Unavailable("audit-behind", f"audit entries have not been chained for {self.age_s:.0f} s{code}")
        if isinstance(self.failed, Unavailable) and self.failed.code.startswith("audit-checkpoint"):
            raise self.failed

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.once()
            except (ops.LeaseLost, OperationFailed) as error:  # somebody else has chained, or taken a number: look anew
                self._held = None
                self._note(error)
            except GatewayError as error:
                self._note(error)
            except Exception as error:  # never ends silently: told, and tried again
                _log.critical("audit-chain-failed", exc_info=True)
                self._note(GatewayError("audit-chain-failed", f"chaining failed: {type(error).__name__}"))

    def _note(self, error: GatewayError) -> None:
        if self.failed is None or self.failed.code != error.code:
            _log.error("audit-not-chained", extra={"code": error.code})
        self.failed = error

    async def once(self, reason: str = "interval") -> None:
        """One look: take the lease if it is free, chain all there is, sign if it is time."""
        self.state = state = await self._ledger.read(queries.chain_state)
        self._looked_at = time.monotonic()
        if not await self._lead(state):
            self.failed = None
            return
        head = await self._chain_all(state)
        if head is not state.head:
            self.state = await self._ledger.read(queries.chain_state)
        now = time.monotonic()
        if head is not None and (now >= self._checkpoint_due or reason != "interval"):
            self._checkpoint_due = now + self._options.checkpoint_s
            await self._sign(head, reason)
        if self._outside_due:
            await self._write_outside()
        self.failed = None

    async def _lead(self, state: queries.ChainState) -> bool:
        try:
            worker = self._liveness.id
        except LedgerUnavailable:
            self._held = None
            return False
        if self._held == Held(name=queries.LEASE, worker=worker, epoch=state.epoch) and state.holder == worker:
            return True
        self._held = None
        if state.holder is not None and state.holder != worker:
            return False
        self._held = await self._ledger.submit(TakeLease(name=queries.LEASE, worker=worker))
        if self._held is not None:
            self._checkpoint_due = time.monotonic()  # whoever takes over says first where the chain stands
            self._outside_due = True
            _log.info("audit-lease-taken", extra={"epoch": self._held.epoch})
        return self._held is not None

    async def _chain_all(self, state: queries.ChainState) -> Block | None:
        head, chain = state.head, state.chain or str(uuid.uuid4())
        if state.oldest_at is None:
            return head
        while self._held is not None:
            built = await self._ledger.read(partial(self._next_block, after=head, chain=chain))
            if built is None:
                break
            size = ops.size_of(built.leaves)
            await self._ledger.submit(ops.AddBlock(held=self._held, block=built, chain=chain, size=size))
            head = built
            if built.entries < GROUP:
                break  # what came meanwhile is chained at the next look, in one piece
        return head

    def _next_block(self, conn: Connection, after: Block | None, chain: str) -> Block | None:
        """In a reading thread."""
        rows = queries.unchained(conn, GROUP)
        started = time.thread_time()
        built = build(rows, after=after, chain=chain, at=ledger_time(conn)) if rows else None
        self.cpu_s += time.thread_time() - started
        return built

    async def _sign(self, head: Block, reason: str) -> None:
        state = await self._ledger.read(queries.chain_state)
        last = None if state.checkpoint is None else Signed(text=state.checkpoint.text, signature=state.checkpoint.signature)
        said = None if last is None else last.read()
        signer = self._signer(self._keys.current(Kind.AUDIT).id)
        if said is not None and (said.block, said.digest) == (head.number, head.digest) and (said.next_key or said.key) == signer.public:
            return
        if said is not None and (said.next_key or said.key) != signer.public and (old := self._signer_of(said.next_key or said.key)):
            last = await self._add(head, state, "key-rotated", last, old, next_key=signer.public)
        signed = await self._add(head, state, reason, last, signer)
        if self._stamper is not None and (self._stamping is None or self._stamping.done()):
            self._stamping = asyncio.create_task(self._stamp(self._stamper), name="audit-timestamp")
        _log.info("audit-checkpoint", extra={"block": head.number, "digest": head.digest.hex(), "checkpoint": signed.digest.hex()})

    async def _add(
        self, head: Block, state: queries.ChainState, reason: str, last: Signed | None, signer: Signer, next_key: str | None = None
    ) -> Signed:
        assert state.chain is not None  # there is a head
        assert self._held is not None
        number = max(0 if last is None else last.read().number, await asyncio.to_thread(self._outside_last)) + 1
        signed = signer.sign(
            Checkpoint(
                number=number,
                chain=state.chain,
                instance=self._options.instance,
                reason=reason,
                block=head.number,
                digest=head.digest,
                total=head.total,
                at=utc_second(state.now),
                previous=None if last is None else last.digest,
                key=signer.public,
                next_key=next_key,
                erasures=await asyncio.to_thread(self._options.erasures),
            )
        )
        await self._ledger.submit(
            ops.AddCheckpoint(held=self._held, number=number, block=head.number, text=signed.text, signature=signed.signature)
        )
        self._outside_due = True
        return signed

    def _signer(self, key_id: str) -> Signer:
        if key_id not in self._signers:
            self._signers[key_id] = Signer(key_id, self._keys.get(Kind.AUDIT, key_id).secret)
        return self._signers[key_id]

    def _signer_of(self, public: str) -> Signer | None:
        """The key that made the last checkpoint, as long as it is kept: it announces the one that follows."""
        return next((each for key_id in self._keys.ids(Kind.AUDIT) if (each := self._signer(key_id)).public == public), None)

    def _outside_last(self) -> int:
        """A ledger that was cut back or restored must not sign the same number twice; verification shows the gap. Blocks."""
        try:
            return self._outside.last()
        except (OSError, AuditError):
            return 0  # told by _write_outside

    async def _write_outside(self) -> None:
        """Also what earlier holders of the lease could not write."""

        def newer(last: int) -> Sequence[Signed]:
            found = self._ledger.engine.read_here(lambda conn: queries.checkpoints(conn, after=last, limit=MANY))
            return [Signed(text=each.text, signature=each.signature) for each in found]

        try:
            while await asyncio.to_thread(self._outside.catch_up, newer):
                pass
        except AuditError as error:
            raise Unavailable("audit-checkpoint-file", error.safe_detail) from error
        self._outside_due = False

    async def _stamp(self, stamper: TimeStamper) -> None:
        try:
            for each in await self._ledger.read(lambda conn: queries.untimed(conn, LATE_STAMPS)):
                token = await stamper.stamp(each.signature)
                await self._ledger.submit(ops.AddTimeStamp(number=each.number, token=token))
        except GatewayError as error:
            _log.warning("audit-not-stamped", extra={"code": error.code})
