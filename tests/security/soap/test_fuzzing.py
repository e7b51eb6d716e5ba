"""Whatever is done to the bytes of a signed message: it is refused with a code, or what is handed on is what was signed (I6, I10)."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from lxml import etree

from certs.authority import TestAuthority
from certs.peer import Authority
from gateway.security.soap.errors import CODES, MessageRefused
from gateway.security.soap.keys import PartyCertificates
from gateway.security.soap.verifier import verify
from message_formats import reading
from tests.security.soap.attacks import ATTACKS, WRAPPINGS
from tests.security.soap.kit import Direction

pytestmark = [pytest.mark.invariant("I6"), pytest.mark.invariant("I10")]
PIECES = (
    b"<", b">", b"&", b'"', b"'", b"/", b" ", b"\x00", b"\xff", b"&#0;", b"&lt;", b"<![CDATA[x]]>", b"#", b"=", b"Id", b'xmlns=""',
    b"9999-12-31T23:59:59Z", b"0000-00-00T00:00:00Z", b"</ds:Reference>", b"<ds:Reference/>", "\u2028".encode(), b"\r", b"-1", b"",
)  # fmt: skip


def mangled(chance: random.Random, data: bytes) -> bytes:
    found = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        start = chance.randrange(len(found))
        end = min(len(found), start + chance.choice([0, 1, 1, 2, 8, 60]))
        match chance.randrange(3):
            case 0:
                found[start:end] = chance.choice(PIECES)
            case 1:
                found[start:end] = b""
            case 2:
                other = chance.randrange(len(found))
                found[start:end] = found[other : other + (end - start)]
    return bytes(found)


@pytest.mark.thorough
def test_the_gateway_refuses_with_a_code_or_hands_on_what_was_signed(
    directions: Mapping[str, Direction], soap_authority: TestAuthority
) -> None:
    chance, way = random.Random(20261123), directions["to-gateway"]
    signer = PartyCertificates(soap_authority.files("city-cs-signing").certificate, Authority(soap_authority.ca, soap_authority.crl))
    taken = 0
    for _ in range(40):
        good = way.good()
        signed = etree.tostring(verify(good, signer).envelope)
        for _ in range(150):
            try:
                found = verify(mangled(chance, good), signer)
            except MessageRefused as refused:
                assert refused.code in CODES
            else:
                taken += 1
                assert etree.tostring(found.envelope) == signed
    assert taken, "some changes do not matter (KeyInfo, spaces)"


@pytest.mark.thorough
def test_the_party_refuses_with_a_code(directions: Mapping[str, Direction]) -> None:
    chance, way = random.Random(20261124), directions["to-party"]
    for _ in range(20):
        good = way.good()
        for _ in range(100):
            way.judge(mangled(chance, good))


@pytest.mark.thorough
def test_attacks_that_are_mangled_besides_do_no_better(directions: Mapping[str, Direction]) -> None:
    chance = random.Random(20261125)
    for attack in (*ATTACKS, *WRAPPINGS):
        if "to-gateway" in attack.codes:
            way = directions["to-gateway"]
            assert way.judge(mangled(chance, attack.make(way))) is not None, attack.id


@pytest.mark.thorough
def test_a_message_that_grows_in_its_canonical_form_is_refused_with_a_code(
    directions: Mapping[str, Direction], soap_authority: TestAuthority
) -> None:
    signer = PartyCertificates(soap_authority.files("city-cs-signing").certificate, Authority(soap_authority.ca, soap_authority.crl))
    good = directions["to-gateway"].good()
    for size in range(len(good), 0, -50):
        try:
            verify(good, signer, limits=reading.Limits(size_bytes=size))
        except MessageRefused as refused:
            assert refused.code == "message-malformed"
