"""The worker process: deliveries to the parties."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from gateway import memory
from gateway.bootstrap.base import Base, base, results_of, topology_of, traits_of
from gateway.bootstrap.inbound import answer_questions, host_of
from gateway.broker import topology
from gateway.config import Config
from gateway.delivery.calls import Caller
from gateway.delivery.party import PartyRunner, Shape
from gateway.delivery.worker import Worker
from gateway.keyring import sealer
from gateway.message_trust import party_signatures
from gateway.pacing import BulkPace
from gateway.ready import mark_ready
from gateway.security.sealing import Sealer


async def worker(config: Config, stop: asyncio.Event) -> None:
    """Deliver until ``stop`` is set; then end what is under way."""
    async with base(config, "worker") as common, contextlib.AsyncExitStack() as stack:
        await topology.declare(common.endpoint, topology_of(config, common.parties))
        await answer_questions(config, common, stack)
        lanes: tuple[topology.Lane, ...] = ("live",) if config.bulk.process else topology.LANES
        await open_deliveries(config, common, stack, sealer(config, common.keys, common.rights), lanes=lanes)
        memory.settle()
        with mark_ready(config.data_dir, "worker"):
            await stop.wait()


async def open_deliveries(
    config: Config, common: Base, stack: contextlib.AsyncExitStack, seals: Sealer, *, lanes: Sequence[topology.Lane]
) -> None:
    """Deliver what these lanes bring, until ``stack`` is closed."""
    results = results_of(common, seals)
    pace = BulkPace(config.bulk.per_s, live_elsewhere="live" not in lanes, presence=common.presence)
    if "bulk" in lanes:
        common.monitoring.watch_bulk(pace)
    runners: list[PartyRunner] = []
    for party in common.parties.values():
        adapter = party.adapter(host_of(config, party, stack, party_signatures(config, party), common=common))
        caller = Caller(
            adapter, seals, common.liveness, common.rights, calls=party.limits.calls, call_s=party.limits.call_s, results=results
        )
        limits = party.limits
        shape = Shape(
            calls=limits.calls,
            records_per_call=limits.records_per_call,
            share=config.workers.share,
            records_of=limits.records_of,
            bulk_records=config.bulk.records,
        )
        runners.append(PartyRunner(traits_of(party), shape, caller, common.ledger, common.liveness, common.monitoring.metrics, pace))

    async def recreate(queue: str) -> None:
        await topology.recreate(common.endpoint, topology_of(config), queue)

    work = Worker(common.ledger, common.liveness, common.consumer, common.publisher, runners, recreate=recreate, lanes=lanes)
    await work.start()
    stack.push_async_callback(work.stop)
