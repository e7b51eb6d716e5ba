"""Tools of an attacker, and of a party that signs wrongly: messages of both directions, signed by hand with whatever is wanted.

A third implementation, of strings, that serves the tests only. All data is fictitious.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import itertools
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID
from lxml import etree

from certs.authority import Profile, TestAuthority
from certs.path import load_certificates
from certs.peer import Authority
from gateway.security.soap.encryption import DecryptionKey, Recipient
from gateway.security.soap.errors import MessageRefused
from gateway.security.soap.keys import PartyCertificates
from gateway.security.soap.replay import RecentAnswers, require_first
from gateway.security.soap.verifier import verify
from message_formats import samples, writing
from simulators.signatures import Signatures
from simulators.soap import envelope as party_side

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
WSA = "http://www.w3.org/2005/08/addressing"
DS = "http://www.w3.org/2000/09/xmldsig#"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
PROFILE = "urn:renkei:profile:juki-cs:1"
RESULT = "urn:renkei:format:identity-update-result:1"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
ECDSA = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
RSA = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
X509 = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"
ID = f"{{{WSU}}}Id"
NAMES = {"s": SOAP, "a": WSA, "d": DS, "o": WSSE, "u": WSU, "j": PROFILE}

_serials = itertools.count(1)


@dataclass(frozen=True)
class Signer:
    """Somebody who signs: a key, and the certificate that is shown with it."""

    key: Any = field(repr=False)
    certificate: x509.Certificate

    @property
    def token(self) -> str:
        return base64.b64encode(self.certificate.public_bytes(Encoding.DER)).decode()

    @property
    def method(self) -> str:
        return ECDSA if isinstance(self.key, ec.EllipticCurvePrivateKey) else RSA

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        r, s = utils.decode_dss_signature(self.key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)


def signer_of(authority: TestAuthority, name: str) -> Signer:
    files = authority.files(name)
    return Signer(key=load_pem_private_key(files.key.read_bytes(), None), certificate=load_certificates(files.certificate)[0])


def self_signed(name: str) -> Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    return Signer(key=key, certificate=builder.sign(key, hashes.SHA256()))


def canonical(element: etree._Element) -> bytes:
    return etree.tostring(element, method="c14n", exclusive=True)


def digest(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def parse(data: bytes) -> etree._Element:
    return etree.fromstring(data)


def one(root: etree._Element, path: str) -> etree._Element:
    found = root.xpath(path, namespaces=NAMES)
    assert isinstance(found, list)
    [element] = found
    assert isinstance(element, etree._Element)
    return element


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, kw_only=True)
class Craft:
    """How a message is to be signed; what is left alone is as the profile wants it."""

    created: timedelta = timedelta()
    life: timedelta = timedelta(minutes=5)
    stamp: Callable[[str], str] = lambda xml: xml
    """Changes the Timestamp before it is signed."""
    canonicalization: str = f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}"/>'
    method: str | None = None
    transforms: str = f'<ds:Transforms><ds:Transform Algorithm="{EXCLUSIVE}"/></ds:Transforms>'
    digest_method: str = SHA256
    references: Callable[[list[tuple[str, str]]], list[tuple[str, str]]] = lambda found: found
    """Changes the list of (URI, digest value)."""
    reference_attributes: str = ""
    token: str | None = None
    """Base64 of the certificate to show; empty: none."""
    key_info: str = (
        f'<ds:KeyInfo><wsse:SecurityTokenReference xmlns:wsse="{WSSE}"><wsse:Reference URI="#token" ValueType="{X509}"/>'
        "</wsse:SecurityTokenReference></ds:KeyInfo>"
    )
    tail: str = ""
    """Behind KeyInfo, within the signature."""
    value: Callable[[bytes], bytes] = lambda value: value


def signed(plain: bytes, signer: Signer, craft: Craft | None = None) -> bytes:
    """``plain`` with a Security header as ``craft`` says."""
    craft = craft or Craft()
    root = parse(plain)
    header, body = root[0], root[1]
    parts = {f"p{number}": each for number, each in enumerate((*header, body))}
    for name, each in parts.items():
        each.set(ID, name)
    created = datetime.now(UTC) + craft.created
    stamp = craft.stamp(
        f'<u:Timestamp xmlns:u="{WSU}" u:Id="time"><u:Created>{text(created)}</u:Created>'
        f"<u:Expires>{text(created + craft.life)}</u:Expires></u:Timestamp>"
    )
    security = etree.SubElement(header, f"{{{WSSE}}}Security", nsmap={"wsse": WSSE})
    if stamp:
        security.append(parse(stamp.encode()))
        parts["time"] = security[0]
    token = signer.token if craft.token is None else craft.token
    if token:
        shown = f'<o:BinarySecurityToken xmlns:o="{WSSE}" xmlns:u="{WSU}" u:Id="token" ValueType="{X509}">{token}</o:BinarySecurityToken>'
        security.append(parse(shown.encode()))
    references = craft.references([(f"#{name}", digest(canonical(each))) for name, each in parts.items()])
    listed = "".join(
        f'<ds:Reference URI="{uri}"{craft.reference_attributes}>{craft.transforms}<ds:DigestMethod Algorithm="{craft.digest_method}"/>'
        f"<ds:DigestValue>{value}</ds:DigestValue></ds:Reference>"
        for uri, value in references
    )
    signature = (
        f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo>{craft.canonicalization}'
        f'<ds:SignatureMethod Algorithm="{craft.method or signer.method}"/>'
        f"{listed}</ds:SignedInfo><ds:SignatureValue/>{craft.key_info}{craft.tail}</ds:Signature>"
    )
    security.append(parse(signature.encode()))
    info, value = security[-1][0], security[-1][1]
    value.text = base64.b64encode(craft.value(signer.sign(canonical(info)))).decode()
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


@dataclass(kw_only=True)
class Direction:
    """One way of messages: who signs, what they look like, and who judges."""

    name: str
    right: Signer
    others: Mapping[str, Signer]
    plain: Callable[[], bytes]
    judge: Callable[[bytes], str | None]
    """The code of the refusal; ``None``: taken."""
    restart: Callable[[], None]
    """Of the side that judges."""

    def good(self, craft: Craft | None = None) -> bytes:
        return signed(self.plain(), self.right, craft)

    def by(self, other: str, craft: Craft | None = None) -> bytes:
        return signed(self.plain(), self.others[other], craft)


def request() -> bytes:
    """A call of the gateway."""
    serial = next(_serials)
    xml = writing.write("identity-information-update", samples.identity_items(serial)).to_bytes()
    element = etree.tostring(parse(xml)).decode()
    return (
        f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"><soap:Header><wsa:Action>{PROFILE}:UpdateIdentityInformation</wsa:Action>'
        f"<wsa:MessageID>urn:uuid:{uuid.uuid4()}</wsa:MessageID><wsa:To>https://city-cs.invalid/juki-cs/identity</wsa:To></soap:Header>"
        f'<soap:Body><j:UpdateIdentityInformationRequest xmlns:j="{PROFILE}"><j:Record deliveryId="d{serial}">{element}</j:Record>'
        "</j:UpdateIdentityInformationRequest></soap:Body></soap:Envelope>"
    ).encode()


def answer(relates_to: str = "urn:uuid:call", serial: int = 1) -> bytes:
    """An answer of the city CS."""
    return (
        f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"><soap:Header><wsa:Action>{PROFILE}:UpdateIdentityInformationResponse'
        f"</wsa:Action><wsa:MessageID>urn:uuid:{uuid.uuid4()}</wsa:MessageID><wsa:RelatesTo>{relates_to}</wsa:RelatesTo></soap:Header>"
        f'<soap:Body><j:UpdateIdentityInformationResponse xmlns:j="{PROFILE}" xmlns:r="{RESULT}"><j:Result deliveryId="delivery-{serial}"'
        f' duplicate="false"><r:IdentityUpdateResult><r:request_control_number>SAMPLE{serial:010d}</r:request_control_number>'
        "<r:outcome>accepted</r:outcome></r:IdentityUpdateResult></j:Result></j:UpdateIdentityInformationResponse></soap:Body></soap:Envelope>"
    ).encode()


def to_gateway(authority: TestAuthority, others: Mapping[str, Signer]) -> Direction:
    """Answers of the party, judged by the gateway's verifier."""
    signer = PartyCertificates(authority.files("city-cs-signing").certificate, Authority(authority.ca, authority.crl))
    replays = RecentAnswers()

    def judge(data: bytes) -> str | None:
        try:
            drive(require_first(replays, "city-cs", verify(data, signer)))
        except MessageRefused as refused:
            return refused.code
        return None

    return Direction(
        name="to-gateway", right=signer_of(authority, "city-cs-signing"), others=others, plain=answer, judge=judge, restart=lambda: None
    )


def to_party(authority: TestAuthority, others: Mapping[str, Signer], folder: Path) -> Direction:
    """Calls of the gateway, judged by the simulated party."""
    own, caller = authority.files("city-cs-signing"), authority.files("gateway-signing")
    envelopes = party_side.envelopes("juki_cs")
    action = envelopes.profile.action("UpdateIdentityInformation")

    def start() -> Signatures:
        return Signatures(
            certificate=own.certificate,
            key=own.key,
            caller=caller.certificate,
            authority=Authority(authority.ca, authority.crl),
            seen=folder / "seen",
        )

    running = [start()]

    def judge(data: bytes) -> str | None:
        try:
            envelopes.read(data, action, running[0].verify)
        except party_side.CallRefused as refused:
            return refused.code
        return None

    def restart() -> None:
        running[0].close()
        running[0] = start()

    return Direction(
        name="to-party", right=signer_of(authority, "gateway-signing"), others=others, plain=request, judge=judge, restart=restart
    )


def drive(coroutine: Any) -> Any:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def other_signers(authority: TestAuthority) -> dict[str, Signer]:
    """Everybody who is not the right signer."""
    authority.issue("somebody-else-signing", Profile.SIGNING)
    return {
        "same-authority": signer_of(authority, "somebody-else-signing"),
        "tls-certificate": signer_of(authority, "city-cs"),
        "self-signed": self_signed("city-cs-signing"),
        "gateway": signer_of(authority, "gateway-signing"),
        "party": signer_of(authority, "city-cs-signing"),
    }


def changed(data: bytes, change: Callable[[etree._Element], None]) -> bytes:
    """The message after ``change``."""
    root = parse(data)
    change(root)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def duplicate(element: etree._Element) -> etree._Element:
    """A copy without what follows it."""
    copied = copy.deepcopy(element)
    copied.tail = None
    return copied


@dataclass
class Leg:
    """A leg whose profile asks for encryption: we receive."""

    authority: TestAuthority
    recipient: Recipient
    key: DecryptionKey

    def encrypted(self) -> bytes:
        return self.recipient.encrypt(parse(signed(answer(), signer_of(self.authority, "city-cs-signing"))))

    def code(self, data: bytes) -> str | None:
        try:
            self.key.decrypt(parse(data))
        except MessageRefused as refused:
            return refused.code
        return None


def encrypted_leg(authority: TestAuthority) -> Leg:
    """Certificates for it are made."""
    files = authority.issue("gateway-encryption", Profile.ENCRYPTION)
    recipient = Recipient(files.certificate, Authority(authority.ca, authority.crl))
    return Leg(authority=authority, recipient=recipient, key=DecryptionKey(files.key))


def encrypted(leg: Leg, others: Mapping[str, Signer]) -> Direction:
    """What is encrypted for the gateway, judged by whether it opens."""
    right = signer_of(leg.authority, "city-cs-signing")

    def plain() -> bytes:
        return leg.recipient.encrypt(parse(signed(answer(), right)))

    return EncryptedDirection(name="encrypted", right=right, others=others, plain=plain, judge=leg.code, restart=lambda: None)


class EncryptedDirection(Direction):
    """Signed and encrypted already."""

    def good(self, craft: Craft | None = None) -> bytes:
        return self.plain()
