"""An adapter for any party whose operations are declared as a SOAP profile (``message_formats/data/profiles``).

A concrete adapter is a manifest (:func:`manifest_of`) and, where an operation answers with a message of its own, how that answer is read.
Records into one SOAP call, the answer into an outcome for each; a question into one call, the answer into a reply.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar
from urllib.parse import urlsplit

from lxml import etree

from adapters.soap import outcomes
from adapters.soap.answer import BadAnswer, SoapFault, read_answer
from adapters.soap.signed_template import SignedRecord
from adapters.soap.way import Way
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
    Question,
    QuestionRefused,
    Rejected,
    RejectedCall,
    Remembers,
    Reply,
    RetryLater,
    Setting,
    Unknown,
)
from gateway.security.soap.errors import MessageRefused
from message_formats import schemas
from message_formats.errors import FormatError
from message_formats.profiles import Profile

RECORDS_AT_ONCE = 20
"""Records checked in one go, about 1 ms, before the event loop gets its turn."""
MEMORY_S = 30 * 86400.0
"""How long a party remembers what it took, by every profile of this project."""
KEY = "delivery-id"


def manifest_of(
    profile: Profile, *, calls: int = 16, key: str = KEY, settle_s: float = 30.0, call_s: float = 30.0, more: Sequence[Setting] = ()
) -> Manifest:
    """The manifest of an adapter for ``profile``, named like it: all operations by which we call the party.

    ``key``: the item by which the party knows a repetition, for types that have it; the delivery id for all others. By every profile of
    this project a party remembers what took effect, and repeats its first answer; a refused record is not remembered.
    """
    outbound = [each for each in profile.operations if each.outbound]
    delivered = [each for each in outbound if not each.question]
    most = max((each.records for each in delivered), default=1)
    return Manifest(
        name=profile.profile,
        party=profile.party,
        description_en=profile.name_en,
        description_ja=profile.name_ja,
        message_types=tuple(each.type for each in delivered),
        questions=tuple(each.type for each in outbound if each.question),
        settings=(
            Setting(
                name="address",
                type=str,
                default=profile.address,
                description="the party's logical address (wsa:To); where to connect is the party's url",
            ),
            *more,
        ),
        duplicates=DropsDuplicates(key=key, remembers=Remembers.EFFECTS, memory_s=MEMORY_S),
        signatures=True,
        settle_s=settle_s,
        limits=Limits(
            calls=calls, records_per_call=most, call_s=call_s, records_of={e.type: e.records for e in delivered if e.records < most}
        ),
    )


class ProfileAdapter(Adapter):
    """Carries every outbound operation of ``profile``."""

    profile: ClassVar[Profile]
    answers: ClassVar[dict[str, outcomes.Reads]] = {}
    """By message type of an answer, for operations of which records are delivered: how it is read. Receipts need none."""

    def __init__(self, host: AdapterHost) -> None:
        super().__init__(host)
        to = host.settings["address"]
        self._path = urlsplit(self.profile.address).path
        self._namespace = self.profile.namespace
        self._check = schemas.profile_validator(self.profile)
        self._ways = {each.type: Way(self.profile, each, to=to) for each in self.profile.operations if each.outbound}

    async def check(self) -> Sequence[Finding]:
        """A connection with both certificates accepted, and the keys for signatures; no request is sent."""
        signatures = self.host.signatures.check() if self.host.signatures is not None else []
        party = self.manifest.party
        try:
            await self.host.http.probe()
        except CallNotSent as error:
            remedy = f"see that {party} runs, that url and peer are right, and that each side trusts the other's certificate"
            return [Finding(name=party, ok=False, detail=error.code, remedy=remedy), *signatures]
        return [Finding(name=party, ok=True, detail="reachable, certificates accepted"), *signatures]

    async def deliver(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        """One call with all records that are valid; all are of one message type. See :meth:`gateway.contract.Adapter.deliver`."""
        kinds = {each.message_type for each in envelopes}
        if len(kinds) != 1 or not kinds <= set(self.manifest.message_types):
            return [RetryLater(code="not-sent-message-types")] * len(envelopes)  # the host broke the contract: nothing is lost by waiting
        way = self._ways[kinds.pop()]
        found: list[Outcome | None] = [None] * len(envelopes)
        records: list[SignedRecord] = []
        sent: list[int] = []
        for place, envelope in enumerate(envelopes):
            if place and place % RECORDS_AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                records.append(way.record(envelope, signed=self.host.signatures is not None))
                sent.append(place)
            except FormatError as error:
                found[place] = Rejected(code=f"not-sent-{error.code}", fields=_fields(error))
        if sent:
            call = await self._call(way, records, [envelopes[place] for place in sent])
            for place, outcome in zip(sent, call, strict=True):
                found[place] = outcome
        return [each if each is not None else Unknown(code="not-decided") for each in found]

    async def ask(self, question: Question, *, timeout_s: float) -> Reply:
        """One call with the question; see :meth:`gateway.contract.Adapter.ask`."""
        way = self._ways.get(question.message_type)
        if way is None or question.message_type not in self.manifest.questions:
            raise CallNotSent("not-a-question")
        try:
            async with asyncio.timeout(timeout_s):
                return await self._ask(way, question)
        except TimeoutError:
            raise CallUnanswered("answer-late") from None

    async def _ask(self, way: Way, question: Question) -> Reply:
        message_id = f"urn:uuid:{uuid.uuid4()}"
        try:
            record = way.record(question, signed=self.host.signatures is not None)
        except FormatError as error:
            raise CallNotSent(f"not-sent-{error.code}") from error
        answer = await self.host.http.post(self._path, await way.request(message_id, [record], self.host.signatures), way.headers)
        content, _ = await self._content(way, answer, message_id)
        if isinstance(content, SoapFault):
            client = content.code == "Client"
            content = outcomes.of_fault(content, self._namespace, self._check)
            if client and isinstance(content, (RejectedCall, PartyDown)):
                raise QuestionRefused(content.code)
        if isinstance(content, (PartyDown, RetryLater, RejectedCall)):
            raise CallNotSent(content.code)
        if not isinstance(content, etree._Element):
            raise CallUnanswered(content.code)
        results = self._results(content)
        mine = [] if results is None else results.get(question.dialogue_id, [])
        if results is None or len(mine) != 1 or len(mine[0]) != 1 or len(results) != 1:
            raise CallUnanswered("answer-schema-invalid" if results is None else "answer-other-dialogue")
        assert way.operation.answer is not None
        return Reply(message_type=way.operation.answer, content=etree.tostring(mine[0][0], method="c14n", exclusive=True))

    async def _call(self, way: Way, records: Sequence[SignedRecord], envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        message_id = f"urn:uuid:{uuid.uuid4()}"
        body = await way.request(message_id, records, self.host.signatures)
        try:
            answer = await self.host.http.post(self._path, body, way.headers)
        except CallNotSent as error:
            return [PartyDown(code=error.code)] * len(envelopes)
        except CallUnanswered as error:
            return [Unknown(code=error.code)] * len(envelopes)
        return await self._read(way, answer, message_id, envelopes)

    async def _read(self, way: Way, answer: HttpAnswer, message_id: str, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        content, evidence = await self._content(way, answer, message_id)
        if isinstance(content, SoapFault):
            content = outcomes.of_fault(content, self._namespace, self._check)
        if not isinstance(content, etree._Element):
            return [content] * len(envelopes)
        results = self._results(content)
        if results is None:
            return [Unknown(code="answer-schema-invalid")] * len(envelopes)
        reads = outcomes.receipt if way.operation.answer is None else self.answers[way.operation.answer]
        return outcomes.of_results(results, envelopes, evidence, signed=self.host.signatures is not None, reads=reads)

    def _results(self, content: etree._Element) -> dict[str, list[etree._Element]] | None:
        try:
            return outcomes.results_of(content, self._namespace, self._check)
        except FormatError:
            return None

    async def _content(self, way: Way, answer: HttpAnswer, message_id: str) -> tuple[etree._Element | SoapFault | outcomes.Decided, bytes]:
        """The response element or fault that answers this very call, with the evidence for it; or what something else decides."""
        decided = outcomes.of_status(answer.status, answer.headers, datetime.now(UTC))
        if decided is not None:
            return decided, b""
        try:
            evidence, proven = await self._proven(answer)
            content = read_answer(proven, relates_to=message_id, actions=way.actions)
        except BadAnswer as error:
            return Unknown(code=error.code if answer.status == 200 else f"http-{answer.status}"), b""
        except MessageRefused as error:
            return Unknown(code=f"answer-{error.code}"), b""
        if isinstance(content, SoapFault):
            return content, b""
        if answer.status != 200 or content.tag != way.answer_tag:
            return Unknown(code="answer-other-element"), b""
        return content, evidence

    async def _proven(self, answer: HttpAnswer) -> tuple[bytes, bytes | etree._Element]:
        """The answer as it is kept, decrypted, and what of it may be believed: where messages are signed, only what was.

        :raises MessageRefused: the signature does not prove that it is the party's, whole and fresh.
        """
        if self.host.signatures is None:
            return answer.body, answer.body
        evidence = await self.host.signatures.open(answer.body)
        return evidence, (await self.host.signatures.verify(evidence)).envelope


def _fields(error: FormatError) -> tuple[str, ...]:
    name = error.place.rpartition("/")[2].partition("[")[0]
    return (name,) if name.isidentifier() and name.islower() else ()
