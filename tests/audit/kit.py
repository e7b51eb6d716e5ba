"""A ledger whose audit entries are chained, and somebody who tampers with it. All entries are fictitious."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sqlalchemy import text

from gateway.audit import queries
from gateway.audit.canonical import Block, Row
from gateway.audit.chainer import Chainer, ChainerOptions
from gateway.audit.checkpoint import Signed, Signer, fingerprint
from gateway.audit.outside import OutsideFile, read_file
from gateway.audit.sources import LedgerSource
from gateway.audit.verify import Given, Report, verify
from gateway.delivery.liveness import Liveness
from gateway.ledger.ledger import Ledger
from gateway.ledger.unit import Unit
from gateway.security.keys import KeyStore, Kind


@dataclass(slots=True, kw_only=True)
class Write:
    """Entries as any operation writes them."""

    kind: str
    count: int = 1
    detail: dict[str, Any] | None = None
    bulk: bool = False
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is needed."""

    def apply(self, unit: Unit) -> None:
        for number in range(self.count):
            unit.audit(self.kind, "tester", message=f"{number:032x}", number=number, **(self.detail or {}))

    def finish(self, unit: Unit) -> None:
        return None


class Record:
    """One process that writes entries and chains them when told."""

    def __init__(self, ledger: Ledger, liveness: Liveness, keys: KeyStore, folder: Path, *, stamper: Any = None) -> None:
        self.ledger = ledger
        self.liveness = liveness
        self.keys = keys
        self.outside = folder / "outside" / "checkpoints.txt"
        options = ChainerOptions(instance="test", checkpoint_s=3600.0)
        self.chainer = Chainer(ledger, liveness, keys, OutsideFile(self.outside), options, stamper)

    @classmethod
    async def open(cls, url: str, folder: Path, *, keys: Path | None = None, stamper: Any = None) -> Self:
        ledger = Ledger.open(url, profile="test")
        liveness = Liveness(ledger, "gateway")
        await liveness.start()
        return cls(ledger, liveness, KeyStore(keys or folder / "keys").ensure(), folder, stamper=stamper)

    async def close(self) -> None:
        await self.liveness.stop()
        await self.ledger.close()

    async def write(self, *kinds: str, count: int = 1, **detail: Any) -> None:
        """Entries, each kind in a transaction of its own."""
        for kind in kinds:
            await self.ledger.submit(Write(kind=kind, count=count, detail=detail))

    async def fill(self, blocks: int = 5, entries: int = 4) -> None:
        """So many blocks, with a signed checkpoint at each."""
        for number in range(blocks):
            await self.write(f"kind-{number}", count=entries)
            await self.chainer.once(reason="test")

    async def state(self) -> queries.ChainState:
        return await self.ledger.read(queries.chain_state)

    def tamper(self, statement: str, **values: Any) -> None:
        """As somebody who can write the database."""
        session = self.ledger.engine.session()
        try:
            session.begin()
            session.connection.execute(text(statement), values)
            session.commit()
        finally:
            session.close()

    def ids(self, block: int) -> list[str]:
        return [e for each in self.ledger.engine.read_here(lambda c: queries.blocks(c, block - 1, 1)) for e in each.ids()]

    def rows(self, block: Block) -> list[Row]:
        found = self.ledger.engine.read_here(lambda c: queries.entries(c, block.ids()))
        return [Row._make(found[each]) for each in block.ids()]

    def given(self, *, outside: bool = True) -> list[Given]:
        """The checkpoints that there are."""
        found = self.ledger.engine.read_here(queries.checkpoints)
        given = [Given(signed=Signed(text=each.text, signature=each.signature), origin="ledger") for each in found]
        if outside:
            given += [Given(signed=each, origin="outside") for each in read_file(self.outside)]
        return given

    def pin(self) -> str:
        key = self.keys.current(Kind.AUDIT)
        return fingerprint(Signer(key.id, key.secret).public)

    def verify(self, *, outside: bool = True) -> Report:
        return verify(LedgerSource(self.ledger.engine.read_here), self.given(outside=outside), trusted=[self.pin()])


def codes(report: Report) -> list[tuple[str, int | None]]:
    """What is wrong, and in which block."""
    return [(each.code, each.block) for each in report.findings]
