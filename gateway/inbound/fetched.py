"""What is done with a fetched record before the checks that every door makes: by party, because only here is a record not yet a message.

A *work* turns one record into what the intake commits: a submission that was checked and sealed, or a refusal that is kept.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.contract import FetchedRecord
from gateway.errors import ConfigurationError, InputRefused
from gateway.inbound.listed import items_of, only_listed
from gateway.inbound.prepare import FETCHED
from gateway.intake.admit import Intake, Ready, Refused
from gateway.intake.cloudevents import of_party
from gateway.intake.submission import Submission
from message_formats import catalogue

if TYPE_CHECKING:
    from gateway.plugins import BoundParty


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """One record, ready for the commit."""

    item: Ready | Refused | None
    """None: it was for the gateway itself, and goes on to nobody."""
    items_dropped: int = 0
    also: tuple[str, ...] = ()
    """Batches to be fetched besides."""


class Works(Protocol):
    """What is done with the records of one party."""

    async def work(self, record: FetchedRecord) -> Worked:
        """One record. Never raises for what is in it: that is a refusal."""
        ...


class ListedItems:
    """Messages that go on as they come, with the items of a list only (residence status notices)."""

    def __init__(self, *, party: str, message_type: str, items: Collection[str], intake: Intake) -> None:
        self._party, self._type, self._intake = party, message_type, intake
        self._items = frozenset(items) or items_of(message_type)
        self._forbidden = catalogue.get(message_type).individual_number == "forbidden"

    async def work(self, record: FetchedRecord) -> Worked:
        """See :class:`Works`."""
        try:
            attributes = of_party(id=record.record_id, party=self._party, type=self._type)
        except InputRefused as error:
            return Worked(item=refused(self._party, self._type, error, record, known=False))
        if record.problem is not None:
            unreadable = InputRefused(record.problem, "the party's record is none that its adapter can read", rule="adapter")
            return Worked(item=refused(self._party, self._type, unreadable, record))
        try:
            listed = only_listed(record.content, self._type, self._items, number_forbidden=self._forbidden)
        except InputRefused as error:
            return Worked(item=refused(self._party, self._type, error, record))
        submission = Submission(system=self._party, door=FETCHED, attributes=attributes, data=listed.content)
        return Worked(item=await self._intake.check(submission), items_dropped=listed.dropped)


def refused(party: str, message_type: str, error: InputRefused, record: FetchedRecord, *, known: bool = True) -> Refused:
    """A refusal of what is no submission yet; ``known``: the party's id of it may be kept. With it, it can be handed in again."""
    submission = None
    if known:
        attributes = of_party(id=record.record_id, party=party, type=message_type)
        submission = Submission(system=party, door=FETCHED, attributes=attributes, data=record.content)
    source = record.record_id if known else None
    return Refused(
        system=party, door=FETCHED, error=error, source_id=source, type=message_type, body=record.content, submission=submission
    )  # fmt: skip


def listed_works(name: str, party: BoundParty, intake: Intake) -> ListedItems:
    """For a party of which one message type is fetched.

    :raises ConfigurationError: the list names an item that the message type does not have.
    """
    wanted, types = party.config.fetch, party.adapter.manifest.fetches
    assert wanted is not None
    if len(types) != 1:
        raise ConfigurationError("fetch-not-possible", f"party {name}: its adapter must fetch one message type")
    if strange := sorted(set(wanted.items) - items_of(types[0])):
        raise ConfigurationError("fetch-items", f"parties.{name}.fetch.items: {types[0]} has no item {strange[0]}")
    return ListedItems(party=name, message_type=types[0], items=wanted.items, intake=intake)
