"""Allowed ways of messages, and what a message becomes: the rows of the tables, as they are read."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import InputRefused
from gateway.policy.ways import Way


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One allowed way: ``sender`` may hand ``message_type`` to ``receiver``; ``via`` are the systems it passes."""

    message_type: str
    sender: str
    receiver: str
    via: tuple[str, ...] = ()
    decided: bool = False
    """No leg of the gateway's in the specification, but a decision of this project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One delivery that a message becomes."""

    party: str
    stream: str
    lane: str
    waits_for: str | None = None
    approval: str | None = None
    """``bulk-output`` or ``release``: it leaves only when a second person has approved (C-1-3-28, C-2-3-14, C-3-3-7)."""
    day: str | None = None
    """The item with the day before which it is not sent, where its sender names none."""
    newest: bool = False
    """A later one of the same resident takes the place of one that its receiver has not taken yet."""
    sender: str | None = None
    """Only what this system hands in goes this way; None: whoever has the connection."""
    by_work: bool = False
    """One of several ways of the type, chosen by the work (事務) that the message names; it ends at a system account."""
    carries: str | None = None
    """Another message type, which is made from the message for this party (``message_formats/derivations.py``)."""
    producer: str | None = None
    """In whose place it is sent, where that is not the sender: only the register's messages are."""
    consumer: str | None = None
    """Whose it is in the end, where the party hands it on, or is an account of that system."""
    municipality: str | None = None
    """``required`` or ``optional``: the attribute that names the municipality at the other end; None: it must not be there."""

    may_bulk: bool = False
    """The sender may ask for the bulk lane (first numbering of everybody, a change of addresses); order holds across the lanes (R1)."""

    def lane_for(self, asked: str | None) -> str:
        """The lane of one delivery, where the sender asked for ``asked``.

        :raises InputRefused: ``lane-not-permitted``: somebody waits for messages of this type, or its order with others matters more.
        """
        if asked is None or asked == self.lane:
            return self.lane
        if not self.may_bulk:
            detail = f"messages of this type to {self.party} do not go by the {asked} lane"
            raise InputRefused("lane-not-permitted", detail, place="attribute lane", rule="routes")
        return asked

    @property
    def recipient(self) -> str:
        """Who gets it in the sense of the policy."""
        return self.consumer or self.party

    def way(self, message_type: str, sender: str) -> Way:
        """What the policy is asked about."""
        return Way(message_type=self.carries or message_type, producer=self.producer or sender, consumer=self.recipient)

    @property
    def differs(self) -> bool:
        """Its way is not the message's own type, its sender and the party."""
        return not (self.carries is self.producer is self.consumer is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What may arrive at the listener of a party, whose message it is, and which of our systems has it."""

    at: str
    sender: str
    route: Route
    bound: bool = False
    """Taken in only where its key is that of somebody known here (C-1-2-1)."""
    answers: tuple[str, ...] = ()
    """Types of requests that it answers: it comes for nobody about whom there was none."""
    through: str | None = None
    """One of our systems whose place the gateway takes."""

    @property
    def legs(self) -> tuple[tuple[str, str], ...]:
        """The ways of the specification that the message goes, as (from, to); an answer goes them back."""
        if self.through is None:
            return ((self.sender, self.route.recipient),)
        return (self.sender, self.through), (self.through, self.route.recipient)

    @property
    def legs_back(self) -> tuple[tuple[str, str], ...]:
        """The ways of an answer."""
        return tuple((to, of) for of, to in reversed(self.legs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One kind of question that our systems may put to a party, and what is answered to it."""

    message_type: str
    to: str
    """Whose answer it is."""
    party: str
    """Who is called: ``to``, or the system on the way to it."""
    answer: str
    answer_s: float
    municipality: str | None = None
    """``required``, as with :class:`Route`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRoute:
    """What the answer to a delivery of one type becomes: a message of ``type`` from ``sender`` to one of our systems."""

    type: str
    sender: str
    route: Route
