"""The only place where things are put together: the two kinds of process of a gateway, from a configuration.

``gateway``: the doors (HTTPS and AMQP), the operators' API, metrics. ``worker``: deliveries. Both open the same ledger and broker; a
supervisor (``gateway/supervisor.py``) runs the embedded broker and as many of them as the configuration says.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import logging
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certs.peer import Authority
from gateway import memory
from gateway.acquisition.steps import Matching
from gateway.audit.chainer import Chainer, ChainerOptions
from gateway.audit.outside import OutsideFile
from gateway.backup.daily import DailyBackups
from gateway.backup.looking import place_of
from gateway.backup.manifest import MANIFEST
from gateway.backup.manifest import SUFFIX as BACKUP
from gateway.broker import BrokerEndpoint, Consumer, Publisher, topology
from gateway.broker.node_files import GATEWAY_USER, NodeFolder
from gateway.broker.refusals import BrokerRefusals
from gateway.config import Config, read_secret
from gateway.contract import Manifest, Remembers
from gateway.delivery.calls import Caller
from gateway.delivery.liveness import Liveness
from gateway.delivery.party import PartyRunner, Shape
from gateway.delivery.results import Results
from gateway.delivery.rows import PartyTraits, RetryPolicy
from gateway.delivery.worker import Worker, ringer
from gateway.errors import ConfigurationError, GatewayError, Unavailable
from gateway.keyring import day_keys, key_store, require_keys, sealer
from gateway.ledger import policies
from gateway.ledger.ledger import Ledger
from gateway.ledger.queries import backlog, own_expired, own_message
from gateway.message_trust import party_signatures
from gateway.monitoring import Monitoring, process_index
from gateway.operations import logs
from gateway.operations.metrics import FactsReader, Metrics
from gateway.pacing import BulkPace
from gateway.plugins import BoundParty, bind_parties
from gateway.policy.destinations import Destinations
from gateway.policy.rights import Rights
from gateway.policy.routes import tables
from gateway.ready import mark_ready
from gateway.retention.calendar import BusinessCalendar
from gateway.retention.erasures import ErasureList
from gateway.retention.files import Folder
from gateway.retention.keeper import Keeper, Keeping
from gateway.retention.policy import load as load_retention
from gateway.security.blind import BlindIndex, ContentMac
from gateway.security.jwe import JweKeys
from gateway.security.keys import KeyStore, Kind
from gateway.security.refusals import Refusals
from gateway.startup import require_sound
from gateway.trust import authority_of, broker_context, listener_context

if TYPE_CHECKING:
    from gateway.intake.amqp import AmqpDoor

_log = logging.getLogger(__name__)

# ---- what both kinds need ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Ledger, broker and keys of one process."""

    config: Config
    ledger: Ledger
    publisher: Publisher
    consumer: Consumer
    liveness: Liveness
    endpoint: BrokerEndpoint
    keys: KeyStore
    parties: dict[str, BoundParty]
    monitoring: Monitoring
    refusals: Refusals
    authority: Authority
    """Of our own systems and operators."""
    rights: Rights


def broker_endpoint(config: Config) -> BrokerEndpoint:
    """Where the broker of this configuration is, and how the gateway logs in.

    :raises ConfigurationError: no embedded broker was set up yet, or a secret or certificate of the external one cannot be read.
    """
    if config.broker.mode == "embedded":
        user = NodeFolder(config.broker_directory).users().get(GATEWAY_USER)
        if user is None:
            raise ConfigurationError("broker-not-set-up", "the embedded broker has not been started yet: start it with renkei up")
        return BrokerEndpoint(
            hosts=(("127.0.0.1", config.broker.embedded.port),),
            user=GATEWAY_USER,
            password=user["password"],
            heartbeat_s=config.broker.heartbeat_s,
        )
    external = config.broker.external
    assert external is not None
    password = read_secret(external.password, external.password_file)
    return BrokerEndpoint(
        hosts=tuple((host, int(port or 5671)) for host, _, port in (each.partition(":") for each in external.hosts)),
        vhost=external.vhost,
        user=external.user if password else None,
        password=password,
        tls=broker_context(config),
        server_name=external.peer,
        heartbeat_s=config.broker.heartbeat_s,
    )


def topology_of(config: Config, parties: Mapping[str, BoundParty] | None = None) -> topology.Topology:
    """Queues for every system that may use AMQP, every party, every system that has messages by queue, and every party of ``parties`` that
    our systems ask."""
    return topology.build(
        systems=[name for name, system in config.intake.systems.items() if "amqp" in system.doors],
        parties=list(config.parties),
        consumers=[name for name, party in config.parties.items() if party.queue is not None],
        asked=[] if parties is None else [name for name, party in parties.items() if party.adapter.manifest.questions],
    )


def destinations_of(config: Config) -> Destinations:
    """Which account has what is handed over for a work."""
    return Destinations({work: name for name, party in config.parties.items() for work in party.works})


@contextlib.asynccontextmanager
async def base(config: Config, role: str) -> AsyncIterator[Base]:
    """Open what every process needs; closes it again in order."""
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_sound(config)
    parties = bind_parties(config)
    keys = key_store(config).ensure()
    facts = FactsReader(lambda fn: ledger.read(fn))  # noqa: PLW0108 the ledger is opened below, with a place to count its groups
    metrics = Metrics(facts=facts)
    ledger = await asyncio.to_thread(Ledger.open, config.ledger_url(), profile=config.profile, on_group=metrics.group)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(ledger.close)
        await ledger.read(functools.partial(require_keys, keys=keys))
        endpoint = broker_endpoint(config)
        publisher = Publisher(endpoint, name=f"renkei {role} publish")
        consumer = Consumer(endpoint, name=f"renkei {role} consume")
        liveness = Liveness(ledger, role)
        monitoring = Monitoring(config, role, ledger, facts, metrics)
        monitoring.watch_ledger(liveness)
        monitoring.watch_broker(publisher, consumer)
        refusals = Refusals(ledger.record_refusals, count=metrics.peer_refused)
        authority = authority_of(config)
        page = monitoring.page(listener_context(config, config.metrics.certificate), authority, refusals)
        await stack.enter_async_context(page)
        rights = Rights(load=lambda: ledger.read(policies.active))
        await rights.refresh()
        await publisher.start()
        stack.push_async_callback(publisher.close)
        ledger.ring = ringer(publisher)
        await consumer.start()
        stack.push_async_callback(consumer.close)
        await liveness.start()
        stack.push_async_callback(liveness.stop)
        # each process looks, one chains (R22); closed after all that writes entries, before the registration ends
        chainer = audit_chainer(config, ledger, liveness, keys)
        monitoring.watch_audit(chainer)
        await chainer.start()
        stack.push_async_callback(chainer.stop)
        refusals.start()  # after the chainer, so that what it writes as it stops is chained too
        stack.push_async_callback(refusals.stop)
        yield Base(
            config=config,
            ledger=ledger,
            publisher=publisher,
            consumer=consumer,
            liveness=liveness,
            endpoint=endpoint,
            keys=keys,
            parties=parties,
            monitoring=monitoring,
            refusals=refusals,
            authority=authority,
            rights=rights,
        )


def audit_chainer(config: Config, ledger: Ledger, liveness: Liveness, keys: KeyStore) -> Chainer:
    """What gathers audit entries into the chain, if this process is the one that does.

    :raises ConfigurationError: the certificates of the time-stamping authority cannot be read.
    """
    stamps = config.audit.timestamp
    stamper = None
    if stamps is not None:
        from gateway.audit.timestamp import TimeStamper

        stamper = TimeStamper(stamps.url, stamps.ca, stamps.timeout_s)
    erasures = ErasureList(config.erasures_file)
    options = ChainerOptions(instance=config.instance, checkpoint_s=config.audit.checkpoint_s, erasures=erasures.end)
    return Chainer(ledger, liveness, keys, OutsideFile(config.checkpoints_file), options, stamper)


def traits_of(party: BoundParty) -> PartyTraits:
    """What the delivery rules need to know of a party: from its adapter's manifest and the configuration.

    :raises ConfigurationError: the party forgets ids sooner than an attempt may stay open (R9).
    """
    manifest: Manifest = party.adapter.manifest
    drops = manifest.duplicates
    queries = manifest.queries
    retry = party.config.retry
    traits = PartyTraits(
        party=party.party,
        resend=drops is not None and drops.remembers is not Remembers.ALL,
        memory_s=drops.memory_s if drops is not None else 0.0,
        queries=queries is not None,
        settle_s=max(manifest.settle_s, queries.final_after_s if queries is not None else 0.0),
        call_s=party.limits.call_s,
        retry=RetryPolicy(first_s=retry.first_s, longest_s=retry.longest_s, budget=retry.budget),
    )
    if traits.resend and traits.memory_s <= traits.open_s:
        raise ConfigurationError(
            "party-memory",
            f"{party.party} forgets ids after {traits.memory_s:g} s, but an attempt may stay open for {traits.open_s:g} s (R9)",
        )
    return traits


# ---- the worker --------------------------------------------------------------------------------------------------------------------


async def worker(config: Config, stop: asyncio.Event) -> None:
    """Deliver until ``stop`` is set; then end what is under way."""
    from gateway.bootstrap_inbound import answer_questions, host_of

    async with base(config, "worker") as common, contextlib.AsyncExitStack() as stack:
        await topology.declare(common.endpoint, topology_of(config, common.parties))
        seals = sealer(config, common.keys)
        results = Results(
            policy=tables(),
            parties=frozenset(config.parties),
            rights=common.rights,
            sealer=seals,
            blind=BlindIndex.following(common.keys),
            mac=ContentMac.following(common.keys),
        )
        runners: list[PartyRunner] = []
        pace = BulkPace(config.bulk.per_s)
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

        await answer_questions(config, common, stack)
        work = Worker(common.ledger, common.liveness, common.consumer, common.publisher, runners, recreate=recreate)
        await work.start()
        stack.push_async_callback(work.stop)
        memory.settle()
        with mark_ready(config.data_dir, "worker"):
            await stop.wait()


def retention_of(config: Config) -> Keeping:
    """The retention table, the calendar, and where on this disk data lie.

    :raises ConfigurationError: the table or the file of holidays does not hold.
    """
    data = config.data_dir
    return Keeping(
        policy=load_retention(config.retention.policy, tables().ephemeral),
        calendar=BusinessCalendar.of_file(config.retention.holidays),
        erasures=ErasureList(config.erasures_file),
        folders={
            "submit": [Folder(path=data / "submit", patterns=("*",), secret=True)],
            "backup": [Folder(path=config.backup_directory, patterns=(f"*{BACKUP}", f"*{MANIFEST}", f".*{BACKUP}.partial"), secret=True)],
            "export": [Folder(path=each, patterns=("*",), secret=True, deep=True) for each in config.export_directories],
            "log": [
                Folder(path=each, patterns=("*.log", "*.log.*"), secret=False) for each in (data / "log", config.broker_directory / "log")
            ],
        },
        every_s=config.retention.every_s,
        disposed=functools.partial(_end_backup_keys, config),
    )


def _end_backup_keys(config: Config, _file: Path) -> None:
    """A backup was disposed of: former backup keys whose every backup is past its time go too, and copies elsewhere with them. Blocks."""
    keys = key_store(config)
    [rule] = load_retention(config.retention.policy, tables().ephemeral).of("backup")
    before = rule.after.due_before(time.time(), BusinessCalendar.of_file(config.retention.holidays))
    for key_id in keys.ids(Kind.BACKUP)[:-1]:
        superseded = keys.superseded_at(Kind.BACKUP, key_id)
        if superseded is not None and superseded < before:
            keys.destroy(Kind.BACKUP, key_id)
            _log.info("key-destroyed", extra={"code": f"backup-{key_id}"})


# ---- the gateway -------------------------------------------------------------------------------------------------------------------


async def gateway(config: Config, stop: asyncio.Event) -> None:
    """The doors, the operators' API, metrics, until ``stop`` is set."""
    from gateway.admin.app import create_app
    from gateway.admin.app import serve as serve_admin
    from gateway.admin.books import LedgerBooks
    from gateway.admin.feeds import LedgerFeeds
    from gateway.admin.flows import LedgerFlows
    from gateway.admin.identity import Operators, rights_of
    from gateway.admin.keys import KeyAdmin
    from gateway.admin.ledger_accounts import LedgerAccounts
    from gateway.admin.ledger_desk import LedgerDesk
    from gateway.admin.ledger_service import LedgerAdminService
    from gateway.admin.media import LedgerMedia
    from gateway.admin.network import LedgerNetwork
    from gateway.admin.policy import PolicyAdmin
    from gateway.admin.reconciliation import LedgerReconciliations
    from gateway.admin.reports import LedgerReports
    from gateway.admin.retention import LedgerRetention
    from gateway.audit.service import LedgerAuditRecord
    from gateway.bootstrap_feeds import expected_feeds, watcher_of
    from gateway.bootstrap_flows import open_flows
    from gateway.bootstrap_inbound import Inbound, serve_pull
    from gateway.flows.model import flows
    from gateway.intake.admit import Intake
    from gateway.intake.amqp import AmqpDoor
    from gateway.intake.bulk import BulkAdmission
    from gateway.intake.https import HttpsDoor, open_door
    from gateway.intake.peers import PeerDirectory
    from gateway.intake.prepare import Preparer, Sender
    from gateway.intake.pressure import Pressure, PressureLimits
    from gateway.intake.supplies import Supplier
    from gateway.operations.key_custodian import KeyCustodian

    async with base(config, "gateway") as common, contextlib.AsyncExitStack() as stack:
        await topology.declare(common.endpoint, topology_of(config, common.parties))
        ledger, limits, monitoring = common.ledger, config.intake.limits, common.monitoring
        senders = {
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
        seals = sealer(config, common.keys)
        if config.broker.mode == "embedded":
            broker_refusals = BrokerRefusals(config.broker_directory / "log" / "node.log", common.refusals, senders)
            broker_refusals.start()
            stack.push_async_callback(broker_refusals.stop)
        keeping = retention_of(config)
        custodian = KeyCustodian(
            ledger,
            common.keys,
            seals,
            day_keys(config),
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
        made_of: dict[str, Any] = {
            "sealer": seals,
            "rights": common.rights,
            "blind": BlindIndex.following(common.keys),
            "mac": ContentMac.following(common.keys),
            "refresh_keys": common.keys.refresh,
            "message_bytes": limits.message_bytes,
            "destinations": destinations_of(config),
            "matching": Matching(linkage=config.intake.network.matching == "linkage", limit_s=config.intake.network.overdue_hours * 3600),
        }
        preparer = Preparer(senders=senders, parties=config.carried_parties, policy=tables(), **made_of)
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

        pace = BulkPace(config.bulk.per_s)
        bulk = BulkAdmission(intake, pace, chunk=config.bulk.records)
        bulk.start()
        stack.push_async_callback(bulk.stop)
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
            pace=pace,
        )
        https = config.intake.https
        tls = listener_context(config, https.certificate)
        watched: dict[str, Any] = {"witness": common.refusals, "authority": common.authority}
        stack.push_async_callback((await open_door(door, host=https.host, port=https.port, tls=tls, **watched)).cleanup)
        monitoring.watch_door("intake", lambda: pressure.closed)
        for name, system in config.intake.systems.items():
            if "amqp" in system.doors:
                amqp = AmqpDoor(
                    system=name,
                    intake=intake,
                    ledger=ledger,
                    known=status,
                    worker=lambda: common.liveness.id,
                    consumer=common.consumer,
                    publisher=common.publisher,
                    opener=jwe,
                    pressure=pressure,
                    meter=monitoring.metrics,
                    prefetch=config.intake.amqp.prefetch,
                    batch=config.intake.amqp.batch,
                )
                await amqp.start()
                stack.push_async_callback(amqp.stop)
                monitoring.watch_door(f"intake {name}", functools.partial(_stopped, amqp))
        await inbound.open(stack)
        watcher = watcher_of(config, common, inbound.intake, keeping.calendar)
        monitoring.watch_feeds(watcher)
        await watcher.start()
        stack.push_async_callback(watcher.stop)
        await serve_pull(config, common, seals, stack)
        service = LedgerAdminService(
            config,
            ledger,
            common.keys,
            common.parties,
            traits_of,
            broker=common.publisher,
            depth=common.consumer.depth,
            sealer=seals,
            rights=common.rights,
        )
        admin = config.admin
        configured = {name: rights_of(operator) for name, operator in admin.operators.items()}
        accounts = LedgerAccounts(ledger, configured, unused_days=admin.unused_days)
        await accounts.take_over()
        stack.push_async_callback(accounts.close)
        desk = LedgerDesk(
            ledger,
            seals,
            service.traits_of,
            entitled=accounts.entitled,
            hand_in=inbound.hand_in(intake.admit_again),
            request_s=admin.request_s,
        )
        accounts.serve_at(desk)
        policy = PolicyAdmin(ledger, common.keys, common.rights, tables())
        policy.serve_at(desk)
        retention = LedgerRetention(ledger, keeper, desk, common.parties)
        stack.push_async_callback(retention.close)
        media = LedgerMedia(ledger, desk, {name: (str(each.directory), frozenset(each.types)) for name, each in config.media.items()})
        reconciliations = LedgerReconciliations(ledger, common.keys, desk, common.parties, tables())
        await desk.resume()
        app = create_app(
            service,
            desk,
            Operators.of(config, accounts, common.authority),
            keys=KeyAdmin(ledger, common.keys, custodian, tables(), destinations_of(config)),
            policy=policy,
            audit=LedgerAuditRecord(ledger, common.parties),
            reports=LedgerReports(
                ledger,
                without=tables().ephemeral,
                systems={name: tuple(system.suppliers) for name, system in config.intake.systems.items()},
            ),
            network=LedgerNetwork(ledger),
            retention=retention,
            reconciliations=reconciliations,
            media=media,
            feeds=LedgerFeeds(ledger, expected_feeds(config, keeping.calendar)),
            flows=LedgerFlows(ledger, tracker.machine, flows()),
            books=LedgerBooks(ledger),
            witness=common.refusals,
        )
        tls = listener_context(config, admin.certificate)
        stack.push_async_callback((await serve_admin(app, host=admin.host, port=admin.port, tls=tls, **watched)).cleanup)
        memory.settle()
        with mark_ready(config.data_dir, "gateway"):
            await stop.wait()


def _stopped(door: AmqpDoor) -> Unavailable | None:
    return None if door.failed is None else Unavailable("intake-stopped", "a bug has stopped this door: restart the gateway process")


# ---- running -----------------------------------------------------------------------------------------------------------------------


def run_gateway(config: Config) -> int:
    """``renkei up --role gateway``."""
    return _run(gateway, config, "gateway")


def run_worker(config: Config) -> int:
    """``renkei up --role worker``."""
    return _run(worker, config, "worker")


def run_supervisor(config: Config) -> int:
    """``renkei up``: the embedded broker and all processes."""
    from gateway.supervisor import supervise

    return _run(supervise, config, "supervisor")


def _run(main: Callable[[Config, asyncio.Event], Coroutine[Any, Any, None]], config: Config, role: str) -> int:
    process = f"{role}-{process_index(role)}" if role == "worker" else role
    logs.configure(config.log.level, json_lines=config.log.format == "json", instance=config.instance, process=process)

    async def until_signalled() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        _log.info("process-started", extra={"pid": os.getpid()})
        try:
            await main(config, stop)
        except GatewayError:
            raise  # the command says it in one line
        except Exception:
            _log.critical("process-failed", exc_info=True)
            raise
        _log.info("process-stopped", extra={"pid": os.getpid()})

    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold messages and keys in clear (I5); children inherit it
    try:
        import uvloop
    except ImportError:
        asyncio.run(until_signalled())
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(until_signalled())
    return 0
