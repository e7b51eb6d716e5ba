"""Signed and encrypted SOAP messages: WS-Security with X.509 tokens, and XML Encryption.

Adapters and endpoints see :class:`~gateway.security.soap.messages.MessageSecurity` (what one party's messages need) and
:class:`~gateway.security.soap.errors.MessageRefused`. Nothing here asks zeep whether to trust a message, and nothing trusts a key that came
with one. The simulators implement the same profile independently, with another library.

The profile, in both directions: SOAP 1.1 with WS-Addressing 1.0; one ``wsse:Security`` header with a Timestamp, the signer's certificate as
BinarySecurityToken and one signature over exactly the Body, the Timestamp and every WS-Addressing header; exclusive canonicalisation
without prefix list as the only transform; SHA-256; ECDSA on P-256 or RSA of 3072 bits or more.
"""
