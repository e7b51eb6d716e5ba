"""Names of the standards that a signed message is made of."""

from __future__ import annotations

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
WSA = "http://www.w3.org/2005/08/addressing"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
DS = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"

X509_TOKEN = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"  # noqa: S105  # a name, no secret
BASE64 = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"

EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
SHA256 = f"{XENC}sha256"
ECDSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"

ENVELOPE, HEADER, BODY = (f"{{{SOAP}}}{name}" for name in ("Envelope", "Header", "Body"))
MUST_UNDERSTAND = f"{{{SOAP}}}mustUnderstand"
SECURITY, TOKEN = f"{{{WSSE}}}Security", f"{{{WSSE}}}BinarySecurityToken"
TIMESTAMP, CREATED, EXPIRES = (f"{{{WSU}}}{name}" for name in ("Timestamp", "Created", "Expires"))
ID = f"{{{WSU}}}Id"
SIGNATURE, SIGNED_INFO, SIGNATURE_VALUE, KEY_INFO = (f"{{{DS}}}{name}" for name in ("Signature", "SignedInfo", "SignatureValue", "KeyInfo"))
CANONICALIZATION_METHOD, SIGNATURE_METHOD = f"{{{DS}}}CanonicalizationMethod", f"{{{DS}}}SignatureMethod"
REFERENCE, TRANSFORMS, TRANSFORM = (f"{{{DS}}}{name}" for name in ("Reference", "Transforms", "Transform"))
DIGEST_METHOD, DIGEST_VALUE = f"{{{DS}}}DigestMethod", f"{{{DS}}}DigestValue"
ACTION, MESSAGE_ID, TO, REPLY_TO, RELATES_TO, FAULT_TO, FROM = (
    f"{{{WSA}}}{name}" for name in ("Action", "MessageID", "To", "ReplyTo", "RelatesTo", "FaultTo", "From")
)
