"""What the city CS says, and what the gateway makes of it: never a success out of a silence, a contradiction or somebody else's answer."""

from __future__ import annotations

import logging

import pytest
from lxml import etree

from gateway.contract import (
    CallNotSent,
    CallUnanswered,
    Delivered,
    Envelope,
    HttpAnswer,
    Outcome,
    PartyDown,
    Rejected,
    RejectedCall,
    RetryLater,
    Unknown,
)
from message_formats import schemas
from tests.adapters.conftest import PROFILE, SOAP, Answerer, Party, answer, envelope, fault, response, result, soap


async def outcome(party: Party, answerer: Answerer, *envelopes: Envelope) -> list[Outcome]:
    adapter, _ = party(answerer)
    return list(await adapter.deliver(envelopes or (envelope(),)))


def says(content: str, status: int = 200, **headers: str) -> Answerer:
    return lambda relates_to: answer(soap(content, relates_to), status, **headers)


# --- the request


async def test_request_is_valid_addressed_and_holds_each_record_as_it_came(party: Party) -> None:
    adapter, http = party(says(response(result(1), result(2))))
    one, two = envelope(1), envelope(2)
    await adapter.deliver([one, two])
    [body] = http.posted
    assert one.content in body
    assert two.content in body
    root = etree.fromstring(body)
    schemas.profile_validator("juki_cs")(root[1][0])
    headers = {each.tag.rpartition("}")[2]: "".join(each.itertext()) for each in root[0]}
    assert headers["Action"] == f"{PROFILE}:UpdateIdentityInformation"
    assert headers["ReplyTo"] == "http://www.w3.org/2005/08/addressing/anonymous"
    assert headers["MessageID"].startswith("urn:uuid:")
    assert http.headers[0]["SOAPAction"] == f'"{PROFILE}:UpdateIdentityInformation"'
    await adapter.deliver([one, two])
    assert http.posted[0] != http.posted[1], "each call has a message id of its own"


@pytest.mark.invariant("I10")
async def test_a_record_that_is_not_valid_is_not_sent_and_the_others_are(party: Party) -> None:
    adapter, http = party(says(response(result(1))))
    good = envelope(1)
    bad = Envelope(**{**_fields(envelope(2)), "content": envelope(2).content.replace(b">19800229<", b">1980<")})
    other_key = Envelope(**{**_fields(envelope(3)), "party_key": "OTHER"})
    garbage = Envelope(**{**_fields(envelope(4)), "content": b"<!DOCTYPE a><a/>"})
    found = await adapter.deliver([bad, good, other_key, garbage])
    assert isinstance(found[1], Delivered)
    assert found[0] == Rejected(code="not-sent-value-pattern", fields=("birth_date",))
    assert found[2] == Rejected(code="not-sent-party-key-differs", fields=("request_control_number",))
    assert found[3] == Rejected(code="not-sent-dtd-forbidden")
    assert http.posted[0].count(b"<j:Record ") == 1
    assert (await adapter.deliver([garbage])) == [Rejected(code="not-sent-dtd-forbidden")]
    assert len(http.posted) == 1, "a call without a record is not made"


def _fields(given: Envelope) -> dict[str, object]:
    return {name: getattr(given, name) for name in Envelope.__dataclass_fields__}


async def test_declaration_and_white_space_do_not_come_into_the_envelope(party: Party) -> None:
    adapter, http = party(says(response(result(1))))
    plain = envelope(1)
    declared = Envelope(**{**_fields(plain), "content": b'\xef\xbb\xbf<?xml version="1.0" encoding="UTF-8"?>\n' + plain.content + b"\n"})
    assert isinstance((await adapter.deliver([declared]))[0], Delivered)
    assert http.posted[0].count(b"<?xml") == 1
    assert plain.content in http.posted[0]


# --- the answer for one record


async def test_accepted_rejected_and_duplicate(party: Party) -> None:
    [accepted] = await outcome(party, says(response(result())))
    assert isinstance(accepted, Delivered)
    assert not accepted.duplicate
    assert b"accepted" in accepted.receipt.body
    [rejected] = await outcome(party, says(response(result(outcome="rejected", error="E201"))))
    assert isinstance(rejected, Rejected)
    assert rejected.code == "E201"
    [again] = await outcome(party, says(response(result(duplicate="true"))), envelope(resent=True))
    assert isinstance(again, Delivered)
    assert again.duplicate, "what a repetition proves is decided elsewhere (R4)"


@pytest.mark.invariant("I2")
@pytest.mark.parametrize(
    ("content", "code"),
    [
        (response(), "answer-schema-invalid"),
        (response(result(2)), "answer-other-delivery"),
        (response(result(1, key="SAMPLE0000000002")), "answer-other-key"),
        (response(result(1), result(1)), "answer-result-twice"),
        (response(result(1, "accepted", "E101")), "answer-contradictory"),
        (response(result(1, "rejected")), "answer-contradictory"),
        (response(result(1, "rejected", "E101", duplicate="true")), "answer-contradictory"),
        (response(result(1, "perhaps")), "answer-contradictory"),
        (response(result(1, duplicate="maybe")), "answer-schema-invalid"),
        (response(result(1)).replace("r:", "q:").replace("<q:Id", '<q:Id xmlns:q="urn:x"'), "answer-not-xml"),
        (f'<x xmlns="{PROFILE}"/>', "answer-other-element"),
    ],
)
async def test_answers_that_prove_nothing(party: Party, content: str, code: str) -> None:
    assert await outcome(party, says(content)) == [Unknown(code=code)]


@pytest.mark.invariant("I2")
@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda to: soap(response(result()), "urn:uuid:other"), "answer-unrelated"),
        (lambda to: soap(response(result()), to).replace(b"a:RelatesTo", b"a:Relates"), "answer-unrelated"),
        (lambda to: soap(response(result()), to, header=f"<a:RelatesTo>{to}</a:RelatesTo>"), "answer-unrelated"),
        (lambda to: soap(response(result()), to, action="urn:other"), "answer-action-unknown"),
        (lambda to: soap(response(result()), to, header='<x:y xmlns:x="urn:x" s:mustUnderstand="1"/>'), "answer-must-understand"),
        (lambda to: soap(response(result()), to).replace(b"<s:Body>", b"<s:Body/><s:Body>"), "answer-not-soap"),
        (lambda to: soap(response(result()) + response(result()), to), "answer-not-soap"),
        (lambda to: soap(response(result()), to).replace(SOAP.encode(), b"http://www.w3.org/2003/05/soap-envelope"), "answer-not-soap"),
        (lambda to: b'<!DOCTYPE x [<!ENTITY e "v">]>' + soap(response(result()), to).partition(b"?>")[2], "answer-dtd-forbidden"),
        (lambda to: soap(response(result()), to).replace(b"accepted", b"acc<!-- -->epted"), "answer-comment-forbidden"),
        (lambda to: soap(response(result()), to)[:-20], "answer-not-xml"),
        (lambda to: b"", "answer-not-xml"),
        (lambda to: b"\xff\xfe\x00", "answer-encoding"),
    ],
)  # fmt: skip
async def test_what_is_not_the_answer_to_this_request(party: Party, make: object, code: str) -> None:
    assert callable(make)
    assert await outcome(party, lambda to: answer(make(to))) == [Unknown(code=code)]


# --- the answer for several records


@pytest.mark.invariant("I2")
async def test_results_come_in_any_order_and_each_record_gets_its_own(party: Party) -> None:
    content = response(result(3, "rejected", "E103"), result(1), result(2, duplicate="true"))
    found = await outcome(party, says(content), envelope(1), envelope(2), envelope(3))
    assert [type(each) for each in found] == [Delivered, Delivered, Rejected]
    first = found[0]
    assert isinstance(first, Delivered)
    assert b"delivery-1" in first.receipt.body
    assert b"delivery-2" not in first.receipt.body, "the evidence of one resident holds nothing of another"


@pytest.mark.invariant("I2")
async def test_missing_doubled_and_foreign_results_concern_their_records_only(party: Party) -> None:
    three = (envelope(1), envelope(2), envelope(3))
    missing = await outcome(party, says(response(result(1), result(3))), *three)
    assert missing[1] == Unknown(code="answer-result-missing")
    foreign = await outcome(party, says(response(result(1), result(9), result(3))), *three)
    assert foreign[1] == Unknown(code="answer-other-delivery")
    doubled = await outcome(party, says(response(result(1), result(2), result(2, "rejected", "E101"), result(3))), *three)
    assert doubled[1] == Unknown(code="answer-result-twice")
    for found in (missing, foreign, doubled):
        assert isinstance(found[0], Delivered)
        assert isinstance(found[2], Delivered)


async def test_a_hundred_records_go_in_one_call(party: Party) -> None:
    many = [envelope(serial) for serial in range(100)]
    adapter, http = party(says(response(*(result(serial) for serial in reversed(range(100))))))
    assert all(isinstance(each, Delivered) for each in await adapter.deliver(many))
    assert len(http.posted) == 1


# --- faults and statuses


@pytest.mark.rule("R11")
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (fault("Client", "schema-invalid"), RejectedCall(code="schema-invalid")),
        (fault("Client", "too-many-records"), RejectedCall(code="too-many-records")),
        (fault("Client", "action-unknown"), PartyDown(code="action-unknown")),
        (fault("Client", None), Unknown(code="fault-without-detail")),
        (fault("Client", "NOT A CODE"), Unknown(code="fault-malformed")),
        (fault("Server", "busy"), RetryLater(code="busy")),
        (fault("Server", "internal"), Unknown(code="fault-internal")),
        (fault("Server", None), Unknown(code="fault-without-detail")),
        (fault("Mystery", "schema-invalid"), Unknown(code="fault-schema-invalid")),
        (fault("Client", "busy").replace("s:Client", "q:Client"), Unknown(code="http-500")),
    ],
)
async def test_soap_faults(party: Party, content: str, expected: Outcome) -> None:
    assert await outcome(party, says(content, 500), envelope(1), envelope(2)) == [expected, expected]


async def test_fault_that_answers_another_request_proves_nothing(party: Party) -> None:
    stray = soap(fault("Client", "schema-invalid"), "urn:uuid:other")
    assert await outcome(party, lambda _: answer(stray, 500)) == [Unknown(code="http-500")]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (answer(b"", 503, Retry_After="7"), PartyDown(code="http-503", after_s=7.0)),
        (answer(b"", 503, Retry_After="999999"), PartyDown(code="http-503", after_s=3600.0)),
        (answer(b"", 503, Retry_After="Wed, 01 Apr 2020 00:00:00 GMT"), PartyDown(code="http-503", after_s=0.0)),
        (answer(b"", 503, Retry_After="soon"), Unknown(code="http-503")),
        (answer(b"", 503), Unknown(code="http-503")),
        (answer(b"oops", 500), Unknown(code="http-500")),
        (answer(b"", 502), Unknown(code="http-502")),
        (answer(b"", 504), Unknown(code="http-504")),
        (answer(b"", 202), Unknown(code="http-202")),
        (answer(b"", 302, Location="/"), Unknown(code="http-302")),
        (answer(b"", 400), Unknown(code="http-400")),
        (answer(b"", 403), PartyDown(code="http-403")),
        (answer(b"", 404), PartyDown(code="http-404")),
        (answer(b"", 413), RejectedCall(code="http-413")),
    ],
)
async def test_http_statuses(party: Party, given: HttpAnswer, expected: Outcome) -> None:
    assert await outcome(party, lambda _: given) == [expected]


async def test_success_under_an_error_status_is_unknown(party: Party) -> None:
    assert await outcome(party, says(response(result()), 500)) == [Unknown(code="answer-other-element")]


@pytest.mark.rule("R9")
async def test_calls_that_ended_without_an_answer(party: Party) -> None:
    assert await outcome(party, lambda _: CallNotSent("connection-refused")) == [PartyDown(code="connection-refused")]
    assert await outcome(party, lambda _: CallUnanswered("deadline")) == [Unknown(code="deadline")]


# --- the rest


async def test_check_says_what_is_wrong_and_what_to_do(party: Party) -> None:
    good, _ = party(lambda _: answer(b""))
    assert [each.ok for each in await good.check()] == [True]
    bad, _ = party(lambda _: CallNotSent("wrong-peer"))
    [finding] = await bad.check()
    assert (finding.ok, finding.detail) == (False, "wrong-peer")
    assert "certificate" in finding.remedy


@pytest.mark.invariant("I5")
async def test_nothing_of_a_resident_is_logged_or_printed(party: Party, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        adapter, _ = party(says(response(result(1, "rejected", "E101"))))
        found = await adapter.deliver([envelope(1)])
    for text in (caplog.text, repr(found), repr(envelope(1))):
        assert "見本" not in text
        assert "9999" not in text


def test_manifest_says_what_the_profile_promises(party: Party) -> None:
    manifest = party(lambda _: answer(b""))[0].manifest
    assert manifest.party == "city-cs"
    assert manifest.duplicates is not None
    assert (manifest.duplicates.key, manifest.duplicates.memory_s) == ("request_control_number", 30 * 86400)
    assert manifest.limits.records_per_call == 100
