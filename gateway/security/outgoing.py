"""Where connections may go: a list in the configuration; what is not on it is not connected to (C-1-2-12, C-1-2-24, C-M-6-9).

Enforced where the socket is made, after the name was resolved: neither a configuration that names another address, nor a name service that
answers with one, nor an adapter gets a connection out of the gateway that the list does not have. The same place binds the socket to the
address and interface of the party, so that a message for one network cannot leave by the line of another.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

LOCALHOST: Final = "localhost"
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class NotOnTheList(OSError):
    """A connection that the list does not have; no packet was sent."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "this connection is not on the list of outgoing connections")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """One line of the list. What is None is not asked for, but a host that is a name must be listed by its name: whoever answers for
    the name service must not choose where messages go."""

    host: str | None = None
    port: int | None = None
    network: _Network | None = None

    def names(self, host: str, port: int) -> bool:
        """Whether the target may be configured, before any name is resolved."""
        if self.port not in (None, port):
            return False
        literal = _literal(host)
        if self.host is not None:
            return host.lower() == self.host.lower() and (literal is None or self._holds(literal))
        if literal is not None:
            return self._holds(literal)
        return host == LOCALHOST and self.network is not None and self.network.is_loopback

    def covers(self, host: str, port: int, address: str) -> bool:
        """Whether a connection to this address, found for ``host``, may be opened."""
        found = _literal(address)
        return found is not None and self.names(host, port) and self._holds(found)

    def _holds(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return self.network is None or address in self.network


class OutgoingList:
    """The whole list."""

    def __init__(self, lines: Iterable[Allowed]) -> None:
        self._lines = tuple(lines)

    def names(self, host: str, port: int) -> bool:
        """Whether the target may be configured, before any name is resolved."""
        return any(line.names(host, port) for line in self._lines)

    def departure(self, host: str, *, address: str | None = None, interface: str | None = None) -> Departure:
        """Makes the sockets of connections to ``host``."""
        return Departure(lines=self._lines, host=host, address=address, interface=interface)


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A socket factory for :class:`aiohttp.TCPConnector`: sockets for what the list has, bound to the party's own line."""

    lines: Sequence[Allowed]
    host: str
    address: str | None
    """Source address; None: as the routes say."""
    interface: str | None

    def __call__(self, found: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, target = found
        if not any(line.covers(self.host, target[1], str(target[0])) for line in self.lines):
            raise NotOnTheList
        made = socket.socket(family, kind, protocol)
        try:
            made.setblocking(False)
            if self.interface is not None:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.interface.encode())
            if self.address is not None:
                made.bind((self.address, 0))
        except OSError:
            made.close()
            raise
        return made


LOOPBACK_ONLY: Final = OutgoingList(
    [Allowed(network=ipaddress.ip_network("127.0.0.0/8")), Allowed(network=ipaddress.ip_network("::1/128"))]
)
"""What holds where the configuration has no list."""


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
