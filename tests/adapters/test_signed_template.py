"""The signed request: what the template takes for canonical is what libxml2 makes of it, byte for byte, and xmlsec verifies the whole."""

from __future__ import annotations

import base64
import hashlib
import random
import subprocess
import uuid
from pathlib import Path

import pytest
import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree

from adapters.soap.operation import load_operation, to_bytes
from adapters.soap.signed_template import SignedRecord, SignedRecordsTemplate, compile_signed_records
from adapters.soap.template import compile_records
from certs.authority import Profile, TestAuthority
from certs.peer import Authority
from gateway.security.soap import names as n
from gateway.security.soap.messages import MessageSecurity, open_security
from gateway.security.soap.replay import RecentAnswers
from gateway.security.soap.signing import canonical
from gateway.security.soap.verifier import verify
from message_formats import schemas, writing
from tests.adapters.conftest import ADDRESS, PROFILE, response, result, soap
from tests.adapters.test_soap_template import UPDATE, some_items, to_utf8

pytestmark = [pytest.mark.invariant("I6"), pytest.mark.invariant("I8")]
SHAPE = {"to": ADDRESS, "record": "Record", "identifier": "deliveryId", "element": "IdentityInformationUpdate"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    made = TestAuthority(tmp_path_factory.mktemp("certs"))
    made.create()
    made.issue("p256", Profile.SIGNING)
    made.issue("rsa", Profile.SIGNING, rsa_bits=3072)
    return made


@pytest.fixture(scope="module", params=["p256", "rsa"])
def security(request: pytest.FixtureRequest, authority: TestAuthority) -> MessageSecurity:
    """Ours; the other side is ourselves."""
    files = authority.files(request.param)
    own = (files.certificate, files.key)
    return open_security(
        "city-cs", own=own, partner=files.certificate, authority=Authority(authority.ca, authority.crl), replays=RecentAnswers()
    )


@pytest.fixture(scope="module")
def template() -> SignedRecordsTemplate:
    return compile_signed_records(
        load_operation(schemas.wsdl_path("juki_cs"), "UpdateIdentityInformation", prefixes={"j": PROFILE}), **SHAPE
    )


def record(identifier: str, element: bytes) -> SignedRecord:
    return SignedRecord(identifier=identifier, element=element, canonical=canonical(etree.fromstring(element)))


def some_records(chance: random.Random, count: int) -> list[SignedRecord]:
    found = []
    for serial in range(count):
        element = to_utf8(writing.element(UPDATE, some_items(chance, serial)))
        if chance.random() < 0.5:  # as another register might write it: other prefixes, quotes, references, spaces, sections
            element = element.replace(b' xmlns="', b"\n  xmlns='").replace(b':1">', b":1' >").replace("例".encode(), b"&#x4F8B;")
            element = element.replace("架空".encode(), "<![CDATA[架空]]>".encode())
        found.append(record(f"delivery-{serial}", element))
    return found


def by_xmlsec(data: bytes, certificate: x509.Certificate) -> None:
    """:raises xmlsec.Error: the signature does not hold."""
    root = etree.fromstring(data)
    context = xmlsec.SignatureContext()
    public = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    context.key = xmlsec.Key.from_memory(public, xmlsec.constants.KeyDataFormatPem)
    for each in root.iter():
        if each.get(n.ID):
            context.register_id(each, "Id", n.WSU)
    signature = root.find(f".//{n.SIGNATURE}")
    assert signature is not None
    context.verify(signature)


def test_every_digest_and_signed_info_are_what_libxml2_makes_of_them(template: SignedRecordsTemplate, security: MessageSecurity) -> None:
    chance = random.Random(20260401)
    certificate = security.own.current().certificate
    for _ in range(60):
        records = some_records(chance, chance.choice([1, 1, 2, 7]))
        data = template.build(f"urn:uuid:{uuid.UUID(int=chance.getrandbits(128))}", records, security)
        root = etree.fromstring(data)
        parts = {each.get(n.ID): each for each in root.iter() if each.get(n.ID)}
        references = root.findall(f".//{n.REFERENCE}")
        assert {each.get("URI") for each in references} == {f"#{name}" for name in parts if name != "id-token"}
        for each in references:
            expected = hashlib.sha256(canonical(parts[each.get("URI", "")[1:]])).digest()
            assert base64.b64decode(each.findtext(n.DIGEST_VALUE) or "") == expected
        signed_info = root.find(f".//{n.SIGNED_INFO}")
        assert signed_info is not None
        assert canonical(signed_info) in data, "SignedInfo is sent in its canonical form"
        by_xmlsec(data, certificate)


def test_but_for_identifiers_and_security_it_is_the_request_that_zeep_builds(
    template: SignedRecordsTemplate, security: MessageSecurity
) -> None:
    operation = load_operation(schemas.wsdl_path("juki_cs"), "UpdateIdentityInformation", prefixes={"j": PROFILE})
    element = to_utf8(writing.element(UPDATE, some_items(random.Random(1), 1)))
    signed = etree.fromstring(template.build("urn:uuid:1", [record("d1", element)], security))
    plain = etree.fromstring(compile_records(operation, **SHAPE).build("urn:uuid:1", [("d1", element)]))
    for each in signed.iter():
        each.attrib.pop(n.ID, None)
    signed[0].remove(signed[0][-1])
    assert etree.canonicalize(to_bytes(signed).decode().partition("?>")[2], rewrite_prefixes=True) == etree.canonicalize(
        to_bytes(plain).decode().partition("?>")[2], rewrite_prefixes=True
    )


@pytest.mark.parametrize("uri", [PROFILE, n.SOAP, n.WSU])
def test_a_record_that_uses_a_namespace_of_the_envelope_is_signed_right_too(
    template: SignedRecordsTemplate, security: MessageSecurity, uri: str
) -> None:
    """There the canonical form within the envelope differs from the one of the record alone."""
    whole = etree.fromstring(template.build("urn:uuid:1", [record("d", b"<a/>")], security))
    prefix = next((prefix for prefix, found in whole[1][0].nsmap.items() if found == uri and prefix), "x")
    element = f'<{prefix}:a xmlns:{prefix}="{uri}" {prefix}:b="c"/>'.encode()
    by_xmlsec(template.build("urn:uuid:1", [record("d", element)], security), security.own.current().certificate)


def test_what_is_embedded_comes_out_unchanged(template: SignedRecordsTemplate, security: MessageSecurity) -> None:
    element = b'<IdentityInformationUpdate  xmlns = "urn:x" ><a>\xe8\xa6\x8b&#x672C;<![CDATA[<]]></a\n></IdentityInformationUpdate >'
    assert element in template.build("urn:uuid:1", [record("d", element)], security)


@pytest.mark.parametrize("identifier", ['"', "<", "a b", "", "é", "x" * 101, "a\n"])
def test_identifiers_cannot_break_out(template: SignedRecordsTemplate, security: MessageSecurity, identifier: str) -> None:
    with pytest.raises(ValueError, match="identifier"):
        template.build("urn:uuid:1", [record(identifier, b"<a/>")], security)


async def test_a_complete_message_is_signed_too(security: MessageSecurity) -> None:
    """The way of messages that no template exists for."""
    data = security.sign(etree.fromstring(soap(response(result(1)), "urn:uuid:1")))
    by_xmlsec(data, security.own.current().certificate)
    verified = await security.verify(data)
    assert verified.envelope[1][0].tag == f"{{{PROFILE}}}UpdateIdentityInformationResponse"
    with pytest.raises(ValueError, match="can be signed"):
        security.sign(etree.fromstring(data))


def test_only_what_was_signed_is_handed_on(security: MessageSecurity) -> None:
    plain = etree.fromstring(soap(response(result(1)), "urn:uuid:1"))
    plain.set("note", "not signed")
    envelope = verify(security.sign(plain), security.signer).envelope
    assert "not signed" not in etree.tostring(envelope).decode()
    assert [each.tag for each in envelope] == [n.HEADER, n.BODY]
    assert {each.tag for each in envelope[0]} == {n.ACTION, n.MESSAGE_ID, n.RELATES_TO}
    assert envelope.getroottree().getroot() is envelope


# ---- a program that is not ours ------------------------------------------------------------------------------------------------


def xmlsec1(data: bytes, certificate: x509.Certificate, folder: Path) -> subprocess.CompletedProcess[str]:
    message, key = folder / "message.xml", folder / "key.pem"
    message.write_bytes(data)
    key.write_bytes(certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    root = etree.fromstring(data)
    identified = {etree.QName(each) for each in root.iter() if each.get(n.ID)}
    identifiers = [argument for each in identified for argument in ("--id-attr:Id", f"{each.namespace}:{each.localname}")]
    command = ["xmlsec1", "--verify", "--pubkey-pem", str(key), "--enabled-reference-uris", "same-doc", *identifiers, str(message)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.slow
def test_the_program_xmlsec1_verifies_our_signature_and_refuses_what_was_altered(
    template: SignedRecordsTemplate, security: MessageSecurity, tmp_path: Path
) -> None:
    data = template.build("urn:uuid:1", some_records(random.Random(7), 2), security)
    certificate = security.own.current().certificate
    good = xmlsec1(data, certificate, tmp_path)
    assert good.returncode == 0, good.stderr
    assert "SignedInfo References (ok/all): 6/6" in good.stderr
    for old, new in ((b"delivery-1", b"delivery-9"), (b">urn:uuid:1<", b">urn:uuid:2<"), (b"Created>2", b"Created>3")):
        assert old in data
        assert xmlsec1(data.replace(old, new), certificate, tmp_path).returncode != 0
