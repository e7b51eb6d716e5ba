"""What a party says of a record: the words in which its operations are written."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from message_formats import writing
from simulators.soap.envelope import Record
from simulators.soap.outbox import Outgoing


class QuestionRefused(Exception):
    """A dialogue has no answer; ``code`` goes into the fault and holds nothing of anybody."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a party makes of one record.

    :ivar code: why it is refused; None: it is taken.
    :ivar facts: what the journal says of it in clear; no personal data.
    :ivar follows: what the party sends because of it.
    :ivar kept: whether its items are kept (sealed); ``added``: what is kept with them.
    """

    code: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    added: Mapping[str, str] = field(default_factory=dict, repr=False)
    follows: Sequence[Outgoing] = ()
    kept: bool = True


TAKEN = Decision()
Taker = Callable[[Record], Decision]
Answerer = Callable[[Record], Awaitable[str]]
"""The element of the answer. Raises :class:`QuestionRefused`."""


def outgoing(operation: str, kind: str, items: Mapping[str, str | None], **more: Any) -> Outgoing:
    """A message of that type, to be sent by that operation, with an id of its own unless ``delivery_id`` gives one."""
    xml = writing.write(kind, items).to_bytes().decode()
    return Outgoing(**{"operation": operation, "delivery_id": str(uuid.uuid4()), "xml": xml, **more})
