"""The city CS as a party: who calls, what fault meets the call, what takes effect, and the journal before the answer."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import aiohttp
from aiohttp import web
from lxml import etree

from certs.errors import PeerMismatch
from certs.path import Purpose
from certs.peer import Authority, require_peer
from message_formats.schemas import profile_validator
from simulators.encryption import Encryption
from simulators.errors import BadFault
from simulators.faults import Fault, Subject
from simulators.journal import Entry
from simulators.juki_cs import envelope
from simulators.juki_cs.envelope import Call, CallRefused, Result
from simulators.juki_cs.notices import Notice, Notices
from simulators.juki_cs.residents import Applied, Beginning, Residents, counted
from simulators.misbehaviour import Act, Answer, misbehave
from simulators.party import Party, Received
from simulators.references import References, Vault
from simulators.signatures import LONGEST_S, SKEW_S, Signatures


class JukiCs(Party):
    """The simulated city CS."""

    name: ClassVar[str] = "city-cs"
    title_en: ClassVar[str] = "City CS of the Juki-net"
    title_ja: ClassVar[str] = "市町村CS（住基ネット）"

    def __init__(
        self,
        *,
        salt: str,
        caller: str,
        authority: Authority,
        beginning: Beginning,
        population: int = 0,
        memory_s: float = 86400.0,
        order_checked: bool = True,
        seed: int = 0,
        signatures: Signatures | None = None,
        notices: Notices | None = None,
        encryption: Encryption | None = None,
    ) -> None:
        """``caller``: the only one who may call, as :func:`certs.peer.require_peer` names peers (``CN=gateway``). ``signatures``: calls
        must be signed, and answers are; ``None``: neither. ``encryption``: of the Bodies of signed messages."""
        super().__init__(seed=seed)
        self._signatures = signatures
        self._notices = notices
        self._encryption = encryption
        self._verify = self._taken if signatures is not None else None
        self._sign: envelope.Signer | None = self._closed if signatures is not None else None
        self._last_answer: Answer | None = None
        self._caller = caller
        self._authority = authority
        self._population = population
        self._validate = profile_validator("juki_cs")
        self._residents = Residents(
            references=References(salt), vault=Vault(salt), beginning=beginning, memory_s=memory_s, order_checked=order_checked
        )

    def _taken(self, call: etree._Element) -> None:
        assert self._signatures is not None
        if self._encryption is not None:
            self._encryption.open(call)
        self._signatures.verify(call)

    def _closed(self, answer: etree._Element) -> bytes:
        assert self._signatures is not None
        signed = self._signatures.sign(answer)
        return signed if self._encryption is None else self._encryption.close_up(signed)

    def recover(self, entry: Entry) -> None:
        if entry["kind"] == "effect":
            self._residents.recover(entry)

    def forget(self) -> None:
        self._residents.forget()

    def state(self) -> dict[str, Any]:
        return {
            "population": self._population,
            "residents": self._residents.changed,
            "remembered": self._residents.remembered,
            "signatures": self._signatures is not None,
        }

    async def emit(self, what: dict[str, Any]) -> dict[str, Any]:
        """Send notices: ``{"operation": …, "records": [{"delivery": …, "xml": …}], "wrong": …, "action": …}``.

        What was said of each goes into the journal.

        :raises BadFault: this city CS knows no gateway, the request is not of that form, or there was no answer.
        """
        if self._notices is None:
            raise BadFault("emits-nothing", "start the simulator with gateway_url and signatures")
        try:
            records = [
                Notice(delivery_id=str(each["delivery"]), xml=str(each["xml"]), municipality=each.get("municipality"))
                for each in what["records"]
            ]
            operation = str(what["operation"])
        except (KeyError, TypeError, AttributeError) as error:
            raise BadFault("emit-invalid", "operation, and records with delivery and xml, are needed") from error
        try:
            said = await self._notices.send(operation, records, wrong=what.get("wrong"), action=what.get("action"))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise BadFault("no-answer", f"the gateway gave no answer: {type(error).__name__}") from error
        self.journal.append([{"kind": "notice", "operation": operation, "fault": said.fault, **each} for each in said.results])
        return said.shown()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            require_peer(
                request.transport.get_extra_info("ssl_object") if request.transport else None, self._caller, self._authority, Purpose.CLIENT
            )
        except PeerMismatch as error:
            return self._refuse_peer(error.code)
        if request.path != envelope.PATH:
            return web.Response(status=404)
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        self.counters["calls"] += 1
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413)
        try:
            call = envelope.read_call(body, request.headers.get("SOAPAction", ""), self._validate, self._verify)
        except CallRefused as refused:
            return self._refuse_call(refused)
        return await self._answer(request, call)

    async def _answer(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        subjects = tuple(
            (self._residents.subject(record), record.delivery_id, record.items["request_control_number"]) for record in call.records
        )
        received = Received(at=time.time(), peer=self._caller, call_id=call.message_id, subjects=subjects)
        self.received.append(received)
        self.counters["records"] += len(subjects)
        fault = self.faults.for_call(subjects) if self.faults else None
        if fault is None:
            answer = self.carry_out(call, subjects, received)
            await self.journal.settled()
            return answer.response()
        received.fault = fault.kind.name

        async def act() -> Answer:
            right = self.carry_out(call, subjects, received)
            await self.journal.settled()
            return right

        async def spoil(fault: Fault, act: Act) -> Answer:
            return await self._spoil(fault, act, call, subjects, received)

        return await misbehave(request, fault, act, spoil)

    def carry_out(self, call: Call, subjects: Sequence[Subject], received: Received) -> Answer:
        """Apply the records in order, journal what happened, and build the answer."""
        return self._answered(envelope.build_answer(call.message_id, self._applied(call, subjects, received), self._validate, self._sign))

    def _answered(self, answer: Answer) -> Answer:
        self._last_answer = answer
        return answer

    def _applied(self, call: Call, subjects: Sequence[Subject], received: Received) -> list[Result]:
        applied = Applied()
        for record, subject in zip(call.records, subjects, strict=True):
            fault = self.faults.for_record(subject) if self.faults else None
            if fault is None:
                self._residents.apply(record, subject[0], self.journal, applied)
            elif fault.kind.name == "refuse":
                self._residents.apply(record, subject[0], self.journal, applied, refuse=fault.spec.code)
            elif fault.takes_effect:
                self._residents.apply(record, subject[0], self.journal, applied, say_duplicate=True)
            else:  # says duplicate of what it never saw
                result = Result(delivery_id=record.delivery_id, control_number=record.items["request_control_number"], duplicate=True)
                applied.results.append(result)
        self._residents.take_over(applied, self.journal.append(applied.entries))
        counts = counted(applied.entries)
        self.counters.update(counts)
        received.outcome = ", ".join(f"{number} {kind}" for kind, number in counts.items())
        return applied.results

    async def _spoil(self, fault: Fault, act: Act, call: Call, subjects: Sequence[Subject], received: Received) -> Answer:
        """The faults that need the protocol."""
        spec, to = fault.spec, call.message_id
        match fault.kind.name:
            case "soap-client":
                return envelope.build_fault(to, "Client", spec.code or "schema-invalid", self._sign)
            case "soap-busy":
                return envelope.build_fault(to, "Server", "busy", self._sign)
            case "soap-server":
                if fault.takes_effect:
                    await act()
                return envelope.build_fault(to, "Server", spec.code or "internal", self._sign)
            case "reordered":
                results = self._applied(call, subjects, received)
                random.Random(f"{spec.seed or self.faults.seed}:{to}").shuffle(results)
                return await self._settled(envelope.build_answer(to, _truly_reordered(results, call), self._validate, self._sign))
        results = self._applied(call, subjects, received) if fault.takes_effect else _invented(call)
        make = self._badly_signed if fault.kind.name == "signature" else self._garbage
        return await self._settled(make(spec.variant, to, results))

    async def _settled(self, answer: Answer) -> Answer:
        await self.journal.settled()
        return answer

    def _garbage(self, variant: str, to: str, results: list[Result]) -> Answer:
        match variant:
            case "other-schema":
                return envelope.build_other_schema(to, self._sign)
            case "wrong-relates-to":
                return envelope.build_answer(_OTHER_CALL, results, self._validate, self._sign)
            case "other-delivery":
                strange = [Result(delivery_id=f"not-{result.delivery_id}"[:64], control_number=result.control_number) for result in results]
                return envelope.build_answer(to, strange, self._validate, self._sign)
        return envelope.build_answer(to, results[:-1], _unchecked, self._sign)  # missing-result: not even valid where it was the only one

    def _badly_signed(self, variant: str, to: str, results: list[Result]) -> Answer:
        """An answer whose content is right and whose signature is not."""
        signatures = self._signatures
        if signatures is None:
            return envelope.build_answer(to, results, self._validate)
        sign: envelope.Signer | None = signatures.sign
        match variant:
            case "unsigned":
                sign = None
            case "wrong-signer":
                sign = partial(signatures.sign, by="other")
            case "expired":
                sign = partial(signatures.sign, at=datetime.now(UTC) - timedelta(seconds=LONGEST_S + SKEW_S + 1))
            case "replayed":
                return self._last_answer or envelope.build_answer(_OTHER_CALL, results, self._validate, self._sign)
        body = (answer := envelope.build_answer(to, results, self._validate, sign)).body
        if variant not in ("unsigned", "wrong-signer", "expired"):
            body = body.replace(b' duplicate="false"', b' duplicate="true"').replace(b"E1", b"E2")
        return replace(answer, body=body if self._encryption is None else self._encryption.close_up(body))

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
        return envelope.build_fault(refused.message_id, whose, refused.code, self._sign).response()


_OTHER_CALL = "urn:uuid:00000000-0000-4000-8000-000000000000"


def _unchecked(_: object) -> None:
    """For answers that are wrong on purpose."""


def _invented(call: Call) -> list[Result]:
    return [Result(delivery_id=record.delivery_id, control_number=record.items["request_control_number"]) for record in call.records]


def _truly_reordered(results: list[Result], call: Call) -> list[Result]:
    """Not the order of the records, if there are two at all: chance may have left it."""
    if [result.delivery_id for result in results] == [record.delivery_id for record in call.records]:
        return results[::-1]
    return results
