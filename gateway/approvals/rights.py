"""The rights of an operator: what is configured, what two persons approved of it, and whether they suffice now. Pure.

What is in force is what *both* say: taking a right away in the configuration acts at once, giving one acts when a second person has
approved (C-1-3-16). Days are those of Japan.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gateway.approvals.kinds import Role

JAPAN = dt.timezone(dt.timedelta(hours=9))
REVIEW_MONTH = 4
"""Rights are reviewed at least yearly in April (C-2-3-5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What one person may do, where and when."""

    roles: frozenset[Role]
    parties: frozenset[str] | None = None
    """Spec ids; None: all parties."""
    networks: tuple[str, ...] = ()
    """Where the terminals stand (CIDR); empty: anywhere."""
    valid_from: dt.date | None = None
    valid_until: dt.date | None = None
    """The last day."""
    contractor: bool = False

    def to_json(self) -> str:
        """Canonical, so that equal rights have equal digests."""
        values = {
            "roles": sorted(role.value for role in self.roles),
            "parties": None if self.parties is None else sorted(self.parties),
            "networks": sorted(self.networks),
            "valid_from": None if self.valid_from is None else self.valid_from.isoformat(),
            "valid_until": None if self.valid_until is None else self.valid_until.isoformat(),
            "contractor": self.contractor,
        }
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Rights:
        """What :meth:`to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        return cls(
            roles=frozenset(Role(each) for each in values["roles"]),
            parties=None if values["parties"] is None else frozenset(values["parties"]),
            networks=tuple(values["networks"]),
            valid_from=_day(values["valid_from"]),
            valid_until=_day(values["valid_until"]),
            contractor=values["contractor"],
        )

    def digest(self) -> bytes:
        """Names these rights in a request."""
        return hashlib.sha256(self.to_json().encode()).digest()

    def why_not_now(self, now: dt.datetime, address: str | None) -> tuple[str, str] | None:
        """Code and text of why nothing at all is permitted; None: something is.

        :param address: the terminal's, as the connection shows it.
        """
        today = now.astimezone(JAPAN).date()
        if self.valid_from is not None and today < self.valid_from:
            return "not-yet-valid", f"these rights begin on {self.valid_from}"
        if self.valid_until is not None and today > self.valid_until:
            return "rights-expired", f"these rights ended on {self.valid_until}"
        if self.networks and not _inside(address, self.networks):
            return "wrong-terminal", "this terminal is not in a network from which this person may work"
        return None

    def within(self, other: Rights) -> bool:
        """Nothing is permitted here that ``other`` does not permit: no second person is needed for it."""
        return (
            self.roles <= other.roles
            and (other.parties is None or (self.parties is not None and self.parties <= other.parties))
            and (not other.networks or (bool(self.networks) and set(self.networks) <= set(other.networks)))
            and (other.valid_from is None or (self.valid_from is not None and self.valid_from >= other.valid_from))
            and (other.valid_until is None or (self.valid_until is not None and self.valid_until <= other.valid_until))
            and (self.contractor or not other.contractor)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What is on record of an operator. Times are seconds since 1970 UTC (of the ledger)."""

    name: str
    rights: Rights
    granted_at: float
    requested_by: str
    approved_by: str
    reviewed_at: float
    reviewed_by: str
    seen_at: float | None
    released_until: float | None
    released_by: str | None


def in_force(configured: Rights, approved: Rights) -> tuple[frozenset[Role], frozenset[str] | None]:
    """Roles and parties that both give."""
    if configured.parties is None or approved.parties is None:
        parties = configured.parties if approved.parties is None else approved.parties
    else:
        parties = configured.parties & approved.parties
    return configured.roles & approved.roles, parties


def review_due(reviewed: dt.datetime) -> dt.date:
    """The last day on which the next review is in time: the end of the next April (C-2-3-5)."""
    day = reviewed.astimezone(JAPAN).date()
    return dt.date(day.year + (day.month >= REVIEW_MONTH), REVIEW_MONTH, 30)


def overdue(reviewed: dt.datetime, now: dt.datetime) -> bool:
    """The yearly review was missed."""
    return now.astimezone(JAPAN).date() > review_due(reviewed)


def _day(text: str | None) -> dt.date | None:
    return None if text is None else dt.date.fromisoformat(text)


def _inside(address: str | None, networks: Iterable[str]) -> bool:
    if address is None:
        return False
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in ipaddress.ip_network(each) for each in networks)
