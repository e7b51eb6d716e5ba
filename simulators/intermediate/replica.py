"""What the intermediate server holds of the city's residents, rebuilt from the journal: numbers, replica, requests for codes, codes.

In the memory of this process under the numbers themselves, since an export names them; in the journal they are sealed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PROCESSING = "processing_number"
"""Added to what is kept of a request for a code."""
HEAD, RELATIONSHIP = "household_items/head_name", "household_items/relationship"


@dataclass(slots=True, kw_only=True)
class Person:
    """One person of the city, by 団体内統合宛名番号."""

    number: str
    replica: tuple[str, str] | None = field(default=None, repr=False)
    """Head of household and relationship; None: no replica."""
    code: str | None = None
    flagged: bool = False
    """自動応答不可フラグ: nobody is answered before somebody of the city has looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """For the daily check list."""

    number: str
    kind: str
    at: str


class Holdings:
    """The partition of our municipality."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self.requests: dict[str, str] = {}
        """Number by processing number."""
        self.codes: dict[str, str] = {}
        """Number by code."""
        self.changes: list[Change] = []
        """Since the last check list."""
        self.settled: set[str] = set()
        """Processing numbers whose code has come."""
        self.unclaimed = 0
        """Codes for processing numbers that were never given out."""
        self.conflicts = 0
        """Codes of one person that came for another: must never be."""

    def register(self, number: str) -> None:
        """A number may have a replica from now on."""
        self.people.setdefault(number, Person(number=number))

    def update(self, items: Mapping[str, str], at: str) -> None:
        """Take over a replica; one without items takes it away."""
        person = self.people[items["integrated_atena_number"]]
        head = items.get(HEAD)
        made = (head, items.get(RELATIONSHIP, "")) if head is not None else None
        kind = "3" if made is None else "1" if person.replica is None else "2"
        person.replica = made
        self.changes.append(Change(number=person.number, kind=kind, at=at))

    def request(self, items: Mapping[str, str]) -> None:
        """A processing number was given for a person."""
        if PROCESSING in items:
            self.requests[items[PROCESSING]] = items["integrated_atena_number"]

    def bind(self, processing_number: str, code: str) -> str:
        """A code came for a processing number: what became of it, in a word."""
        number = self.requests.get(processing_number)
        if number is None:
            self.unclaimed += 1
            return "unclaimed"
        self.settled.add(processing_number)
        person = self.people[number]
        if self.codes.get(code, number) != number or person.code not in (None, code):
            self.conflicts += 1
            return "conflict"
        if person.code == code:
            return "known"
        person.code = code
        self.codes[code] = number
        return "bound"

    def clear(self) -> None:
        """Nobody is known any more."""
        for each in (self.people, self.requests, self.codes, self.changes, self.settled):
            each.clear()
        self.unclaimed = self.conflicts = 0
