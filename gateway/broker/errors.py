"""What can go wrong with the broker, each with a stable code.

All are :class:`~gateway.errors.BrokerUnavailable` (ours, and passing) except a broker that refuses for good, which is a
:class:`~gateway.errors.ConfigurationError` raised where the broker is set up. ``maybe_taken`` says whether the broker may have taken the
message all the same: the caller then publishes again, and the receiver drops the duplicate.
"""

from __future__ import annotations

from gateway.errors import BrokerUnavailable


class PublishFailed(BrokerUnavailable):
    """The broker did not confirm a message."""

    code_name = "broker-publish-failed"
    maybe_taken = False

    def __init__(self, safe_detail: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(self.code_name, safe_detail, retry_after_s=retry_after_s)


class NotConnected(PublishFailed):
    """There is no connection; nothing was sent."""

    code_name = "broker-not-connected"


class Blocked(PublishFailed):
    """The broker raised an alarm (memory, disk) and reads nothing. ``maybe_taken`` is set if the message had left already."""

    code_name = "broker-blocked"

    def __init__(self, safe_detail: str, *, maybe_taken: bool) -> None:
        super().__init__(safe_detail, retry_after_s=5.0)
        self.maybe_taken = maybe_taken


class Unroutable(PublishFailed):
    """The broker returned the message: no queue is bound for its key."""

    code_name = "broker-unroutable"


class Nacked(PublishFailed):
    """The broker refused the message: the queue is full (``reject-publish``), or the queue could not store it."""

    code_name = "broker-nacked"


class ConfirmTimeout(PublishFailed):
    """No confirm within the time-out."""

    code_name = "broker-confirm-timeout"
    maybe_taken = True


class ConnectionLost(PublishFailed):
    """The connection or channel went down before the confirm."""

    code_name = "broker-connection-lost"
    maybe_taken = True


class WindowFull(PublishFailed):
    """Too many messages wait for their confirm, for longer than the time-out; nothing was sent."""

    code_name = "broker-window-full"


class ConnectFailed(BrokerUnavailable):
    """No connection could be made. Codes: ``broker-unreachable``, ``broker-login-refused``, ``broker-vhost-refused``,
    ``broker-tls-failed``, ``broker-handshake-timeout``."""


class ChannelClosed(BrokerUnavailable):
    """The broker closed the channel, or an answer did not come. ``reply_code`` is AMQP's (403, 404, 405, 406, …; 0 where there is none)."""

    def __init__(self, code: str, safe_detail: str, *, reply_code: int = 0) -> None:
        super().__init__(code, safe_detail)
        self.reply_code = reply_code
