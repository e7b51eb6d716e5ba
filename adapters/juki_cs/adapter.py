"""The adapter of the city CS: records into one SOAP call, the answer into an outcome for each."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

from lxml import etree

from adapters.juki_cs import outcomes
from adapters.soap.answer import BadAnswer, SoapFault, read_answer
from adapters.soap.operation import load_operation
from adapters.soap.signed_template import SignedRecord, compile_signed_records
from adapters.soap.template import compile_records
from gateway.contract import (
    Adapter,
    AdapterHost,
    CallNotSent,
    CallUnanswered,
    DropsDuplicates,
    Envelope,
    Finding,
    HttpAnswer,
    Limits,
    Manifest,
    Outcome,
    PartyDown,
    Rejected,
    Remembers,
    Setting,
    Unknown,
)
from gateway.security.soap.errors import MessageRefused
from gateway.security.soap.signing import canonical
from message_formats import reading, schemas
from message_formats.errors import FormatError

UPDATE = "identity-information-update"
NAMESPACE = f"urn:renkei:format:{UPDATE}:1"
PATH = "/juki-cs/identity"
RECORDS_AT_ONCE = 20
"""Records checked in one go, about 1 ms, before the event loop gets its turn."""


class JukiCsAdapter(Adapter):
    """Carries ``identity-information-update`` to the city CS; its ``identity-update-result`` comes in the answer."""

    manifest: ClassVar[Manifest] = Manifest(
        name="juki_cs",
        party="city-cs",
        description_en="City CS of the Juki-net: updates of identity information",
        description_ja="市町村CS（住基ネット）：本人確認情報の更新",
        message_types=(UPDATE,),
        settings=(
            Setting(
                name="address",
                type=str,
                default="https://city-cs.invalid/juki-cs/identity",
                description="the city CS's logical address (wsa:To); where to connect is the party's url",
            ),
        ),
        # 依頼管理番号; a refused record is not remembered, and a repetition gets the first answer again
        duplicates=DropsDuplicates(key="request_control_number", remembers=Remembers.EFFECTS, memory_s=30 * 86400.0),
        signatures=True,
        settle_s=30.0,
        limits=Limits(calls=16, records_per_call=100, call_s=30.0),
    )

    def __init__(self, host: AdapterHost) -> None:
        super().__init__(host)
        operation = load_operation(schemas.wsdl_path("juki_cs"), "UpdateIdentityInformation", prefixes={"j": outcomes.PROFILE})
        self._actions, self._answer_tag, self._headers = operation.answer_actions, operation.answer_tag, operation.http_headers
        shape = {"to": host.settings["address"], "record": "Record", "identifier": "deliveryId", "element": "IdentityInformationUpdate"}
        self._template, self._signed_template = compile_records(operation, **shape), compile_signed_records(operation, **shape)
        self._validate = schemas.validator(UPDATE)

    async def check(self) -> Sequence[Finding]:
        """A connection with both certificates accepted, and the keys for signatures; no request is sent."""
        signatures = self.host.signatures.check() if self.host.signatures is not None else []
        try:
            await self.host.http.probe()
        except CallNotSent as error:
            remedy = "see that the city CS runs, that url and peer are right, and that each side trusts the other's certificate"
            return [Finding(name="city-cs", ok=False, detail=error.code, remedy=remedy), *signatures]
        return [Finding(name="city-cs", ok=True, detail="reachable, certificates accepted"), *signatures]

    async def deliver(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        """One call with all records that are valid; see :meth:`gateway.contract.Adapter.deliver`."""
        found: list[Outcome | None] = [None] * len(envelopes)
        records: list[SignedRecord] = []
        sent: list[int] = []
        for place, envelope in enumerate(envelopes):
            if place and place % RECORDS_AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                records.append(self._record(envelope))
                sent.append(place)
            except FormatError as error:
                found[place] = Rejected(code=f"not-sent-{error.code}", fields=_fields(error))
        if sent:
            call = await self._call(records, [envelopes[place] for place in sent])
            for place, outcome in zip(sent, call, strict=True):
                found[place] = outcome
        return [each if each is not None else Unknown(code="not-decided") for each in found]

    async def _call(self, records: Sequence[SignedRecord], envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        message_id = f"urn:uuid:{uuid.uuid4()}"
        if (security := self.host.signatures) is not None:
            body = await security.request(lambda: self._signed_template.build(message_id, records, security))
        else:
            body = self._template.build(message_id, ((each.identifier, each.element) for each in records))
        try:
            answer = await self.host.http.post(PATH, body, self._headers)
        except CallNotSent as error:
            return [PartyDown(code=error.code)] * len(envelopes)
        except CallUnanswered as error:
            return [Unknown(code=error.code)] * len(envelopes)
        return await self._read(answer, message_id, envelopes)

    async def _read(self, answer: HttpAnswer, message_id: str, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        decided = outcomes.of_status(answer.status, answer.headers, datetime.now(UTC))
        if decided is None:
            try:
                evidence, proven = await self._proven(answer)
                content = read_answer(proven, relates_to=message_id, actions=self._actions)
            except BadAnswer as error:
                decided = Unknown(code=error.code if answer.status == 200 else f"http-{answer.status}")
            except MessageRefused as error:
                decided = Unknown(code=f"answer-{error.code}")
            else:
                if isinstance(content, SoapFault):
                    decided = outcomes.of_fault(content)
                elif answer.status != 200 or content.tag != self._answer_tag:
                    decided = Unknown(code="answer-other-element")
                else:
                    return outcomes.of_results(content, envelopes, evidence, signed=self.host.signatures is not None)
        return [decided] * len(envelopes)

    async def _proven(self, answer: HttpAnswer) -> tuple[bytes, bytes | etree._Element]:
        """The answer as it is kept, decrypted, and what of it may be believed: where messages are signed, only what was.

        :raises MessageRefused: the signature does not prove that it is the party's, whole and fresh.
        """
        if self.host.signatures is None:
            return answer.body, answer.body
        evidence = self.host.signatures.opened(answer.body)
        return evidence, (await self.host.signatures.verify(evidence)).envelope

    def _record(self, envelope: Envelope) -> SignedRecord:
        """The record's element as bytes that may stand inside an envelope: the very bytes that came, unless they have a declaration.

        :raises FormatError: it is not a valid record, or not that of this delivery; it must not be sent.
        """
        root = reading.parse(envelope.content)
        self._validate(root)
        if root.findtext(f"{{{NAMESPACE}}}request_control_number") != envelope.party_key:
            place = "/IdentityInformationUpdate/request_control_number"
            raise FormatError("party-key-differs", place, "R4", "the record bears another key than its delivery")
        element = envelope.content.strip()
        if not element.startswith(b"<Id"):
            element = etree.tostring(root, encoding="UTF-8", xml_declaration=False)
        form = canonical(root) if self.host.signatures is not None else b""
        return SignedRecord(identifier=envelope.delivery_id, element=element, canonical=form)


def _fields(error: FormatError) -> tuple[str, ...]:
    name = error.place.rpartition("/")[2].partition("[")[0]
    return (name,) if name.isidentifier() and name.islower() else ()
