"""What ``renkei check`` says of the business flows: cases with a step that is overdue, and whether they are followed."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from sqlalchemy import Connection, func, select

from gateway.config import Config
from gateway.contract import Finding
from gateway.ledger import flows as lf
from gateway.ledger import tables as t

BEHIND = 2000
"""Blocks of the record: as many are no passing load."""


async def look_at_flows(config: Config) -> list[Finding]:
    """Overdue cases by flow, and how far the cases are behind the record; a ledger that is not there yet has none."""
    from gateway.ledger.engine import open_engine
    from gateway.ledger.migrate import check_schema

    url = config.ledger_url()
    file = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:") else None
    if file is not None and not await asyncio.to_thread(file.exists):
        return [Finding(name="flows: overdue", ok=True, detail="none")]
    engine = open_engine(url, readers=1)
    try:
        await asyncio.to_thread(check_schema, engine)
        counts, behind = await asyncio.to_thread(engine.read_here, _look)
    finally:
        await engine.close()
    return findings(counts, behind)


def _look(conn: Connection) -> tuple[dict[tuple[str, str], int], int]:
    newest = conn.execute(select(func.max(t.audit_block.c.number))).scalar() or 0
    return lf.counts(conn), newest - lf.cursor(conn)


def findings(counts: dict[tuple[str, str], int], behind: int) -> list[Finding]:
    """One finding for each thing to put right, or one that all is well."""
    late = Counter({flow: number for (flow, state), number in counts.items() if state == "overdue"})
    found = []
    if late:
        detail = ", ".join(f"{flow} {number}" for flow, number in sorted(late.items()))
        found.append(Finding(name="flows: overdue", ok=False, detail=f"cases that are overdue: {detail}", remedy="renkei flows overdue"))
    if behind > BEHIND:
        detail = f"they are {behind} blocks behind the record"
        found.append(Finding(name="flows: behind", ok=False, detail=detail, remedy="is a gateway process running? look for flows-stand"))
    return found or [Finding(name="flows: overdue", ok=True, detail="none")]
