"""The receipt of an accepted message: canonical JSON, stored, and given back byte for byte whenever the same message comes again (R17)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any


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


def refused(*, source_id: str | None, system: str, code: str, rule: str | None, place: str | None) -> bytes:
    """What a sender over AMQP is told of a refusal: code, rule and place, no value (I10)."""
    return canonical({"code": code, "id": source_id, "place": place, "receipt": 1, "rule": rule, "status": "refused", "system": system})
