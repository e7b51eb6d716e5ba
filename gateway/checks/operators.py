"""What ``renkei check`` says of operators: rights that ended or were never approved, reviews that were missed (C-1-3-17, C-2-3-5)."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

from gateway.admin.identity import rights_of
from gateway.approvals.rights import JAPAN, Account, Rights, overdue
from gateway.config import Config
from gateway.contract import Finding


async def look_at_accounts(config: Config) -> list[Finding]:
    """The operators of the configuration against what the ledger knows of them; an empty ledger takes them over as they are."""
    from gateway.ledger.engine import open_engine
    from gateway.ledger.migrate import check_schema
    from gateway.ledger.operators import accounts

    configured = {name: rights_of(operator) for name, operator in config.admin.operators.items()}
    url = config.ledger_url()
    file = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:") else None
    known: dict[str, Account] = {}
    if file is None or file.exists():
        engine = open_engine(url, readers=1)
        try:
            await asyncio.to_thread(check_schema, engine)
            known = await asyncio.to_thread(engine.read_here, accounts)
        finally:
            await engine.close()
    return findings(configured, known, dt.datetime.now(dt.UTC))


def findings(configured: dict[str, Rights], known: dict[str, Account], now: dt.datetime) -> list[Finding]:
    """One finding for each thing to put right, or one that all is well."""
    today = now.astimezone(JAPAN).date()
    late = [name for name in configured if name in known and overdue(dt.datetime.fromtimestamp(known[name].reviewed_at, dt.UTC), now)]
    ended = [name for name, rights in configured.items() if rights.valid_until is not None and rights.valid_until < today]
    waiting = [name for name in configured if known and (name not in known or not configured[name].within(known[name].rights))]
    found = []
    if late:
        detail = f"the yearly review is overdue: {', '.join(late)}"
        found.append(Finding(name="operators: review", ok=False, detail=detail, remedy="renkei operators review NAME, by another person"))
    if ended:
        detail = f"the rights have ended: {', '.join(ended)}"
        found.append(Finding(name="operators: ended", ok=False, detail=detail, remedy="take them out of admin.operators"))
    if waiting:
        detail = f"not approved by a second person yet: {', '.join(waiting)}"
        found.append(Finding(name="operators: approval", ok=False, detail=detail, remedy="renkei operators grant NAME, then an approval"))
    return found or [Finding(name="operators: rights", ok=True, detail="approved, in force and reviewed")]
