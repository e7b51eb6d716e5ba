"""Refusals that several doors say with the same words, and the names that errors of formats have there."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.errors import InputRefused

FORMAT_CODES: Mapping[str, str] = {
    "not-xml": "malformed-xml",
    "encoding": "malformed-xml",
    "check-digit": "invalid-number",
    "unknown-type": "wrong-root",
    "unexpected-type": "wrong-root",
}
"""Codes of ``message_formats`` that have another name at the door, where the rest of the codes keep theirs: a sender sees one list."""


def too_large(limit: int) -> InputRefused:
    """The refusal of what is longer than this gateway takes."""
    return InputRefused("too-large", f"the message is longer than {limit} bytes", place="body", rule="intake.limits.message_bytes")


def ephemeral_by_queue() -> InputRefused:
    """The refusal of a type that must vanish after it was sent: a broker keeps what it carried (C-3-7-1)."""
    return InputRefused("ephemeral-by-queue", "this message type comes by HTTPS or file only", place="attribute type", rule="C-3-7-1")
