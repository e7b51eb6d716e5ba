"""A ledger with keys, a keeper of the retention table and a chained record: what a backup is made of. All data are fictitious."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url, text

from gateway.audit import queries
from gateway.audit.chainer import Chainer, ChainerOptions
from gateway.audit.checkpoint import Signed
from gateway.audit.outside import OutsideFile, read_file
from gateway.audit.sources import LedgerSource
from gateway.audit.verify import Given, Report, verify
from gateway.backup.create import BackupPlace, create
from gateway.backup.manifest import SUFFIX, Manifest
from gateway.backup.restore import Restored, RestorePlace, restore, trusted_keys
from gateway.delivery.liveness import Liveness
from gateway.retention.erasures import ErasureList
from gateway.retention.keeper import Keeper
from tests.keys.kit import Safe
from tests.retention.test_keeper import TYPE, keeper_of

OTHER = "identity-information-update"


@dataclass
class Town:
    """See the module's text."""

    folder: Path
    url: str
    safe: Safe
    keeper: Keeper
    liveness: Liveness
    chainer: Chainer
    outside: Path
    place: BackupPlace

    @classmethod
    async def open(cls, folder: Path, url: str) -> Town:
        safe = await Safe.open(folder, url, ephemeral=frozenset({TYPE}))
        keeper = keeper_of(safe, folder)
        liveness = Liveness(safe.ledger, "gateway")
        await liveness.start()
        outside = folder / "outside" / "checkpoints.txt"
        erasures = ErasureList(folder / "erasures.jsonl")
        options = ChainerOptions(instance="test", checkpoint_s=3600.0, erasures=erasures.end)
        chainer = Chainer(safe.ledger, liveness, safe.keys, OutsideFile(outside), options)
        place = BackupPlace(
            instance="test", directory=folder / "backups", keys=safe.keys, erasures=erasures, checkpoints=outside,
            ephemeral=frozenset({TYPE}),
        )  # fmt: skip
        return cls(folder, url, safe, keeper, liveness, chainer, outside, place)

    async def close(self) -> None:
        await self.liveness.stop()
        await self.safe.close()

    async def chain(self) -> None:
        """Chain what there is, and sign."""
        await self.chainer.once(reason="test")

    async def backup(self) -> tuple[Path, Manifest]:
        """A backup of now, with everything chained before."""
        await self.chain()
        engine = self.safe.ledger.engine
        made = await asyncio.to_thread(create, engine.read_here, engine.dialect, self.place, "local:tester")
        return self.place.directory / f"{made.backup}{SUFFIX}", made

    def restore_place(self, url: str | None = None) -> RestorePlace:
        return RestorePlace(
            url=url or self.elsewhere(), instance="test", parties=["city-cs", "prefecture-server"], keys=self.place.keys,
            erasures=self.place.erasures, checkpoints=self.outside,
        )  # fmt: skip

    def elsewhere(self) -> str:
        """An empty database of the same kind."""
        if self.url.startswith("sqlite"):
            number = len(list(self.folder.glob("restored-*")))
            return f"sqlite:///{self.folder}/restored-{number}/renkei.db"
        import psycopg

        url = make_url(self.url)
        name = f"{url.database}_{secrets.token_hex(4)}"
        driver = url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(driver, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[call-overload]
        return url.set(database=name).render_as_string(hide_password=False)

    async def restore(self, file: Path) -> tuple[Restored, Town]:
        """The disaster: the old ledger is gone; a new one from the backup."""
        await self.liveness.stop()
        place = self.restore_place()
        done = await asyncio.to_thread(restore, file, place, "local:tester")
        await self.safe.close()
        again = await Town.open(self.folder, place.url)
        self.liveness, self.safe = again.liveness, again.safe  # closed once, by whoever closes this one
        return done, again

    def verify_chain(self) -> Report:
        """As ``renkei audit verify`` does."""
        read = self.safe.ledger.engine.read_here
        given = [Given(signed=Signed(text=e.text, signature=e.signature), origin="ledger") for e in read(queries.checkpoints)]
        given += [Given(signed=each, origin="outside") for each in read_file(self.outside)]
        return verify(LedgerSource(read), given, trusted=trusted_keys(self.safe.keys))

    def tamper(self, statement: str) -> None:
        session = self.safe.ledger.engine.session()
        try:
            session.begin()
            session.connection.execute(text(statement))
            session.commit()
        finally:
            session.close()
