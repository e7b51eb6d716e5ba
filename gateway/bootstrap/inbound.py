"""The part of :mod:`gateway.bootstrap` that puts together what comes in from the parties, and how our own systems have it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway.config import read_secret
from gateway.contract import AdapterHost, QueueCaller
from gateway.delivery.files import FileLine, layouts_for
from gateway.delivery.in_house import NoHttp, PullLine, QueueLine
from gateway.delivery.questions import Questions
from gateway.delivery.transport import LONGEST_CALL_S
from gateway.errors import ConfigurationError
from gateway.feeds.schedule import Schedule
from gateway.inbound.acknowledgements import Acknowledgements
from gateway.inbound.answers import Answers
from gateway.inbound.applications import DATA, Applications
from gateway.inbound.asking import Asking, PartyAsk
from gateway.inbound.dialogues import Ask, Dialogues
from gateway.inbound.door import InboundDoor, open_inbound, profile_of
from gateway.inbound.fetched import Works, listed_works
from gateway.inbound.fetcher import Fetcher
from gateway.inbound.file_receipts import FileReceipts
from gateway.inbound.gate import Gate
from gateway.inbound.linkage import LedgerLinkage
from gateway.inbound.prepare import DOOR, FETCHED, InboundPreparer
from gateway.inbound.responder import Responder
from gateway.intake.admit import Answer, Intake
from gateway.intake.prepare import Preparer
from gateway.intake.submission import Submission
from gateway.ledger import fetching
from gateway.ledger.anomalies import Reconciled
from gateway.ledger.offers import RecordHandedOver
from gateway.ledger.replays import LedgerReplays
from gateway.pacing import BulkPace
from gateway.policy.routes import tables
from gateway.retention.calendar import BusinessCalendar
from gateway.security.blind import ContentMac
from gateway.security.jwe import JweKeys
from gateway.security.jwe_out import ConsumerKey, Own
from gateway.trust import authority_of, listener_context, party_http

if TYPE_CHECKING:
    from gateway.bootstrap.base import Base
    from gateway.config import Config
    from gateway.intake.pressure import Pressure
    from gateway.plugins import BoundParty
    from gateway.security.refusals import Witness
    from gateway.security.sealing import Sealer
    from gateway.security.soap.messages import MessageSecurity


DIALOGUE_S = 20.0
"""How long a party is waited for where the table of dialogues does not say."""


def consumers_of(config: Config) -> list[str]:
    """Our systems that have messages by queue."""
    return [name for name, party in config.parties.items() if party.queue is not None]


def asked_of(parties: Mapping[str, BoundParty]) -> list[str]:
    """Parties that our systems may ask something: those whose adapters carry questions."""
    return [name for name, party in parties.items() if party.adapter.manifest.questions]


async def answer_questions(config: Config, common: Base, stack: contextlib.AsyncExitStack) -> None:
    """Ask what our systems ask, in a worker: by adapters, and on connections, of their own (I4).

    :raises ConfigurationError: a key or certificate cannot be used.
    """
    from gateway.message_trust import party_signatures

    keys = JweKeys(common.keys)
    for name in asked_of(common.parties):
        party, at_once = common.parties[name], common.parties[name].config.limits.questions
        # connections: also for those whose late answers are still waited for
        wide = dataclasses.replace(party, limits=dataclasses.replace(party.limits, calls=2 * at_once, call_s=LONGEST_CALL_S))
        adapter = wide.adapter(host_of(config, wide, stack, party_signatures(config, party), common=common))
        questions = Questions(name, adapter, common.consumer, common.publisher, keys, Own(keys), at_once=at_once)
        await questions.start()
        stack.push_async_callback(questions.stop)


def host_of(
    config: Config,
    party: BoundParty,
    stack: contextlib.AsyncExitStack,
    signatures: MessageSecurity | None,
    *,
    common: Base,
) -> AdapterHost:
    """What an adapter of this party is given by a worker.

    :raises ConfigurationError: a key or certificate cannot be used.
    """
    if party.config.in_house:
        return AdapterHost(settings=party.settings, http=NoHttp(), queue=line_of(party, common))
    http = party_http(config, party, common.refusals)
    stack.push_async_callback(http.close)
    return AdapterHost(settings=party.settings, http=http, signatures=signatures)


def line_of(party: BoundParty, common: Base) -> QueueCaller:
    """The way to one of our systems, whichever it has.

    :raises ConfigurationError: a key or folder cannot be used.
    """
    if party.config.pull is not None:
        return PullLine(acknowledge_s=party.config.pull.acknowledge_s)
    drop = party.config.files
    if drop is not None:

        async def record(handed: Sequence[tuple[str, str]], detail: Mapping[str, str | int]) -> None:
            operation = RecordHandedOver(
                kind="file-written", actor="gateway", party=party.party, deliveries=handed, detail=dict(detail), size=len(handed)
            )
            await common.ledger.submit(operation)

        by_type = layouts_for(party.adapter.manifest.message_types, drop.layout)
        return FileLine(party.party, drop.directory, by_type, record, acknowledge_s=drop.acknowledge_s)
    return queue_line(party, common)


def queue_line(party: BoundParty, common: Base) -> QueueLine:
    """The way to one of our systems.

    :raises ConfigurationError: its key cannot be used.
    """
    wanted = party.config.queue
    assert wanted is not None
    return QueueLine(party.party, common.publisher, common.consumer, ConsumerKey(wanted.keys), acknowledge_s=wanted.acknowledge_s)


class Inbound:
    """Everything inbound of the gateway process."""

    def __init__(self, config: Config, common: Base, pressure: Pressure, preparer: dict[str, Any], pace: BulkPace) -> None:
        """``preparer``: what the preparer of every door is made of (:class:`gateway.intake.prepare.Preparer`); ``pace``: of the bulk work
        of this process, which is told of every call."""
        self._config, self._common, self._pressure, self._pace = config, common, pressure, pace
        self._applications: dict[str, Applications] = {}
        self._blind, self._sealer = preparer["blind"], preparer["sealer"]
        self._answers = Answers(
            rights=common.rights,
            blind=self._blind,
            opener=JweKeys(common.keys),
            ledger=common.ledger,
            message_bytes=config.intake.limits.message_bytes,
        )
        accounts = {name: party.system for name, party in config.parties.items() if party.system is not None}
        asks = {name: system.types for name, system in config.intake.systems.items()}
        self.intake = Intake(
            preparer=InboundPreparer(parties=frozenset(config.parties), policy=tables(), asks=asks, accounts=accounts, **preparer),
            ledger=common.ledger,
        )

    async def open(self, stack: contextlib.AsyncExitStack) -> None:
        """Listen, take acknowledgements, and ask our systems what the parties ask.

        :raises ConfigurationError: a listener cannot be made as configured.
        """
        common = self._common
        ask: dict[str, Ask] = {}
        answers = self._answers
        for system in consumers_of(self._config):
            wanted = self._config.parties[system].queue
            assert wanted is not None
            key = ConsumerKey(wanted.keys)
            dialogues = Dialogues(
                system, common.endpoint, common.publisher, common.consumer, key, common.ledger,
                answer_s=wanted.answer_s, most_open=wanted.most_questions,
            )  # fmt: skip
            await dialogues.start()
            stack.push_async_callback(dialogues.stop)
            ask[system] = dialogues.ask
        calendar = BusinessCalendar.of_file(self._config.retention.holidays)
        listeners = {name: party.inbound for name, party in self._config.parties.items() if party.inbound is not None}
        gates = {name: Gate(wanted, calendar) for name, wanted in listeners.items()}
        self._responder = Responder(policy=tables(), parties=frozenset(self._config.parties), answers=answers, ask=ask, gates=gates)
        for system in consumers_of(self._config):
            acknowledgements = Acknowledgements(system, self._common.ledger, self._common.consumer)
            await acknowledgements.start()
            stack.push_async_callback(acknowledgements.stop)
        for name, party in self._common.parties.items():
            if (drop := party.config.files) is not None:
                receipts = FileReceipts(name, drop.directory, common.ledger, acknowledge_s=drop.acknowledge_s)
                await receipts.start()
                stack.push_async_callback(receipts.stop)
            if party.config.inbound is not None:
                stack.push_async_callback((await self._listen(name, party)).cleanup)
            if party.config.fetch is not None:
                fetcher = await self._fetcher(name, party, stack)
                await fetcher.start()
                stack.push_async_callback(fetcher.stop)

    async def asking(self, stack: contextlib.AsyncExitStack, preparer: Preparer) -> Asking:
        """How our systems ask the parties."""
        common = self._common
        ask: dict[str, PartyAsk] = {}
        own = Own(JweKeys(common.keys))
        for name in asked_of(common.parties):
            questions = Dialogues(name, common.endpoint, common.publisher, common.consumer, own, common.ledger, answer_s=DIALOGUE_S)
            await questions.start()
            stack.push_async_callback(questions.stop)
            ask[name] = questions.ask
        return Asking(
            policy=tables(),
            parties=frozenset(self._config.parties),
            preparer=preparer,
            answers=self._answers,
            ask=ask,
            incomplete=self._config.intake.dialogues.incomplete,
        )

    async def _listen(self, name: str, party: BoundParty) -> Any:
        from gateway.message_trust import party_signatures

        settings, wanted, witness = party.config, party.config.inbound, self._common.refusals
        assert wanted is not None
        profile = profile_of(name)
        security = party_signatures(self._config, party, LedgerReplays(self._common.ledger))
        if profile is None or security is None:
            raise ConfigurationError("inbound-not-possible", f"party {name}: it speaks no SOAP profile of ours, so it cannot call us")
        authority = authority_of(self._config, settings.trust)
        door = InboundDoor(
            party=name,
            peer=wanted.peer or settings.peer or name,
            authority=authority,
            security=security,
            intake=self.intake,
            pressure=self._pressure,
            profile=profile,
            pins=frozenset(settings.pins),
            address=wanted.address,
            body_bytes=wanted.body_bytes,
            respond=self._responder.respond,
            meter=self._common.monitoring.metrics,
            witness=witness,
            pace=self._pace,
        )
        tls = listener_context(self._config, wanted.certificate or settings.certificate, settings.trust)
        return await _open(door, wanted.host, wanted.port, tls, authority, witness)

    async def _fetcher(self, name: str, party: BoundParty, stack: contextlib.AsyncExitStack) -> Fetcher:
        """What fetches from one party, by its calendar."""
        from gateway.message_trust import party_signatures

        wanted, common = party.config.fetch, self._common
        assert wanted is not None
        adapter = party.adapter(host_of(self._config, party, stack, party_signatures(self._config, party), common=common))
        stack.push_async_callback(adapter.close)
        return Fetcher(
            party=name,
            adapter=adapter,
            works=self._works(name, party),
            intake=self.intake,
            ledger=common.ledger,
            registration=lambda: common.liveness.id,
            schedule=Schedule.parse(wanted.at),
            again_s=wanted.again_s,
            closed=lambda: self._pressure.closed,
        )

    def _works(self, name: str, party: BoundParty) -> Works:
        """What is done with what is fetched from this party.

        :raises ConfigurationError: it cannot be done as configured.
        """
        if DATA not in party.adapter.manifest.fetches:
            return listed_works(name, party, self.intake)
        wanted, ledger = party.config.fetch, self._common.ledger
        assert wanted is not None
        if wanted.applicants is None or wanted.applicants not in self._config.certificates.trust:
            raise ConfigurationError("fetch-applicants", f"parties.{name}.fetch.applicants must name an authority below certificates.trust")
        if strange := sorted(set(wanted.procedures.values()) - self._config.parties.keys()):
            raise ConfigurationError("fetch-procedures", f"parties.{name}.fetch.procedures: {strange[0]} is not among the parties")

        async def unknown(listed: list[str]) -> list[str]:
            return await ledger.read(lambda conn: fetching.unknown(conn, name, listed))

        async def report(missing: int) -> None:
            now = await ledger.read(fetching.business_now)
            await ledger.submit(Reconciled(link=name, missing=missing, now=now))

        self._applications[name] = works = Applications(
            party=name,
            intake=self.intake,
            authority=authority_of(self._config, wanted.applicants),
            procedures=wanted.procedures,
            linkage=LedgerLinkage(ledger, self._sealer, self._blind),
            unknown=unknown,
            report=report,
        )
        return works

    def hand_in(self, others: Callable[[Submission], Awaitable[Answer]]) -> Callable[[Submission], Awaitable[Answer]]:
        """How what was refused and kept is handed in again: by the door through which it came."""

        async def again(submission: Submission) -> Answer:
            works = self._applications.get(submission.system)
            if works is not None and submission.attributes.type == DATA:
                return await works.again(submission)
            return await (self.intake.admit_again if submission.door in (DOOR, FETCHED) else others)(submission)

        return again


async def serve_pull(config: Config, common: Base, seals: Sealer, stack: contextlib.AsyncExitStack) -> None:
    """The listener of systems that fetch, where there are any.

    :raises ConfigurationError: it cannot be made as configured.
    """
    from gateway.pull.door import Peer, PullDoor, open_pull
    from gateway.pull.shop import Shop
    from gateway.pull.tokens import Client, Tokens

    accounts = {name: party for name, party in common.parties.items() if party.config.pull is not None}
    if not accounts:
        return
    clients, peers = [], {}
    for name, party in accounts.items():
        wanted = party.config.pull
        assert wanted is not None
        manifest = party.adapter.manifest
        clients.append(
            Client(
                account=name,
                client_id=wanted.client or name,
                business_id=wanted.business_id,
                secret=read_secret(wanted.secret, wanted.secret_file) or "",
                types=frozenset(manifest.message_types),
            )
        )
        peers[name] = Peer(name=wanted.peer, pins=frozenset(wanted.pins))
    settings = config.pull
    tokens = Tokens(
        clients,
        issuer=settings.issuer,
        mac=ContentMac.following(common.keys),
        remember=common.ledger.remember_message,
        token_s=settings.token_s,
    )
    shop = Shop(ledger=common.ledger, sealer=seals, rights=common.rights)
    door = PullDoor(issuer=settings.issuer, tokens=tokens, shop=shop, peers=peers, authority=common.authority, witness=common.refusals)
    tls = listener_context(config, settings.certificate)
    try:
        runner = await open_pull(door, host=settings.host, port=settings.port, tls=tls, authority=common.authority, witness=common.refusals)
    except OSError as error:
        raise ConfigurationError(
            "pull-address", f"pull: {settings.host} port {settings.port} is not to be had: {error.strerror}"
        ) from error
    stack.push_async_callback(runner.cleanup)


async def _open(door: InboundDoor, host: str, port: int, tls: Any, authority: Any, witness: Witness) -> Any:
    try:
        return await open_inbound(door, host=host, port=port, tls=tls, authority=authority, witness=witness)
    except OSError as error:
        raise ConfigurationError("inbound-address", f"{door.place}: {host} port {port} is not to be had: {error.strerror}") from error
