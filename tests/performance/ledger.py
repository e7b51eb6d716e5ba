"""The ledger alone: what its transactions could do if nothing else took time. SQLite, groups of 100, in the calling thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.contract import Delivered, Receipt
from gateway.delivery.rows import PartyTraits
from gateway.ids import new_id
from gateway.ledger.admission import Admit
from gateway.ledger.claims import ClaimKeys
from gateway.ledger.engine import open_engine
from gateway.ledger.housekeeping import RegisterProcess, RenewProcess
from gateway.ledger.migrate import migrate
from gateway.ledger.outcomes import Learned, WriteOutcomes
from gateway.ledger.prepared import PreparedDelivery, PreparedMessage
from gateway.ledger.unit import run_group
from gateway.security.sealing import Sealed

GROUP = 100
PARTY = "city-cs"


def measure(folder: Path, count: int = 6000) -> dict[str, float]:
    """Messages a second for admission, claim and outcome, each by itself."""
    engine = open_engine(f"sqlite:///{folder}/ledger.db")
    migrate(engine)
    session = engine.session()
    traits = PartyTraits(party=PARTY, resend=True, memory_s=1e6)

    def transact(operations: Sequence[Any]) -> list[Any]:
        now = session.begin()
        results = run_group(session.connection, operations, now)
        session.commit()
        return results

    try:
        [worker] = transact([RegisterProcess(role="worker", host="bench", pid=1)])
        messages = [_message(number) for number in range(count)]
        found = {}
        started = time.perf_counter()
        keys = [
            bell.key_id
            for first in range(0, count, GROUP)
            for _, rung in transact([Admit(messages=[m]) for m in messages[first : first + GROUP]])
            for bell in rung
        ]
        found["admission"] = count / (time.perf_counter() - started)
        started = time.perf_counter()
        claims = []
        for first in range(0, count, GROUP):
            wanted = [ClaimKeys(worker=worker, party=PARTY, keys=[key], traits=traits) for key in keys[first : first + GROUP]]
            claims += [claim for result in transact([RenewProcess(id=worker), *wanted])[1:] for claim in result.claimed]
        found["claim"] = count / (time.perf_counter() - started)
        started = time.perf_counter()
        for first in range(0, count, GROUP):
            transact(
                [
                    WriteOutcomes(
                        worker=worker,
                        party=PARTY,
                        traits=traits,
                        learned=[Learned(claim=claim, answer=Delivered(receipt=Receipt(code="accepted", body=b"")), sealed=_sealed(900))],
                    )
                    for claim in claims[first : first + GROUP]
                ]
            )
        found["outcome"] = count / (time.perf_counter() - started)
        found["all three"] = 1 / sum(1 / rate for rate in found.values())
        return found
    finally:
        session.close()
        engine.close_here()


def _sealed(size: int) -> Sealed:
    return Sealed(key_id=new_id(), kek_id="bench", wrapped=b"w" * 40, sealed=b"s" * size)


def _message(number: int) -> PreparedMessage:
    return PreparedMessage(
        message_id=new_id(),
        system="resident-record-system",
        source_id=f"bench-{number}",
        type="identity-information-update",
        schema="1",
        content_mac=number.to_bytes(32),
        door="https",
        identifiers=(("resident-record-code", number.to_bytes(32)), ("individual-number", (number + 1).to_bytes(33))),
        hmac_key_id="bench",
        deliveries=(
            PreparedDelivery(
                party=PARTY, stream="identity", lane="live", party_key=f"R{number:018}", content_digest=b"d" * 32, sealed=_sealed(2000)
            ),
        ),
    )
