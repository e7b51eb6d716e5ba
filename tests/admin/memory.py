"""An AdminService in memory: the rules of the commands on a handful of made-up deliveries. All data are fictitious."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import itertools
from collections.abc import Collection, Sequence

from gateway.admin.desk import BulkView, OperatorView, QuarantineView, Revealed
from gateway.admin.service import (
    DeliveryView,
    HeldPage,
    Hold,
    MessageView,
    NotFound,
    PartyView,
    QueueView,
    RequestStatus,
    RequestView,
    Seen,
    State,
    StatusView,
    TimelineEntry,
    WaitingRequest,
)
from gateway.approvals.kinds import Kind
from gateway.approvals.rights import Account, Rights
from gateway.errors import CommandRefused, InputRefused

T0 = dt.datetime(2026, 11, 2, 9, 0, tzinfo=dt.UTC)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def delivery(
    identity: str, *, state: State = State.HELD, hold: Hold | None = Hold.REJECTED, bears: bool = False, **more: object
) -> DeliveryView:
    values: dict[str, object] = {
        "delivery_id": identity,
        "message_id": f"m-{identity}",
        "party": "city-cs",
        "lane": "live",
        "number": 1,
        "state": state,
        "reason": "E103" if state is State.HELD else None,
        "hold": hold,
        "digest": digest(identity),
        "attempts": 1,
        "spent": 1,
        "budget": 12,
        "bears_update_number": bears,
        "behind": 2,
        "blocked_by": None,
        "next_at": None,
        "party_down": False,
        "accepted_at": T0,
        "updated_at": T0,
        "final_at": None,
        "outcome_code": None,
    }
    return DeliveryView(**{**values, **more})  # type: ignore[arg-type]


KEPT = QuarantineView(
    quarantine_id="q-1",
    system="resident-record-system",
    door="https",
    source_id="day-1-18",
    type="identity-information-update",
    code="malformed-xml",
    rule="xml",
    place="line 3 column 7",
    size_bytes=12,
    at=T0,
    status="kept",
    has_body=True,
    releasable=True,
    digest=digest("q-1"),
    decided_at=None,
    request_id=None,
    message_id=None,
)


class MemoryAccounts:
    """Everybody has what the configuration gives, unless a test says otherwise."""

    def __init__(self) -> None:
        self.configured: dict[str, Rights] = {}
        self.approved: dict[str, Rights | None] = {}
        self.released_until: dict[str, float] = {}
        self.refusals: list[tuple[str, str, str]] = []
        self.looks: list[tuple[str, str]] = []
        self.sessions: set[str] = set()

    async def account(self, name: str) -> Account | None:
        rights = self.approved.get(name, self.configured.get(name))
        if rights is None:
            return None
        until = self.released_until.get(name)
        return Account(
            name=name, rights=rights, granted_at=0.0, requested_by="x", approved_by="y", reviewed_at=0.0, reviewed_by="y", seen_at=None,
            released_until=until, released_by=None,
        )  # fmt: skip

    async def sighted(self, account: Account, address: str | None) -> None:
        self.sessions.add(account.name)

    async def refused(self, name: str, code: str, operation: str, address: str | None) -> None:
        self.refusals.append((name, code, operation))

    def note(self, *, direction: str, place: str, address: str, code: str, fingerprint: str | None = None, who: str = "") -> None:
        """As the witness of the listener: nobody who is known."""
        self.refusals.append(("unknown", code, place))

    async def looked(self, name: str, operation: str, *, message_id: str) -> None:
        self.looks.append((name, message_id))

    async def operators(self) -> Sequence[OperatorView]:
        return [self._view(name) for name in sorted(self.configured)]

    async def review(self, actor: str, name: str, result: str) -> OperatorView:
        return self._view(name)

    async def release(self, actor: str, name: str, hours: float, reason: str) -> OperatorView:
        self.released_until[name] = dt.datetime.now(dt.UTC).timestamp() + hours * 3600
        return self._view(name)

    async def ask_rights(self, actor: str, name: str, seen_digest: bytes, reason: str) -> RequestView:
        raise CommandRefused("changed-meanwhile", "the configured rights are not what was seen: look again", rule="R13")

    def _view(self, name: str) -> OperatorView:
        if name not in self.configured:
            raise NotFound("no-such-operator", "nobody of this name has rights in force")
        rights, until = self.configured[name], self.released_until.get(name)
        return OperatorView(
            name=name, configured={"roles": sorted(rights.roles), "parties": None}, approved=None, roles=tuple(sorted(rights.roles)),
            parties=None, contractor=rights.contractor, pending_digest=None, granted_at=T0, requested_by="x", approved_by="y",
            reviewed_at=T0, reviewed_by="y", review_due=dt.date(2027, 4, 30), overdue=False, expired=False, seen_at=None, unused=False,
            released_until=dt.datetime.fromtimestamp(until, dt.UTC) if until else None, released_by=None,
        )  # fmt: skip


class MemoryService:
    """Enough of a gateway for the API and the commands in front of it."""

    def __init__(self, *deliveries: DeliveryView) -> None:
        self.deliveries = {each.delivery_id: each for each in deliveries}
        self.log: list[tuple[str, str, str]] = []
        """(actor, what, on what): the record."""
        self.asked: dict[str, RequestView] = {}
        self.contents: dict[str, bytes] = {}
        self.paused: dict[str, str] = {}
        self.by_hand_parties: set[str] = set()
        self.failure: Exception | None = None
        self._numbers = itertools.count(1)

    async def status(self) -> StatusView:
        if self.failure is not None:
            raise self.failure
        return StatusView(
            instance="test",
            version="0",
            started_at=T0,
            now=T0,
            broker="up",
            unfinished=len(self.deliveries),
            held_keys=sum(each.state is State.HELD for each in self.deliveries.values()),
            unknown=0,
            oldest_unfinished_at=T0,
            accepted_last_hour=3,
            delivered_last_hour=0,
            requests_waiting=sum(each.status is RequestStatus.WAITING for each in self.asked.values()),
            workers=2,
            quarantined=0,
        )

    async def parties(self) -> Sequence[PartyView]:
        return [self._party("city-cs")]

    async def queues(self) -> Sequence[QueueView]:
        return [
            QueueView(party="city-cs", lane=lane, depth=3, sending=0, backing_off=1, waiting=1, held_keys=1, bells=None, oldest_at=T0)
            for lane in ("live", "bulk")
        ]

    async def held(self, *, parties: Collection[str] | None, limit: int, after: str | None) -> HeldPage:
        found = [self._shown(each) for each in self.deliveries.values() if each.state is State.HELD]
        found = [each for each in found if parties is None or each.party in parties]
        found = [each for each in sorted(found, key=lambda each: each.delivery_id) if after is None or each.delivery_id > after]
        return HeldPage(items=tuple(found[:limit]), next_after=found[limit - 1].delivery_id if len(found) > limit else None)

    async def message(self, reference: str) -> MessageView:
        found = [each for each in self.deliveries.values() if reference in (each.delivery_id, each.message_id)]
        if not found:
            raise NotFound("no-such-message", "there is no message or delivery of this id")
        return MessageView(
            message_id=found[0].message_id,
            source_id="day-1-17",
            system="resident-record-system",
            type="identity-information-update",
            door="https",
            accepted_at=T0,
            corrects=None,
            operator=None,
            terminal=None,
            deliveries=tuple(self._shown(each) for each in found),
            timeline=(TimelineEntry(at=T0, kind="accepted", actor="resident-record-system", detail={"door": "https"}),),
        )

    async def retry(self, actor: str, delivery_id: str, seen: Seen, reason: str) -> RequestView:
        view = self._seen(delivery_id, seen)
        self.deliveries[delivery_id] = dataclasses.replace(view, state=State.QUEUED, hold=None, reason=None)
        return self._record(actor, Kind.RETRY, delivery_id, seen, reason, status=RequestStatus.DONE)

    async def release(self, actor: str, delivery_id: str, seen: Seen, reason: str) -> RequestView:
        self._seen(delivery_id, seen)
        return self._record(actor, Kind.RELEASE, delivery_id, seen, reason)

    async def correct(self, actor: str, delivery_id: str, seen: Seen, reason: str, content: bytes) -> RequestView:
        self._seen(delivery_id, seen)
        if not content.startswith(b"<"):
            raise InputRefused("not-xml", "the content is not XML", place="/", rule="xml")
        asked = self._record(actor, Kind.CORRECT, delivery_id, seen, reason, content_digest=hashlib.sha256(content).digest())
        self.contents[asked.request_id] = content
        return asked

    async def skip(self, actor: str, delivery_id: str, seen: Seen, reason: str) -> RequestView:
        if self._seen(delivery_id, seen).bears_update_number:
            raise CommandRefused("skip-forbidden", "its type bears 更新順番号: the register replaces it, nobody skips it", rule="R4")
        return self._record(actor, Kind.SKIP, delivery_id, seen, reason)

    async def settle(self, actor: str, delivery_id: str, seen: Seen, reason: str, took_effect: bool) -> RequestView:
        self._seen(delivery_id, seen)
        return self._record(actor, Kind.SETTLE, delivery_id, seen, reason, took_effect=took_effect)

    async def requests(self, *, waiting_only: bool) -> Sequence[RequestView]:
        return [each for each in reversed(self.asked.values()) if not waiting_only or each.status is RequestStatus.WAITING]

    async def request(self, request_id: str) -> RequestView:
        if request_id not in self.asked:
            raise NotFound("no-such-request", "there is no request of this id")
        return self.asked[request_id]

    async def content(self, actor: str, request_id: str) -> Revealed:
        if request_id not in self.contents:
            raise NotFound("no-content", "this request has no content")
        self.log.append((actor, "read-content", request_id))
        return Revealed(content=self.contents[request_id], content_type="application/xml", masked=False)

    async def approve(self, actor: str, request_id: str, seen_digest: bytes) -> RequestView:
        asked = await self.request(request_id)
        if asked.requested_by == actor:
            raise CommandRefused("same-person", "who asked cannot approve")
        if seen_digest != asked.approval_digest:
            raise CommandRefused("digest-changed", "what was seen is not what would be done", rule="R13")
        return self._decide(actor, asked, RequestStatus.APPROVED if asked.command is Kind.REVEAL else RequestStatus.DONE)

    async def refuse(self, actor: str, request_id: str, reason: str) -> RequestView:
        return self._decide(actor, await self.request(request_id), RequestStatus.REFUSED)

    async def withdraw(self, actor: str, request_id: str) -> RequestView:
        return self._decide(actor, await self.request(request_id), RequestStatus.WITHDRAWN)

    async def ask_reveal(self, actor: str, reference: str, seen_digest: bytes, reason: str, *, clear: bool) -> RequestView:
        return self._other(actor, Kind.REVEAL, reference, seen_digest, reason, argument={"clear": clear})

    async def reveal(self, actor: str, request_id: str) -> Revealed:
        asked = await self.request(request_id)
        if asked.status is not RequestStatus.APPROVED or asked.requested_by != actor:
            raise CommandRefused("not-approved", "an approval is needed, and serves once")
        self.asked[request_id] = dataclasses.replace(asked, status=RequestStatus.DONE, used_at=T0)
        return Revealed(content=b"<masked/>", content_type="application/xml", masked=True)

    async def quarantine(self, *, kept_only: bool, limit: int, before: str | None) -> Sequence[QuarantineView]:
        return [KEPT][:limit]

    async def quarantined(self, quarantine_id: str) -> QuarantineView:
        if quarantine_id != KEPT.quarantine_id:
            raise NotFound("no-such-refusal", "nothing of this id is there")
        return KEPT

    async def ask_release(self, actor: str, quarantine_id: str, seen_digest: bytes, reason: str) -> RequestView:
        return self._other(actor, Kind.QUARANTINE_RELEASE, quarantine_id, seen_digest, reason)

    async def ask_discard(self, actor: str, quarantine_id: str, seen_digest: bytes, reason: str) -> RequestView:
        return self._other(actor, Kind.QUARANTINE_DISCARD, quarantine_id, seen_digest, reason)

    async def bulk(self) -> Sequence[BulkView]:
        return [BulkView(party="city-cs", type="reconciliation", count=3, oldest_at=T0, newest_at=T0, digest=digest("bulk"))]

    async def ask_bulk_output(self, actor: str, party: str, message_type: str, seen_digest: bytes, reason: str) -> RequestView:
        return self._other(actor, Kind.BULK_OUTPUT, f"{party}/{message_type}", seen_digest, reason, party=party)

    async def pause(self, actor: str, party: str, reason: str) -> PartyView:
        self.log.append((actor, "pause", party))
        self.paused[party] = actor
        return self._party(party)

    async def manual(self, actor: str, party: str, reason: str) -> PartyView:
        self.by_hand_parties.add(party)
        return await self.pause(actor, party, reason)

    async def automatic(self, actor: str, party: str, reason: str) -> PartyView:
        self.by_hand_parties.discard(party)
        return await self.resume(actor, party, reason)

    async def by_hand(self, actor: str, delivery_id: str, seen: Seen, reason: str) -> RequestView:
        self._seen(delivery_id, seen)
        return self._record(actor, Kind.BY_HAND, delivery_id, seen, reason)

    async def resume(self, actor: str, party: str, reason: str) -> PartyView:
        self.log.append((actor, "resume", party))
        self.paused.pop(party, None)
        return self._party(party)

    def _party(self, party: str) -> PartyView:
        if party != "city-cs":
            raise NotFound("no-such-party", "there is no such party")
        by = self.paused.get(party)
        return PartyView(
            party=party,
            adapter="juki_cs",
            breaker="closed",
            breaker_code=None,
            probe_at=None,
            paused_by=by,
            paused_at=T0 if by else None,
            manual=party in self.by_hand_parties,
            unfinished=3,
            held_keys=1,
            last_delivered_at=None,
            certificate_ends_at=T0 + dt.timedelta(days=300),
        )

    def _seen(self, delivery_id: str, seen: Seen) -> DeliveryView:
        view = self.deliveries.get(delivery_id)
        if view is None:
            raise NotFound("no-such-delivery", "there is no delivery of this id")
        if (seen.state, seen.digest) != (view.state, view.digest):
            raise CommandRefused("state-changed", f"it is {view.state.value} now", rule="R13")
        return view

    def _shown(self, view: DeliveryView) -> DeliveryView:
        waiting = [
            WaitingRequest(request_id=each.request_id, command=each.command)
            for each in self.asked.values()
            if each.delivery_id == view.delivery_id and each.status is RequestStatus.WAITING
        ]
        return dataclasses.replace(view, waiting=tuple(waiting))

    def _other(self, actor: str, kind: Kind, subject: str, seen_digest: bytes, reason: str, **more: object) -> RequestView:
        seen = Seen(state=State.HELD, digest=seen_digest)
        return self._record(actor, kind, None, seen, reason, **{"subject": subject, "party": None, **more})

    def _record(self, actor: str, command: Kind, delivery_id: str | None, seen: Seen, reason: str, **more: object) -> RequestView:
        party = self.deliveries[delivery_id].party if delivery_id in self.deliveries else None
        values: dict[str, object] = {
            "status": RequestStatus.WAITING, "took_effect": None, "content_digest": None, "delivery_id": delivery_id, "subject": None,
            "party": party, "argument": None,
        }  # fmt: skip
        asked = RequestView(
            request_id=f"r-{next(self._numbers)}",
            command=command,
            seen_state=seen.state.value,
            seen_digest=seen.digest,
            reason=reason,
            requested_by=actor,
            requested_at=T0,
            expires_at=T0 + dt.timedelta(days=1),
            **{**values, **more},  # type: ignore[arg-type]
        )
        self.asked[asked.request_id] = asked
        self.log.append((actor, command.value, delivery_id or asked.subject or ""))
        return asked

    def _decide(self, actor: str, asked: RequestView, status: RequestStatus) -> RequestView:
        if asked.status is not RequestStatus.WAITING:
            raise CommandRefused("not-waiting", f"the request is {asked.status.value} already")
        done = dataclasses.replace(asked, status=status, decided_by=actor, decided_at=T0)
        self.asked[asked.request_id] = done
        self.log.append((actor, f"{status.value}:{asked.command.value}", asked.delivery_id or asked.subject or ""))
        return done
