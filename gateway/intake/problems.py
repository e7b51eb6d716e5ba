"""Refusals as the HTTPS door says them: RFC 9457 problem details, made from an error's code, rule and place alone (I5, I10)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from gateway.errors import GatewayError, InputRefused, PartyError, PeerRefused, Unavailable
from gateway.intake.pressure import TooMuch

CONTENT_TYPE = "application/problem+json"

STATUS: Mapping[str, int] = {
    "missing-attribute": 400,
    "invalid-attribute": 400,
    "unknown-attribute": 400,
    "duplicate-attribute": 400,
    "personal-data-in-attribute": 400,
    "malformed-xml": 400,
    "malformed-json": 400,
    "missing-data": 400,
    "batch-size": 400,
    "body-incomplete": 400,
    "query-malformed": 400,
    "door-closed": 403,
    "not-permitted": 403,
    "source-mismatch": 403,
    "no-connection": 403,
    "work-missing": 403,
    "work-wrong": 403,
    "work-inactive": 403,
    "not-approved": 403,
    "outside-period": 403,
    "basis-wrong": 403,
    "basis-not-in-force": 403,
    "deceased": 403,
    "protected": 403,
    "item-not-permitted": 403,
    "unknown-sender": 403,
    "unknown-message": 404,
    "unknown-path": 404,
    "method-not-allowed": 405,
    "body-timeout": 408,
    "same-id-other-content": 409,
    "dialogue-open": 409,
    "too-large": 413,
    "wrong-content-type": 415,
    "content-encoding": 415,
    "no-answer-in-time": 504,
    "party-unanswered": 504,
}
"""HTTP status by code. Other refusals of a message are 422 (understood, and not valid), refusals by the ledger 409, of a
party 502."""

TITLES: Mapping[int, str] = {
    400: "The request is not well formed",
    403: "The sender may not do this",
    404: "Not found",
    405: "Method not allowed",
    408: "The body did not arrive in time",
    409: "In conflict with what was accepted before",
    413: "The message is too large",
    415: "The content type is not accepted",
    422: "The message is not valid",
    429: "Too many messages wait for delivery",
    500: "Internal error",
    502: "The party does not answer this question",
    503: "Not available now; nothing was accepted",
    504: "There was no answer in time",
}


def status_of(error: GatewayError, default: int = 422) -> int:
    """The HTTP status that says ``error``."""
    if isinstance(error, TooMuch):
        return 429
    if isinstance(error, Unavailable):
        return STATUS.get(error.code, 503)
    if isinstance(error, PartyError):
        return STATUS.get(error.code, 502)
    if isinstance(error, PeerRefused):
        return 403
    if isinstance(error, InputRefused):
        return STATUS.get(error.code, default)
    return 500


def body_of(error: GatewayError, status: int) -> bytes:
    """The problem document of ``error``."""
    document: dict[str, object] = {
        "type": f"urn:renkei:problem:{error.code}",
        "title": TITLES[status],
        "status": status,
        "detail": error.safe_detail,
        "code": error.code,
    }
    if error.rule is not None:
        document["rule"] = error.rule
    if error.place is not None:
        document["place"] = error.place
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def headers_of(error: GatewayError) -> dict[str, str]:
    """Headers of the problem answer; ``Retry-After`` in whole seconds, at least one (RFC 9110 section 10.2.3)."""
    headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
    if isinstance(error, Unavailable) and status_of(error) != 504:  # whether to ask again is for the person who waits
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return headers
