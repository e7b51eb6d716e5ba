"""The city CS over real mutual TLS: the profile both ways, effects, duplicates, batches, the journal before the answer."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import aiohttp
import pytest
from lxml import etree

from certs.authority import TestAuthority
from message_formats import samples
from message_formats.schemas import profile_validator
from simulators.juki_cs.service import JukiCsSettings
from simulators.references import References, Vault
from tests.simulators.conftest import ACTION, SALT, WSA, J, Simulator, context_of, envelope, running, xml_of


@pytest.mark.flow("F1-1")
async def test_an_update_takes_effect_and_is_answered_by_the_profile(city_cs: Simulator) -> None:
    answer = await city_cs.caller.update(("d1", xml_of(1, request_control_number="Q1")))
    assert answer.status == 200
    assert answer.results == [("d1", "accepted", None, False)]
    assert answer.relates_to == "urn:uuid:11111111-1111-4111-8111-111111111111"
    assert answer.root.findtext(f".//{{{WSA}}}Action") == f"{ACTION}Response"
    assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
    profile_validator("juki_cs")(answer.root[1][0])
    held = city_cs.party.residents.find(samples.resident_record_code(1), city_cs.party.journal)
    assert held is not None
    assert held.load()["name_kanji"] == samples.identity_items(1)["name_kanji"]


@pytest.mark.invariant("I5")
async def test_the_journal_has_the_effect_without_telling_who(city_cs: Simulator) -> None:
    await city_cs.caller.update(("d1", xml_of(1, request_control_number="Q1")))
    (entry,) = city_cs.party.journal.entries()
    assert (entry["seq"], entry["kind"], entry["delivery"], entry["request"], entry["update"]) == (1, "effect", "d1", "Q1", 1)
    assert entry["resident"] == References(SALT).of(samples.resident_record_code(1))
    text = city_cs.party.journal.path.read_text(encoding="utf-8")
    for value in (samples.resident_record_code(1), samples.individual_number(1), "見本葛", "虚構県"):
        assert value not in text
    assert Vault(SALT).unseal(entry["sealed"], "Q1")["individual_number"] == samples.individual_number(1)


@pytest.mark.invariant("I2")
@pytest.mark.rule("R4")
@pytest.mark.edge("F1-1", "delivered-twice")
async def test_a_request_number_that_took_effect_gets_its_first_answer_again(city_cs: Simulator) -> None:
    xml = xml_of(1, request_control_number="Q1")
    await city_cs.caller.update(("d1", xml))
    again = await city_cs.caller.update(("d1", xml))
    assert again.results == [("d1", "accepted", None, True)]
    assert [entry["kind"] for entry in city_cs.party.journal.entries()] == ["effect", "duplicate"]


@pytest.mark.rule("R4")
async def test_a_refusal_is_not_remembered(city_cs: Simulator) -> None:
    too_early = xml_of(1, change_reason="22", update_sequence_number="2", request_control_number="Q2")
    assert (await city_cs.caller.update(("d2", too_early))).results == [("d2", "rejected", "E201", False)]
    await city_cs.caller.update(("d1", xml_of(1)))
    assert (await city_cs.caller.update(("d2", too_early))).results == [("d2", "accepted", None, False)]


@pytest.mark.rule("R4")
async def test_a_request_number_is_forgotten_after_its_time(
    settings_for: Callable[..., JukiCsSettings], caller_context: ssl.SSLContext
) -> None:
    async with running(settings_for(memory_s=0), caller_context) as simulator:
        xml = xml_of(1, request_control_number="Q1")
        await simulator.caller.update(("d1", xml))
        assert (await simulator.caller.update(("d1", xml))).results == [("d1", "rejected", "E101", False)]


async def test_the_records_of_a_call_are_applied_in_order_each_with_its_result(city_cs: Simulator) -> None:
    answer = await city_cs.caller.update(
        ("a", xml_of(1)),
        ("b", xml_of(1, change_reason="22", update_sequence_number="2")),
        ("c", xml_of(1, change_reason="22", update_sequence_number="4")),
        ("d", xml_of(2, change_reason="31")),
        ("e", xml_of(3)),
    )
    assert answer.results == [
        ("a", "accepted", None, False),
        ("b", "accepted", None, False),
        ("c", "rejected", "E201", False),
        ("d", "rejected", "E103", False),
        ("e", "accepted", None, False),
    ]
    assert [entry["kind"] for entry in city_cs.party.journal.entries()] == ["effect", "effect", "refused", "refused", "effect"]


@pytest.mark.edge("F1-1", "delivered-twice")
async def test_one_request_number_twice_in_a_call_takes_effect_once(city_cs: Simulator) -> None:
    xml = xml_of(1, request_control_number="Q1")
    answer = await city_cs.caller.update(("a", xml), ("b", xml))
    assert answer.results == [("a", "accepted", None, False), ("b", "accepted", None, True)]


async def test_a_changed_code_takes_the_resident_along(city_cs: Simulator) -> None:
    old, new = samples.resident_record_code(1), samples.resident_record_code(2)
    await city_cs.caller.update(("a", xml_of(1)))
    change = {"resident_record_code": new, "former_resident_record_code": old, "change_reason": "44", "update_sequence_number": "2"}
    assert (await city_cs.caller.update(("b", xml_of(1, **change)))).results[0][1] == "accepted"
    after = {"resident_record_code": new, "change_reason": "22", "update_sequence_number": "3"}
    assert (await city_cs.caller.update(("c", xml_of(1, **after)))).results[0][1] == "accepted"
    assert (await city_cs.caller.update(("d", xml_of(1, change_reason="22", update_sequence_number="4")))).results[0][2] == "E201"
    references = References(SALT)
    assert [entry["resident"] for entry in city_cs.party.journal.entries()[:3]] == [
        references.of(old),
        references.of(old),
        references.of(new),
    ]


async def test_a_hundred_records_fit_and_one_more_does_not(city_cs: Simulator) -> None:
    many = [(f"d{n}", xml_of(n)) for n in range(1, 102)]
    assert len((await city_cs.caller.update(*many[:100])).results) == 100
    refused = await city_cs.caller.update(*many)
    assert refused.status == 500
    assert refused.fault == ("soap:Client", "too-many-records")
    assert await city_cs.caller.effects() == 100


@pytest.mark.control("C-2-2-2")
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda body: b"no xml", "not-xml"),
        (lambda body: body[:-20], "not-xml"),
        (lambda body: body.replace(b"<soap:Envelope", b'<!DOCTYPE a [<!ENTITY e "x">]><soap:Envelope', 1), "dtd-forbidden"),
        (lambda body: b"<a/>", "not-soap"),
        (lambda body: body.replace(b"</sex>", b"<!-- x --></sex>"), "comment-forbidden"),
        (lambda body: body.replace(b"</sex>", b"<?x y?></sex>"), "comment-forbidden"),
        (lambda body: b'<?xml version="1.0" encoding="ISO-8859-1"?>' + body, "encoding"),
        (lambda body: body.replace(b"<sex>2</sex>", b"<sex>2</sex><shoe_size>26</shoe_size>"), "schema-invalid"),
        (lambda body: body.replace(b"<sex>2</sex>", b""), "schema-invalid"),
        (lambda body: body.replace(b'deliveryId="d1"', b'deliveryId="d1" urgent="yes"'), "schema-invalid"),
        (lambda body: body.replace(b'deliveryId="d1"', b""), "schema-invalid"),
        (lambda body: body.replace(b"UpdateIdentityInformationRequest", b"DeleteEverything"), "operation-unknown"),
        (lambda body: body.replace(f"<wsa:Action>{ACTION}".encode(), b"<wsa:Action>urn:other"), "action-unknown"),
        (lambda body: body.replace(b"wsa:MessageID", b"wsa:MessageName"), "addressing-incomplete"),
        (lambda body: body.replace(b"/anonymous", b"/none"), "reply-to-unsupported"),
        (lambda body: body.replace(b"<wsa:To>", b'<x:Pay xmlns:x="urn:x" soap:mustUnderstand="1"/><wsa:To>'), "must-understand"),
    ],
)
async def test_a_call_that_breaks_the_profile_is_refused_whole(city_cs: Simulator, spoil: Callable[[bytes], bytes], code: str) -> None:
    answer = await city_cs.caller.post(spoil(envelope(("d1", xml_of(1)))))
    assert answer.status == 500
    assert answer.fault is not None
    assert answer.fault[1] == code
    assert answer.fault[0] == ("soap:MustUnderstand" if code == "must-understand" else "soap:Client")
    assert [entry["kind"] for entry in city_cs.party.journal.entries()] == ["call-refused"]


async def test_the_soap_action_header_must_fit(city_cs: Simulator) -> None:
    assert (await city_cs.caller.post(envelope(("d1", xml_of(1))), SOAPAction='"urn:other"')).fault == ("soap:Client", "action-unknown")


async def test_one_delivery_id_twice_in_a_call_is_refused(city_cs: Simulator) -> None:
    assert (await city_cs.caller.update(("d", xml_of(1)), ("d", xml_of(2)))).fault == ("soap:Client", "schema-invalid")


async def test_the_wording_of_an_unknown_date_is_kept(city_cs: Simulator) -> None:
    changes = {"birth_date": "19800000", "birth_date@text": "昭和55年頃"}
    assert (await city_cs.caller.update(("d", xml_of(1, **changes)))).results[0][1] == "accepted"
    held = city_cs.party.residents.find(samples.resident_record_code(1), city_cs.party.journal)
    assert held is not None
    assert held.load()["birth_date@text"] == "昭和55年頃"


async def test_only_the_endpoint_is_there(city_cs: Simulator) -> None:
    assert (await city_cs.caller.post(b"", path="/elsewhere")).status == 404
    async with city_cs.caller.session.get(f"https://127.0.0.1:{city_cs.caller.port}/juki-cs/identity") as response:
        assert response.status == 405


@pytest.mark.invariant("I6")
async def test_another_client_of_the_same_authority_is_refused_and_recorded(city_cs: Simulator, authority: TestAuthority) -> None:
    connector = aiohttp.TCPConnector(ssl=context_of(authority, "resident-record-system"))
    url = f"https://127.0.0.1:{city_cs.caller.port}/juki-cs/identity"
    async with aiohttp.ClientSession(connector=connector) as session, session.post(url, data=envelope(("d", xml_of(1)))) as response:
        assert response.status == 403
    assert [(entry["kind"], entry["code"]) for entry in city_cs.party.journal.entries()] == [("peer-refused", "wrong-peer")]


@pytest.mark.invariant("I6")
async def test_without_a_certificate_there_is_no_connection(city_cs: Simulator, authority: TestAuthority) -> None:
    context = ssl.create_default_context(cafile=str(authority.ca))
    url = f"https://127.0.0.1:{city_cs.caller.port}/juki-cs/identity"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.post(url, data=b"")
    assert city_cs.party.journal.count == 0


async def test_a_body_that_is_too_large_is_refused(city_cs: Simulator) -> None:
    assert (await city_cs.caller.post(b" " * (17 * 1024 * 1024))).status == 413


async def test_the_residents_of_the_city_are_there_from_the_beginning(
    settings_for: Callable[..., JukiCsSettings], caller_context: ssl.SSLContext
) -> None:
    from simulators.city import City

    events = list(City(5, 3000).day(1, 300))
    async with running(settings_for(population=3000, city_seed=5), caller_context) as simulator:
        for start in range(0, len(events), 100):
            answer = await simulator.caller.update(*[(event.ce_id, event.xml) for event in events[start : start + 100]])
            assert {result[1:] for result in answer.results} == {("accepted", None, False)}
        state = await simulator.caller.control("GET", "/_sim/state")
        assert state["counts"]["effect"] == 300
        assert state["population"] == 3000


def test_an_answer_of_ours_that_breaks_the_schema_is_not_sent() -> None:
    from message_formats.errors import FormatError
    from simulators.juki_cs.results import result
    from simulators.soap.envelope import envelopes

    written = envelopes("juki_cs")
    operation = written.profile.operation("UpdateIdentityInformation")
    with pytest.raises(FormatError):
        written.answer("urn:x", operation, [result("d 1", "Q1")])
    answer = written.answer("urn:<&>", operation, [result("d1", "Q<&1")])
    assert etree.fromstring(answer.body).findtext(f".//{{{WSA}}}RelatesTo") == "urn:<&>"
    assert answer.body.count(J.encode()) >= 1
