"""Which parties a replay knows, and what of the register's comes to each: written down here a second time, for the books.

A party that a town does not have gets nothing, and what goes to nobody is not sent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

CITY_CS, PREFECTURE, CARDS = "city-cs", "prefecture-server", "card-management-system"
IMMIGRATION = "residence-card-issuance-system"
LINK, ISSUING, FAMILY = "internal-link-system", "certificate-issuance-system", "family-register-system"
UPDATE, NOTICE, RESULT = "identity-information-update", "identity-information-notice", "identity-update-result"
GENERATION = "individual-number-generation-request"
DESTINATION = "destination-information"
SUPPLEMENT_IN = "family-register-supplement-internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One party has it, as this type."""

    party: str
    type: str


def _legs(type_: str, *parties: str) -> tuple[Leg, ...]:
    return tuple(Leg(party=party, type=type_) for party in parties)


WAYS: Mapping[str, tuple[Leg, ...]] = {
    UPDATE: (Leg(party=CITY_CS, type=UPDATE), Leg(party=PREFECTURE, type=NOTICE)),
    DESTINATION: _legs(DESTINATION, CITY_CS, CARDS),
    **{
        name: _legs(name, CITY_CS)
        for name in (
            "move-in-notice",
            "family-register-supplement-notice",
            "move-out-certificate-request",
            GENERATION,
        )
    },
    "card-continuation-request": _legs("card-continuation-request", CARDS),
    "resident-change-notification": _legs("resident-change-notification", LINK),
    "certificate-data-change": _legs("certificate-data-change", ISSUING),
    SUPPLEMENT_IN: _legs(SUPPLEMENT_IN, FAMILY),
    "residence-address-notice": _legs("residence-address-notice", IMMIGRATION),
}
"""What becomes of each type that the register hands in."""
EPHEMERAL = frozenset({DESTINATION})
"""By HTTPS only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """Who takes part: parties outside, those with a mailbox, our own systems."""

    parties: tuple[str, ...]
    mailboxes: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()

    @property
    def everybody(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.parties, *self.mailboxes, *self.systems)


SETS: Mapping[str, Present] = {
    "juki-net": Present(parties=(CITY_CS, PREFECTURE, CARDS)),
    "all": Present(parties=(CITY_CS, PREFECTURE, CARDS), mailboxes=(IMMIGRATION,), systems=(LINK, ISSUING, FAMILY)),
}
"""By the name of the choice."""


def carried(present: Collection[str]) -> dict[str, tuple[Leg, ...]]:
    """The types that go to somebody who is there, with their legs."""
    found = {name: tuple(leg for leg in legs if leg.party in present) for name, legs in WAYS.items()}
    return {name: legs for name, legs in found.items() if legs}
