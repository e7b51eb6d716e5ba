"""The way of a call through a SOAP party: who calls, what fault meets it, what takes effect, and the journal before the answer.

A party says what each of its operations means, by a *taker* (one record in, a :class:`Decision` out) or, for a dialogue, an *answerer*. All
the rest is here: a record that was taken is known by its delivery id, what follows of it is journalled with it in one write, and what the
journal has is what the party knows (:meth:`SoapParty.learn`, the same after a restart as in the moment itself).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import aiohttp
from aiohttp import web

from certs.errors import PeerMismatch
from certs.path import Purpose
from certs.peer import Authority, require_peer
from message_formats import catalogue, profiles
from message_formats.profiles import Operation, Profile
from simulators.errors import BadFault
from simulators.faults import Fault, Subject
from simulators.journal import Entry
from simulators.misbehaviour import Act, Answer, misbehave
from simulators.party import Party, Received
from simulators.references import References, Vault
from simulators.soap import envelope
from simulators.soap.deciding import TAKEN, Answerer, Decision, QuestionRefused, Taker
from simulators.soap.envelope import Call, CallRefused, Envelopes, Record, Result, Signer
from simulators.soap.notices import Notice, Notices, Said
from simulators.soap.outbox import Outbox
from simulators.soap.security import Security

_OTHER_CALL = "urn:uuid:00000000-0000-4000-8000-000000000000"


class SoapParty(Party):
    """A simulated party with a SOAP profile."""

    profile_name: ClassVar[str] = ""
    """A packaged profile."""
    own_profile: ClassVar[Profile | None] = None
    """Or one that is not packaged."""
    quick: ClassVar[frozenset[str]] = frozenset()
    """See :class:`simulators.soap.envelope.Envelopes`."""

    def __init__(
        self,
        *,
        salt: str,
        caller: str,
        authority: Authority,
        seed: int = 0,
        security: Security | None = None,
        notices: Notices | None = None,
    ) -> None:
        """``caller``: the only one who may call, as :func:`certs.peer.require_peer` names peers (``CN=gateway``). ``security``: calls
        must be signed, and answers are; ``None``: neither. ``notices``: to the gateway's listener for this party; ``None``: it has none."""
        super().__init__(seed=seed)
        self.profile = self.own_profile or profiles.get(self.profile_name)
        self.envelopes = Envelopes(self.profile, quick=self.quick)
        self.references, self.vault = References(salt), Vault(salt)
        self.takers: dict[str, Taker] = {}
        self.answerers: dict[str, Answerer] = {}
        self.security = security
        self.notices = notices
        self.outbox = Outbox(self)
        self._verify = security.taken if security is not None else None
        self._sign: Signer | None = security.closed if security is not None else None
        self._last_answer: Answer | None = None
        self._caller = caller
        self._authority = authority
        self._taken: set[str] = set()

    # ---- what it knows ---------------------------------------------------------------------------------------------------------

    def recover(self, entry: Entry) -> None:
        kind = entry["kind"]
        if kind == "taken":
            self._taken.add(entry["delivery"])
            self.learn(entry["operation"], self.items_of(entry), entry)
        elif kind == "passed-on":
            self._taken.add(entry["delivery"])
        elif kind in ("outgoing", "arrived"):
            self.outbox.recover(entry)

    def knows(self, delivery_id: str) -> bool:
        """Whether a delivery was taken before."""
        return delivery_id in self._taken

    def items_of(self, entry: Entry) -> Mapping[str, str]:
        """The items of what was taken; none where they are not kept."""
        found: Mapping[str, str] = self.vault.unseal(entry["sealed"], entry["delivery"]) if "sealed" in entry else {}
        return found

    def learn(self, operation: str, items: Mapping[str, str], entry: Entry) -> None:
        """Take over what was taken into the state: in the moment itself, and when the journal is read again."""

    def forget(self) -> None:
        self._taken.clear()
        self.outbox.forget()

    def state(self) -> dict[str, Any]:
        return {"signatures": self.security is not None, "taken": len(self._taken), **self.outbox.state()}

    def note(self, *entries: Mapping[str, Any]) -> None:
        """Journal entries, and know what they say."""
        last = self.journal.append(entries)
        for seq, entry in enumerate(entries, start=last - len(entries) + 1):
            self._recovered({"seq": seq, **entry})

    # ---- calls -----------------------------------------------------------------------------------------------------------------

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            require_peer(
                request.transport.get_extra_info("ssl_object") if request.transport else None, self._caller, self._authority, Purpose.CLIENT
            )
        except PeerMismatch as error:
            return self._refuse_peer(error.code)
        if request.path != self.envelopes.path:
            return web.Response(status=404)
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        self.counters["calls"] += 1
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413)
        try:
            call = self.envelopes.read(body, request.headers.get("SOAPAction", ""), self._verify)
        except CallRefused as refused:
            return self._refuse_call(refused)
        return await self._respond(request, call)

    async def _respond(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        subjects = tuple([self.subject(record, call.operation) for record in call.records])
        received = Received(at=time.time(), peer=self._caller, call_id=call.message_id, subjects=subjects)
        self.received.append(received)
        self.counters["records"] += len(subjects)
        fault = self.faults.for_call(subjects) if self.faults else None
        if fault is None:
            return (await self._right(call, subjects, received)).response()
        received.fault = fault.kind.name

        async def act() -> Answer:
            return await self._right(call, subjects, received)

        async def spoil(fault: Fault, act: Act) -> Answer:
            return await self._spoil(fault, act, call, subjects, received)

        return await misbehave(request, fault, act, spoil)

    def subject(self, record: Record, operation: Operation) -> Subject:
        """Whom a record is about (a reference), its delivery id, and the party's own key of it."""
        kind = catalogue.get(operation.type)
        place = (kind.key_item or "").replace("person/", "person[1]/")
        value = record.items.get(place)
        return (self.references.of(value) if value else "", record.delivery_id, record.items.get(kind.party_key_item or "") or "")

    async def _right(self, call: Call, subjects: Sequence[Subject], received: Received) -> Answer:
        """Carry a call out, and the answer once the journal has what it did."""
        try:
            results = await self.carried_out(call, subjects, received)
        except QuestionRefused as refused:
            received.outcome = f"refused: {refused.code}"
            return self.envelopes.fault(call.message_id, "Client", refused.code, self._sign)
        answer = self.envelopes.answer(call.message_id, call.operation, results, self._sign)
        self._last_answer = answer
        await self.journal.settled()
        return answer

    async def carried_out(self, call: Call, subjects: Sequence[Subject], received: Received) -> list[Result]:
        """What becomes of each record, journalled.

        :raises QuestionRefused: a dialogue has no answer.
        """
        if call.operation.answer is not None:
            return [await self._answered(record, subject, call.operation) for record, subject in zip(call.records, subjects, strict=True)]
        results = [self._received(record, subject, call.operation) for record, subject in zip(call.records, subjects, strict=True)]
        refused = sum(result.code is not None for result in results)
        received.outcome = f"{len(results) - refused} taken, {refused} turned down"
        return results

    async def _answered(self, record: Record, subject: Subject, operation: Operation) -> Result:
        note = {"operation": operation.name, "delivery": record.delivery_id, "resident": subject[0]}
        try:
            if record.wrong is not None:
                raise QuestionRefused(record.wrong)
            if operation.name not in self.answerers:
                raise QuestionRefused("operation-not-offered")
            content = await self.answerers[operation.name](record)
        except QuestionRefused as refused:
            self.note({"kind": "asked", **note, "code": refused.code})
            raise
        self.note({"kind": "asked", **note, "code": None})
        return Result(delivery_id=record.delivery_id, content=content)

    def _received(self, record: Record, subject: Subject, operation: Operation) -> Result:
        fault = self.faults.for_record(subject) if self.faults else None
        if fault is not None and fault.kind.name == "duplicate-answer":
            if fault.takes_effect:
                self.take(record, operation.name)
            return Result(delivery_id=record.delivery_id, duplicate=True)  # says so of what it never saw, perhaps
        if fault is not None and record.delivery_id not in self._taken:
            return self._turned_down(record, operation.name, subject[0], fault.spec.code or "refused", injected=True)
        return self.take(record, operation.name)

    def take(self, record: Record, operation: str, *, by: str = "gateway") -> Result:
        """One record of an operation that gives a receipt: known already, refused, or taken, and in the journal as such."""
        subject = self.subject(record, self.profile.operation(operation))
        if record.delivery_id in self._taken:
            self.note({"kind": "taken-again", "operation": operation, "delivery": record.delivery_id, "resident": subject[0]})
            return Result(delivery_id=record.delivery_id, duplicate=True)
        taker = self.takers.get(operation)
        decision = Decision(code=record.wrong) if record.wrong is not None else taker(record) if taker is not None else TAKEN
        if decision.code is not None:
            return self._turned_down(record, operation, subject[0], decision.code)
        entry = {"kind": "taken", "operation": operation, "delivery": record.delivery_id, "resident": subject[0], "by": by}
        if record.municipality is not None:
            entry["municipality"] = record.municipality
        if decision.kept:
            entry["sealed"] = self.vault.seal({**record.items, **decision.added}, record.delivery_id)
        self.note({**entry, **decision.facts}, *[self.outbox.entry(each) for each in decision.follows])
        return Result(delivery_id=record.delivery_id)

    def _turned_down(self, record: Record, operation: str, resident: str, code: str, *, injected: bool = False) -> Result:
        self.note(
            {
                "kind": "turned-down",
                "operation": operation,
                "delivery": record.delivery_id,
                "resident": resident,
                "code": code,
                "injected": injected,
            }
        )
        return Result(delivery_id=record.delivery_id, code=code)

    # ---- faults ----------------------------------------------------------------------------------------------------------------

    async def _spoil(self, fault: Fault, act: Act, call: Call, subjects: Sequence[Subject], received: Received) -> Answer:
        """The faults that need the protocol."""
        spec, to = fault.spec, call.message_id
        match fault.kind.name:
            case "soap-client":
                return self.envelopes.fault(to, "Client", spec.code or "schema-invalid", self._sign)
            case "soap-busy":
                return self.envelopes.fault(to, "Server", "busy", self._sign)
            case "soap-server":
                if fault.takes_effect:
                    await act()
                return self.envelopes.fault(to, "Server", spec.code or "internal", self._sign)
        try:
            if fault.kind.name == "reordered" or fault.takes_effect or call.operation.name in self.answerers:
                results = await self.carried_out(call, subjects, received)
            else:
                results = self.invented(call)
        except QuestionRefused as refused:
            return self.envelopes.fault(to, "Client", refused.code, self._sign)
        if fault.kind.name == "reordered":
            random.Random(f"{spec.seed or self.faults.seed}:{to}").shuffle(results)
            answer = self.envelopes.answer(to, call.operation, _truly_reordered(results, call), self._sign)
        elif fault.kind.name == "signature":
            answer = self._badly_signed(spec.variant, call, results)
        else:
            answer = self._garbage(spec.variant, call, results)
        await self.journal.settled()
        return answer

    def invented(self, call: Call) -> list[Result]:
        """Good answers to records of which nothing is done."""
        return [Result(delivery_id=record.delivery_id) for record in call.records]

    def _garbage(self, variant: str, call: Call, results: list[Result]) -> Answer:
        to, operation = call.message_id, call.operation
        match variant:
            case "other-schema":
                return self.envelopes.other_schema(to, operation, self._sign)
            case "wrong-relates-to":
                return self.envelopes.answer(_OTHER_CALL, operation, results, self._sign)
            case "other-delivery":
                strange = [replace(result, delivery_id=f"not-{result.delivery_id}"[:64]) for result in results]
                return self.envelopes.answer(to, operation, strange, self._sign)
        # missing-result: not even valid where it was the only one
        return self.envelopes.answer(to, operation, results[:-1], self._sign, checked=False)

    def _badly_signed(self, variant: str, call: Call, results: list[Result]) -> Answer:
        """An answer whose content is right and whose signature is not."""
        security, to = self.security, call.message_id
        if security is None:
            return self.envelopes.answer(to, call.operation, results)
        if variant == "replayed":
            return self._last_answer or self.envelopes.answer(_OTHER_CALL, call.operation, results, self._sign)
        answer = self.envelopes.answer(to, call.operation, results, security.wrong_signer(variant))
        return security.sealed(answer) if variant in ("unsigned", "wrong-signer", "expired") else security.altered(answer)

    # ---- of its own accord -----------------------------------------------------------------------------------------------------

    async def emit(self, what: dict[str, Any]) -> dict[str, Any]:
        """Send records as they are: ``{"operation": …, "records": [{"delivery": …, "xml": …}], "wrong": …, "action": …}``; or do something
        that this party can do, ``{"do": …}`` (:meth:`do`).

        What was said of each record goes into the journal.

        :raises BadFault: this party knows no gateway or no such thing, the request is not of that form, or there was no answer.
        """
        if "do" in what:
            return await self.do(str(what["do"]), {name: value for name, value in what.items() if name != "do"})
        if self.notices is None:
            raise BadFault("emits-nothing", "start the simulator with gateway_url and signatures")
        try:
            records = [
                Notice(delivery_id=str(each["delivery"]), xml=str(each["xml"]), municipality=each.get("municipality"))
                for each in what["records"]
            ]
            operation = str(what["operation"])
        except (KeyError, TypeError, AttributeError) as error:
            raise BadFault("emit-invalid", "operation, and records with delivery and xml, are needed") from error
        said = await self.send(operation, records, wrong=what.get("wrong"), action=what.get("action"))
        return said.shown()

    async def send(self, operation: str, records: Sequence[Notice], **how: Any) -> Said:
        """Call the gateway, and journal what it said of each record.

        :raises BadFault: there is no gateway, or no answer.
        """
        if self.notices is None:
            raise BadFault("emits-nothing", "start the simulator with gateway_url and signatures")
        try:
            said = await self.notices.send(operation, records, **how)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise BadFault("no-answer", f"the gateway gave no answer: {type(error).__name__}") from error
        if said.results:
            self.note(*[{"kind": "notice", "operation": operation, "fault": said.fault, **each} for each in said.results])
        return said

    async def do(self, what: str, values: dict[str, Any]) -> dict[str, Any]:
        """Something that this party does of its own accord.

        :raises BadFault: it knows no such thing.
        """
        raise BadFault("do-unknown", f"{self.name} knows no {what[:40]}")

    # ---- refusals --------------------------------------------------------------------------------------------------------------

    def _refuse_peer(self, code: str) -> web.Response:
        self.counters["peers_refused"] += 1
        self.journal.append([{"kind": "peer-refused", "code": code}])
        return web.Response(status=403, text=code)

    def _refuse_call(self, refused: CallRefused) -> web.Response:
        self.counters["calls_refused"] += 1
        self.journal.append([{"kind": "call-refused", "code": refused.code, "call": refused.message_id}])
        self.received.append(
            Received(at=time.time(), peer=self._caller, call_id=refused.message_id, subjects=(), outcome=f"refused: {refused.code}")
        )
        whose: envelope.Whose = "MustUnderstand" if refused.code == "must-understand" else "Client"
        return self.envelopes.fault(refused.message_id, whose, refused.code, self._sign).response()

    # ---- life ------------------------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """It serves now: what it still has to send goes out."""
        self.outbox.start()

    async def end(self) -> None:
        """It stops."""
        await self.outbox.stop()
        await asyncio.sleep(0)


def _truly_reordered(results: list[Result], call: Call) -> list[Result]:
    """Not the order of the records, if there are two at all: chance may have left it."""
    if [result.delivery_id for result in results] == [record.delivery_id for record in call.records]:
        return results[::-1]
    return results
