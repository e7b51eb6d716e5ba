"""The desk on the ledger: see :class:`gateway.admin.desk.Desk`.

What a kind does when it is approved is one entry of ``effects``; other parts of the gateway add theirs (a change of policy, say) and ask by
:meth:`LedgerDesk.ask`, so that there is one record, one list and one way to approve.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from gateway.admin import views
from gateway.admin.desk import BulkView, QuarantineView, Revealed
from gateway.admin.service import NotFound, RequestView
from gateway.approvals.kinds import Kind
from gateway.delivery.results import TOOK_EFFECT, Decided, Results
from gateway.delivery.rows import PartyTraits
from gateway.errors import CommandRefused
from gateway.intake.admit import Answer
from gateway.intake.cloudevents import EventAttributes
from gateway.intake.prepare import WAIVABLE
from gateway.intake.submission import Submission
from gateway.ledger import approvals, bulk, commands, contents, policies, quarantine, queries, requests
from gateway.ledger.approvals import Apply
from gateway.ledger.ledger import Ledger
from gateway.ledger.operators import RecordAccess
from gateway.ledger.quarantine import Kept
from gateway.ledger.requests import FoundRequest
from gateway.ledger.unit import StaleKey
from gateway.policy.items import locating
from gateway.policy.rights import StalePolicy
from gateway.security.masking import masked, masked_at
from gateway.security.sealing import Sealer

_log = logging.getLogger(__name__)

ON_DELIVERIES = frozenset({Kind.RETRY, Kind.CORRECT, Kind.SKIP, Kind.SETTLE, Kind.RELEASE, Kind.BY_HAND})

Entitled = Callable[[str, Kind], Awaitable[bool]]
"""Whether a person may, at this moment, ask for a kind."""
HandIn = Callable[[Submission], Awaitable[Answer]]


class LedgerDesk:
    """For one event loop.

    :param traits_of: what the delivery rules know of a party.
    :param hand_in: admits once more what was refused; None: this process has no door.
    :param results: what whoever handed a delivery in is told when two persons decide that it took effect; None: nobody is told.
    """

    def __init__(
        self,
        ledger: Ledger,
        sealer: Sealer,
        traits_of: Callable[[str], PartyTraits],
        *,
        entitled: Entitled,
        hand_in: HandIn | None = None,
        results: Results | None = None,
        request_s: float = approvals.REQUEST_EXPIRES_S,
    ) -> None:
        self._ledger = ledger
        self._sealer = sealer
        self._traits_of = traits_of
        self._entitled = entitled
        self._hand_in = hand_in
        self._results = results
        self._request_s = request_s
        self.effects: dict[Kind, Callable[[RequestView], Apply]] = {
            Kind.QUARANTINE_DISCARD: lambda _: quarantine.discard,
            Kind.QUARANTINE_RELEASE: lambda _: quarantine.unchanged,
            Kind.BULK_OUTPUT: lambda _: bulk.unchanged,
            Kind.REVEAL: lambda _: _nothing,
        }
        self.afterwards: dict[Kind, Callable[[str, RequestView], Awaitable[None]]] = {
            Kind.QUARANTINE_RELEASE: self._hand_in_again,
            Kind.BULK_OUTPUT: lambda actor, asked: self._release_all(actor, asked.request_id),
        }
        """What follows an approval, carried on at the next start where it did not end."""

    # ---- requests ------------------------------------------------------------------------------------------------------------------

    async def requests(self, *, waiting_only: bool) -> Sequence[RequestView]:
        """See the port."""
        return [views.request(each) for each in await self._ledger.read(lambda conn: requests.requests(conn, waiting_only=waiting_only))]

    async def request(self, request_id: str) -> RequestView:
        """See the port."""
        return views.request(await self._found(request_id))

    async def ask(
        self,
        kind: Kind,
        actor: str,
        subject: str,
        *,
        seen_digest: bytes,
        reason: str,
        argument: Mapping[str, Any] | None = None,
        delivery_id: str | None = None,
        party: str | None = None,
        check: Callable[[Any], None] | None = None,
    ) -> RequestView:
        """Put a request on record, which a second person decides.

        :param seen_digest: names what it was based on; whoever approves names it too.
        :param check: runs in the ledger's transaction; raises CommandRefused if what was seen is no longer so.
        """
        request_id = await self._ledger.submit(
            approvals.Ask(
                kind=kind, actor=actor, reason=reason, subject=subject, seen_digest=seen_digest, argument=argument,
                delivery_id=delivery_id, party=party, request_s=self._request_s, check=check,
            )
        )  # fmt: skip
        return await self.request(request_id)

    async def content(self, actor: str, request_id: str) -> Revealed:
        """See the port."""
        found = await self._found(request_id)
        payload_id = found.payload_id
        content = None if payload_id is None else await self._ledger.read(lambda conn: contents.sealed_content(conn, payload_id))
        delivery_id = found.delivery_id
        if content is None or delivery_id is None:
            raise NotFound("no-content", "this request has no content")
        shown = self._unsealed(content)
        hide = await self._ledger.read(lambda conn: policies.protected(conn, delivery_id))
        # on record before anybody sees it
        detail = {"request": request_id, "masked": hide}
        await self._ledger.submit(
            RecordAccess(kind="content-read", actor=actor, message_id=content.message_id, delivery_id=delivery_id, detail=detail)
        )
        if hide:
            shown = masked_at(shown, locating(content.message_type))
        return Revealed(content=shown, content_type="application/xml", masked=hide)

    async def approve(self, actor: str, request_id: str, seen_digest: bytes) -> RequestView:
        """See the port."""
        asked = await self.request(request_id)
        if asked.command is Kind.OPERATOR_RIGHTS and asked.subject == actor:
            await self._refused_to(actor, asked, "own-rights")
            raise CommandRefused("same-person", "nobody decides on their own rights: a second person must", rule="C-1-3-16")
        entitled = await self._entitled(asked.requested_by, asked.command)
        await self._decide(asked, actor, approve=True, digest=seen_digest, entitled=entitled)
        if asked.command in self.afterwards:
            await self.afterwards[asked.command](actor, asked)
        return await self.request(request_id)

    async def refuse(self, actor: str, request_id: str, reason: str) -> RequestView:
        """See the port."""
        asked = await self.request(request_id)
        if asked.requested_by == actor:
            raise CommandRefused("same-person", "a request of one's own is withdrawn; another person refuses it", rule="R13")
        await self._decide(asked, actor, approve=False, why=reason)
        return await self.request(request_id)

    async def withdraw(self, actor: str, request_id: str) -> RequestView:
        """See the port."""
        asked = await self.request(request_id)
        if asked.requested_by != actor:
            raise CommandRefused("not-the-requester", "only the person who asked takes a request back", rule="R13")
        await self._decide(asked, actor, approve=False)
        return await self.request(request_id)

    async def resume(self) -> None:
        """Carry on what was approved and not ended when a process died. At the start of a gateway process."""
        for request_id in await self._ledger.read(bulk.approved):
            await self._release_all("gateway", request_id)
        for asked in await self.requests(waiting_only=False):
            if asked.command is not Kind.BULK_OUTPUT and asked.command in self.afterwards and asked.status == "approved":
                try:
                    await self.afterwards[asked.command]("gateway", asked)
                except CommandRefused as error:
                    _log.warning("approval-not-carried-out", extra={"code": error.code})

    # ---- a look into a payload -----------------------------------------------------------------------------------------------------

    async def ask_reveal(self, actor: str, reference: str, seen_digest: bytes, reason: str, *, clear: bool) -> RequestView:
        """See the port."""
        argument = {"clear": clear}
        delivery = await self._ledger.read(lambda conn: queries.delivery(conn, reference))
        if delivery is not None:
            row = delivery.delivery
            if clear:
                await self._require_unprotected(reference)
            if row.content_digest != seen_digest:
                raise CommandRefused("changed-meanwhile", "its content is not what was seen: look again", rule="R13")
            return await self.ask(
                Kind.REVEAL, actor, f"delivery {reference}", seen_digest=seen_digest, reason=reason, argument=argument,
                delivery_id=reference, party=row.party,
            )  # fmt: skip
        kept = await self._kept(reference)
        return await self.ask(
            Kind.REVEAL,
            actor,
            kept.id,
            seen_digest=seen_digest,
            reason=reason,
            argument=argument,
            check=quarantine.still(kept.id, seen_digest),
        )

    async def reveal(self, actor: str, request_id: str) -> Revealed:
        """See the port."""
        asked = await self.request(request_id)
        if asked.command is not Kind.REVEAL:
            raise CommandRefused("not-a-reveal", "this request is not about seeing a payload")
        if asked.delivery_id is not None:
            delivery_id = asked.delivery_id
            if asked.argument and asked.argument.get("clear"):
                await self._require_unprotected(delivery_id)
            content = await self._ledger.read(lambda conn: contents.delivery_content(conn, delivery_id))
        else:
            subject = asked.subject or ""
            content = await self._ledger.read(lambda conn: quarantine.sealed_body(conn, subject))
        if content is None:
            raise NotFound("no-content", "the payload is gone")
        shown = self._unsealed(content)
        clear = bool(asked.argument and asked.argument.get("clear"))
        outcome = "shown-clear" if clear else "shown-masked"
        # on record before anybody sees it, and only once
        await self._ledger.submit(approvals.CarryOut(request=request_id, actor=actor, outcome=outcome))
        content_type = "application/xml" if asked.delivery_id is not None else "application/octet-stream"
        return Revealed(content=shown if clear else masked(shown), content_type=content_type, masked=not clear)

    async def _require_unprotected(self, delivery_id: str) -> None:
        if await self._ledger.read(lambda conn: policies.protected(conn, delivery_id)):
            text = "support measures are in force for this resident: a payload is shown masked only"
            raise CommandRefused("protected", text, rule="支援措置")

    # ---- quarantine ----------------------------------------------------------------------------------------------------------------

    async def quarantine(self, *, kept_only: bool, limit: int, before: str | None) -> Sequence[QuarantineView]:
        """See the port."""
        found = await self._ledger.read(lambda conn: quarantine.entries(conn, kept_only=kept_only, limit=limit, before=before))
        return [views.quarantined(each) for each in found]

    async def quarantined(self, quarantine_id: str) -> QuarantineView:
        """See the port."""
        return views.quarantined(await self._kept(quarantine_id))

    async def ask_release(self, actor: str, quarantine_id: str, seen_digest: bytes, reason: str) -> RequestView:
        """See the port."""
        if not (await self.quarantined(quarantine_id)).releasable:
            text = "it cannot be handed in again: its body or its attributes were not kept, or it was decided before"
            raise CommandRefused("not-releasable", text)
        return await self._ask_about(Kind.QUARANTINE_RELEASE, actor, quarantine_id, seen_digest, reason)

    async def ask_discard(self, actor: str, quarantine_id: str, seen_digest: bytes, reason: str) -> RequestView:
        """See the port."""
        return await self._ask_about(Kind.QUARANTINE_DISCARD, actor, quarantine_id, seen_digest, reason)

    # ---- bulk output ---------------------------------------------------------------------------------------------------------------

    async def bulk(self) -> Sequence[BulkView]:
        """See the port."""
        return [views.bulk_set(each) for each in await self._ledger.read(bulk.sets)]

    async def ask_bulk_output(self, actor: str, party: str, message_type: str, seen_digest: bytes, reason: str) -> RequestView:
        """See the port."""
        found = await self._ledger.read(lambda conn: bulk.find(conn, party, message_type))
        if found is None:
            raise NotFound("nothing-waits", "nothing of this type waits for a bulk output to this party")
        if found.digest != seen_digest:
            raise CommandRefused("changed-meanwhile", "what waits is not what was seen: look again", rule="R13")
        return await self.ask(
            Kind.BULK_OUTPUT, actor, bulk.subject_of(party, message_type), seen_digest=seen_digest, reason=reason, party=party,
            argument={"count": found.count, "until": found.newest_at}, check=bulk.still(found),
        )  # fmt: skip

    # ---- shared --------------------------------------------------------------------------------------------------------------------

    async def _decide(
        self, asked: RequestView, actor: str, *, approve: bool, digest: bytes | None = None, why: str = "", entitled: bool = True
    ) -> None:
        if asked.command in ON_DELIVERIES:
            assert asked.delivery_id is not None
            delivery_id = asked.delivery_id
            found = await self._ledger.read(lambda conn: queries.delivery(conn, delivery_id))
            if found is None:
                raise NotFound("no-such-delivery", "there is no delivery of this id")
            command = commands.Command(
                kind=asked.command.value, actor=actor, command_id=asked.request_id, approve=approve, approved_digest=digest,
                asker_entitled=entitled, why=why, party_counts=views.counted(found.message_type),
                traits=self._traits_of(found.delivery.party),
            )  # fmt: skip
            if approve and self._results is not None and asked.command in (Kind.SETTLE, Kind.BY_HAND):
                sender = await self._ledger.read(lambda conn: queries.sender_of(conn, delivery_id))
                row = found.delivery
                decided = Decided(
                    delivery_id=row.id, message_type=found.message_type, system=sender, party=row.party, party_key=row.party_key
                )  # fmt: skip
                await self._tell(self._results, command, decided)
            else:
                await self._ledger.command(command)
            return
        effect = None
        if approve:
            if asked.command not in self.effects:
                raise CommandRefused("kind-not-served", f"this gateway cannot carry out {asked.command.value}")
            effect = self.effects[asked.command](asked)
        await self._ledger.submit(
            approvals.Decide(
                request=asked.request_id, actor=actor, approve=approve, digest=digest, why=why, asker_entitled=entitled, effect=effect
            )
        )

    async def _tell(self, results: Results, command: commands.Command, decided: Decided) -> None:
        """With the decision, whoever handed the delivery in is told that it took effect: in one transaction, as for an answer."""
        for last in (False, False, False, True):
            command.told = results.of_or_none(decided, TOOK_EFFECT)
            try:
                await self._ledger.command(command)
                return
            except (StaleKey, StalePolicy) as stale:
                if last:
                    raise
                if isinstance(stale, StalePolicy):
                    await results.decide_again()

    async def _ask_about(self, kind: Kind, actor: str, quarantine_id: str, seen_digest: bytes, reason: str) -> RequestView:
        await self._kept(quarantine_id)
        return await self.ask(
            kind, actor, quarantine_id, seen_digest=seen_digest, reason=reason, check=quarantine.still(quarantine_id, seen_digest)
        )

    async def _hand_in_again(self, actor: str, asked: RequestView) -> None:
        """The same message once more, by the same door; what is accepted already gets its receipt again, so doing this twice is safe."""
        if self._hand_in is None:
            raise CommandRefused("no-door", "this process has no door")
        kept = await self._kept(asked.subject or "")
        body = await self._ledger.read(lambda conn: quarantine.sealed_body(conn, kept.id))
        if body is None or kept.attributes is None:
            raise NotFound("no-content", "its body is gone")
        attributes = json.loads(kept.attributes)
        submission = Submission(
            system=kept.system,
            door=kept.door,
            supplier=attributes.pop("supplier", None),
            attributes=EventAttributes(**attributes),
            data=self._unsealed(body),
            waived=WAIVABLE & {kept.rule or ""},
        )
        answer = await self._hand_in(submission)
        if answer.refusal is not None:
            done = approvals.CarryOut(request=asked.request_id, actor=actor, outcome=f"refused:{answer.refusal.code}", only_author=False)
            await self._ledger.submit(done)
            return
        message_id = answer.message_id or ""
        done = approvals.CarryOut(
            request=asked.request_id, actor=actor, outcome="accepted", only_author=False, effect=quarantine.released(message_id),
            detail={"accepted_as": message_id, "waived": sorted(submission.waived)},
        )  # fmt: skip
        await self._ledger.submit(done)

    async def _release_all(self, actor: str, request_id: str) -> None:
        count = 1
        while count:
            count, bells = await self._ledger.submit(bulk.ReleaseStep(request=request_id, actor=actor))
            self._ledger.ring_all(bells)

    async def _refused_to(self, actor: str, asked: RequestView, code: str) -> None:
        detail = {"request": asked.request_id, "command": asked.command.value, "subject": asked.subject, "code": code}
        await self._ledger.submit(RecordAccess(kind="command-refused", actor=actor, detail=detail))

    async def _kept(self, quarantine_id: str) -> Kept:
        found = await self._ledger.read(lambda conn: quarantine.entry(conn, quarantine_id))
        if found is None:
            raise NotFound("no-such-refusal", "nothing of this id is there")
        return found

    async def _found(self, request_id: str) -> FoundRequest:
        found = await self._ledger.read(lambda conn: requests.request(conn, request_id))
        if found is None:
            raise NotFound("no-such-request", "there is no request of this id")
        return found

    def _unsealed(self, content: contents.SealedContent) -> bytes:
        return self._sealer.unseal(
            content.sealed, wrapped=content.wrapped, kek_id=content.kek_id, message_id=content.message_id,
            message_type=content.message_type, party=content.party,
        )  # fmt: skip


def _nothing(_unit: Any, _row: Any) -> None:
    """Approved: to be used later."""
