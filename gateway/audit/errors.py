"""What verification raises: an :class:`AuditError` names what is wrong by a stable code, and where."""

from __future__ import annotations

from gateway.errors import InputRefused


class AuditError(InputRefused):
    """The record, or a part of it that was given to be verified, is not what it must be."""
