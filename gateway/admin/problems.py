"""Errors of the admin API as RFC 9457 problem details, made from code, detail, place and rule alone (I5)."""

from __future__ import annotations

import json
import math

from aiohttp import web

from gateway.admin.service import NotFound
from gateway.errors import CommandRefused, GatewayError, InputRefused, PeerRefused, Unavailable

CONTENT_TYPE = "application/problem+json"

_STATUS: tuple[tuple[type[GatewayError], int], ...] = (
    (NotFound, 404),
    (PeerRefused, 403),
    (CommandRefused, 409),
    (InputRefused, 422),
    (Unavailable, 503),
)

_STATUS_OF_CODE = {
    "same-person": 403,
    "not-the-requester": 403,
    "requester-not-entitled": 403,
    "body-malformed": 400,
    "body-incomplete": 400,
    "query-malformed": 400,
    "body-too-large": 413,
    "content-type": 415,
    "no-such-path": 404,
    "method-not-allowed": 405,
}

_TITLES = {
    400: "The request is not well formed",
    403: "This certificate may not do this",
    404: "There is no such thing",
    405: "Method not allowed",
    409: "The command does not fit the state",
    413: "The request is too large",
    415: "The content type is not accepted",
    422: "The content is not valid",
    500: "Internal error",
    503: "Not available now",
}


def status_of(error: GatewayError) -> int:
    """The HTTP status that says ``error``; more exact classes and codes win."""
    if error.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[error.code]
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem(error: GatewayError) -> web.Response:
    """The answer that says ``error``."""
    status = status_of(error)
    document: dict[str, object] = {
        "type": f"urn:renkei:problem:{error.code}",
        "title": _TITLES[status],
        "status": status,
        "code": error.code,
        "detail": error.safe_detail,
    }
    if error.rule is not None:
        document["rule"] = error.rule
    if error.place is not None:
        document["place"] = error.place
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return web.Response(body=json.dumps(document, ensure_ascii=False).encode(), status=status, content_type=CONTENT_TYPE, headers=headers)
