"""What ``renkei check`` says of the policy: the version that counts can be read, breaks no rule, and is no sample (I7)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from gateway.config import Config
from gateway.contract import Finding
from gateway.policy import checks
from gateway.policy.loading import build, packaged
from gateway.policy.model import Policy
from gateway.policy.routes import tables


async def look_at_policy(config: Config) -> list[Finding]:
    """The version that counts in the ledger; where there is none yet, the packaged one."""
    from gateway.ledger.engine import open_engine
    from gateway.ledger.migrate import check_schema
    from gateway.ledger.policies import active

    url = config.ledger_url()
    file = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:") else None
    policy = packaged()
    if file is None or file.exists():
        engine = open_engine(url, readers=1)
        try:
            await asyncio.to_thread(check_schema, engine)
            found = await asyncio.to_thread(engine.read_here, active)
        finally:
            await engine.close()
        if found.document is not None:
            policy = build(json.loads(found.document), version=found.version)
    return findings(policy, production=config.profile == "production")


def findings(policy: Policy, *, production: bool) -> list[Finding]:
    """One finding for each thing to put right, or one that all is well."""
    found = []
    faults = [each for each in checks.findings(policy, tables()) if each.fault]
    if faults:
        detail = f"breaks a rule that no policy may break: {', '.join(sorted({each.code for each in faults}))}"
        found.append(Finding(name="policy", ok=False, detail=detail, remedy="renkei policy check, then renkei policy apply"))
    if policy.sample and production:
        detail = "the approvals that count are the sample"
        found.append(Finding(name="policy", ok=False, detail=detail, remedy="apply the city's own approvals: renkei policy apply"))
    return found or [Finding(name="policy", ok=True, detail=f"version {policy.version} counts: {policy.name}")]
