"""What happens beside the register's events in a replay, at realistic volumes: mornings, evenings, and what our systems do about it.

Morning, before the business clock comes to the day: the Immigration Bureau has notices about foreign residents in its mailbox (F1-6),
citizens have applied at the portal (FS10-1), and on some days there is its list (FS10-3). Evening, when the day is through: codes for who
is new (F6-1), the replicas' check list and the server's operating status (FR-2, FM-1), administrative columns of the departments (FS1-8b),
inquiries of other bodies (F6-2, within the server), and on some days copies are compared with the master (FR-2).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from message_formats import samples, writing
from simulators.applications.signing import serial_of
from simulators.city import City, Resident
from simulators.replay.concerned import Concerned
from simulators.replay.house import House, Items
from simulators.replay.kiosks import a_day
from simulators.replay.month import Happening
from simulators.replay.ways import (
    COLUMN,
    COLUMNS,
    COPY,
    FEED,
    IMMIGRATION,
    LINK,
    MASTER,
    PORTAL,
    REGISTER,
    SERVER,
)  # fmt: skip

APPLICANTS = ("applicant-1", "applicant-2", "applicant-3")
FOREIGNERS = 30
"""So many foreign residents are known to the Bureau from the beginning."""
NOTICES_A_DAY_PER_100000 = 5
COLUMNS_A_DAY_PER_100000 = 25
COMPARED, EVERY_DAYS = 50, 5
"""Residents whose copies are compared with the master, and how often; the portal's list comes as often."""
_THEIRS = {"<sex>1<": "<sex>M<", "<sex>2<": "<sex>F<"} | {
    f"<article_30_45_category>{n}<": f"<article_30_45_category>0{n}<" for n in range(1, 7)
}
"""The Bureau's codes in place of ours."""


class Outside(Protocol):
    """What is needed of :class:`simulators.replay.townhall.Townhall`."""

    async def control(self, party: str, method: str, path: str, body: Any = None) -> Any: ...


class Beside:
    """Belongs to the event loop."""

    def __init__(self, house: House, city: City, outside: Outside) -> None:
        self._house, self._city, self._outside = house, city, outside
        self._random = random.Random(f"renkei-replay/beside/{city.seed}")
        self._foreigners = list(_foreigners(city))
        self._changed: dict[str, Concerned] = {}
        """Of a day, by atena number."""
        self._coded: list[str] = []
        self._comparing: Counter[str] = Counter()
        self._key = _public_key()
        self.inquiries: Counter[str] = Counter()
        """How they ended, by outcome."""
        self.applications = 0
        house.heard[LINK, COLUMN] = self._column
        house.heard[LINK, MASTER] = self._master

    def _share(self, per_100000: int) -> int:
        return max(1, round(self._city.population / 100_000 * per_100000))

    # ---- before the first day

    def opening(self) -> None:
        """Foreign residents are known to the Bureau, and the portal's applicants to the application management system."""
        for person in self._foreigners:
            items = {
                "residence_card_number": person.residence_card_number,
                "address_notified": "1",
                "address_change/change_reason": "11",
                "address_change/address": person.address.text,
                "address_change/changed_on": f"{self._city.first_day:%Y%m%d}",
                "address_change/notified_on": f"{self._city.first_day:%Y%m%d}",
            }
            self._house.register("residence-address-notice", items, f"opening-address-{person.index}")
        for place, applicant in enumerate(APPLICANTS):
            if self._house.carries(REGISTER, FEED):
                serial = serial_of(self._house.town.certificates / f"{applicant}.pem")
                items = {"serial_number": serial, "atena_number": self._city.resident(place).atena_number}
                self._house.register(FEED, items, f"opening-linkage-{applicant}")

    # ---- morning

    def morning(self, number: int) -> list[Happening]:
        """What lies in the mailboxes when the day begins."""
        found = []
        if self._house.carries(REGISTER, "residence-address-notice"):
            found.append(Happening(party=IMMIGRATION, what=self._notices(number)))
        if self._house.carries(REGISTER, FEED):
            count = a_day(self._city, "application-record")
            made = [self._application(f"R-{number}-{place}", place) for place in range(count)]
            self.applications += count
            found.append(Happening(party=PORTAL, what={"batch": f"day-{number}", "applications": made}))
            if number % EVERY_DAYS == 0:
                found.append(Happening(party=PORTAL, what={"list": True}))
        return found

    def _notices(self, number: int) -> dict[str, Any]:
        count = min(self._share(NOTICES_A_DAY_PER_100000), len(self._foreigners))
        chosen = self._random.sample(self._foreigners, count)
        records = [{"id": f"notice-{number}-{place}", "xml": _status_notice(person)} for place, person in enumerate(chosen)]
        return {"batch": f"day-{number}", "records": records}

    def _application(self, reception: str, place: int) -> dict[str, Any]:
        number = self._city.resident(place % len(APPLICANTS)).individual_number
        return {"reception": reception, "procedure": "MOVE-OUT", "applicant": APPLICANTS[place % len(APPLICANTS)], "number": number}

    # ---- day and evening

    def changed(self, who: Concerned) -> None:
        """The city CS has taken an update of this resident."""
        if not who.gone:
            self._changed[who.atena] = who
        if who.new:
            self._coded.append(self._city.resident(who.index).resident_record_code)

    async def evening(self, number: int) -> None:
        """What is done when the day is through."""
        if self._house.carries(COLUMNS, COLUMN):
            for place in range(self._share(COLUMNS_A_DAY_PER_100000)):
                person = self._city.resident(self._random.randrange(self._city.population))
                items = {**samples.items(COLUMN, 1 + place), "atena_number": person.atena_number}
                self._house.go(self._hand_in(COLUMNS, COLUMN, items, f"column-{number}-{place}"))
        if SERVER in self._house.town.plan.parties:
            await self._outside.control(SERVER, "POST", "emit", {"do": "check-list"})
            await self._outside.control(SERVER, "POST", "emit", {"do": "status", "status": "RUNNING"})
            await self._inquire()
        if number % EVERY_DAYS == 1:
            self._compare(number)
        self._changed.clear()

    async def _hand_in(self, system: str, kind: str, items: Items, name: str) -> None:
        await self._house.hand_in(system, kind, items, name)

    def _column(self, items: Items) -> None:
        """The internal link system has an administrative column: it hands it on to the register, as it is (FS1-8b 2)."""
        self._house.go(self._hand_in(LINK, COLUMN, flat(items), f"on-{items['atena_number']}-{self._random.getrandbits(64):x}"))

    # ---- copies against the master

    def _compare(self, number: int) -> None:
        run = f"RUN-{number}"
        chosen = list(self._changed.values())[:COMPARED]
        for who in chosen:
            items = {
                "run_id": run,
                "atena_number": who.atena,
                "individual_number": who.individual,
                "resident_items/name": who.items["name"],
            }
            self._house.register(MASTER, items, f"master-{number}-{who.atena}")
        self._comparing[run] = len(chosen)

    def _master(self, items: Items) -> None:
        run = items["run_id"]
        self._comparing[run] -= 1
        if self._comparing[run] == 0:
            found = self._house.system(LINK).differences(run)
            said: dict[str, str | None] = {"run_id": run}
            for place, each in enumerate(found, start=1):
                said[f"differences[{place}]/atena_number"] = each["atena_number"]
                said[f"differences[{place}]/kind"] = "1" if each["kind"] == "missing" else "3"
            self._house.go(self._hand_in(LINK, COPY, said, f"copies-{run}"))

    # ---- inquiries of other bodies

    async def _inquire(self) -> None:
        """Half of them about somebody of whom a code was asked for."""
        for place in range(a_day(self._city, "provision-request")):
            if place % 2 and self._coded:
                resident = self._random.choice(self._coded)
            else:
                resident = self._city.resident(self._random.randrange(self._city.population)).resident_record_code
            asked = {"do": "inquire", "inquirer": f"inquirer-{1 + self._random.randrange(9)}", "resident": resident, "key": self._key}
            said = await self._outside.control(SERVER, "POST", "emit", asked)
            self.inquiries[said["outcome"]] += 1


def flat(items: Mapping[str, Any], prefix: str = "") -> dict[str, str | None]:
    """Nested items by their paths; what repeats is numbered."""
    found: dict[str, str | None] = {}
    for name, value in items.items():
        for place, each in enumerate(value if isinstance(value, list) else [value], start=1):
            path = f"{prefix}{name}[{place}]" if isinstance(value, list) else f"{prefix}{name}"
            found |= flat(each, f"{path}/") if isinstance(each, dict) else {path: each}
    return found


def _foreigners(city: City) -> Any:
    found = 0
    for index in range(city.population):
        if found == FOREIGNERS:
            return
        if (person := city.resident(index)).residence_card_number is not None:
            found += 1
            yield person


def _status_notice(person: Resident) -> str:
    items = {**samples.items("residence-status-notice", 1), "residence_card_number": person.residence_card_number}
    xml = writing.write("residence-status-notice", items).to_bytes().decode()
    for ours, theirs in _THEIRS.items():
        xml = xml.replace(ours, theirs)
    return xml


def _public_key() -> str:
    """Of an inquirer, for this run."""
    key = rsa.generate_private_key(65537, 3072).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
