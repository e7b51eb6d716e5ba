"""A key store of its own for each test; network tests run on both event loops."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop
from sqlalchemy import select

from gateway.ledger import tables as t
from gateway.ledger.ledger import Ledger
from gateway.security.keys import KeyStore
from tests.security.attacking import Watcher
from tests.support.token import soft_token, token_settings

__all__ = ["keys", "on_record", "soft_token", "token_settings"]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, copied for each attack."""
    file = tmp_path_factory.mktemp("ledger") / "ledger.db"
    asyncio.run(_made(file))
    return file


async def _made(file: Path) -> None:
    await Ledger.open(f"sqlite:///{file}").close()


@pytest.fixture
async def on_record(empty_ledger: Path, tmp_path: Path) -> AsyncIterator[None]:
    """Every refusal of the test is an entry of the audit record: who, from where, why, how often."""
    Watcher.made.clear()
    yield
    noted = Counter(
        (each["direction"], each["place"], each["address"], each["code"], each.get("who") or "")
        for one in Watcher.made
        for each in one.notes
    )
    if not noted:
        return
    folder = tmp_path / "record"
    folder.mkdir(mode=0o700)
    shutil.copyfile(empty_ledger, folder / "ledger.db")
    (folder / "ledger.db").chmod(0o600)
    ledger = Ledger.open(f"sqlite:///{folder}/ledger.db")
    try:
        for one in Watcher.made:
            if rows := await one.counted():
                await ledger.record_refusals(rows)
        query = select(t.audit_entry).where(t.audit_entry.c.kind == "peer-refused")
        entries = await ledger.read(lambda connection: connection.execute(query).all())
    finally:
        await ledger.close()
    found: Counter[tuple[str, ...]] = Counter()
    for entry in entries:
        detail = json.loads(entry.detail)
        who = "" if entry.actor == "unknown" else entry.actor
        found[detail["direction"], detail["place"], detail["address"], detail["code"], who] += detail["count"]
    assert found == noted


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys").ensure()
