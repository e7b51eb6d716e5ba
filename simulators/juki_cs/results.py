"""The answer of the city CS to an update: an ``identity-update-result``."""

from __future__ import annotations

from xml.sax.saxutils import escape

from message_formats import catalogue
from simulators.soap.envelope import Result

_RESULT = catalogue.get("identity-update-result").schema


def result(delivery_id: str, control_number: str, *, error_code: str | None = None, duplicate: bool = False) -> Result:
    """The ``identity-update-result`` of one record."""
    outcome = "rejected" if error_code else "accepted"
    error = f"<error_code>{escape(error_code)}</error_code>" if error_code else ""
    content = (
        f'<IdentityUpdateResult xmlns="{_RESULT}"><request_control_number>{escape(control_number)}</request_control_number>'
        f"<outcome>{outcome}</outcome>{error}</IdentityUpdateResult>"
    )
    return Result(delivery_id=delivery_id, duplicate=duplicate, content=content)
