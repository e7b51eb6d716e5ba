"""A lean register: hands the workload in through a door as fast as it is taken, or at a given rate, and measures the acceptance."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from pathlib import Path

import aiohttp
import uvloop
from joserfc import jwe
from joserfc.jwk import ECKey

from certs.tls import client_context
from gateway.broker import BrokerEndpoint, Publisher
from tests.performance.workload import Work, stream, updates

SYSTEM = "resident-record-system"
TYPE = "identity-information-update"


async def push_https(
    *, url: str, certificates: Path, count: int, skip: int, in_flight: int, per_s: float | None = None
) -> dict[str, float]:
    """``POST /v1/messages`` for each; latencies from request to receipt, in seconds."""
    # a long run makes its messages as it goes, so that this process does not hold them all
    work = updates(skip, count) if count <= 20_000 else itertools.islice(stream(skip + count), skip, None)
    context = client_context(
        certificates / f"{SYSTEM}.pem", certificates / f"{SYSTEM}.key", certificates / "ca.pem", certificates / "ca.crl"
    )
    context.check_hostname = False
    latencies: list[float] = []
    refused = 0
    started = time.perf_counter()
    queue = iter(enumerate(work))

    async def lane(session: aiohttp.ClientSession) -> None:
        nonlocal refused
        for number, item in queue:
            due = started + number / per_s if per_s else time.perf_counter()
            if due > time.perf_counter():
                await asyncio.sleep(due - time.perf_counter())
            began = time.perf_counter() if per_s is None else due
            async with session.post(f"{url}/v1/messages", data=item.xml, headers=_headers(item)) as response:
                await response.read()
                refused += response.status != 202
            latencies.append(time.perf_counter() - began)

    connector = aiohttp.TCPConnector(ssl=context, limit=in_flight)
    async with aiohttp.ClientSession(connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
        cpu = time.process_time()
        started = time.perf_counter()
        await asyncio.gather(*(lane(session) for _ in range(in_flight)))
    seconds = time.perf_counter() - started
    latencies.sort()
    return {
        "rate": count / seconds,
        "refused": refused,
        "p50_s": latencies[len(latencies) // 2],
        "p99_s": latencies[int(len(latencies) * 0.99)],
        "cpu_us": (time.process_time() - cpu) / count * 1e6,
        "seconds": seconds,
        "started_at": time.time() - seconds,
    }


async def push_amqp(*, host: str, port: int, url: str, certificates: Path, count: int, skip: int) -> dict[str, float]:
    """CloudEvents in binary mode with a JWE each, encrypted before the clock starts: that is the register's machine's work."""
    work = updates(skip, count)
    context = client_context(
        certificates / f"{SYSTEM}.pem", certificates / f"{SYSTEM}.key", certificates / "ca.pem", certificates / "ca.crl"
    )
    context.check_hostname = False
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), trust_env=False) as session,
        session.get(f"{url}/v1/keys") as response,
    ):
        published = (await response.json(content_type=None))["keys"][0]
    key = ECKey.import_key(published)
    header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "kid": published["kid"]}
    sealed = [(item, jwe.encrypt_compact(header, item.xml, key, algorithms=[header["alg"], header["enc"]]).encode()) for item in work]
    endpoint = BrokerEndpoint(hosts=((host, port),), tls=context, server_name="broker")
    publisher = Publisher(endpoint, name="bench register", window=500)
    if not await publisher.start():
        raise RuntimeError("no broker")
    started = time.perf_counter()

    async def one(item: Work, body: bytes) -> None:
        await publisher.publish(f"intake.{SYSTEM}", "in", body, content_type="application/jose", headers=_attributes(item))

    for first in range(0, count, 250):
        await asyncio.gather(*(one(item, body) for item, body in sealed[first : first + 250]))
    seconds = time.perf_counter() - started
    await publisher.close()
    return {"rate": count / seconds, "seconds": seconds, "started_at": time.time() - seconds}


def _attributes(item: Work) -> dict[str, str]:
    values = {"specversion": "1.0", "id": item.id, "source": SYSTEM, "type": TYPE, "time": item.time}
    return {f"cloudEvents:{name}": value for name, value in values.items()}


def _headers(item: Work) -> dict[str, str]:
    return {
        "ce-specversion": "1.0",
        "ce-id": item.id,
        "ce-source": SYSTEM,
        "ce-type": TYPE,
        "ce-time": item.time,
        "Content-Type": "application/xml",
    }


def main() -> None:
    """As a process of its own."""
    flags = argparse.ArgumentParser()
    for name in ("--url", "--certificates"):
        flags.add_argument(name, required=True)
    for name, default in (("--count", 5000), ("--skip", 0), ("--in-flight", 64)):
        flags.add_argument(name, type=int, default=default)
    flags.add_argument("--per-s", type=float, default=None)
    flags.add_argument("--amqp", type=int, default=0, metavar="PORT")
    given = flags.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(
            push_amqp(
                host="127.0.0.1",
                port=given.amqp,
                url=given.url,
                certificates=Path(given.certificates),
                count=given.count,
                skip=given.skip,
            )
            if given.amqp
            else push_https(
                url=given.url,
                certificates=Path(given.certificates),
                count=given.count,
                skip=given.skip,
                in_flight=given.in_flight,
                per_s=given.per_s,
            )
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
