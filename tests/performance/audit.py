"""The audit chain alone: what a process takes to chain entries, and how fast the chain is verified, from the ledger and from an export."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.audit import queries
from gateway.audit.chainer import Chainer, ChainerOptions
from gateway.audit.checkpoint import Signed
from gateway.audit.export import CHAIN, block_text, stamped, write
from gateway.audit.outside import OutsideFile
from gateway.audit.sources import ExportSource, LedgerSource
from gateway.audit.verify import Given, Report, Source, verify
from gateway.delivery.liveness import Liveness
from gateway.ledger.ledger import Ledger
from gateway.ledger.unit import Unit
from gateway.security.keys import KeyStore

TOGETHER = 100


@dataclass(slots=True, kw_only=True)
class _Provisions:
    """Entries as a delivery leaves them."""

    bulk: bool = False
    size: int = TOGETHER

    def plan(self, unit: Unit) -> None:
        """Nothing is needed."""

    def apply(self, unit: Unit) -> None:
        for number in range(TOGETHER):
            detail: dict[str, Any] = {"attempt": 1, "code": "accepted", "outcome": "delivered", "receipt": "0" * 32, "state": "delivered"}
            unit.audit("provided", "0" * 32, message=f"{number:032x}", delivery_id=f"{number:036x}", **detail)

    def finish(self, unit: Unit) -> None:
        return None


def measure(folder: Path, count: int = 200_000) -> dict[str, float]:
    """``chain_cpu_us`` (of one entry, all threads of the process, database included), ``ledger`` and ``export`` (entries verified a second,
    and by CPU time ``…_cpu``)."""
    return asyncio.run(_measure(folder, count))


async def _measure(folder: Path, count: int) -> dict[str, float]:
    ledger = Ledger.open(f"sqlite:///{folder}/ledger.db")
    liveness = Liveness(ledger, "bench")
    await liveness.start()
    try:
        options = ChainerOptions(instance="bench", checkpoint_s=3600.0)
        keys = KeyStore(folder / "keys").ensure()
        chainer = Chainer(ledger, liveness, keys, OutsideFile(folder / "checkpoints.txt"), options)
        for _ in range(count // TOGETHER):
            await ledger.submit(_Provisions())
        started = time.process_time()
        await chainer.once()
        found = {
            "chain_cpu_us": (time.process_time() - started) / count * 1e6,
            "longest_lock_ms": ledger.writer.statistics.longest_lock_s * 1e3,
        }
        checkpoints = stamped(await ledger.read(queries.checkpoints))
        source = LedgerSource(ledger.engine.read_here)
        found |= _rates("ledger", source, [each.signed for each in checkpoints], count)
        write(folder / "export", (block_text(block, rows) for block, rows in source.blocks()), checkpoints)
        found |= _rates("export", ExportSource(folder / "export" / CHAIN), [each.signed for each in checkpoints], count)
    finally:
        await liveness.stop()
        await ledger.close()
    return found


def _rates(name: str, source: Source, checkpoints: list[Signed], count: int) -> dict[str, float]:
    cpu, started = time.process_time(), time.perf_counter()
    report: Report = verify(source, [Given(signed=each, origin="bench") for each in checkpoints])
    if not report.ok or report.entries != count or report.signed_to != report.last_block:
        raise RuntimeError(f"the chain of the bench is not well: {report.findings[:3]}")
    return {name: count / (time.perf_counter() - started), f"{name}_cpu": count / (time.process_time() - cpu)}
