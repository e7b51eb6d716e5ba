"""What goes from whom to whom in the sense of the policy; the ledger keeps it with the delivery."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What goes from whom to whom in the sense of the policy, where that is not the message's own type, its sender and the party."""

    message_type: str
    producer: str
    consumer: str

    def text(self) -> str:
        """As the ledger keeps it with the delivery."""
        return f"{self.message_type} {self.producer} {self.consumer}"


def way_of(text: str | None, message_type: str, producer: str, party: str) -> Way:
    """The way of a delivery: what the ledger kept, or the message's own."""
    if text is not None:
        message_type, producer, party = text.split(" ")
    return Way(message_type=message_type, producer=producer, consumer=party)
