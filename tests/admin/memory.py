"""An AdminService in memory: the rules of the commands on a handful of made-up deliveries. All data are fictitious."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import itertools
from collections.abc import Sequence

from gateway.admin.service import (
    Command,
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
)
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


class MemoryService:
    """Enough of a gateway for the API and the commands in front of it."""

    def __init__(self, *deliveries: DeliveryView) -> None:
        self.deliveries = {each.delivery_id: each for each in deliveries}
        self.log: list[tuple[str, str, str]] = []
        """(actor, what, on what): the record."""
        self.asked: dict[str, RequestView] = {}
        self.contents: dict[str, bytes] = {}
        self.paused: dict[str, str] = {}
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

    async def held(self, *, party: str | None, limit: int, after: str | None) -> HeldPage:
        found = [each for each in self.deliveries.values() if each.state is State.HELD and party in (None, each.party)]
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
            deliveries=tuple(found),
            timeline=(TimelineEntry(at=T0, kind="accepted", actor="resident-record-system", detail={"door": "https"}),),
        )

    async def retry(self, actor: str, delivery_id: str, seen: Seen, reason: str) -> RequestView:
        view = self._seen(delivery_id, seen)
        self.deliveries[delivery_id] = dataclasses.replace(view, state=State.QUEUED, hold=None, reason=None)
        return self._record(actor, Command.RETRY, delivery_id, seen, reason, status=RequestStatus.DONE)

    async def correct(self, actor: str, delivery_id: str, seen: Seen, reason: str, content: bytes) -> RequestView:
        self._seen(delivery_id, seen)
        if not content.startswith(b"<"):
            raise InputRefused("not-xml", "the content is not XML", place="/", rule="xml")
        asked = self._record(actor, Command.CORRECT, delivery_id, seen, reason, content_digest=hashlib.sha256(content).digest())
        self.contents[asked.request_id] = content
        return asked

    async def skip(self, actor: str, delivery_id: str, seen: Seen, reason: str) -> RequestView:
        if self._seen(delivery_id, seen).bears_update_number:
            raise CommandRefused("skip-forbidden", "its type bears 更新順番号: the register replaces it, nobody skips it", rule="R4")
        return self._record(actor, Command.SKIP, delivery_id, seen, reason)

    async def settle(self, actor: str, delivery_id: str, seen: Seen, reason: str, took_effect: bool) -> RequestView:
        self._seen(delivery_id, seen)
        return self._record(actor, Command.SETTLE, delivery_id, seen, reason, took_effect=took_effect)

    async def requests(self, *, waiting_only: bool) -> Sequence[RequestView]:
        return [each for each in reversed(self.asked.values()) if not waiting_only or each.status is RequestStatus.WAITING]

    async def request(self, request_id: str) -> RequestView:
        if request_id not in self.asked:
            raise NotFound("no-such-request", "there is no request of this id")
        return self.asked[request_id]

    async def request_content(self, actor: str, request_id: str) -> bytes:
        if request_id not in self.contents:
            raise NotFound("no-content", "this request has no content")
        self.log.append((actor, "read-content", request_id))
        return self.contents[request_id]

    async def approve(self, actor: str, request_id: str, seen_digest: bytes) -> RequestView:
        asked = await self.request(request_id)
        if asked.requested_by == actor:
            raise CommandRefused("same-person", "who asked cannot approve")
        if seen_digest != asked.approval_digest:
            raise CommandRefused("digest-changed", "what was seen is not what would be done", rule="R13")
        return self._decide(actor, asked, RequestStatus.DONE)

    async def withdraw(self, actor: str, request_id: str) -> RequestView:
        return self._decide(actor, await self.request(request_id), RequestStatus.WITHDRAWN)

    async def pause(self, actor: str, party: str, reason: str) -> PartyView:
        self.log.append((actor, "pause", party))
        self.paused[party] = actor
        return self._party(party)

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

    def _record(self, actor: str, command: Command, delivery_id: str, seen: Seen, reason: str, **more: object) -> RequestView:
        values: dict[str, object] = {"status": RequestStatus.WAITING, "took_effect": None, "content_digest": None}
        asked = RequestView(
            request_id=f"r-{next(self._numbers)}",
            command=command,
            delivery_id=delivery_id,
            seen_state=seen.state,
            seen_digest=seen.digest,
            reason=reason,
            requested_by=actor,
            requested_at=T0,
            expires_at=T0 + dt.timedelta(days=1),
            **{**values, **more},  # type: ignore[arg-type]
        )
        self.asked[asked.request_id] = asked
        self.log.append((actor, command.value, delivery_id))
        return asked

    def _decide(self, actor: str, asked: RequestView, status: RequestStatus) -> RequestView:
        if asked.status is not RequestStatus.WAITING:
            raise CommandRefused("not-waiting", f"the request is {asked.status.value} already")
        done = dataclasses.replace(asked, status=status, decided_by=actor, decided_at=T0)
        self.asked[asked.request_id] = done
        self.log.append((actor, f"{status.value}:{asked.command.value}", asked.delivery_id))
        return done
