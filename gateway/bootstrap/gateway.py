"""The gateway process: the doors, what keeps time in the ledger, the operators' API, metrics."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from gateway import memory
from gateway.acquisition.steps import Matching
from gateway.backup.daily import DailyBackups
from gateway.backup.looking import place_of
from gateway.bootstrap.base import Base, base, destinations_of, topology_of
from gateway.bootstrap.feeds import watcher_of
from gateway.bootstrap.flows import open_flows
from gateway.bootstrap.inbound import Inbound, serve_pull
from gateway.bootstrap.operators import serve_operators
from gateway.bootstrap.retention import retention_of
from gateway.broker import topology
from gateway.broker.refusals import BrokerRefusals
from gateway.config import Config
from gateway.errors import Unavailable
from gateway.intake.admit import Intake
from gateway.intake.amqp import AmqpDoor
from gateway.intake.batches import admit_batch
from gateway.intake.bulk import BulkAdmission
from gateway.intake.bulk_line import BatchLines, BulkLine, Take, TakeBatch, admit_chunk
from gateway.intake.https import HttpsDoor, open_door
from gateway.intake.peers import PeerDirectory
from gateway.intake.prepare import Preparer
from gateway.intake.pressure import Pressure, PressureLimits
from gateway.intake.submission import Sender
from gateway.intake.supplies import Supplier
from gateway.keyring import day_keys, sealer
from gateway.ledger.queries import backlog, own_expired, own_message
from gateway.operations.key_custodian import KeyCustodian
from gateway.pacing import BulkPace
from gateway.policy.routes import tables
from gateway.ready import BULK_SOCKET, mark_ready, run_directory
from gateway.retention.keeper import Keeper
from gateway.security.blind import BlindIndex, ContentMac
from gateway.security.jwe import JweKeys
from gateway.security.sealing import Sealer
from gateway.trust import listener_context

_Known = Callable[[str, str], Awaitable[Mapping[str, Any] | None]]


def senders_of(config: Config) -> dict[str, Sender]:
    """Our own systems that hand in, and what each may."""
    return {
        name: Sender(
            system=name,
            peer=system.peer,
            doors=frozenset(system.doors),
            types=frozenset(system.types),
            pins=frozenset(system.pins),
            suppliers=tuple(
                Supplier(name=each, peer=behind.peer, items=frozenset(behind.items)) for each, behind in system.suppliers.items()
            ),
            preset={kind: {path: frozenset(values) for path, values in of.items()} for kind, of in system.preset.items()},
        )
        for name, system in config.intake.systems.items()
    }


def preparer_of(config: Config, common: Base, seals: Sealer) -> tuple[Preparer, dict[str, Any]]:
    """The checks of the door, and what they are made of."""
    made_of: dict[str, Any] = {
        "sealer": seals,
        "rights": common.rights,
        "blind": BlindIndex.following(common.keys),
        "mac": ContentMac.following(common.keys),
        "refresh_keys": common.keys.refresh,
        "message_bytes": config.intake.limits.message_bytes,
        "destinations": destinations_of(config),
        "matching": Matching(linkage=config.intake.network.matching == "linkage", limit_s=config.intake.network.overdue_hours * 3600),
    }
    return Preparer(senders=senders_of(config), parties=config.carried_parties, policy=tables(), **made_of), made_of


async def gateway(config: Config, stop: asyncio.Event) -> None:
    """The doors, the operators' API, metrics, until ``stop`` is set."""
    async with base(config, "gateway") as common, contextlib.AsyncExitStack() as stack:
        await topology.declare(common.endpoint, topology_of(config, common.parties))
        ledger, limits, monitoring = common.ledger, config.intake.limits, common.monitoring
        senders = senders_of(config)
        seals = sealer(config, common.keys, common.rights)
        if config.broker.mode == "embedded":
            broker_refusals = BrokerRefusals(config.broker_directory / "log" / "node.log", common.refusals, senders)
            broker_refusals.start()
            stack.push_async_callback(broker_refusals.stop)
        keeping = retention_of(config)
        custodian = KeyCustodian(
            ledger,
            common.keys,
            seals,
            day_keys(config, common.rights),
            queue_age_s=config.keys.queue_age_days * 86_400,
            vanishes=keeping.calendar.vanishes_at,
        )
        await custodian.adopt()
        await custodian.start()
        stack.push_async_callback(custodian.stop)
        keeper = Keeper(ledger, keeping, lambda: common.liveness.id)
        monitoring.watch_retention(keeper)
        await keeper.start()
        stack.push_async_callback(keeper.stop)
        tracker = await open_flows(config, common, stack)
        if config.backup.daily_at is not None:
            backups = DailyBackups(
                ledger, place_of(config, keeping.policy), dt.time.fromisoformat(config.backup.daily_at), lambda: common.liveness.id
            )
            await backups.start()
            stack.push_async_callback(backups.stop)
        preparer, made_of = preparer_of(config, common, seals)
        intake = Intake(preparer=preparer, ledger=ledger)
        disks = [Path(config.data_dir)]
        pressure = Pressure(
            PressureLimits(backlog=limits.backlog, disk_reserve_bytes=limits.disk_reserve_bytes),
            disks=disks,
            backlog=lambda: ledger.read(backlog),
        )
        await pressure.start()
        stack.push_async_callback(pressure.stop)
        jwe = JweKeys(common.keys)

        async def status(system: str, source_id: str) -> Any:
            return await ledger.read(lambda conn: own_message(conn, system, source_id))

        async def expired(system: str, after: str | None, limit: int) -> Any:
            return await ledger.read(lambda conn: own_expired(conn, system, after, limit))

        pace = BulkPace(config.bulk.per_s, presence=common.presence)
        monitoring.watch_bulk(pace)
        take: Take = functools.partial(admit_chunk, intake, pace)
        own = BulkAdmission([take], pace, chunk=config.bulk.records)
        own.start()
        stack.push_async_callback(own.stop)
        bulk = own
        batches: TakeBatch = functools.partial(admit_batch, intake, own)
        if config.bulk.process:
            lines = [BulkLine(run_directory(config.data_dir) / BULK_SOCKET, take, batches) for _ in range(4)]
            for line in lines:
                stack.push_async_callback(line.close)
            bulk = BulkAdmission([line.take for line in lines[:2]], pace, chunk=config.bulk.records)
            bulk.start()
            stack.push_async_callback(bulk.stop)
            batches = BatchLines(lines[2:]).take
        inbound = Inbound(config, common, pressure, made_of, pace)
        asking = await inbound.asking(stack, preparer)
        door = HttpsDoor(
            intake=intake,
            peers=PeerDirectory(senders.values(), common.authority),
            pressure=pressure,
            status=status,
            expired=expired,
            ask=asking.ask,
            jwks=jwe.public_jwks,
            meter=monitoring.metrics,
            witness=common.refusals,
            bulk=bulk,
            batches=batches,
            pace=pace,
        )
        https = config.intake.https
        tls = listener_context(config, https.certificate)
        watched: dict[str, Any] = {"witness": common.refusals, "authority": common.authority}
        stack.push_async_callback((await open_door(door, host=https.host, port=https.port, tls=tls, **watched)).cleanup)
        monitoring.watch_door("intake", lambda: pressure.closed)
        await _open_queues(config, common, stack, intake=intake, known=status, opener=jwe, pressure=pressure, pace=pace)
        await inbound.open(stack)
        watcher = watcher_of(config, common, inbound.intake, keeping.calendar)
        monitoring.watch_feeds(watcher)
        await watcher.start()
        stack.push_async_callback(watcher.stop)
        await serve_pull(config, common, seals, stack)
        await serve_operators(
            config,
            common,
            stack,
            seals=seals,
            calendar=keeping.calendar,
            keeper=keeper,
            custodian=custodian,
            tracker=tracker,
            hand_in=inbound.hand_in(intake.admit_again),
        )
        memory.settle()
        with mark_ready(config.data_dir, "gateway"):
            await stop.wait()


async def _open_queues(
    config: Config,
    common: Base,
    stack: contextlib.AsyncExitStack,
    *,
    intake: Intake,
    known: _Known,
    opener: JweKeys,
    pressure: Pressure,
    pace: BulkPace,
) -> None:
    """A door for each of our systems that hands in over AMQP."""
    for name, system in config.intake.systems.items():
        if "amqp" in system.doors:
            amqp = AmqpDoor(
                system=name,
                intake=intake,
                ledger=common.ledger,
                known=known,
                worker=lambda: common.liveness.id,
                consumer=common.consumer,
                publisher=common.publisher,
                opener=opener,
                pressure=pressure,
                meter=common.monitoring.metrics,
                prefetch=config.intake.amqp.prefetch,
                batch=config.intake.amqp.batch,
                pace=pace,
                bulk_batch=config.bulk.records,
            )
            await amqp.start()
            stack.push_async_callback(amqp.stop)
            common.monitoring.watch_door(f"intake {name}", functools.partial(_stopped, amqp))


def _stopped(door: AmqpDoor) -> Unavailable | None:
    return None if door.failed is None else Unavailable("intake-stopped", "a bug has stopped this door: restart the gateway process")
