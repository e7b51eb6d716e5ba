"""A system at its queue: opened with its own key, written down, acknowledged (:class:`simulators.register.consuming.Consuming`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from joserfc.errors import JoseError

from simulators.in_house.books import Books
from simulators.register.amqp_door import Broker
from simulators.register.consuming import Consuming
from simulators.register.keys import OwnKeys


class Mailbox(Consuming):
    """Consumes the queue of one account. Belongs to the event loop."""

    def __init__(self, books: Books, broker: Broker, *keys: Path) -> None:
        """``keys``: private JWKs that open; each has a ``kid``."""
        super().__init__(broker, books.account, "mailbox")
        self.books = books
        self._keys = OwnKeys(*keys)

    def carry_out(self, properties: Any, body: bytes) -> tuple[str, str | None]:
        headers = properties.headers or {}
        try:
            content = self._keys.open(body)
        except (JoseError, KeyError, ValueError):
            return "refused", "cannot-be-opened"
        kind, work = str(headers.get("cloudEvents:type", "")), headers.get("cloudEvents:work")
        return self.books.take(properties.message_id, kind, content, work)
