"""Signing: the Security header of a message, written by hand.

SignedInfo is written in its canonical form, so its bytes are what is signed, and each part is digested in its canonical form. Where those
forms are known beforehand (a compiled template) nothing of the message is read to sign it: 0.06 ms with P-256, where python-xmlsec needs
0.56 ms for the six references. The tests hold every byte against the canonicalisation of libxml2 and have xmlsec verify the outcome.
The key may as well live in a token: it signs bytes (engineering facts, section 5).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from lxml import etree

from gateway.security.soap import names as n
from gateway.security.soap.keys import SigningKey

LIFETIME_S = 300.0
"""How long after signing a message may be accepted, clock skew aside."""
TIMESTAMP_ID, BODY_ID, TOKEN_ID = "id-timestamp", "id-body", "id-token"

_OPEN = f'<wsse:Security xmlns:wsse="{n.WSSE}" xmlns:soap="{n.SOAP}" soap:mustUnderstand="1">'.encode()
_STAMP = (
    f'<wsu:Timestamp xmlns:wsu="{n.WSU}" wsu:Id="{TIMESTAMP_ID}"><wsu:Created>'.encode(),
    b"</wsu:Created><wsu:Expires>",
    b"</wsu:Expires></wsu:Timestamp>",
)
_TOKEN = (
    f'<wsse:BinarySecurityToken xmlns:wsu="{n.WSU}" wsu:Id="{TOKEN_ID}" ValueType="{n.X509_TOKEN}" EncodingType="{n.BASE64}">'.encode(),
    b"</wsse:BinarySecurityToken>",
)
_INFO = {
    method: (
        f'<ds:SignedInfo xmlns:ds="{n.DS}"><ds:CanonicalizationMethod Algorithm="{n.EXCLUSIVE}"></ds:CanonicalizationMethod>'
        f'<ds:SignatureMethod Algorithm="{method}"></ds:SignatureMethod>'
    ).encode()
    for method in (n.ECDSA_SHA256, n.RSA_SHA256)
}
_REFERENCE = (
    b'<ds:Reference URI="#',
    f'"><ds:Transforms><ds:Transform Algorithm="{n.EXCLUSIVE}"></ds:Transform></ds:Transforms>'
    f'<ds:DigestMethod Algorithm="{n.SHA256}"></ds:DigestMethod><ds:DigestValue>'.encode(),
    b"</ds:DigestValue></ds:Reference>",
)
_SIGNATURE = f'<ds:Signature xmlns:ds="{n.DS}">'.encode()
_CLOSE = (
    f'</ds:SignatureValue><ds:KeyInfo><wsse:SecurityTokenReference><wsse:Reference URI="#{TOKEN_ID}" ValueType="{n.X509_TOKEN}"/>'
    "</wsse:SecurityTokenReference></ds:KeyInfo></ds:Signature></wsse:Security>"
).encode()


def digest(canonical: bytes) -> bytes:
    """The digest value of a part in its canonical form, in Base64."""
    return base64.b64encode(hashlib.sha256(canonical).digest())


def security_header(
    key: SigningKey, parts: Iterable[tuple[bytes, bytes]], *, now: datetime | None = None, lifetime_s: float = LIFETIME_S
) -> bytes:
    """The Security header over ``parts`` (identifier without ``#``, :func:`digest`) and its own Timestamp. May stand in any envelope."""
    created = now or datetime.now(UTC)
    stamp = b"".join((_STAMP[0], _utc(created), _STAMP[1], _utc(created + timedelta(seconds=lifetime_s)), _STAMP[2]))
    info = [_INFO[key.method]]
    for identifier, value in (*parts, (TIMESTAMP_ID.encode(), digest(stamp))):
        info += (_REFERENCE[0], identifier, _REFERENCE[1], value, _REFERENCE[2])
    info.append(b"</ds:SignedInfo>")
    signed_info = b"".join(info)
    value = base64.b64encode(key.sign(signed_info))
    return b"".join((_OPEN, stamp, _TOKEN[0], key.token, _TOKEN[1], _SIGNATURE, signed_info, b"<ds:SignatureValue>", value, _CLOSE))


def sign_envelope(envelope: etree._Element, key: SigningKey, *, now: datetime | None = None, lifetime_s: float = LIFETIME_S) -> bytes:
    """Sign a complete SOAP message that has its WS-Addressing headers; changes ``envelope`` (identifiers, Security header). About 0.15 ms.

    :raises ValueError: it has no Header or Body, or is signed already.
    """
    header, body = envelope.find(n.HEADER), envelope.find(n.BODY)
    if header is None or body is None or header.find(n.SECURITY) is not None:
        raise ValueError("not a SOAP message that can be signed")
    parts = identified(header, body)
    found = [(identifier.encode(), digest(canonical(element))) for identifier, element in parts]
    header.append(etree.fromstring(security_header(key, found, now=now, lifetime_s=lifetime_s)))
    return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")


def identified(header: etree._Element, body: etree._Element) -> list[tuple[str, etree._Element]]:
    """Gives every WS-Addressing header and the Body an identifier, and returns them with it."""
    parts = [(f"id-{etree.QName(each).localname.lower()}", each) for each in header if str(each.tag).startswith(f"{{{n.WSA}}}")]
    parts.append((BODY_ID, body))
    for identifier, element in parts:
        element.set(n.ID, identifier)
    return parts


def canonical(element: etree._Element) -> bytes:
    """Exclusive canonical form (without comments) of an element where it stands."""
    return etree.tostring(element, method="c14n", exclusive=True, with_comments=False)


def _utc(moment: datetime) -> bytes:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
