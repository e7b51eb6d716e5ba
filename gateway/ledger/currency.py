"""Whether what one of our systems would say of a resident is current: everything that was accepted for it has reached it.

A certificate made of data that have changed is worse than none (FS3-2), and a card that was revoked must stop working at once (FS1-7). Both
are the same question to the ledger: is there, in any stream of that system, a message about this resident that it has not acknowledged? It
is asked before the system is asked, and again in the transaction that records the answer; had anything been accepted between the two, it
shows, because the numbers of the resident's key rows only rise. No content is looked at and nothing is remembered of cards.

On PostgreSQL a transaction under way at that moment may still admit a change, as a whole: the answer counts as given before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from gateway.errors import PartyError
from gateway.ids import key_place
from gateway.ledger import statements as sql

Identifiers = tuple[tuple[str, bytes], ...]
_PLACES = (
    "SELECT k.place, k.head, k.next_number, d.state FROM key_row k LEFT JOIN delivery d ON d.key_id = k.id "
    "AND d.number = k.next_number - 1 AND d.replaced_by IS NULL WHERE k.place IN ({ids}) ORDER BY k.place"
)
_ENDED_WELL = (None, "delivered")
"""The state of the last message of a key, where it is over; None: its row has been erased since."""


class NotCurrent(PartyError):
    """An answer about this resident may not be given, or not this one.

    ``person-unknown``: nobody is known under that card; ``changes-undelivered``: something has not reached the system that answers;
    ``changed-meanwhile``: something did while it was asked; ``answer-for-another-person``: the answer is about somebody else;
    ``no-answer-in-time``: it came to be recorded too late.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code, _DETAILS[code], rule="FS3-2" if code.startswith("change") else "same request, same person")


_DETAILS = {
    "person-unknown": "nobody is known to the gateway under this card",
    "changes-undelivered": "a change of this resident has not reached the system that answers",
    "changed-meanwhile": "a change of this resident came while the question was asked",
    "no-answer-in-time": "the answer could not be recorded before its deadline",
    "answer-for-another-person": "the answer is not about the person whom the card belongs to",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Currency:
    """What was seen of a resident before the question was asked."""

    subject: str
    party: str
    """The system that answers."""
    streams: tuple[str, ...]
    seen: tuple[tuple[str, int], ...]
    """Place and next number of each key row of the resident there."""
    answer: Identifiers = field(default=(), repr=False)
    """Blind indexes by which the answer says whom it is about."""


def look(conn: Connection, identifiers: Identifiers, party: str, streams: tuple[str, ...]) -> Currency:
    """What there is of the resident whom ``identifiers`` (blind indexes) name.

    :raises NotCurrent: ``person-unknown``, ``changes-undelivered``.
    """
    subject = subject_of(conn, identifiers)
    if subject is None:
        raise NotCurrent("person-unknown")
    return Currency(subject=subject, party=party, streams=streams, seen=_delivered(conn, subject, party, streams))


def confirm(conn: Connection, known: Currency) -> None:
    """In the transaction that records the answer: nothing has come since, and it is about the same resident.

    :raises NotCurrent: it is not.
    """
    if not known.answer or subject_of(conn, known.answer) != known.subject:
        raise NotCurrent("answer-for-another-person")
    if _delivered(conn, known.subject, known.party, known.streams) != known.seen:
        raise NotCurrent("changed-meanwhile")


def subject_of(conn: Connection, identifiers: Iterable[tuple[str, bytes]]) -> str | None:
    """The resident whom the first known one of these blind indexes belongs to."""
    for kind, blind in identifiers:
        found = sql.rows(conn, sql.ALIASES, kind, ids=[blind])
        if found:
            return str(found[0][2])
    return None


def _delivered(conn: Connection, subject: str, party: str, streams: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    places = [key_place(party, stream, subject) for stream in streams]
    found = sql.rows(conn, _PLACES, ids=places) if places else ()
    if any(head < following or state not in _ENDED_WELL for _, head, following, state in found):
        raise NotCurrent("changes-undelivered")
    return tuple((str(place), int(following)) for place, _, following, _ in found)
