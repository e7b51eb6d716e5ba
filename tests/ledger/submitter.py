"""A process that admits fictitious messages: ``python -m tests.ledger.submitter URL COUNT RESIDENTS SEED``.

It writes one line for each message: id and receipt. It starts when something arrives on standard input, so that all start together.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys

from gateway.ledger.ledger import Ledger
from tests.ledger.kit import prepared, to


async def main(url: str, count: int, residents: int, seed: int) -> None:
    ledger = await asyncio.to_thread(Ledger.open, url)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    order = list(range(count))
    random.Random(seed).shuffle(order)

    async def one(number: int) -> tuple[str, str]:
        # whoever comes second hands in another object: new ids, same content
        message = prepared(f"m{number}", to(party_key=f"k{number}"), who=number % residents, content=f"content {number}")
        [admission] = await ledger.admit([message])
        return f"m{number}", admission.receipt.decode()

    found: list[tuple[str, str]] = []
    for start in range(0, count, 25):
        found += await asyncio.gather(*(one(number) for number in order[start : start + 25]))
    await ledger.close()
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
