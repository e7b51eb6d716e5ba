"""The decisions, pure: rows and one step in, changed rows or a refusal out. Names neither a person nor a number.

A person is *linked* when the atena number, the Individual Number and the integrated atena number (団体内統合宛名番号) were bound by one
linkage (FS5-4). Only who is linked may be registered at the intermediate server, only who is registered may have a replica, and no two
numbers of one kind may claim the same person (C-M-6-13).

An acquisition of a code (符号) runs over two ways that have nothing in common but the processing number (処理通番), and the code itself
comes by none of them. So what can be known here ends when the pair went to the city CS::

    asked ──answer──▶ numbered ──pair of the atena system──▶ paired ──pair of the register──▶ handed-on
      └──────────────────────── overtaken: another acquisition of the same person was handed on ◀─┘

- An answer belongs to a person, not to a request: of several open requests of one person the oldest takes it. Another answer with the same
  processing number is ignored; the same number for another person is refused; one that nobody asked for is refused.
- A pair belongs to the acquisition that has its processing number, and must name that person's Individual Number. A second one is ignored.
- A request may be repeated at any time: it gets a processing number of its own. When one of them has been handed on, the others are
  overtaken; what still comes for them is ignored.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

MISMATCH: Final = "C-M-6-13"


class State(enum.Enum):
    """Of an acquisition."""

    ASKED = "asked"
    NUMBERED = "numbered"
    PAIRED = "paired"
    HANDED_ON = "handed-on"
    OVERTAKEN = "overtaken"

    @property
    def open(self) -> bool:
        """Something is still to come."""
        return self in (State.ASKED, State.NUMBERED, State.PAIRED)


@dataclass(slots=True, kw_only=True)
class Link:
    """What is known of one integrated atena number: subjects (random ids), never numbers.

    :ivar subject: of the integrated atena number; ``atena``, ``individual``: of the numbers that it was bound to, if it was.
    :ivar registered: whether the number was handed in for the intermediate server.
    """

    subject: str
    atena: str | None = None
    individual: str | None = None
    registered: bool = False

    @property
    def linked(self) -> bool:
        return self.atena is not None and self.individual is not None


@dataclass(slots=True, kw_only=True)
class Acquisition:
    """One request for a code. ``person``: the subject of the integrated number; ``bound``: of the Individual Number, from the pair."""

    id: str
    person: str
    state: State
    asked_at: float
    due_at: float
    bound: str | None = None
    numbered: bool = False
    """A processing number was given for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The message is not admitted."""

    code: str
    detail: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """The message is admitted and goes to nobody. ``code`` says why."""

    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """The subjects of the three numbers of a linkage; ``new``: those of which no message has spoken before."""

    integrated: str
    atena: str
    individual: str
    new: frozenset[str] = frozenset()
    """``integrated``, ``atena``, ``individual``."""


# ---- who is who ------------------------------------------------------------------------------------------------------------------------


def link(numbers: Numbers, near: Collection[Link]) -> Link | Refused:
    """Bind three numbers. ``near``: the links that any of them has a part in.

    A number that was never heard of may take the place of another one of its kind (an Individual Number or atena number was changed), as
    long as one of the two others proves who it is; everything else that does not agree is refused.
    """
    row = next((each for each in near if each.subject == numbers.integrated), None)
    if any(each is not row for each in near):
        return _mismatch("one of the numbers is bound to another person")
    if row is None:
        return Link(subject=numbers.integrated, atena=numbers.atena, individual=numbers.individual)
    if row.linked:
        if "integrated" in numbers.new:
            return _mismatch("this person has another integrated atena number")
        agree = {
            "atena": row.atena == numbers.atena and "atena" not in numbers.new,
            "individual": row.individual == numbers.individual and "individual" not in numbers.new,
        }
        if not any(agree.values()) or any(not agrees and name not in numbers.new for name, agrees in agree.items()):
            return _mismatch("the integrated atena number is bound to other numbers")
    row.atena, row.individual = numbers.atena, numbers.individual
    return row


def register(row: Link | None, person: str, *, linkage: bool) -> Link | Refused:
    """A number is handed in for the intermediate server. ``linkage``: only one that is linked may be."""
    if linkage and (row is None or not row.linked):
        return not_linked()
    row = row or Link(subject=person)
    row.registered = True
    return row


def replica(row: Link | None, *, linkage: bool) -> Refused | None:
    """A replica is handed in: why it may not go."""
    if linkage and (row is None or not row.linked):
        return not_linked()
    if row is None or not row.registered:
        return Refused(code="atena-number-not-registered", detail="the integrated atena number must be registered first", rule="FS6-4")
    return None


def not_linked() -> Refused:
    return Refused(code="not-linked", detail="no linkage has bound this integrated atena number to a person", rule=MISMATCH)


def _mismatch(detail: str) -> Refused:
    return Refused(code="numbers-mismatch", detail=detail, rule=MISMATCH)


# ---- code acquisition ------------------------------------------------------------------------------------------------------------------


def ask(row: Link | None, person: str, *, id: str, now: float, limit_s: float, linkage: bool) -> Acquisition | Refused:
    """A code is requested, for the first time or again. Who is not linked has no Individual Number yet, or is not known to have one."""
    if linkage and (row is None or not row.linked):
        return not_linked()
    return Acquisition(id=id, person=person, state=State.ASKED, asked_at=now, due_at=now + limit_s)


def answer(
    known: Acquisition | None, of_person: Sequence[Acquisition], person: str, *, now: float, limit_s: float
) -> Acquisition | Ignored | Refused:
    """A processing number came. ``known``: the acquisition that has it already; ``of_person``: all of that person.

    Ignored with a changed row: a late one; the caller writes the row's number all the same (:attr:`Acquisition.numbered`).
    """
    if known is not None:
        if known.person != person:
            return Refused(code="processing-number-of-another", detail="this processing number was given for another person", rule="F6-1")
        return Ignored(code="processing-number-again")
    without = sorted((each for each in of_person if not each.numbered), key=lambda each: (not each.state.open, each.asked_at, each.id))
    if not without:
        return Refused(code="no-open-request", detail="no code was requested for this person", rule="F6-1")
    row = without[0]
    row.numbered = True
    if row.state is not State.ASKED:
        return Ignored(code="answer-too-late")
    row.state, row.due_at = State.NUMBERED, now + limit_s
    return row


def pair(
    known: Acquisition | None, of_person: Sequence[Acquisition], row: Link | None, individual: str, *,
    now: float, limit_s: float, corrects: bool, linkage: bool,
) -> Acquisition | Ignored | Refused:  # fmt: skip
    """The atena system joins the Individual Number to a processing number. ``individual``: the subject of that number."""
    if known is None:
        return _unknown()
    if linkage and (row is None or not row.linked):
        return not_linked()
    others = {each.bound for each in of_person if each.bound is not None and not (corrects and each is known)}
    if (row is not None and row.linked and row.individual != individual) or (not (row and row.linked) and others - {individual}):
        return _mismatch("the Individual Number is not that of the person for whom the processing number was given")
    if known.state is not State.NUMBERED and not (corrects and known.state is State.PAIRED):
        return Ignored(code="pair-too-late" if known.state is State.OVERTAKEN else "pair-again")
    known.state, known.bound, known.due_at = State.PAIRED, individual, now + limit_s
    return known


def hand_on(
    known: Acquisition | None, of_person: Sequence[Acquisition], individual: str, *, corrects: bool
) -> Acquisition | Ignored | Refused:
    """The register passes the pair on to the city CS: with this the gateway's part is over."""
    if known is None:
        return _unknown()
    if known.bound is None:
        if known.state is State.OVERTAKEN:
            return Ignored(code="pair-too-late")
        return Refused(code="pair-not-received", detail="the atena system has not joined this processing number to anybody", rule="F6-1")
    if known.bound != individual:
        return _mismatch("the Individual Number is not the one that the atena system joined to the processing number")
    if known.state is not State.PAIRED:
        if corrects and known.state is State.HANDED_ON:
            return known
        return Ignored(code="pair-too-late" if known.state is State.OVERTAKEN else "pair-again")
    known.state = State.HANDED_ON
    for other in of_person:
        if other is not known and other.state.open:
            other.state = State.OVERTAKEN
    return known


def _unknown() -> Refused:
    return Refused(code="processing-number-unknown", detail="this processing number was given for nobody", rule="F6-1")
