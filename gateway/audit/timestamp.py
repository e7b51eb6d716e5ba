"""RFC 3161 time stamps over checkpoints: a third party says that a checkpoint existed at a time (optional; ``audit.timestamp``).

Over plain HTTP, as the protocol has it: the answer is signed and holds our digest and our nonce. What is stamped is the SHA-256 of the
checkpoint's signature. A failing authority stops nothing: checkpoints without a stamp are stamped later, newest first.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import aiohttp
from cryptography import x509
from rfc3161_client import (
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)
from rfc3161_client.base import HashAlgorithm

from gateway.audit.errors import AuditError
from gateway.errors import ConfigurationError, Unavailable

MAX_ANSWER: Final = 100_000


class TimeStamper:
    """One time-stamping authority. Belongs to the event loop."""

    def __init__(self, url: str, ca: Path, timeout_s: float) -> None:
        """``ca``: PEM with the authority's root, and intermediates if its answers lack them.

        :raises ConfigurationError: the file cannot be used.
        """
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self.roots = load_roots(ca)

    async def stamp(self, signature: bytes) -> bytes:
        """The authority's answer over ``signature``, verified, DER.

        :raises Unavailable: ``audit-timestamp``: it does not answer, or not with a valid stamp.
        """
        request = TimestampRequestBuilder(data=signature, hash_algorithm=HashAlgorithm.SHA256, nonce=True, cert_req=True).build()
        headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
        try:
            async with (
                aiohttp.ClientSession(timeout=self._timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.post(self._url, data=request.as_bytes(), headers=headers, allow_redirects=False) as response,
            ):
                answer = await response.content.read(MAX_ANSWER)
                while len(answer) < MAX_ANSWER and (more := await response.content.read(MAX_ANSWER - len(answer))):
                    answer += more
                if response.status != 200:
                    raise Unavailable("audit-timestamp", f"the time-stamping authority answered {response.status}")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unavailable("audit-timestamp", "the time-stamping authority does not answer") from error
        try:
            stamped = decode_timestamp_response(answer)
        except ValueError as error:
            raise Unavailable("audit-timestamp", "the time-stamping authority's answer cannot be read") from error
        if stamped.tst_info.nonce != request.nonce:
            raise Unavailable("audit-timestamp", "the time-stamping authority answered another request")
        try:
            _verify(stamped, signature, self.roots)
        except AuditError as error:
            raise Unavailable(error.code, error.safe_detail) from error
        return answer


def verify(token: bytes, signature: bytes, roots: list[x509.Certificate]) -> str:
    """When the authority saw ``signature`` (UTC, ISO 8601).

    :raises AuditError: ``audit-timestamp``: it did not.
    """
    try:
        stamped = decode_timestamp_response(token)
    except ValueError as error:
        raise AuditError("audit-timestamp", "a time stamp cannot be read") from error
    _verify(stamped, signature, roots)
    return stamped.tst_info.gen_time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _verify(stamped: TimeStampResponse, signature: bytes, roots: list[x509.Certificate]) -> None:
    builder = VerifierBuilder()
    for root in roots:
        builder = builder.add_root_certificate(root)
    try:
        builder.build().verify(stamped, hashlib.sha256(signature).digest())
    except (VerificationError, ValueError) as error:
        raise AuditError("audit-timestamp", "a time stamp is not valid for its checkpoint under the given authority") from error


def load_roots(ca: Path) -> list[x509.Certificate]:
    """:raises ConfigurationError: ``audit-timestamp-ca``."""
    try:
        return x509.load_pem_x509_certificates(ca.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError("audit-timestamp-ca", f"{ca.name} holds no certificates of a time-stamping authority") from error
