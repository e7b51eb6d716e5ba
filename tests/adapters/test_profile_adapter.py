"""The adapter over a declared profile: every outbound operation of every party, receipts, digests, addressees, and questions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from lxml import etree

from adapters.card_management import CardManagementAdapter
from adapters.intermediate_server import IntermediateServerAdapter
from adapters.juki_cs import JukiCsAdapter
from adapters.prefecture_server import PrefectureServerAdapter
from adapters.soap.profile_adapter import ProfileAdapter
from gateway.contract import (
    AdapterHost,
    CallNotSent,
    CallUnanswered,
    Delivered,
    Envelope,
    HttpAnswer,
    Question,
    QuestionRefused,
    Rejected,
    RetryLater,
    Unknown,
)
from message_formats import catalogue, samples, schemas
from message_formats.profiles import Operation
from tests.adapters.conftest import SOAP, WSA, answer, message_id

ADAPTERS: tuple[type[ProfileAdapter], ...] = (JukiCsAdapter, PrefectureServerAdapter, CardManagementAdapter, IntermediateServerAdapter)
WAYS = [(adapter, each) for adapter in ADAPTERS for each in adapter.profile.operations if each.outbound]
DELIVERED = [way for way in WAYS if way[1].answer is None]
ASKED = [way for way in WAYS if way[1].question]
KINDS: Mapping[str, type] = {"accepted": Delivered, "rejected": Rejected}
OTHER = "131016"
Answers = Callable[[str], HttpAnswer]


def name_of(value: object) -> str:
    return value.name if isinstance(value, Operation) else getattr(value, "__name__", str(value))


class Http:
    """The transport's place."""

    def __init__(self, make: Answers) -> None:
        self._make = make
        self.posted: list[bytes] = []
        self.paths: list[str] = []

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        self.posted.append(body)
        self.paths.append(path)
        return self._make(message_id(body))

    async def probe(self) -> None:
        """Always there."""


def made(adapter: type[ProfileAdapter], make: Answers) -> tuple[ProfileAdapter, Http]:
    http = Http(make)
    return adapter(AdapterHost(settings={"address": adapter.profile.address}, http=http)), http


def envelope(operation: Operation, serial: int = 1) -> Envelope:
    kind = catalogue.get(operation.type)
    content = samples.message(operation.type, serial).to_bytes()
    key = etree.fromstring(content).findtext(f"{{{kind.schema}}}{kind.party_key_item}") if kind.party_key_item else None
    return Envelope(
        delivery_id=f"delivery-{serial}", message_id=f"message-{serial}", message_type=operation.type, party_key=key, attempt=1,
        resent=False, content=content, municipality=OTHER if operation.addressed else None,
    )  # fmt: skip


def soap(adapter: type[ProfileAdapter], operation: Operation, content: str, to: str, action: str | None = None) -> bytes:
    action = action or adapter.profile.action(operation.name, "Response")
    return (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:a="{WSA}" xmlns:p="{adapter.profile.namespace}"><s:Header><a:Action>{action}</a:Action>'
        f"<a:MessageID>urn:uuid:0</a:MessageID><a:RelatesTo>{to}</a:RelatesTo></s:Header><s:Body>{content}</s:Body></s:Envelope>"
    ).encode()


def receipts(adapter: type[ProfileAdapter], operation: Operation, *results: tuple[str, str, str | None]) -> Answers:
    inner = "".join(
        f'<p:Result deliveryId="{delivery}" duplicate="false" outcome="{outcome}"{f""" code="{code}" """ if code else ""}/>'
        for delivery, outcome, code in results
    )
    return lambda to: answer(soap(adapter, operation, f"<p:{operation.name}Response>{inner}</p:{operation.name}Response>", to))


def test_every_outbound_operation_is_carried_and_nothing_else() -> None:
    for adapter in ADAPTERS:
        manifest = adapter.manifest
        wanted = {each.type for each in adapter.profile.operations if each.outbound}
        assert {*manifest.message_types, *manifest.questions} == wanted
        assert not {*manifest.message_types} & {*manifest.questions}
        assert (manifest.name, manifest.party) == (adapter.profile.profile, adapter.profile.party)
    assert len(JukiCsAdapter.manifest.message_types) == 12
    assert JukiCsAdapter.manifest.questions == (
        "identity-confirmation-request", "identity-search-request", "identity-inquiry-request", "wide-area-certificate-request",
    )  # fmt: skip


@pytest.mark.parametrize(("adapter", "operation"), DELIVERED, ids=name_of)
async def test_records_go_out_valid_and_each_has_its_receipt(adapter: type[ProfileAdapter], operation: Operation) -> None:
    """Request valid by the envelope schema, every record's bytes in it as they were."""
    count = min(operation.records, 3)
    envelopes = [envelope(operation, serial) for serial in range(1, count + 1)]
    outcome = [("accepted", None), ("rejected", "E900"), ("accepted", None)][:count]
    party, http = made(adapter, receipts(adapter, operation, *((f"delivery-{n + 1}", *each) for n, each in enumerate(outcome))))
    found = await party.deliver(envelopes)
    assert [type(each) for each in found] == [KINDS[each] for each, _ in outcome]
    [body] = http.posted
    assert http.paths == [urlsplit(adapter.profile.address).path]
    root = etree.fromstring(body)
    schemas.profile_validator(adapter.profile.profile)(root[1][0])
    for each, record in zip(envelopes, root[1][0], strict=True):
        assert each.content in body
        assert record.get("municipality") == each.municipality
        assert (record.get("digest") is not None) == operation.digest


@pytest.mark.control("C-3-5-6")
@pytest.mark.flow("F2-7")
@pytest.mark.flow("F4-1")
@pytest.mark.parametrize("adapter", [JukiCsAdapter, CardManagementAdapter], ids=name_of)
async def test_destination_information_goes_unedited_and_bears_its_digest(adapter: type[ProfileAdapter]) -> None:
    """However the register wrote it: not a byte of the element is written anew, and the digest is over these bytes."""
    operation = adapter.profile.operation("SendDestinationInformation")
    plain = envelope(operation)
    odd = plain.content.replace(b">", b"\n >", 1).replace("見本".encode(), "&#x898B;<![CDATA[本]]>".encode())
    assert odd != plain.content
    declared = b'\xef\xbb\xbf<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n' + odd + b"\n"
    party, http = made(adapter, receipts(adapter, operation, ("delivery-1", "accepted", None)))
    [found] = await party.deliver([replace(plain, content=declared)])
    assert isinstance(found, Delivered)
    sent = re.search(rb'<j:Record deliveryId="delivery-1" digest="([0-9a-f]{64})">(.*)</j:Record>', http.posted[0], re.DOTALL)
    assert sent is not None
    assert sent[2] == odd
    assert sent[1].decode() == hashlib.sha256(odd).hexdigest()


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (("delivery-1", "rejected", None), Unknown(code="answer-contradictory")),
        (("delivery-1", "accepted", "E1"), Unknown(code="answer-contradictory")),
        (("delivery-2", "accepted", None), Unknown(code="answer-other-delivery")),
        (("delivery-1", "perhaps", None), Unknown(code="answer-schema-invalid")),
    ],
)
@pytest.mark.invariant("I2")
async def test_receipts_that_prove_nothing(result: tuple[str, str, str | None], expected: Unknown) -> None:
    operation = PrefectureServerAdapter.profile.operation("NotifyIdentityInformation")
    party, _ = made(PrefectureServerAdapter, receipts(PrefectureServerAdapter, operation, result))
    assert await party.deliver([envelope(operation)]) == [expected]


async def test_one_call_is_of_one_message_type() -> None:
    """The host sees to it; an adapter that is called otherwise sends nothing."""
    profile = JukiCsAdapter.profile
    party, http = made(JukiCsAdapter, lambda to: answer(b""))
    mixed = [envelope(profile.operation("SendMoveInNotice"), 1), envelope(profile.operation("NotifyResidentCodeChange"), 2)]
    assert {type(each) for each in await party.deliver(mixed)} == {RetryLater}
    asked = [replace(mixed[0], message_type="identity-search-request")]
    assert {type(each) for each in await party.deliver(asked)} == {RetryLater}
    assert not http.posted


async def test_an_addressee_goes_only_where_the_party_relays() -> None:
    operation = JukiCsAdapter.profile.operation("NotifyResidentCodeChange")
    party, http = made(JukiCsAdapter, lambda to: answer(b""))
    assert await party.deliver([replace(envelope(operation), municipality=OTHER)]) == [Rejected(code="not-sent-not-addressed")]
    assert not http.posted


# --- questions


def question(operation: Operation) -> Question:
    content = samples.message(operation.type, 1).to_bytes()
    return Question(
        dialogue_id="dialogue-1", message_type=operation.type, content=content, municipality=OTHER if operation.addressed else None
    )


def reply(adapter: type[ProfileAdapter], operation: Operation, dialogue: str = "dialogue-1") -> Answers:
    assert operation.answer is not None
    content = samples.message(operation.answer, 1).to_bytes().decode()
    result = f'<p:Result deliveryId="{dialogue}" duplicate="false">{content}</p:Result>'
    return lambda to: answer(soap(adapter, operation, f"<p:{operation.name}Response>{result}</p:{operation.name}Response>", to))


@pytest.mark.flow("F2-2")
@pytest.mark.flow("F2-4")
@pytest.mark.flow("F2-5")
@pytest.mark.parametrize(("adapter", "operation"), ASKED, ids=name_of)
async def test_a_question_has_its_answer(adapter: type[ProfileAdapter], operation: Operation) -> None:
    party, http = made(adapter, reply(adapter, operation))
    found = await party.ask(question(operation), timeout_s=5.0)
    assert found.message_type == operation.answer
    assert operation.answer is not None
    assert etree.fromstring(found.content).tag == catalogue.get(operation.answer).tag
    assert b"profile" not in found.content, "nothing of the envelope is in it"
    root = etree.fromstring(http.posted[0])
    schemas.profile_validator(adapter.profile.profile)(root[1][0])
    assert question(operation).content in http.posted[0]


@pytest.mark.parametrize(
    ("make", "error", "code"),
    [
        (reply(JukiCsAdapter, JukiCsAdapter.profile.operation("ConfirmIdentity"), "dialogue-2"), CallUnanswered, "answer-other-dialogue"),
        (lambda to: answer(b"", 503, Retry_After="3"), CallNotSent, "http-503"),
        (lambda to: answer(b"", 502), CallUnanswered, "http-502"),
        (lambda to: answer(b"<x/>"), CallUnanswered, "answer-not-soap"),
    ],
)
async def test_what_is_no_answer_to_the_question(make: Answers, error: type[Exception], code: str) -> None:
    party, _ = made(JukiCsAdapter, make)
    with pytest.raises(error) as caught:
        await party.ask(question(JukiCsAdapter.profile.operation("ConfirmIdentity")), timeout_s=5.0)
    assert getattr(caught.value, "code", None) == code


@pytest.mark.parametrize(
    ("whose", "code", "error"),
    [("Client", "schema-invalid", QuestionRefused), ("Client", "search-too-wide", QuestionRefused), ("Server", "busy", CallNotSent),
     ("Server", "internal", CallUnanswered)],
)  # fmt: skip
async def test_a_fault_answers_a_question(whose: str, code: str, error: type[Exception]) -> None:
    adapter, operation = JukiCsAdapter, JukiCsAdapter.profile.operation("SearchIdentity")
    fault = f'<s:Fault><faultcode>s:{whose}</faultcode><faultstring>x</faultstring><detail><p:Fault code="{code}"/></detail></s:Fault>'
    party, _ = made(adapter, lambda to: answer(soap(adapter, operation, fault, to, adapter.profile.fault_action), 500))
    with pytest.raises(error):
        await party.ask(question(operation), timeout_s=5.0)


async def test_what_cannot_be_asked_is_not() -> None:
    party, http = made(JukiCsAdapter, lambda to: answer(b""))
    good = question(JukiCsAdapter.profile.operation("ConfirmIdentity"))
    for bad in (replace(good, content=b"<a/>"), replace(good, municipality=OTHER), replace(good, message_type="move-in-notice")):
        with pytest.raises(CallNotSent):
            await party.ask(bad, timeout_s=5.0)
    assert not http.posted
