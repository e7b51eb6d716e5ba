"""The applicant's signature on an application: whole, made by the certificate that it names, and that certificate good now (C-1-2-13).

The item ``signature`` holds, in Base64, an XML Signature element over the whole application but that item: one reference (``URI=""``) with
the transforms *enveloped-signature* and exclusive canonicalisation, SHA-256, and RSA or ECDSA with SHA-256; its KeyInfo the applicant's
certificate, and authorities between it and the root. The form is a profile of this project (that of the portal is not public).

As with signed SOAP messages (:mod:`gateway.security.soap.verifier`) nothing is looked up and no transform is carried out: what must stand
at each place does, or the application is refused. The certificate decides nothing by being there: it must lead to the configured authority
of applicants' certificates, be in date and on no revocation list. Personal data in it go nowhere.
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import hmac
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from certs.errors import CertificateError
from certs.path import Purpose, check_strength
from certs.peer import Authority
from gateway.errors import InputRefused
from gateway.security.soap import names as n
from gateway.security.soap.signing import canonical
from message_formats import reading
from message_formats.errors import FormatError

RULE: Final = "C-1-2-13"
ENVELOPED: Final = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_LONGEST: Final = 65_536
_MOST_CERTIFICATES: Final = 5


def require_signed(application: etree._Element, namespace: str, authority: Authority) -> str:
    """The application as it stands was signed by a certificate that counts. About 0.5 ms.

    :returns: the serial number of that certificate, decimal.
    :raises InputRefused: ``signature-missing``, ``signature-malformed``, ``content-altered``, ``signature-invalid``, or ``signer-`` and why
        the certificate does not count (``signer-expired``, ``signer-revoked``, …).
    """
    item = application.find(f"{{{namespace}}}signature")
    if item is None or not (item.text or "").strip():
        raise InputRefused("signature-missing", "the application is not signed", place="/ApplicationData/signature", rule="C-1-2-9")
    info, value, certificates = _parts(_signature(item.text or ""))
    covered = _digest(info)
    unsigned = _without_signature(application, f"{{{namespace}}}signature")
    if not hmac.compare_digest(hashlib.sha256(canonical(unsigned)).digest(), covered):
        raise _refused("content-altered", "the application is not what was signed")
    signer = certificates[0]
    _verify(signer, info, value)
    ders = [each.public_bytes(Encoding.DER) for each in certificates]
    try:
        authority.require(ders[0], Purpose.SIGNING, lambda: ders[1:])
    except CertificateError as error:
        raise _refused(f"signer-{error.code}", "the applicant's certificate does not count") from error
    return str(signer.serial_number)


def _without_signature(application: etree._Element, tag: str) -> etree._Element:
    """As the transform *enveloped-signature* leaves it: what stands behind the item stays."""
    found = copy.deepcopy(application)
    for each in found.findall(tag):
        before = each.getprevious()
        if each.tail and before is not None:
            before.tail = (before.tail or "") + each.tail
        elif each.tail:
            found.text = (found.text or "") + each.tail
        found.remove(each)
    return found


def _verify(signer: x509.Certificate, info: etree._Element, value: bytes) -> None:
    """The signature was made with the key of that certificate: P-256, or RSA of at least 2048 bits, as applicants' cards have."""
    key, method, signed = signer.public_key(), info[1].get("Algorithm"), canonical(info)
    try:
        check_strength(signer)
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1) and method == n.ECDSA_SHA256:
            if len(value) != 64:
                raise InvalidSignature
            der = utils.encode_dss_signature(int.from_bytes(value[:32]), int.from_bytes(value[32:]))
            key.verify(der, signed, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey) and method == n.RSA_SHA256:
            key.verify(value, signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            raise _refused("signature-malformed", "the method of the signature is not that of its certificate")
    except InvalidSignature as error:
        raise _refused("signature-invalid", "the signature was not made by its certificate") from error
    except CertificateError as error:
        raise _refused(f"signer-{error.code}", "the applicant's certificate does not count") from error


def _signature(text: str) -> etree._Element:
    if len(text) > 2 * _LONGEST:
        raise _malformed()
    try:
        return reading.parse(base64.b64decode("".join(text.split()), validate=True), reading.Limits(size_bytes=_LONGEST, elements=64))
    except (binascii.Error, ValueError, FormatError) as error:
        raise _malformed() from error


def _parts(signature: etree._Element) -> tuple[etree._Element, bytes, list[x509.Certificate]]:
    """SignedInfo, the value, and the certificates, the signer's first."""
    children = list(signature)
    names = [f"{{{n.DS}}}SignedInfo", f"{{{n.DS}}}SignatureValue", f"{{{n.DS}}}KeyInfo"]
    if signature.tag != f"{{{n.DS}}}Signature" or [each.tag for each in children] != names:
        raise _malformed()
    data = children[2].findall(f"{{{n.DS}}}X509Data/{{{n.DS}}}X509Certificate")
    if not 1 <= len(data) <= _MOST_CERTIFICATES:
        raise _malformed()
    try:
        certificates = [x509.load_der_x509_certificate(_base64(each.text)) for each in data]
    except ValueError as error:
        raise _malformed() from error
    return children[0], _base64(children[1].text), certificates


def _digest(info: etree._Element) -> bytes:
    """The digest of what was signed, where exactly the allowed form of a signature stands."""
    children = list(info)
    names = [f"{{{n.DS}}}{name}" for name in ("CanonicalizationMethod", "SignatureMethod", "Reference")]
    if [each.tag for each in children] != names or children[0].get("Algorithm") != n.EXCLUSIVE or len(children[0]) or len(children[1]):
        raise _malformed()
    reference = children[2]
    parts = list(reference)
    if list(reference.items()) != [("URI", "")] or [each.tag for each in parts] != [n.TRANSFORMS, n.DIGEST_METHOD, n.DIGEST_VALUE]:
        raise _malformed()
    transforms = [(each.tag, each.get("Algorithm"), len(each)) for each in parts[0]]
    if transforms != [(n.TRANSFORM, ENVELOPED, 0), (n.TRANSFORM, n.EXCLUSIVE, 0)] or parts[1].get("Algorithm") != n.SHA256:
        raise _malformed()
    return _base64(parts[2].text)


def _base64(text: str | None) -> bytes:
    try:
        return base64.b64decode("".join((text or "").split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed() from error


def _malformed() -> InputRefused:
    return _refused("signature-malformed", "the signature is not of the form that is taken here")


def _refused(code: str, detail: str) -> InputRefused:
    return InputRefused(code[:64], detail, place="/ApplicationData/signature", rule=RULE)
