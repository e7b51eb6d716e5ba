"""The one error tree of the gateway, split by whose fault it is.

Every error carries a stable ``code`` (documented, safe to match on), whether trying again later can help (``retry``), and
``safe_detail``: a text for operators and senders that holds no personal data (invariant I5). The Python message of the exception is
made from those three alone, so that a traceback in a log is as safe as the log line.
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base of all errors that the gateway raises on purpose."""

    def __init__(self, code: str, safe_detail: str, *, retry: bool = False, place: str | None = None, rule: str | None = None) -> None:
        self.code = code
        self.safe_detail = safe_detail
        self.retry = retry
        self.place = place
        self.rule = rule
        super().__init__(f"{code}: {safe_detail}" + (f" (at {place})" if place else ""))


class InputRefused(GatewayError):
    """The sender's fault: the message is refused at the door and kept for the operator (I10)."""


class PeerRefused(GatewayError):
    """The peer is not who it must be, or may not do what it asks (I6). ``who``: whom of the configuration it was taken for, if anybody."""

    def __init__(self, code: str, safe_detail: str, *, place: str | None = None, rule: str | None = None, who: str = "") -> None:
        super().__init__(code, safe_detail, place=place, rule=rule)
        self.who = who


class ConfigurationError(GatewayError):
    """The operator's fault: the configuration, a key or a certificate; says what to do."""


class CommandRefused(GatewayError):
    """An operator's command does not fit the state it would act on (R13)."""


class PartyError(GatewayError):
    """The outside party's fault or absence."""


class Unavailable(GatewayError):
    """Ours, and passing: broker, ledger or disk cannot serve now. ``retry`` is True."""

    def __init__(self, code: str, safe_detail: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(code, safe_detail, retry=True)
        self.retry_after_s = retry_after_s


class LedgerUnavailable(Unavailable):
    """The ledger could not commit; nothing was accepted, or the outcome of the commit is not known (R20)."""


class BrokerUnavailable(Unavailable):
    """The broker did not take or confirm what was published."""
