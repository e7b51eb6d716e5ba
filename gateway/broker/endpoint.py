"""Where the broker is and how one logs in."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any

import pika
from pika.credentials import ExternalCredentials, PlainCredentials

from gateway.errors import ConfigurationError

HEARTBEAT_S = 10
"""RabbitMQ's documentation: 5 to 20 s is the sweet spot; below 5 s gives false positives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerEndpoint:
    """One broker (a node, or the nodes of a cluster). Everything is given here; nothing is read from the environment, so that no
    variable can turn the gateway towards another broker or another trust.

    :param hosts: (host, port) of each node; tried in turn.
    :param user: with ``password``: login PLAIN. Without a password: EXTERNAL, the user is the client certificate's name.
    :param tls: a client context with certificate and trust; needed for EXTERNAL.
    :param server_name: the name that the broker's certificate must bear; the host if not given.
    :param blocked_timeout_s: a connection that the broker blocks (alarm) for longer is closed and made again.
    """

    hosts: tuple[tuple[str, int], ...]
    vhost: str = "renkei"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    server_name: str | None = None
    heartbeat_s: int = HEARTBEAT_S
    blocked_timeout_s: float = 60.0
    connect_timeout_s: float = 5.0

    def __post_init__(self) -> None:
        if not self.hosts:
            raise ConfigurationError("broker-no-host", "the broker has no host; give at least one", place="broker.external.hosts")
        if self.password is not None and not self.user:
            raise ConfigurationError("broker-no-user", "a broker password without a user", place="broker.external.user")
        if self.password is None and self.tls is None:
            raise ConfigurationError(
                "broker-no-credentials", "give a user with a password file, or a client certificate", place="broker.external"
            )

    def parameters(self, index: int, *, name: str) -> pika.ConnectionParameters:
        """pika's parameters for host number ``index`` (modulo the number of hosts); ``name`` is shown in the broker's lists."""
        host, port = self.hosts[index % len(self.hosts)]
        credentials: ExternalCredentials | PlainCredentials
        if self.password is None:
            credentials = ExternalCredentials()
        else:
            credentials = PlainCredentials(self.user or "", self.password, erase_on_connect=False)
        # No TLS is pika's None; the published type stubs do not know it.
        tls: Any = pika.SSLOptions(self.tls, self.server_name or host) if self.tls else None
        return pika.ConnectionParameters(
            host=host,
            port=port,
            virtual_host=self.vhost,
            credentials=credentials,
            heartbeat=self.heartbeat_s,
            blocked_connection_timeout=self.blocked_timeout_s,
            socket_timeout=self.connect_timeout_s,
            stack_timeout=self.connect_timeout_s * 2,
            connection_attempts=1,
            ssl_options=tls,
            client_properties={"connection_name": name, "product": "renkei-gateway"},
        )
