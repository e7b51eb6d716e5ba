"""Signed SOAP as the parties see it, on signxml: calls verified, answers signed. Written without a look at the gateway's.

A call must have one Security header with Timestamp, token and one signature over exactly its Body, its Timestamp and all its WS-Addressing
headers, each at its absolute place. signxml checks the signature; where to look and what must be covered is decided here, so that nothing
is ever found by searching. The key is the configured one. What was accepted once is remembered in a file until it would be out of date.

signxml copies the whole message for every reference, which makes 2.5 ms of what takes 0.3. Both classes below only keep it from that.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import datetime as dt
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureConstructionMethod, SignatureMethod
from signxml.exceptions import InvalidDigest, SignXMLException
from signxml.signer import SignatureReference, XMLSigner
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from certs.errors import CertificateError, PathInvalid
from certs.files import read_private
from certs.path import Purpose, load_certificates
from certs.peer import Authority
from simulators.errors import BadSettings

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
WSA = "http://www.w3.org/2005/08/addressing"
DS = "http://www.w3.org/2000/09/xmldsig#"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
EXCLUSIVE = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
LIFE_S, SKEW_S, LONGEST_S = 300, 60, 600

_X509 = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"
_BASE64 = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"
_ID = f"{{{WSU}}}Id"
_KEY_INFO = etree.fromstring(
    f'<ds:KeyInfo xmlns:ds="{DS}" xmlns:wsse="{WSSE}"><wsse:SecurityTokenReference><wsse:Reference URI="#token" ValueType="{_X509}"/>'
    "</wsse:SecurityTokenReference></ds:KeyInfo>"
)
_ANY_ID = etree.XPath("//@*[local-name()='Id' or local-name()='ID' or local-name()='id']", smart_strings=False)
SignerKind = Literal["own", "other"]
FOLLOW_S = 0.5

T = TypeVar("T")


class SignatureRefused(Exception):
    """A call is not proven to be the caller's; ``code`` says why and holds nothing of it."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class _Verifier(XMLVerifier):
    """signxml without the copies: takes the parts from where they must be, never by identifier."""

    def __init__(self, signature: etree._Element, places: Mapping[str, etree._Element]) -> None:
        self._signature = signature
        self._places = places

    def get_root(self, data: Any) -> Any:
        return data

    def _get_signature(self, root: Any) -> Any:
        return self._signature

    def _verify_reference(self, reference: Any, *_: Any) -> VerifyResult:
        uri = reference.get("URI", "")
        transforms = reference.findall(f"{{{DS}}}Transforms/{{{DS}}}Transform")
        if len(transforms) != 1 or len(transforms[0]) or transforms[0].get("Algorithm") != EXCLUSIVE.value:
            raise SignatureRefused("transform-not-allowed")
        if uri[:1] != "#" or uri[1:] not in self._places:
            raise SignatureRefused("reference-elsewhere")
        algorithm = DigestAlgorithm(reference.find(f"{{{DS}}}DigestMethod").get("Algorithm"))
        if algorithm not in self.config.digest_algorithms:
            raise SignatureRefused("digest-not-allowed")
        data = self._c14n(self._places[uri[1:]], algorithm=EXCLUSIVE)
        if base64.b64decode(reference.findtext(f"{{{DS}}}DigestValue") or "") != self._get_digest(data, algorithm):
            raise InvalidDigest("digest")
        return VerifyResult(data, reference, self._signature, b"")


class _Signer(XMLSigner):
    """signxml without the copies: what it signs is ours and in its place."""

    def __init__(self, method: SignatureMethod) -> None:
        super().__init__(SignatureConstructionMethod.detached, method, DigestAlgorithm.SHA256, EXCLUSIVE)
        self.places: Mapping[str, etree._Element] = {}

    def get_root(self, data: Any) -> Any:
        return data

    def _get_c14n_inputs_from_references(self, doc_root: Any, references: Any) -> Any:
        return [self.places[each.URI[1:]] for each in references], references


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    key: Any = field(repr=False)
    token: str
    method: SignatureMethod


def _identity(certificate: Path, key: Path) -> _Identity:
    leaf = load_certificates(certificate)[0]
    private = load_pem_private_key(read_private(key), None)
    if private.public_key() != leaf.public_key():
        raise ValueError("not a pair")
    return _Identity(key=private, token=base64.b64encode(leaf.public_bytes(Encoding.DER)).decode(), method=_method(leaf))


class _Files(Generic[T]):
    """Made of files, and anew once they changed; what cannot be read changes nothing, for it may be half written."""

    def __init__(self, load: Callable[[], T], *files: Path) -> None:
        self._load, self._files = load, files
        self._value, self._stamp, self._looked_at = load(), self._stamps(), time.monotonic()

    def now(self) -> T:
        if time.monotonic() - self._looked_at >= FOLLOW_S:
            self._looked_at = time.monotonic()
            with contextlib.suppress(ValueError, TypeError, OSError, CertificateError):
                stamp = self._stamps()
                if stamp != self._stamp:
                    self._value, self._stamp = self._load(), stamp
        return self._value

    def _stamps(self) -> list[tuple[int, int]]:
        return [(each.st_mtime_ns, each.st_ino) for each in map(os.stat, self._files)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Caller:
    certificate: x509.Certificate
    der: bytes
    config: dict[int, SignatureConfiguration]
    """By number of references."""


def _callers(file: Path) -> dict[str, _Caller]:
    """Every certificate of the file that is no authority's, by its token: while the caller changes there are two."""
    found = {}
    for each in load_certificates(file):
        constraints = [ext.value for ext in each.extensions if isinstance(ext.value, x509.BasicConstraints)]
        if not any(one.ca for one in constraints):
            der = each.public_bytes(Encoding.DER)
            config = {
                count: SignatureConfiguration(
                    expect_references=count,
                    signature_methods=frozenset({_method(each)}),
                    digest_algorithms=frozenset({DigestAlgorithm.SHA256}),
                )
                for count in range(1, 10)
            }
            found[base64.b64encode(der).decode()] = _Caller(certificate=each, der=der, config=config)
    if not found:
        raise ValueError("no certificate of a caller")
    return found


def _method(certificate: x509.Certificate) -> SignatureMethod:
    return SignatureMethod.ECDSA_SHA256 if isinstance(certificate.public_key(), ec.EllipticCurvePublicKey) else SignatureMethod.RSA_SHA256


class Seen:
    """Message ids that were accepted, in a file: one line each, read at the start, so that a restart forgets nothing."""

    def __init__(self, path: Path) -> None:
        self._known: dict[str, float] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):  # torn by the death of the machine
                    entry = json.loads(line)
                    self._known[entry["id"]] = entry["until"]
        self._forget()
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_text("".join(_line(*entry) for entry in self._known.items()), encoding="utf-8")
        fresh.rename(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def first(self, message_id: str, until: float) -> bool:
        """Whether it was not there before; it is from now on."""
        if self._known.get(message_id, 0.0) > time.time():
            return False
        if len(self._known) >= self._full:
            self._forget()
        self._known[message_id] = until
        os.write(self._file, _line(message_id, until).encode())
        return True

    def _forget(self) -> None:
        now = time.time()
        self._known = {message_id: until for message_id, until in self._known.items() if until > now}
        self._full = 2 * len(self._known) + 10_000

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _line(message_id: str, until: float) -> str:
    return json.dumps({"id": message_id, "until": until}) + "\n"


class Signatures:
    """Signatures of one party and of its one caller. Belongs to the event loop."""

    def __init__(
        self, *, certificate: Path, key: Path, caller: Path, authority: Authority, seen: Path, other: tuple[Path, Path] | None = None
    ) -> None:
        """``caller``: the caller's signing certificates, one but while it changes. Files are followed. ``other``: certificate
        and key of somebody else, to sign wrongly on demand.

        :raises BadSettings: a file cannot be used.
        """
        try:
            self._own = _Files(lambda: _identity(certificate, key), certificate, key)
            self._other = _identity(*other) if other is not None else None
            self._callers = _Files(lambda: _callers(caller), caller)
        except (ValueError, TypeError) as error:
            raise BadSettings("signing-key-unusable", f"{key.name} or {caller.name} cannot be used") from error
        self._authority = authority
        self._seen = Seen(seen)

    # ---- calls -----------------------------------------------------------------------------------------------------------------

    def verify(self, envelope: etree._Element) -> None:
        """The call is the caller's, whole, fresh and here for the first time.

        :raises SignatureRefused: it is not.
        """
        header, security, places = self._laid_out(envelope)
        parts = {each.tag: each for each in security}
        known = {f"{{{WSU}}}Timestamp", f"{{{WSSE}}}BinarySecurityToken", f"{{{DS}}}Signature"}
        signature = parts.get(f"{{{DS}}}Signature")
        if signature is None:
            raise SignatureRefused("not-signed")
        if set(parts) != known or len(parts) != len(security):
            raise SignatureRefused("security-header-shape")
        stamp = parts[f"{{{WSU}}}Timestamp"]
        places[stamp.get(_ID, "")] = stamp
        if "" in places or len(places) != len(header) + 1:
            raise SignatureRefused("part-not-covered")
        caller = self._callers.now().get("".join((parts[f"{{{WSSE}}}BinarySecurityToken"].text or "").split()))
        if caller is None:
            raise SignatureRefused("other-signer")
        self._check_certificate(caller)
        self._check_signature(caller, signature, places)
        until = _fresh(stamp, dt.datetime.now(dt.UTC))
        if not self._seen.first((header.findtext(f"{{{WSA}}}MessageID") or "").strip(), until):
            raise SignatureRefused("seen-before")

    def _laid_out(self, envelope: etree._Element) -> tuple[etree._Element, etree._Element, dict[str, etree._Element]]:
        if [each.tag for each in envelope] != [f"{{{SOAP}}}Header", f"{{{SOAP}}}Body"]:
            raise SignatureRefused("not-signed")
        found = _ANY_ID(envelope)
        if isinstance(found, list) and len(set(found)) != len(found):
            raise SignatureRefused("identifier-twice")
        header, body = envelope
        security = header.findall(f"{{{WSSE}}}Security")
        if len(security) != 1:
            raise SignatureRefused("security-header-shape" if security else "not-signed")
        places = {body.get(_ID, ""): body}
        for each in header:
            if each is not security[0]:
                if not str(each.tag).startswith(f"{{{WSA}}}"):
                    raise SignatureRefused("header-not-covered")
                places[each.get(_ID, "")] = each
        return header, security[0], places

    def _check_signature(self, caller: _Caller, signature: etree._Element, places: Mapping[str, etree._Element]) -> None:
        info = signature[0] if len(signature) else None
        if info is None or [each.tag for each in signature] != [f"{{{DS}}}{name}" for name in ("SignedInfo", "SignatureValue", "KeyInfo")]:
            raise SignatureRefused("signature-shape")
        references = info.findall(f"{{{DS}}}Reference")
        if info[0].get("Algorithm") != EXCLUSIVE.value or len(info[0]) or len(info) != len(references) + 2:
            raise SignatureRefused("signature-shape")
        if {each.get("URI", "")[1:] for each in references} != set(places) or len(references) != len(places):
            raise SignatureRefused("references-not-exact")
        try:
            _Verifier(signature, places).verify(
                signature, x509_cert=caller.certificate, validate_schema=False, expect_config=caller.config[len(places)]
            )
        except InvalidDigest as error:
            raise SignatureRefused("part-altered") from error
        except SignXMLException as error:
            raise SignatureRefused("signature-wrong") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SignatureRefused("signature-shape") from error

    def _check_certificate(self, caller: _Caller) -> None:
        try:
            self._authority.require(caller.der, Purpose.SIGNING)
        except PathInvalid as error:
            raise SignatureRefused("signer-certificate") from error

    # ---- answers ---------------------------------------------------------------------------------------------------------------

    def sign(self, envelope: etree._Element, *, by: SignerKind = "own", at: dt.datetime | None = None, life_s: float = LIFE_S) -> bytes:
        """The answer, signed; changes ``envelope``. ``at``: as if it were then; ``life_s``: from ``Created`` to ``Expires``."""
        identity = self._own.now() if by == "own" or self._other is None else self._other
        header, body = envelope
        places = {f"part-{number}": each for number, each in enumerate((*header, body))}
        created = at or dt.datetime.now(dt.UTC)
        security = etree.fromstring(
            f'<wsse:Security xmlns:wsse="{WSSE}" xmlns:wsu="{WSU}" xmlns:soap="{SOAP}" soap:mustUnderstand="1">'
            f'<wsu:Timestamp wsu:Id="time">'
            f"<wsu:Created>{_text(created)}</wsu:Created><wsu:Expires>{_text(created + dt.timedelta(seconds=life_s))}</wsu:Expires>"
            f'</wsu:Timestamp><wsse:BinarySecurityToken wsu:Id="token" ValueType="{_X509}" EncodingType="{_BASE64}">{identity.token}'
            "</wsse:BinarySecurityToken></wsse:Security>"
        )
        for name, each in places.items():
            each.set(_ID, name)
        header.append(security)
        places["time"] = security[0]
        signer = _Signer(identity.method)
        signer.places = places
        references = [SignatureReference(URI=f"#{name}") for name in places]
        signature = signer.sign(envelope, key=identity.key, reference_uri=references, key_info=copy.deepcopy(_KEY_INFO))
        security.append(signature)
        return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")

    def close(self) -> None:
        """Close the file of what was seen."""
        self._seen.close()


def _text(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _fresh(stamp: etree._Element, now: dt.datetime) -> float:
    try:
        created, expires = (
            dt.datetime.fromisoformat((stamp.findtext(f"{{{WSU}}}{name}") or "").strip()) for name in ("Created", "Expires")
        )
        life = (expires - created).total_seconds()
        early, late = (created - now).total_seconds(), (now - expires).total_seconds()
    except (ValueError, TypeError) as error:
        raise SignatureRefused("time-unreadable") from error
    if len(stamp) != 2 or not 0 < life <= LONGEST_S:
        raise SignatureRefused("time-unreadable")
    if early > SKEW_S:
        raise SignatureRefused("from-the-future")
    if late >= SKEW_S:
        raise SignatureRefused("out-of-date")
    return expires.timestamp() + SKEW_S
