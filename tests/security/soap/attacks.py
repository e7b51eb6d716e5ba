"""The attacks on signed messages, as one table: what is done, and the reason for which each side refuses it.

``id`` is what the threat model names. ``codes`` gives the refusal by direction (``to-gateway``: the gateway's verifier judges an answer of the
party; ``to-party``: the simulated party judges a call of the gateway; ``encrypted``: the gateway opens what is encrypted for it). A direction that is not named cannot be attacked in this way.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from lxml import etree

from tests.security.soap.kit import (
    DS,
    EXCLUSIVE,
    ID,
    PROFILE,
    WSA,
    Craft,
    Direction,
    canonical,
    changed,
    digest,
    duplicate,
    one,
    parse,
)

HEADER, BODY = "/s:Envelope/s:Header", "/s:Envelope/s:Body"
SECURITY = f"{HEADER}/o:Security"
SIGNATURE, STAMP, TOKEN = f"{SECURITY}/d:Signature", f"{SECURITY}/u:Timestamp", f"{SECURITY}/o:BinarySecurityToken"
INFO = f"{SIGNATURE}/d:SignedInfo"


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack."""

    id: str
    attack: str
    make: Callable[[Direction], bytes]
    codes: Mapping[str, str]


def _attack(number: int, what: str, us: str | None, party: str | None, make: Callable[[Direction], bytes]) -> Attack:
    codes = {name: code for name, code in (("to-gateway", us), ("to-party", party)) if code is not None}
    return Attack(id=f"A-XML-{number:02}", attack=what, make=make, codes=codes)


def _changing(change: Callable[[etree._Element], None]) -> Callable[[Direction], bytes]:
    return lambda way: changed(way.good(), change)


def _crafted(**how: object) -> Callable[[Direction], bytes]:
    craft = Craft(**how)  # type: ignore[arg-type]
    return lambda way: way.good(craft)


def _remove(path: str) -> Callable[[etree._Element], None]:
    def change(root: etree._Element) -> None:
        element = one(root, path)
        parent = element.getparent()
        assert parent is not None
        parent.remove(element)

    return change


def _with(path: str, **what: object) -> Callable[[etree._Element], None]:
    """Sets text or attributes of an element."""

    def change(root: etree._Element) -> None:
        element = one(root, path)
        for name, value in what.items():
            if name == "text":
                element.text = str(value)
            else:
                element.set(name, str(value))

    return change


def _append(path: str, xml: str) -> Callable[[etree._Element], None]:
    return lambda root: one(root, path).append(parse(xml.encode()))


def _alter_body(root: etree._Element) -> None:
    for each in one(root, BODY).iter():
        if each.get("deliveryId") is not None:
            each.set("deliveryId", "forged")
            return
    raise AssertionError("nothing to forge")


def _alter_body_and_digest(root: etree._Element) -> None:
    _alter_body(root)
    body = one(root, BODY)
    reference = one(root, f"{INFO}/d:Reference[@URI='#{body.get(ID)}']")
    reference[-1].text = digest(canonical(body))


def _second(path: str) -> Callable[[etree._Element], None]:
    def change(root: etree._Element) -> None:
        element = one(root, path)
        parent = element.getparent()
        assert parent is not None
        copied = duplicate(element)
        for each in copied.iter():
            if each.get(ID):
                each.set(ID, f"{each.get(ID)}-2")
        parent.append(copied)

    return change


def _without(*names: str) -> Callable[[list[tuple[str, str]]], list[tuple[str, str]]]:
    return lambda found: [each for each in found if each[0] not in names]


def _uri(old: str, new: str) -> Callable[[list[tuple[str, str]]], list[tuple[str, str]]]:
    return lambda found: [(new if uri == old else uri, value) for uri, value in found]


def _transform(*algorithms: str) -> str:
    return "<ds:Transforms>" + "".join(f'<ds:Transform Algorithm="{each}"/>' for each in algorithms) + "</ds:Transforms>"


_ENVELOPED = f"{DS}enveloped-signature"
_XPATH = (
    '<ds:Transforms><ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>false()</ds:XPath></ds:Transform>'
    f'<ds:Transform Algorithm="{EXCLUSIVE}"/></ds:Transforms>'
)
_FILTER = (
    '<ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2002/06/xmldsig-filter2"><f:XPath xmlns:f="http://www.w3.org/2002/06/'
    f'xmldsig-filter2" Filter="subtract">//*</f:XPath></ds:Transform><ds:Transform Algorithm="{EXCLUSIVE}"/></ds:Transforms>'
)
_XSLT = (
    '<ds:Transforms><ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"><xsl:stylesheet version="1.0" '
    'xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template match="/"><x/></xsl:template></xsl:stylesheet></ds:Transform>'
    f'<ds:Transform Algorithm="{EXCLUSIVE}"/></ds:Transforms>'
)
_PREFIXES = f'<ec:InclusiveNamespaces xmlns:ec="{EXCLUSIVE}" PrefixList="soap"/>'
_KEY_VALUE = "<ds:KeyInfo><ds:KeyName>city-cs-signing</ds:KeyName></ds:KeyInfo>"
_FETCH = f'<ds:KeyInfo><ds:RetrievalMethod URI="http://127.0.0.1:9/key" Type="{DS}X509Data"/></ds:KeyInfo>'
_INCLUSIVE = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"


def _reflected(way: Direction) -> bytes:
    """What the judge has signed itself, sent back to it."""
    mine = "gateway" if way.name == "to-gateway" else "party"
    return way.by(mine)


def _token_of(other: str) -> Callable[[Direction], bytes]:
    return lambda way: changed(way.good(), _with(TOKEN, text=way.others[other].token))


def _foreign_key(craft: Craft) -> Callable[[Direction], bytes]:
    return lambda way: way.by("same-authority", replace(craft, token=way.right.token))


def _x509_data(way: Direction) -> bytes:
    shown = (
        f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{way.others['self-signed'].token}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
    )
    return way.by("self-signed", Craft(token=way.right.token, key_info=shown))


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Direction], bytes]:
    return lambda way: change(way.good())


def _body_after(data: bytes, text: bytes) -> bytes:
    """``text`` into the text of the first leaf of the Body."""
    place = data.index(b"</", data.index(b"Body")) - 1
    return data[:place] + text + data[place:]


def _taken(way: Direction, *, restart: bool = False) -> bytes:
    data = way.good()
    if way.judge(data) is not None:
        raise AssertionError("the first time it must be taken")
    if restart:
        way.restart()
    return data


def _after_declaration(data: bytes, what: bytes) -> bytes:
    return data.replace(b"?>", b"?>" + what, 1)


def _give_id(root: etree._Element) -> None:
    one(root, BODY).set(ID, "p3")


def _drop_id(root: etree._Element, path: str) -> None:
    del one(root, path).attrib[ID]


def _xml_id(root: etree._Element) -> None:
    one(root, f"{BODY}/*").set("{http://www.w3.org/XML/1998/namespace}id", "p0")


# what, code of the gateway, code of the party, how
_TABLE: tuple[tuple[str, str | None, str | None, Callable[[Direction], bytes]], ...] = (
    # nothing signed
    ("Security header removed", "unsigned", "not-signed", _changing(_remove(SECURITY))),
    ("signature removed, token and Timestamp left", "unsigned", "not-signed", _changing(_remove(SIGNATURE))),
    ("whole SOAP header removed", "unsigned", "not-signed", _changing(_remove(HEADER))),
    # somebody else signed
    ("signed by another certificate of the same authority", "signer-unknown", "other-signer", lambda way: way.by("same-authority")),
    ("signed by the right party's TLS certificate", "signer-unknown", None, lambda way: way.by("tls-certificate")),
    ("signed by a self-signed certificate of the same name", "signer-unknown", "other-signer", lambda way: way.by("self-signed")),
    ("foreign key under the right certificate", "signature-invalid", "signature-wrong", _foreign_key(Craft())),
    ("foreign key, no token shown", "signature-invalid", "security-header-shape", lambda way: way.by("same-authority", Craft(token=""))),
    ("own message of the judge sent back to it", "signer-unknown", "other-signer", _reflected),
    # KeyInfo
    ("KeyInfo substitution: token of somebody else, signature left", "signer-unknown", "other-signer", _token_of("same-authority")),
    ("KeyInfo substitution: own certificate as X509Data, own signature", "signature-invalid", "signature-wrong", _x509_data),
    ("KeyInfo names a key, signed by another", "signature-invalid", "signature-wrong", _foreign_key(Craft(key_info=_KEY_VALUE))),
    ("KeyInfo to be fetched from a network address", "signature-invalid", "signature-wrong", _foreign_key(Craft(key_info=_FETCH))),
    # altered after signing
    ("Body altered", "digest-mismatch", "part-altered", _changing(_alter_body)),
    ("Body emptied", "digest-mismatch", "part-altered", _changing(lambda root: one(root, BODY).clear(keep_tail=True) or _give_id(root))),
    ("element added to the Body", "digest-mismatch", "part-altered", _changing(_append(f"{BODY}/*", f'<x xmlns="{PROFILE}"/>'))),
    ("message id altered", "digest-mismatch", "part-altered", _changing(_with(f"{HEADER}/a:MessageID", text="urn:uuid:other"))),
    ("Action altered", "digest-mismatch", "part-altered", _changing(_with(f"{HEADER}/a:Action", text="urn:other"))),
    ("Timestamp prolonged", "digest-mismatch", "part-altered", _changing(_with(f"{STAMP}/u:Expires", text="2099-01-01T00:00:00Z"))),
    ("Body altered, digest value altered with it", "signature-invalid", "signature-wrong", _changing(_alter_body_and_digest)),
    ("signature value of zeros", "signature-invalid", "signature-wrong", _crafted(value=lambda value: bytes(len(value)))),
    ("signature value cut", "signature-invalid", "signature-wrong", _crafted(value=lambda value: value[:-1])),
    ("signature value empty", "signature-invalid", "signature-shape", _crafted(value=lambda value: b"")),
    ("signature value no Base64", "signature-malformed", "signature-wrong", _changing(_with(f"{SIGNATURE}/d:SignatureValue", text="%%%"))),
    # signed by the right key, but not everything
    ("detached Body: only Timestamp and headers covered", "reference-missing", "references-not-exact", _crafted(references=_without("#p3"))),
    ("Timestamp not covered", "reference-missing", "references-not-exact", _crafted(references=_without("#time"))),
    ("message id not covered", "reference-missing", "references-not-exact", _crafted(references=_without("#p1"))),
    ("no reference at all", "reference-missing", "references-not-exact", _crafted(references=lambda found: [])),
    (
        "wsa header added after signing",
        "reference-missing",
        "part-not-covered",
        _changing(_append(HEADER, f'<a:FaultTo xmlns:a="{WSA}"><a:Address>urn:x</a:Address></a:FaultTo>')),
    ),
    ("header of another kind added", "header-unexpected", "header-not-covered", _changing(_append(HEADER, '<x xmlns="urn:x"/>'))),
    ("identifier of the Body removed", "reference-missing", "part-not-covered", _changing(lambda root: _drop_id(root, BODY))),
    ("same part covered twice", "reference-unexpected", "references-not-exact", _crafted(references=lambda found: [*found, found[0]])),
    ("identifier twice", "id-duplicate", "identifier-twice", _changing(_with(BODY, **{ID: "p0"}))),
    ("identifier twice, as ID without namespace", "id-duplicate", "identifier-twice", _changing(_with(f"{BODY}/*", ID="p0"))),
    ("identifier twice, as xml:id", "id-duplicate", "identifier-twice", _changing(_xml_id)),
    # references to elsewhere
    ("detached: Body at a network address", "reference-forbidden", "references-not-exact", _crafted(references=_uri("#p3", "http://127.0.0.1:9/x"))),
    ("detached: Body in a file", "reference-forbidden", "references-not-exact", _crafted(references=_uri("#p3", "file:///etc/hostname"))),
    ("detached: Body in an attachment", "reference-forbidden", "references-not-exact", _crafted(references=_uri("#p3", "cid:body"))),
    ("whole document as reference", "reference-forbidden", "references-not-exact", _crafted(references=_uri("#p3", ""))),
    ("XPointer as reference", "reference-forbidden", "references-not-exact", _crafted(references=_uri("#p3", "#xpointer(id('p3'))"))),
    ("reference of a Type (Manifest)", "reference-forbidden", None, _crafted(reference_attributes=f' Type="{DS}Manifest"')),
    # transforms
    ("transform: enveloped signature", "transform-forbidden", "transform-not-allowed", _crafted(transforms=_transform(_ENVELOPED, EXCLUSIVE))),
    ("transform: XPath", "transform-forbidden", "transform-not-allowed", _crafted(transforms=_XPATH)),
    ("transform: XPath filter 2.0", "transform-forbidden", "transform-not-allowed", _crafted(transforms=_FILTER)),
    ("transform: XSLT", "transform-forbidden", "transform-not-allowed", _crafted(transforms=_XSLT)),
    ("transform: Base64", "transform-forbidden", "transform-not-allowed", _crafted(transforms=_transform(f"{DS}base64"))),
    ("transform: inclusive canonicalisation", "transform-forbidden", "transform-not-allowed", _crafted(transforms=_transform(_INCLUSIVE))),
    ("transform: with comments", "transform-forbidden", "transform-not-allowed", _crafted(transforms=_transform(f"{EXCLUSIVE}WithComments"))),
    ("transform: twice", "transform-forbidden", "transform-not-allowed", _crafted(transforms=_transform(EXCLUSIVE, EXCLUSIVE))),
    ("transform: none", "transform-forbidden", "transform-not-allowed", _crafted(transforms="")),
    (
        "transform: prefix list",
        "transform-forbidden",
        "transform-not-allowed",
        _crafted(transforms=f'<ds:Transforms><ds:Transform Algorithm="{EXCLUSIVE}">{_PREFIXES}</ds:Transform></ds:Transforms>'),
    ),
    # canonicalisation of SignedInfo, algorithms
    (
        "SignedInfo canonicalised inclusively",
        "canonicalization-forbidden",
        "signature-shape",
        _crafted(canonicalization=f'<ds:CanonicalizationMethod Algorithm="{_INCLUSIVE}"/>'),
    ),
    (
        "SignedInfo canonicalised with comments",
        "canonicalization-forbidden",
        "signature-shape",
        _crafted(canonicalization=f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}WithComments"/>'),
    ),
    (
        "SignedInfo canonicalised with a prefix list",
        "canonicalization-forbidden",
        "signature-shape",
        _crafted(canonicalization=f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}">{_PREFIXES}</ds:CanonicalizationMethod>'),
    ),
    ("algorithm: RSA with SHA-1", "algorithm-forbidden", "signature-wrong", _crafted(method=f"{DS}rsa-sha1")),
    ("algorithm: ECDSA with SHA-1", "algorithm-forbidden", "signature-wrong", _crafted(method="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1")),
    ("algorithm: HMAC keyed with the public key", "algorithm-forbidden", "signature-wrong", _crafted(method=f"{DS}hmac-sha1")),
    ("algorithm: unknown", "algorithm-forbidden", "signature-wrong", _crafted(method="urn:none")),
    (
        "algorithm: RSA named for an elliptic-curve key",
        "algorithm-forbidden",
        "signature-wrong",
        _crafted(method="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"),
    ),
    ("digest: SHA-1", "digest-forbidden", "digest-not-allowed", _crafted(digest_method=f"{DS}sha1")),
    ("digest: MD5", "digest-forbidden", "signature-wrong", _crafted(digest_method="http://www.w3.org/2001/04/xmldsig-more#md5")),
    # shapes
    ("second Security header", "security-twice", "security-header-shape", _changing(_second(SECURITY))),
    ("second signature", "security-malformed", "security-header-shape", _changing(_second(SIGNATURE))),
    ("second Timestamp", "security-malformed", "security-header-shape", _changing(_second(STAMP))),
    ("second token", "security-malformed", "security-header-shape", _changing(_second(TOKEN))),
    ("Object in the signature", "signature-malformed", "signature-shape", _crafted(tail='<ds:Object Id="o"/>')),
    ("token that is no certificate", "security-malformed", "other-signer", _changing(_with(TOKEN, ValueType="urn:x", text="AAAA"))),
    # time
    ("expired Timestamp", "timestamp-expired", "out-of-date", _crafted(created=timedelta(minutes=-10))),
    ("Timestamp in the future", "timestamp-future", "from-the-future", _crafted(created=timedelta(minutes=5))),
    ("Timestamp of a year", "timestamp-too-long", "time-unreadable", _crafted(life=timedelta(days=365))),
    ("Timestamp that ends before it begins", "timestamp-malformed", "time-unreadable", _crafted(life=timedelta(minutes=-1))),
    ("Timestamp without an end", "timestamp-malformed", "time-unreadable", _crafted(stamp=lambda xml: xml.partition("<u:Expires>")[0] + "</u:Timestamp>")),
    ("Timestamp without a zone", "timestamp-malformed", "time-unreadable", _crafted(stamp=lambda xml: xml.replace("Z<", "<"))),
    ("no Timestamp", "security-malformed", "security-header-shape", _crafted(stamp=lambda xml: "")),
    # again
    ("replay", "replayed", "seen-before", _taken),
    ("replay after a restart of who judges", None, "seen-before", lambda way: _taken(way, restart=True)),
    # the reader
    ("DTD with an entity", "message-malformed", "dtd-forbidden", _bytes(lambda data: _after_declaration(data, b'<!DOCTYPE x [<!ENTITY e "v">]>'))),
    ("external entity", "message-malformed", None, _bytes(lambda data: _after_declaration(data, b'<!DOCTYPE x SYSTEM "file:///etc/hostname">'))),
    ("comment that splits a signed text", "message-malformed", "comment-forbidden", _bytes(lambda data: _body_after(data, b"<!-- -->"))),
    ("processing instruction in the Body", "message-malformed", "comment-forbidden", _bytes(lambda data: _body_after(data, b"<?x y?>"))),
    ("comment in a digest value", "message-malformed", "comment-forbidden", _bytes(lambda data: data.replace(b"</ds:DigestValue>", b"<!-- --></ds:DigestValue>", 1))),
    ("cut in the middle", "message-malformed", "not-xml", _bytes(lambda data: data[: len(data) // 2])),
    ("second Body", "message-not-soap", "not-signed", _changing(_second(BODY))),
)  # fmt: skip

ATTACKS: tuple[Attack, ...] = tuple(_attack(number, *row) for number, row in enumerate(_TABLE, 1))


# ---- signature wrapping --------------------------------------------------------------------------------------------------------
#
# A signed part is moved to another place, where a look-up by identifier would still find it, and a forged one takes its place.

_PARTS = {
    "Body": BODY,
    "Timestamp": STAMP,
    "Action": f"{HEADER}/a:Action",
    "MessageID": f"{HEADER}/a:MessageID",
}
_IDENTIFIERS = ("same", "other", "none")


def _wrapper(name: str = "Wrapper") -> etree._Element:
    return etree.Element(f"{{urn:example:wrapping}}{name}")


def _in_object(signature: etree._Element, element: etree._Element) -> None:
    etree.SubElement(signature, f"{{{DS}}}Object").append(element)


def _wrapped_in(parent: etree._Element, element: etree._Element) -> None:
    wrapper = _wrapper()
    wrapper.append(element)
    parent.append(wrapper)


_PLACES: Mapping[str, tuple[Callable[[etree._Element, etree._Element, etree._Element], None], str, str]] = {
    # place: how (root, forged, original), code of the gateway, code of the party; where the identifiers differ
    "behind the Body": (lambda root, forged, moved: _wrapped_in(root, moved), "message-not-soap", "not-signed"),
    "before the header": (lambda root, forged, moved: root.insert(0, moved), "message-not-soap", "not-signed"),
    "in a header of its own": (lambda root, forged, moved: _wrapped_in(one(root, HEADER), moved), "header-unexpected", "header-not-covered"),
    "wrapped in Security": (lambda root, forged, moved: _wrapped_in(one(root, SECURITY), moved), "security-malformed", "security-header-shape"),
    "first in Security": (lambda root, forged, moved: one(root, SECURITY).insert(0, moved), "security-malformed", "security-header-shape"),
    "in an Object of the signature": (lambda root, forged, moved: _in_object(one(root, SIGNATURE), moved), "signature-malformed", "signature-shape"),
    "in KeyInfo": (lambda root, forged, moved: one(root, f"{SIGNATURE}/d:KeyInfo").append(moved), "reference", "reference"),
    "in the token": (lambda root, forged, moved: one(root, TOKEN).append(moved), "security-malformed", "reference"),
    "within the forged part": (lambda root, forged, moved: forged.append(moved), "reference", "reference"),
    "wrapped within the forged part": (lambda root, forged, moved: _wrapped_in(forged, moved), "reference", "reference"),
    "in the Body": (lambda root, forged, moved: _wrapped_in(one(root, f"{BODY}"), moved), "reference", "reference"),
    "in another header": (lambda root, forged, moved: one(root, f"{HEADER}/a:MessageID|{HEADER}/a:Action[not(../a:MessageID)]").append(moved), "reference", "reference"),
}  # fmt: skip


def _forge(element: etree._Element) -> None:
    tag = etree.QName(element).localname
    if tag == "Body":
        for each in element.iter():
            if each.get("deliveryId") is not None:
                each.set("deliveryId", "forged")
    elif tag == "Timestamp":
        element[1].text = "2099-01-01T00:00:00Z"
    else:
        element.text = "urn:forged"


def _wrapping(part: str, place: str, identifier: str) -> Callable[[Direction], bytes]:
    def make(way: Direction) -> bytes:
        root = parse(way.good())
        original = one(root, _PARTS[part])
        forged = duplicate(original)
        _forge(forged)
        if identifier == "other":
            forged.set(ID, "forged")
        elif identifier == "none":
            del forged.attrib[ID]
        parent = original.getparent()
        assert parent is not None
        parent.replace(original, forged)
        original.tail = None
        _PLACES[place][0](root, forged, original)
        return etree.tostring(root, xml_declaration=True, encoding="UTF-8")

    return make


def _wrapping_codes(part: str, place: str, identifier: str) -> dict[str, str]:
    _, us, party = _PLACES[place]
    if us == "message-not-soap":
        return {"to-gateway": us, "to-party": party}
    if identifier == "same":
        return {"to-gateway": "id-duplicate", "to-party": "identifier-twice"}
    exact = {"other": ("reference-unexpected", "references-not-exact"), "none": ("reference-missing", "part-not-covered")}[identifier]
    if place == "first in Security" and part == "Timestamp":
        return {"to-gateway": us, "to-party": party}
    return {
        "to-gateway": exact[0] if us == "reference" else us,
        "to-party": exact[1] if party == "reference" or (identifier == "none" and party == "signature-shape") else party,
    }


def _wrappings() -> Iterator[Attack]:
    number = 0
    for part in _PARTS:
        for place in _PLACES:
            for identifier in _IDENTIFIERS:
                if place == "in another header" and part == "MessageID":
                    continue  # that is the header itself
                number += 1
                yield Attack(
                    id=f"A-XSW-{number:03}",
                    attack=f"signature wrapping: signed {part} {place}, forged one with {identifier} identifier in its place",
                    make=_wrapping(part, place, identifier),
                    codes=_wrapping_codes(part, place, identifier),
                )


WRAPPINGS: tuple[Attack, ...] = tuple(_wrappings())


# ---- encryption ----------------------------------------------------------------------------------------------------------------
#
# Of a message that is signed and then encrypted for the gateway.

XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
ENCRYPTION_NAMES = {"x": XENC, "d": DS, "y": XENC11}


def _at(path: str) -> Callable[[etree._Element], etree._Element]:
    def find(root: etree._Element) -> etree._Element:
        found = root.xpath(path, namespaces=ENCRYPTION_NAMES)
        assert isinstance(found, list)
        assert isinstance(found[0], etree._Element)
        return found[0]

    return find


_CONTENT, _KEY = _at("//x:EncryptedData/x:CipherData/x:CipherValue"), _at("//x:EncryptedKey/x:CipherData/x:CipherValue")
_CONTENT_METHOD, _KEY_METHOD = _at("//x:EncryptedData/x:EncryptionMethod"), _at("//x:EncryptedKey/x:EncryptionMethod")


def _value(find: Callable[[etree._Element], etree._Element], change: Callable[[bytes], bytes]) -> Callable[[etree._Element], None]:
    def apply(root: etree._Element) -> None:
        element = find(root)
        element.text = base64.b64encode(change(base64.b64decode(element.text or ""))).decode()

    return apply


def _attribute(find: Callable[[etree._Element], etree._Element], name: str, value: str) -> Callable[[etree._Element], None]:
    return lambda root: find(root).set(name, value)


def _child(find: Callable[[etree._Element], etree._Element], xml: str) -> Callable[[etree._Element], None]:
    return lambda root: find(root).append(parse(xml.encode()))


def _by_reference(root: etree._Element) -> None:
    cipher = _at("//x:EncryptedData/x:CipherData")(root)
    cipher.clear()
    etree.SubElement(cipher, f"{{{XENC}}}CipherReference", URI="file:///etc/hostname")


def _without_key(root: etree._Element) -> None:
    key = _at("//x:EncryptedKey")(root)
    parent = key.getparent()
    assert parent is not None
    parent.remove(key)


def _twice(root: etree._Element) -> None:
    body = one(root, "/s:Envelope/s:Body")
    body.append(parse(etree.tostring(body[0])))


def _flip(place: int) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        found = bytearray(data)
        found[place] ^= 1
        return bytes(found)

    return flip


# what, code, change of an encrypted message
_ENCRYPTION: tuple[tuple[str, str, Callable[[etree._Element], None]], ...] = (
    ("ciphertext truncated", "decryption-failed", _value(_CONTENT, lambda data: data[:-20])),
    ("ciphertext cut to nothing", "decryption-failed", _value(_CONTENT, lambda data: b"")),
    ("ciphertext altered in its first byte", "decryption-failed", _value(_CONTENT, _flip(12))),
    ("nonce altered", "decryption-failed", _value(_CONTENT, _flip(0))),
    ("authentication tag altered", "decryption-failed", _value(_CONTENT, _flip(-1))),
    ("transported key altered", "decryption-failed", _value(_KEY, _flip(100))),
    ("transported key truncated", "decryption-failed", _value(_KEY, lambda data: data[:-1])),
    ("content encryption: AES-256-CBC", "encryption-forbidden", _attribute(_CONTENT_METHOD, "Algorithm", f"{XENC}aes256-cbc")),
    ("content encryption: AES-128-GCM", "encryption-forbidden", _attribute(_CONTENT_METHOD, "Algorithm", f"{XENC11}aes128-gcm")),
    ("content encryption: Triple DES", "encryption-forbidden", _attribute(_CONTENT_METHOD, "Algorithm", f"{XENC}tripledes-cbc")),
    ("key transport: RSA PKCS #1 v1.5", "encryption-forbidden", _attribute(_KEY_METHOD, "Algorithm", f"{XENC}rsa-1_5")),
    ("key transport: RSA-OAEP with SHA-1", "encryption-forbidden", _attribute(_KEY_METHOD, "Algorithm", f"{XENC}rsa-oaep-mgf1p")),
    ("key transport: SHA-1 as digest", "encryption-forbidden", _attribute(_at("//x:EncryptedKey//d:DigestMethod"), "Algorithm", f"{DS}sha1")),
    ("key transport: MGF1 with SHA-1", "encryption-forbidden", _attribute(_at("//y:MGF"), "Algorithm", f"{XENC11}mgf1sha1")),
    ("key transport: label of the sender's choice", "encryption-forbidden", _child(_KEY_METHOD, f'<x:OAEPparams xmlns:x="{XENC}">AA==</x:OAEPparams>')),
    ("ciphertext by reference to a file", "encryption-malformed", _by_reference),
    ("no transported key", "encryption-malformed", _without_key),
    ("two encrypted parts", "not-encrypted", _twice),
    ("key in the message in clear", "encryption-malformed", _child(_at("//x:EncryptedData/d:KeyInfo"), f'<d:KeyName xmlns:d="{DS}">k</d:KeyName>')),
    ("other type of content", "encryption-malformed", _attribute(_at("//x:EncryptedData"), "Type", "urn:x")),
)  # fmt: skip


def _decrypting(change: Callable[[etree._Element], None]) -> Callable[[Direction], bytes]:
    return lambda way: changed(way.good(), change)


ENCRYPTIONS: tuple[Attack, ...] = tuple(
    Attack(id=f"A-ENC-{number:02}", attack=what, make=_decrypting(change), codes={"encrypted": code})
    for number, (what, code, change) in enumerate(_ENCRYPTION, 1)
)
