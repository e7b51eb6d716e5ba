"""The bulk process: what comes for the bulk lane is admitted and delivered here, behind live work for the processors too (I4)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os

from gateway import memory
from gateway.bootstrap.base import base, topology_of
from gateway.bootstrap.gateway import preparer_of
from gateway.bootstrap.worker import open_deliveries
from gateway.broker import topology
from gateway.config import Config
from gateway.intake.admit import Intake
from gateway.intake.batches import admit_batch
from gateway.intake.bulk import BulkAdmission
from gateway.intake.bulk_line import BulkServer, admit_chunk
from gateway.keyring import sealer
from gateway.pacing import BulkPace
from gateway.ready import BULK_SOCKET, mark_ready, run_directory

ROLE = "bulk"


async def bulk(config: Config, stop: asyncio.Event) -> None:
    """Admit and deliver until ``stop`` is set; then end what is under way."""
    os.nice(config.bulk.nice)
    async with base(config, ROLE) as common, contextlib.AsyncExitStack() as stack:
        await topology.declare(common.endpoint, topology_of(config, common.parties))
        seals = sealer(config, common.keys, common.rights)
        await open_deliveries(config, common, stack, seals, lanes=("bulk",))
        preparer, _ = preparer_of(config, common, seals)
        pace = BulkPace(config.bulk.per_s, live_elsewhere=True, presence=common.presence)
        intake = Intake(preparer=preparer, ledger=common.ledger)
        take = functools.partial(admit_chunk, intake, pace)
        admission = BulkAdmission([take, take], pace, chunk=config.bulk.records)
        admission.start()
        stack.push_async_callback(admission.stop)
        server = BulkServer(run_directory(config.data_dir) / BULK_SOCKET, take, functools.partial(admit_batch, intake, admission))
        await server.start()
        stack.push_async_callback(server.stop)
        memory.settle()
        with mark_ready(config.data_dir, ROLE):
            await stop.wait()
