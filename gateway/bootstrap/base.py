"""What both kinds of process need: ledger, broker, keys, parties, rights; opened and closed in order."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from certs.peer import Authority
from gateway.audit.chainer import Chainer, ChainerOptions
from gateway.audit.outside import OutsideFile
from gateway.broker import BrokerEndpoint, Consumer, Publisher, topology
from gateway.broker.node_files import GATEWAY_USER, NodeFolder
from gateway.config import Config, read_secret
from gateway.contract import Manifest, Remembers
from gateway.delivery.liveness import Liveness
from gateway.delivery.results import Results
from gateway.delivery.rows import PartyTraits, RetryPolicy
from gateway.delivery.worker import ringer
from gateway.errors import ConfigurationError
from gateway.keyring import key_store, require_keys
from gateway.ledger import policies
from gateway.ledger.ledger import Ledger
from gateway.ledger.writer import GATHER_S
from gateway.monitoring import Monitoring
from gateway.operations.metrics import FactsReader, Metrics
from gateway.plugins import BoundParty, bind_parties
from gateway.policy.destinations import Destinations
from gateway.policy.rights import Rights
from gateway.policy.routes import tables
from gateway.presence import LivePresence
from gateway.ready import run_directory
from gateway.retention.erasures import ErasureList
from gateway.security.blind import BlindIndex, ContentMac
from gateway.security.keys import KeyStore
from gateway.security.refusals import Refusals
from gateway.security.sealing import Sealer
from gateway.startup import require_sound
from gateway.trust import authority_of, broker_context, listener_context


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
    presence: LivePresence


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
    # a sender waits for the gateway's commits; for a worker's nobody does
    gather_s = GATHER_S if role == "worker" else 0.0
    presence = LivePresence(run_directory(config.data_dir) / "live")
    opened = functools.partial(Ledger.open, config.ledger_url(), profile=config.profile)
    ledger = await asyncio.to_thread(opened, on_group=metrics.group, gather_s=gather_s, live=presence.busy)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(presence.close)
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
            presence=presence,
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


def results_of(common: Base, seals: Sealer) -> Results:
    """What our own systems are told of the parties' answers to what they handed in."""
    return Results(
        policy=tables(),
        parties=frozenset(common.config.parties),
        rights=common.rights,
        sealer=seals,
        blind=BlindIndex.following(common.keys),
        mac=ContentMac.following(common.keys),
    )
