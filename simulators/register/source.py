"""Where the register's messages come from: the days of a synthetic city, the same at every run with the same seed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol

from simulators.city import City, Event, spoiled
from simulators.references import References
from simulators.register.messages import Outgoing, outgoing


class Source(Protocol):
    """All messages in order, and what is right where one was wrong."""

    def messages(self) -> Iterator[Outgoing]:
        """The messages; every call begins from the first."""
        ...

    def corrected(self, message_id: str, content: bytes) -> bytes:
        """The content that a replacement of a refused message has."""
        ...


class CityDays:
    """Days of a city. Some in-city moves can be spoilt on purpose (E102), so that they must be replaced."""

    def __init__(
        self,
        city: City,
        references: References,
        *,
        days: Collection[int] = (1,),
        events_a_day: int | None = None,
        spoil: int = 0,
        spoil_every: int = 1,
    ) -> None:
        """``spoil``: how many of the in-city moves are sent with a mistake; ``spoil_every``: each so-manieth, from the first."""
        self._city = city
        self._references = references
        self._days = sorted(days)
        self._events = events_a_day
        self._spoil = spoil
        self._spoil_every = spoil_every
        self._right: dict[str, bytes] = {}

    def messages(self) -> Iterator[Outgoing]:
        left, moves = self._spoil, 0
        for day in self._days:
            for event in self._city.day(day, self._events):
                sent = event
                moves += event.reason == "MOVE"
                if left and event.reason == "MOVE" and (moves - 1) % self._spoil_every == 0:
                    left -= 1
                    self._right[event.ce_id] = event.xml
                    sent = spoiled(event)
                yield self._message(sent)

    def _message(self, event: Event) -> Outgoing:
        time = event.ce_time.isoformat(timespec="seconds").replace("+00:00", "Z")
        message = outgoing(event.xml, id=event.ce_id, time=time, references=self._references)
        return message.handled_by(event.operator, event.terminal)

    def corrected(self, message_id: str, content: bytes) -> bytes:
        return self._right.get(message_id, content)
