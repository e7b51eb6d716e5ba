"""The admin service on the ledger: reads beside the writer, commands through it (R13).

Words of state and the question whether a command is possible come from ``gateway/delivery``; here they are only put into the values of the
API. A correction is checked like a message at the door and sealed for the party before it reaches the ledger. What waits for a second
person is decided at the desk (:mod:`gateway.admin.ledger_desk`).
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from cryptography import x509
from sqlalchemy import Connection

from gateway.admin import views
from gateway.admin.service import (
    Command,
    DeliveryView,
    HeldPage,
    MessageView,
    NotFound,
    PartyView,
    QueueView,
    RequestView,
    Seen,
    StatusView,
    TimelineEntry,
)
from gateway.broker import topology
from gateway.config import Config
from gateway.delivery.rows import PartyTraits
from gateway.errors import BrokerUnavailable, CommandRefused, InputRefused
from gateway.intake.refusals import FORMAT_CODES, too_large
from gateway.ledger import commands, counts, policies, queries, requests
from gateway.ledger.ledger import Ledger
from gateway.plugins import BoundParty
from gateway.policy.rights import Rights, Terms
from gateway.policy.ways import way_of
from gateway.security.blind import BlindIndex, ContentMac
from gateway.security.keys import KeyStore
from gateway.security.sealing import Sealer
from message_formats import catalogue, guard, reading
from message_formats.errors import FormatError
from message_formats.message import Message

LANES: tuple[topology.Lane, ...] = ("live", "bulk")
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
LARGE_BYTES = 65_536
"""From here on a correction is checked in a thread."""


class BrokerState(Protocol):
    """What is asked of :class:`gateway.broker.Publisher`."""

    @property
    def connected(self) -> bool: ...
    @property
    def blocked(self) -> bool: ...


class Depth(Protocol):
    """What is needed of :class:`gateway.broker.consumer.QueueDepth`."""

    @property
    def ready(self) -> int: ...


class LedgerAdminService:
    """See :class:`gateway.admin.service.AdminService`. For one event loop.

    :param traits_of: what the delivery rules know of a party.
    :param depth: asks the broker for the depth of a queue; raises :class:`BrokerUnavailable` while it does not answer.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        keys: KeyStore,
        parties: Mapping[str, BoundParty],
        traits_of: Callable[[BoundParty], PartyTraits],
        *,
        broker: BrokerState,
        depth: Callable[[str], Awaitable[Depth]],
        rights: Rights | None = None,
        sealer: Sealer | None = None,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._keys = keys
        self._parties = parties
        self._traits = {name: traits_of(party) for name, party in parties.items()}
        self._sealer = sealer or Sealer(keys)
        self._broker = broker
        self._depth = depth
        self._rights = rights or Rights()
        self._started_at = dt.datetime.now(dt.UTC)

    # ---- looking -------------------------------------------------------------------------------------------------------------------

    async def status(self) -> StatusView:
        """See the port."""
        found = await self._ledger.read(lambda conn: counts.counts(conn, self._parties))
        lanes = list(found.lanes.values())
        return StatusView(
            instance=self._config.instance,
            version=_version(),
            started_at=self._started_at,
            now=views.time(found.now),
            broker="blocked" if self._broker.blocked else "up" if self._broker.connected else "down",
            unfinished=sum(lane.depth for lane in lanes),
            held_keys=sum(lane.held_keys for lane in lanes),
            unknown=sum(lane.unknown for lane in lanes),
            oldest_unfinished_at=views.maybe(min((lane.oldest_at for lane in lanes if lane.oldest_at is not None), default=None)),
            accepted_last_hour=found.accepted_last_hour,
            delivered_last_hour=found.delivered_last_hour,
            requests_waiting=found.requests_waiting,
            workers=found.workers,
            quarantined=found.quarantined,
        )

    async def parties(self) -> Sequence[PartyView]:
        """See the port."""
        found = await self._ledger.read(lambda conn: counts.counts(conn, self._parties))
        ends = await asyncio.to_thread(lambda: {name: self._certificate_ends(name) for name in self._parties})
        return [self._party_view(name, found, ends[name]) for name in self._parties]

    async def queues(self) -> Sequence[QueueView]:
        """See the port."""
        places = [(party, lane) for party in self._parties for lane in LANES]
        lanes, bells = await asyncio.gather(
            self._ledger.read(counts.lane_counts), asyncio.gather(*(self._bells(*place) for place in places))
        )
        found = []
        for (party, lane), ready in zip(places, bells, strict=True):
            one = lanes.get((party, lane), counts.LaneCounts())
            found.append(
                QueueView(
                    party=party,
                    lane=lane,
                    depth=one.depth,
                    sending=one.sending,
                    backing_off=one.backing_off,
                    waiting=one.waiting,
                    held_keys=one.held_keys,
                    bells=ready,
                    oldest_at=views.maybe(one.oldest_at),
                )
            )
        return found

    async def held(self, *, parties: Collection[str] | None, limit: int, after: str | None) -> HeldPage:
        """See the port.

        :raises InputRefused: ``query-malformed``: ``after`` is not from a page.
        """
        if parties is not None and not set(parties) <= self._parties.keys():
            raise NotFound("no-such-party", "there is no such party")
        place = _place(after) if after is not None else None

        def find(conn: Connection) -> tuple[list[queries.FoundDelivery], requests.Waiting]:
            found = queries.held(conn, parties=parties, limit=limit + 1, after=place)
            return found, requests.waiting_requests(conn, [each.delivery.id for each in found])

        found, waiting = await self._ledger.read(find)
        items = found[:limit]
        more = f"{items[-1].delivery.updated_at!r}~{items[-1].delivery.id}" if len(found) > limit else None
        return HeldPage(items=tuple(self._view(each, waiting) for each in items), next_after=more)

    async def message(self, reference: str) -> MessageView:
        """See the port."""

        def find(conn: Connection) -> tuple[queries.FoundMessage | None, requests.Waiting]:
            ids = queries.find_messages(conn, reference)
            if len(ids) > 1:
                raise NotFound("ambiguous", "several systems used this id: name the gateway's id of the message, or of a delivery")
            message = queries.message(conn, ids[0]) if ids else None
            return message, requests.waiting_requests(conn, [each.delivery.id for each in message.deliveries] if message else [])

        found, waiting = await self._ledger.read(find)
        if found is None:
            raise NotFound("no-such-message", "there is no message or delivery of this id")
        return MessageView(
            message_id=found.id,
            source_id=found.source_id,
            system=found.system,
            type=found.type,
            door=found.door,
            accepted_at=views.time(found.accepted_at),
            corrects=found.corrects,
            operator=found.operator,
            terminal=found.terminal,
            deliveries=tuple(self._view(each, waiting) for each in found.deliveries),
            timeline=tuple(
                TimelineEntry(at=views.time(e.at), kind=e.kind, actor=e.actor, delivery_id=e.delivery_id, detail=e.detail)
                for e in found.timeline
            ),
        )

    # ---- commands ------------------------------------------------------------------------------------------------------------------

    async def retry(self, actor: str, delivery_id: str, seen: Seen, reason: str) -> RequestView:
        """See the port."""
        return await self._ask(actor, await self._delivery(delivery_id), seen, reason, Command.RETRY)

    async def skip(self, actor: str, delivery_id: str, seen: Seen, reason: str) -> RequestView:
        """See the port."""
        return await self._ask(actor, await self._delivery(delivery_id), seen, reason, Command.SKIP)

    async def release(self, actor: str, delivery_id: str, seen: Seen, reason: str) -> RequestView:
        """See the port."""
        return await self._ask(actor, await self._delivery(delivery_id), seen, reason, Command.RELEASE)

    async def by_hand(self, actor: str, delivery_id: str, seen: Seen, reason: str) -> RequestView:
        """See the port."""
        return await self._ask(actor, await self._delivery(delivery_id), seen, reason, Command.BY_HAND)

    async def settle(self, actor: str, delivery_id: str, seen: Seen, reason: str, took_effect: bool) -> RequestView:
        """See the port."""
        return await self._ask(actor, await self._delivery(delivery_id), seen, reason, Command.SETTLE, took_effect=took_effect)

    async def correct(self, actor: str, delivery_id: str, seen: Seen, reason: str, content: bytes) -> RequestView:
        """See the port."""
        found = await self._delivery(delivery_id)
        size = self._config.intake.limits.message_bytes
        if len(content) > size:
            raise too_large(size)
        if len(content) > LARGE_BYTES:
            message = await asyncio.to_thread(self._read, content, found.message_type)
        else:
            message = self._read(content, found.message_type)
        await self._require_same_resident(found, message)
        row = found.delivery
        if row.party_key is not None and message.party_key in (None, row.party_key):
            raise CommandRefused("party-key-reused", "the corrected content needs a 依頼管理番号 of its own (R4)", rule="R4")
        if await self._ledger.read(lambda conn: queries.waited_for(conn, row.id)):
            # what waits has the former content, or something made of it: only the sender can replace all of them together
            raise CommandRefused("others-wait", "what waits for this has the former content: the sender corrects it", rule="R3")
        filtered, terms = await self._permitted(found, message)
        sealed = self._sealer.seal(filtered, message_id=row.message_id, message_type=found.message_type, party=row.party)
        correction = commands.Correction(
            party_key=message.party_key, content_digest=ContentMac.current(self._keys).of(filtered), sealed=sealed, terms=terms
        )
        return await self._ask(actor, found, seen, reason, Command.CORRECT, correction=correction)

    async def _permitted(self, found: queries.FoundDelivery, message: Message) -> tuple[bytes, Terms]:
        """What the party may have of a correction: as of any message, by what its original was handed over for (I7)."""
        standing = await self._rights.refresh()
        origin = await self._ledger.read(lambda conn: queries.origin(conn, found.delivery.message_id))
        marks = await self._ledger.read(lambda conn: policies.marks_of(conn, origin.subject, standing.on))
        way = way_of(found.delivery.way, found.message_type, origin.system, found.delivery.party)
        grant = standing.grant(way.message_type, way.producer, way.consumer, work=origin.work, basis=origin.basis, marks=marks)
        filtered = grant.plan.apply(message)
        return filtered.content, grant.terms(filtered.items)

    async def pause(self, actor: str, party: str, reason: str) -> PartyView:
        """See the port."""
        return await self._pause(actor, party, reason, paused=True)

    async def resume(self, actor: str, party: str, reason: str) -> PartyView:
        """See the port."""
        return await self._pause(actor, party, reason, paused=False)

    async def manual(self, actor: str, party: str, reason: str) -> PartyView:
        """See the port."""
        return await self._pause(actor, party, reason, paused=True, manual=True)

    async def automatic(self, actor: str, party: str, reason: str) -> PartyView:
        """See the port."""
        return await self._pause(actor, party, reason, paused=False, manual=True)

    # ---- shared --------------------------------------------------------------------------------------------------------------------

    async def _ask(
        self,
        actor: str,
        found: queries.FoundDelivery,
        seen: Seen,
        reason: str,
        command: Command,
        *,
        took_effect: bool | None = None,
        correction: commands.Correction | None = None,
    ) -> RequestView:
        done = await self._ledger.command(
            commands.Command(
                kind=command.value,
                actor=actor,
                seen=commands.Seen(delivery_id=found.delivery.id, state=seen.state.value, content_digest=seen.digest),
                reason=reason,
                took_effect=took_effect,
                correction=correction,
                party_counts=views.counted(found.message_type),
                traits=self.traits_of(found.delivery.party),
                request_s=self._config.admin.request_s,
            )
        )
        request_id = done["request"]
        recorded = await self._ledger.read(lambda conn: requests.request(conn, request_id))
        assert recorded is not None  # it was committed just now
        return views.request(recorded)

    async def _pause(self, actor: str, party: str, reason: str, *, paused: bool, manual: bool = False) -> PartyView:
        if party not in self._parties:
            raise NotFound("no-such-party", "there is no such party")
        await self._ledger.pause(party, actor, reason, paused=paused, manual=manual)
        found = await self._ledger.read(lambda conn: counts.counts(conn, [party]))
        return self._party_view(party, found, await asyncio.to_thread(self._certificate_ends, party))

    async def _delivery(self, delivery_id: str) -> queries.FoundDelivery:
        found = await self._ledger.read(lambda conn: queries.delivery(conn, delivery_id))
        if found is None:
            raise NotFound("no-such-delivery", "there is no delivery of this id")
        return found

    async def _bells(self, party: str, lane: topology.Lane) -> int | None:
        with contextlib.suppress(BrokerUnavailable):  # shown as not known
            return (await self._depth(topology.work_queue(party, lane))).ready
        return None

    def _read(self, content: bytes, message_type: str) -> Message:
        limits = reading.Limits(size_bytes=self._config.intake.limits.message_bytes)
        try:
            message = reading.read(content, expected=message_type, limits=limits)
            if guard.applies(catalogue.get(message_type)):
                guard.check(message)
            return message
        except FormatError as error:
            code = FORMAT_CODES.get(error.code, error.code)
            raise InputRefused(code, error.safe_detail, place=error.place, rule=error.rule) from error

    async def _require_same_resident(self, found: queries.FoundDelivery, message: Message) -> None:
        """The key item of the new content names the resident whom the original is about, by whatever HMAC key it was indexed."""
        kind = catalogue.get(found.message_type)
        subject = await self._ledger.read(lambda conn: queries.message_subject(conn, found.delivery.message_id))
        if subject is None and not message.identifiers:
            return
        named: set[str] = set()
        if message.identifiers:
            what, value = message.identifiers[0]
            blinds = BlindIndex.every(self._keys, what, value)
            named = await self._ledger.read(lambda conn: queries.subjects_of(conn, what, blinds))
        if subject is None or named != {subject}:
            raise InputRefused(
                "other-resident", "the new content is about another resident than the original", place=f"/*/{kind.key_item}", rule="R4"
            )

    def traits_of(self, party: str) -> PartyTraits:
        """What the delivery rules know of a party."""
        return self._traits.get(party) or PartyTraits(party=party)

    def _view(self, found: queries.FoundDelivery, waiting: requests.Waiting) -> DeliveryView:
        return views.delivery(found, self.traits_of(found.delivery.party), waiting.get(found.delivery.id, ()))

    def _party_view(self, party: str, found: counts.Counts, ends: dt.datetime | None) -> PartyView:
        return views.party(party, self._parties[party].config.adapter, found, ends)

    def _certificate_ends(self, party: str) -> dt.datetime | None:
        file, _ = self._config.certificate(self._parties[party].config.certificate)
        return certificate_end(file)


def certificate_end(file: Path) -> dt.datetime | None:
    """The end of the first certificate in a PEM file; None where there is none to read (``renkei check`` says why)."""
    try:
        return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None


def _place(after: str) -> tuple[float, str]:
    at, mark, identity = after.partition("~")
    if mark and _NUMBER.fullmatch(at):
        return float(at), identity
    raise InputRefused("query-malformed", "must be next_after of a page before", place="after")


def _version() -> str:
    try:
        return version("renkei-gateway")
    except PackageNotFoundError:
        return "not installed"
