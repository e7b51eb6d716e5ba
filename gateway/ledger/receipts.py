"""The receipt of an accepted message: canonical JSON, stored, and given back byte for byte whenever the same message comes again (R17)."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any, Final

_JWE: Final = re.compile(rb"[A-Za-z0-9_-]{40,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{22}")
"""Compact serialisation (RFC 7516) with a nonce of 96 bits and a tag of 128."""


def utc(seconds: float) -> str:
    """Ledger time as RFC 3339 with microseconds, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def canonical(values: dict[str, Any]) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8."""
    return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def accepted(*, message_id: str, source_id: str, system: str, message_type: str, at: float) -> bytes:
    """Said only after the ledger has committed (I1); made in the committing transaction."""
    return canonical(
        {
            "accepted_at": utc(at),
            "id": source_id,
            "message": message_id,
            "receipt": 1,
            "status": "accepted",
            "system": system,
            "type": message_type,
        }
    )


def body_digest(body: bytes) -> str | None:
    """SHA-256 of an AMQP body, in hexadecimal, by which its sender knows it again where its id may not be repeated.

    Of a JWE only, which is random: of anything else the digest could be tried out, and might be that of a person's number (I5).
    """
    return hashlib.sha256(body).hexdigest() if _JWE.fullmatch(body) else None


def refused(*, source_id: str | None, system: str, code: str, rule: str | None, place: str | None, body_sha256: str | None = None) -> bytes:
    """What a sender over AMQP is told of a refusal: which message, code, rule and place, no value (I10)."""
    told = {"code": code, "id": source_id, "place": place, "receipt": 1, "rule": rule, "status": "refused", "system": system}
    return canonical({**told, "body_sha256": body_sha256})
