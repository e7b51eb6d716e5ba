"""The registers of the benches of isolation, each a process of its own, told by lines on its standard input when to begin and end.

``live``: open loop, at random moments (a Poisson stream) at a given rate from the first line on until the input ends. It prints, for each
message, its 依頼管理番号 and the moment at which it was due to be handed in, whether or not the register was late: so a gateway that stands
still is measured, not only one that is slow. With ``--population`` the residents are few, and each has many messages.

``bulk``: closed loop, so many messages under way in batches of :data:`BATCH`, from a line ``on`` to a line ``off``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from certs.tls import client_context
from tests.performance.pusher import SYSTEM, TYPE
from tests.performance.workload import Work, busy, stream

MOST = 1_500_000
"""Messages in a workload: more than a bench uses."""
BATCH_TYPE = "application/cloudevents-batch+json"
BATCH = 25
"""As ``renkei submit --bulk`` does it."""


def headers_of(item: Work) -> dict[str, str]:
    """Attributes of a message."""
    given = {"ce-specversion": "1.0", "ce-id": item.id, "ce-source": SYSTEM, "ce-type": TYPE, "ce-time": item.time}
    return {**given, "Content-Type": "application/xml"}


async def handed_over(session: aiohttp.ClientSession, url: str, item: Work) -> bool:
    """Hand in one message, again and again while there is no answer or the gateway says that it cannot now; False: it was refused."""
    while True:
        try:
            async with session.post(f"{url}/v1/messages", data=item.xml, headers=headers_of(item)) as response:
                await response.read()
                if response.status < 500:
                    return response.status == 202
        except (aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(0.05)


async def batch_over(session: aiohttp.ClientSession, url: str, batch: list[Work]) -> int:
    """Hand in a batch for the bulk lane; how many of it were accepted. What is not known, or cannot be now, is handed in again."""
    left = [
        {
            "specversion": "1.0", "id": each.id, "source": SYSTEM, "type": TYPE, "time": each.time, "lane": "bulk",
            "datacontenttype": "application/xml", "data": each.xml.decode(),
        }
        for each in batch
    ]  # fmt: skip
    accepted = 0
    while left:
        try:
            body = json.dumps(left, ensure_ascii=False).encode()
            async with session.post(f"{url}/v1/messages", data=body, headers={"Content-Type": BATCH_TYPE}) as response:
                said = await response.json() if response.status == 200 else [{"status": response.status}] * len(left)
        except (aiohttp.ClientError, TimeoutError):
            said = [{"status": 503}] * len(left)
        accepted += sum(each["status"] == 202 for each in said)
        left = [event for event, each in zip(left, said, strict=True) if each["status"] >= 500]
        if left:
            await asyncio.sleep(0.05)
    return accepted


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _left(tasks: Collection[asyncio.Task[None]]) -> int:
    """Let what is under way end; how many were still there when the gateway had long been away."""
    if not tasks:
        return 0
    ended, pending = await asyncio.wait(tasks, timeout=60.0)
    for task in pending:
        task.cancel()
    for task in ended:
        task.result()
    return len(pending)


async def live(session: aiohttp.ClientSession, url: str, work: Iterator[Work], per_s: float, seed: int) -> dict[str, Any]:
    """See the module."""
    lines = await _lines()
    await lines.readline()
    ended = asyncio.create_task(lines.read())
    random_ = random.Random(seed)
    handed_in: list[tuple[str, float]] = []
    refused = 0
    tasks: set[asyncio.Task[None]] = set()
    last: dict[int, asyncio.Task[None]] = {}

    async def one(item: Work, before: asyncio.Task[None] | None) -> None:
        nonlocal refused
        if before is not None:
            await before  # of one resident a message is handed in when the one before it has its receipt
        refused += not await handed_over(session, url, item)

    due = time.time()
    for item in work:
        due += random_.expovariate(per_s)
        while (wait := due - time.time()) > 0 and not ended.done():
            await asyncio.wait([ended], timeout=wait)
        if ended.done():
            break
        handed_in.append((item.party_key, due))
        task = last[item.resident] = asyncio.create_task(one(item, last.get(item.resident)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    refused += await _left(tasks)
    return {"handed_in": handed_in, "refused": refused}


async def bulk(session: aiohttp.ClientSession, url: str, work: Iterator[Work], in_flight: int) -> dict[str, Any]:
    """See the module."""
    lines = await _lines()
    on = asyncio.Event()
    over = False
    accepted = refused = 0

    async def lane() -> None:
        nonlocal accepted, refused
        while True:
            await on.wait()
            if over:
                return
            batch = list(itertools.islice(work, BATCH))
            if not batch:
                raise RuntimeError("the workload is used up")
            done = await batch_over(session, url, batch)
            accepted += done
            refused += len(batch) - done

    tasks = [asyncio.create_task(lane()) for _ in range(max(1, in_flight // BATCH))]
    while line := await lines.readline():
        if line == b"on\n":
            on.set()
        else:
            on.clear()
    over = True
    on.set()
    refused += await _left(tasks)
    return {"accepted": accepted, "refused": refused}


async def run(given: argparse.Namespace) -> dict[str, Any]:
    """One of them."""
    folder = Path(given.certificates)
    context = client_context(folder / f"{SYSTEM}.pem", folder / f"{SYSTEM}.key", folder / "ca.pem", folder / "ca.crl")
    context.check_hostname = False
    work: Iterator[Work] = itertools.islice(stream(MOST), given.skip, None)
    if given.population:
        work = busy(given.population, MOST)
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    timeout = aiohttp.ClientTimeout(total=60.0)
    async with aiohttp.ClientSession(connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout) as session:
        first = next(work)  # makes the stream skip before the clock starts
        work = itertools.chain([first], work)
        print("ready", flush=True)
        if given.which == "live":
            return await live(session, given.url, work, given.per_s, given.seed)
        return await bulk(session, given.url, work, given.in_flight)


def main() -> None:
    """As a process of its own."""
    flags = argparse.ArgumentParser()
    flags.add_argument("which", choices=("live", "bulk"))
    for name in ("--url", "--certificates"):
        flags.add_argument(name, required=True)
    for name, default in (("--skip", 0), ("--in-flight", 64), ("--seed", 1), ("--nice", 0), ("--population", 0)):
        flags.add_argument(name, type=int, default=default)
    flags.add_argument("--per-s", type=float, default=80.0)
    given = flags.parse_args()
    os.nice(given.nice)
    with contextlib.suppress(OSError):  # a kernel that groups processes by their session weighs the group, not the process
        Path("/proc/self/autogroup").write_text(str(given.nice))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(run(given))), flush=True)


if __name__ == "__main__":
    main()
