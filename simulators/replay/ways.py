"""Which parties a replay knows, who hands what in and whose it is: written down here a second time, for the books.

What goes to nobody who is there is not sent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

REGISTER = "resident-record-system"
CITY_CS, PREFECTURE, CARDS = "city-cs", "prefecture-server", "card-management-system"
SERVER = "intermediate-server"
IMMIGRATION, PORTAL = "residence-card-issuance-system", "application-management-system"
LINK, ISSUING, FAMILY = "internal-link-system", "certificate-issuance-system", "family-register-system"
ATENA, TAX = "atena-system", "tax-system"
COLUMNS = "administrative-column-sources"
KIOSKS = "certificate-centre"
GATEWAY = "integration-gateway"
UPDATE, NOTICE, RESULT = "identity-information-update", "identity-information-notice", "identity-update-result"
GENERATION = "individual-number-generation-request"
DESTINATION = "destination-information"
MOVE_OUT = "move-out-certificate-data"
SUPPLEMENT_IN = "family-register-supplement-internal"
LINKAGE, REGISTRATION, REPLICA = "atena-linkage-update", "atena-number-registration", "provision-replica-update"
CODE_REQUEST, PAIR, PROCESSING = "code-acquisition-request", "code-acquisition-number-pair", "processing-number-response"
CARD_CHANGE, DATA_CHANGE, TAX_CHANGE = "card-identifier-change", "certificate-data-change", "tax-certificate-change"
FEED = "number-linkage-feed"
MASTER, COPY = "master-copy-reconciliation-data", "copy-reconciliation-result"
COLUMN = "administrative-column-update"


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
            "move-out-certificate-data",
            GENERATION,
        )
    },
    "card-continuation-request": _legs("card-continuation-request", CARDS),
    "resident-change-notification": _legs("resident-change-notification", LINK),
    DATA_CHANGE: _legs(DATA_CHANGE, ISSUING),
    SUPPLEMENT_IN: _legs(SUPPLEMENT_IN, FAMILY),
    "residence-address-notice": _legs("residence-address-notice", IMMIGRATION),
}
"""What becomes of each type that the register hands in because of an event."""
BESIDE: Mapping[str, Mapping[str, tuple[Leg, ...]]] = {
    REGISTER: {
        CARD_CHANGE: _legs(CARD_CHANGE, ISSUING),
        FEED: _legs(FEED, PORTAL),
        PAIR: _legs(PAIR, CITY_CS),
        MASTER: _legs(MASTER, LINK),
    },
    LINK: {
        LINKAGE: _legs(LINKAGE, ATENA),
        REPLICA: _legs(REPLICA, SERVER),
        COLUMN: _legs(COLUMN, REGISTER),
        COPY: _legs(COPY, REGISTER),
    },
    ATENA: {
        REGISTRATION: _legs(REGISTRATION, SERVER),
        CODE_REQUEST: _legs(CODE_REQUEST, SERVER),
        PAIR: _legs(PAIR, REGISTER),
    },
    TAX: {TAX_CHANGE: _legs(TAX_CHANGE, ISSUING)},
    COLUMNS: {COLUMN: _legs(COLUMN, LINK)},
}
"""What the register and other systems hand in besides (:mod:`simulators.replay.house`), by system."""
FROM_PARTIES: Mapping[str, str] = {PROCESSING: ATENA, "operating-status-notice": GATEWAY}
"""Whose a message of a party is, where it is not the register's."""
EPHEMERAL = frozenset({DESTINATION})
"""By HTTPS only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """Who takes part: parties outside, those with a mailbox, our own systems, the kiosks of the convenience stores, and terminals
    at which somebody waits."""

    parties: tuple[str, ...]
    mailboxes: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    kiosks: bool = False
    terminals: bool = False

    @property
    def everybody(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.parties, *self.mailboxes, *self.systems)


SETS: Mapping[str, Present] = {
    "juki-net": Present(parties=(CITY_CS, PREFECTURE, CARDS)),
    "all": Present(
        parties=(CITY_CS, PREFECTURE, CARDS, SERVER),
        mailboxes=(IMMIGRATION, PORTAL),
        systems=(LINK, ISSUING, FAMILY, ATENA),
        kiosks=True,
        terminals=True,
    ),
}
"""By the name of the choice."""


def carried(present: Collection[str]) -> dict[str, tuple[Leg, ...]]:
    """The types of events that go to somebody who is there, with their legs."""
    return _to(present, WAYS)


def handed_in(present: Collection[str]) -> dict[str, dict[str, tuple[Leg, ...]]]:
    """What every system hands in for somebody who is there, by system and type; the register's first."""
    found = {REGISTER: carried(present) | _to(present, BESIDE[REGISTER])}
    with_us = {*present, REGISTER}
    if LINK in present:
        found |= {system: legs for system, each in BESIDE.items() if system != REGISTER and (legs := _to(with_us, each))}
    return found


def _to(present: Collection[str], ways: Mapping[str, tuple[Leg, ...]]) -> dict[str, tuple[Leg, ...]]:
    found = {name: tuple(leg for leg in legs if leg.party in present) for name, legs in ways.items()}
    return {name: legs for name, legs in found.items() if legs}
