"""What the citizen's card does at the portal: sign an application with its certificate (XML Signature, enveloped, by python-xmlsec)."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import xmlsec as untyped
from cryptography import x509
from lxml import etree

xmlsec: Any = untyped  # its stubs lack the constants
NAMESPACE = "urn:renkei:format:application-data:1"


def serial_of(certificate: Path) -> str:
    """The serial number of a certificate, decimal."""
    return str(x509.load_pem_x509_certificates(certificate.read_bytes())[0].serial_number)


def sign(xml: str, certificate: Path, key: Path) -> str:
    """The application with the item ``signature`` filled."""
    root = etree.fromstring(xml)
    item = root.find(f"{{{NAMESPACE}}}signature")
    if item is not None:
        root.remove(item)
    template = xmlsec.template.create(root, xmlsec.Transform.EXCL_C14N, _method(certificate))
    root.append(template)
    reference = xmlsec.template.add_reference(template, xmlsec.Transform.SHA256, uri="")
    xmlsec.template.add_transform(reference, xmlsec.Transform.ENVELOPED)
    xmlsec.template.add_transform(reference, xmlsec.Transform.EXCL_C14N)
    xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(template))
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_file(str(key), xmlsec.KeyFormat.PEM)
    context.key.load_cert_from_file(str(certificate), xmlsec.KeyFormat.PEM)
    context.sign(template)
    root.remove(template)
    signed = etree.SubElement(root, f"{{{NAMESPACE}}}signature")
    signed.text = base64.b64encode(etree.tostring(template)).decode()
    return etree.tostring(root, encoding="unicode")


def _method(certificate: Path) -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = x509.load_pem_x509_certificates(certificate.read_bytes())[0].public_key()
    return xmlsec.Transform.RSA_SHA256 if isinstance(key, rsa.RSAPublicKey) else xmlsec.Transform.ECDSA_SHA256
