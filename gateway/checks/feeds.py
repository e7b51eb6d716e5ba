"""``renkei check``: are all feeds here, and all links up to date (FM-1)?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from gateway.config import Config
from gateway.contract import Finding
from gateway.feeds.words import meaning, next_step


async def look_at_feeds(config: Config) -> Sequence[Finding]:
    """One finding for each open anomaly."""
    from gateway.ledger.anomalies import Known, open_ones
    from gateway.ledger.engine import open_engine
    from gateway.ledger.migrate import check_schema

    url = config.ledger_url()
    file = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:") else None
    known: list[Known] = []
    if file is None or file.exists():
        engine = open_engine(url, readers=1)
        try:
            await asyncio.to_thread(check_schema, engine)
            known = await asyncio.to_thread(engine.read_here, open_ones)
        finally:
            await engine.close()
    if not known:
        return [Finding(name="feeds", ok=True, detail="nothing is late, nothing lags")]
    return [
        Finding(name=f"feed {each.link}", ok=False, detail=f"{meaning(each.kind, 'en')} ({each.cause})", remedy=next_step(each.cause, "en"))
        for each in known
    ]
