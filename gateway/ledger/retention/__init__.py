"""Retention as the ledger sees it: what is due, and small steps that let it expire and erase it (R23, I9).

``looking`` finds content that is past its time, ``erasing`` destroys it, ``expiring`` ends what is no longer to be sent, ``rows`` goes
through everything that has no body. Steps are bulk operations of a few rows.
"""

from gateway.ledger.retention.erasing import EraseStep, Line, RecordDisposal, SetMark
from gateway.ledger.retention.expiring import Expired, ExpireStep, Late, expire, expiry_due
from gateway.ledger.retention.looking import (
    LEASE,
    Due,
    Mark,
    Page,
    clocks,
    content_due,
    ended,
    held_of,
    history,
    keys_of_messages,
    parties,
    quarantine_due,
)
from gateway.ledger.retention.rows import CONTENT, PLACES, EraseRows, aliases_on, keys_on, rows_due, stray_links
from gateway.ledger.retention.testing_clock import ShiftBusinessClock

__all__ = [
    "CONTENT",
    "LEASE",
    "PLACES",
    "Due",
    "EraseRows",
    "EraseStep",
    "ExpireStep",
    "Expired",
    "Late",
    "Line",
    "Mark",
    "Page",
    "RecordDisposal",
    "SetMark",
    "ShiftBusinessClock",
    "aliases_on",
    "clocks",
    "content_due",
    "ended",
    "expire",
    "expiry_due",
    "held_of",
    "history",
    "keys_of_messages",
    "keys_on",
    "parties",
    "quarantine_due",
    "rows_due", "stray_links",
]  # fmt: skip
