"""The answer of the city CS to an update: an ``identity-update-result``."""

from __future__ import annotations

from xml.sax.saxutils import escape

from simulators.soap.envelope import Result


def result(delivery_id: str, control_number: str, *, error_code: str | None = None, duplicate: bool = False) -> Result:
    """The ``identity-update-result`` of one record."""
    outcome = "rejected" if error_code else "accepted"
    error = f"<r:error_code>{escape(error_code)}</r:error_code>" if error_code else ""
    content = (
        f"<r:IdentityUpdateResult><r:request_control_number>{escape(control_number)}</r:request_control_number>"
        f"<r:outcome>{outcome}</r:outcome>{error}</r:IdentityUpdateResult>"
    )
    return Result(delivery_id=delivery_id, duplicate=duplicate, content=content)
