"""Everything else that a city's systems send in a day: what follows from register events, and what happens beside them.

What follows (flow F1-1): the change notification to the internal link system, the data of certificates, the notice to the municipality that
somebody left, the supplement of the family register, the notice about a foreign resident, the request for a newborn's number. What happens
beside: certificate requests at kiosks, inquiries over the network, card events, applications through the portal, support measures.

Yearly numbers for 400,000 residents: 103,000 certificates, 97,000 inquiries (domain facts, section 4); 40,000 card events, 12,000
applications and 240 new support measures (支援措置) are planning assumptions.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone

from message_formats import samples, writing
from simulators.city.events import WORKING_DAYS, Event
from simulators.city.people import People, Resident

_JST = timezone(timedelta(hours=9))

PER_1000_A_YEAR: Mapping[str, float] = {
    "certificate-request": 257.5,
    "provision-request": 242.5,
    "card-management-update": 100.0,
    "application-record": 30.0,
    "resident-protection-mark": 0.6,
}
"""Messages a year for 1,000 residents, beside the register's own."""

_SOURCES = {
    "certificate-request": "convenience-server",
    "provision-request": "other-agency-intermediate-server",
    "card-management-update": "card-management-system",
    "application-record": "application-management-system",
    "resident-protection-mark": "resident-record-system",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One message of the day.

    :ivar source: the system that sends it (spec id).
    :ivar follows: the ``ce_id`` of the register event that it follows from, if it does.
    """

    type: str
    source: str
    resident: int
    ce_id: str
    ce_time: datetime
    xml: bytes = field(repr=False)
    follows: str | None = None


def following(events: Iterable[Event], people: People) -> Iterator[Sent]:
    """What the register sends besides the identity update for each of its events, in the order of the events."""
    for event in events:
        person = people.resident(event.resident)
        for type_name, items in _following(event, person, head_name(event, person, people)):
            yield Sent(
                type=type_name,
                source="resident-record-system",
                resident=event.resident,
                ce_id=f"{event.ce_id}-{type_name}",
                ce_time=event.ce_time,
                xml=writing.write(type_name, items).to_bytes(),
                follows=event.ce_id,
            )


def head_name(event: Event, person: Resident, people: People) -> str | None:
    """The name of the head of household: the person's own where it is the head, otherwise that of the first member."""
    own = event.items["name_kanji"]
    if event.items["relationship"] == "世帯主" or not person.members or person.members[0] == person.index:
        return own
    return people.resident(person.members[0]).name


def _following(event: Event, person: Resident, head_name: str | None) -> Iterator[tuple[str, dict[str, str | None]]]:
    now = event.items
    date_items = {key: now.get(key) for key in ("birth_date", "birth_date@text")}
    yield (
        "resident-change-notification",
        {
            "atena_number": person.atena_number,
            "name": now["name_kanji"],
            "address": now["address"],
            "sex": now["sex"],
            **date_items,
            "household_relation/head_name": head_name,
            "household_relation/relationship": now["relationship"],
            "became_resident_on": now["resident_since"],
            "address_since": now["address_since"],
            **{f"foreign_resident_items/{key}": value for key, value in _foreign(person).items()},
            "change_information/change_reason": now["change_reason"],
            "change_information/change_date": now["change_date"],
            "change_information/notified_on": now["notified_on"],
            "individual_number": now["individual_number"],
        },
    )
    yield (
        "certificate-data-change",
        {
            "atena_number": person.atena_number,
            "resident_record_copy_data/name": now["name_kanji"],
            **{f"resident_record_copy_data/{key}": value for key, value in date_items.items()},
            "resident_record_copy_data/sex": now["sex"],
            "resident_record_copy_data/address": now["address"],
            "resident_record_copy_data/head_name": head_name,
            "resident_record_copy_data/relationship": now["relationship"],
            "resident_record_copy_data/resident_since": now["resident_since"],
            "resident_record_copy_data/address_since": now["address_since"],
            "resident_record_copy_data/certificate_stop": "1" if person.protected or now["record_status_flag"] == "2" else "0",
        },
    )
    if event.reason == "IN_DOM":
        notice = {"resident_record_code": now["resident_record_code"], "name": now["name_kanji"], "move_in_date": now["change_date"]}
        yield "move-in-notice", {**notice, "new_municipality": now["municipality_code"]}
    if event.reason in ("IN_DOM", "MOVE") and person.category is None:
        here = person.index % 3 == 0  # a third have their family register in this city
        items = {
            "domicile": "虚構県架空市見本本町１番地" if here else "虚構県別天市例示町４番地",
            "register_head": now["name_kanji"],
            "supplement_entries/name": now["name_kanji"],
            **{f"supplement_entries/{key}": value for key, value in date_items.items()},
            "supplement_entries/address": now["address"],
            "supplement_entries/address_since": now["address_since"],
            "supplement_entries/change_reason": now["change_reason"],
            "supplement_entries/notified_on": now["notified_on"],
        }
        if here:
            yield "family-register-supplement-internal", items
        else:
            yield "family-register-supplement-notice", {**items, "address": now["address"]}
    if person.residence_card_number is not None and event.reason in ("IN_DOM", "IN_ABR", "MOVE", "OUT_DOM", "OUT_ABR"):
        yield (
            "residence-address-notice",
            {
                "residence_card_number": person.residence_card_number,
                "address_notified": "1",
                "address_change/change_reason": now["change_reason"],
                "address_change/address": now["address"],
                "address_change/changed_on": now["change_date"],
                "address_change/notified_on": now["notified_on"],
            },
        )
    if event.reason == "BIRTH":
        yield "individual-number-generation-request", {"resident_record_code": now["resident_record_code"]}


def _foreign(person: Resident) -> dict[str, str | None]:
    if person.category is None:
        return {}
    return {
        "nationality": "見本国",
        "became_foreign_resident_on": person.resident_since,
        "article_30_45_category": person.category,
        "residence_card_number": person.residence_card_number,
        "status_of_residence": "特別永住者" if person.category == "2" else "定住者",
        "period_of_stay_expiry": None if person.category == "2" else "20300331",
    }


def beside(people: People, day: int, when: date) -> Iterator[Sent]:
    """What happens in a day beside the register's events, in the order of time; kiosks are open from 6:30 to 23:00."""
    source = random.Random(f"renkei-city/{people.seed}/{people.population}/beside/{day}")
    plan: list[tuple[int, str]] = []
    for type_name, rate in PER_1000_A_YEAR.items():
        expected = people.population / 1000 * rate / WORKING_DAYS
        count = int(expected) + (source.random() < expected % 1)
        first, last = (6.5, 23.0) if type_name == "certificate-request" else (8.75, 17.25)
        plan += [(int((first + source.random() * (last - first)) * 3_600_000), type_name) for _ in range(count)]
    for number, (milliseconds, type_name) in enumerate(sorted(plan)):
        resident = source.randrange(people.population)
        if type_name == "resident-protection-mark":
            resident = _protected(people, source, resident)
        at = datetime.combine(when, time(), _JST) + timedelta(milliseconds=milliseconds)
        yield Sent(
            type=type_name,
            source=_SOURCES[type_name],
            resident=resident,
            ce_id=f"{people.seed:x}-{day:05d}-b{number:06d}",
            ce_time=at.astimezone(UTC),
            xml=writing.write(type_name, _beside_items(type_name, people.resident(resident), source, at)).to_bytes(),
        )


def _protected(people: People, source: random.Random, otherwise: int) -> int:
    """Somebody under support measures: one in 500 is, so that a few thousand looks find one in every city but a tiny one."""
    found = (number for _ in range(5000) if people.resident(number := source.randrange(people.population)).protected)
    return next(found, otherwise)


def protection_marks(people: People) -> Iterator[dict[str, str | None]]:
    """The marks of everybody who is under support measures on the first day: what a register hands over once, before anything else."""
    for index in range(people.population):
        person = people.resident(index)
        if person.protected:
            yield _protection_items(person, people.first_day, "2")


def _protection_items(person: Resident, since: date, state: str) -> dict[str, str | None]:
    return {
        "atena_number": person.atena_number,
        "resident_record_code": person.resident_record_code,
        "residence_card_number": person.residence_card_number,
        "measure": ("1", "2", "3", "9")[person.index % 4],
        "state": state,
        "starts_on": f"{since:%Y%m%d}",
        "ends_on": f"{since + timedelta(days=365):%Y%m%d}",
    }


def _beside_items(type_name: str, person: Resident, source: random.Random, at: datetime) -> dict[str, str | None]:
    stamp = f"{at:%Y%m%d%H%M%S}{at.microsecond // 1000:03d}"
    serial = samples.certificate_serial(person.index)
    if type_name == "certificate-request":
        kind = source.choices(("1", "2", "3", "4"), (60, 28, 7, 5))[0]
        return {"request_id": f"{source.getrandbits(128):032x}", "certificate_serial_number": serial, "certificate_type": kind}
    if type_name == "provision-request":
        work = f"WORK{source.randrange(1, 60):03d}"
        return {
            "code": f"SAMPLECODE{person.index:010d}",
            "inquirer": f"AGENCY{source.randrange(1, 60):03d}",
            "work": work,
            "items[1]": "HOUSEHOLD",
        }
    if type_name == "resident-protection-mark":
        return _protection_items(person, at.date(), source.choice(("1", "2")))
    if type_name == "card-management-update":
        event = source.choices(("1", "2", "3", "4", "5"), (70, 10, 8, 7, 5))[0]
        return {"resident_record_code": person.resident_record_code, "event": event, "card_identifier": f"SAMPLE-CARD-{person.index:08d}"}
    return {
        "atena_number": person.atena_number,
        "form/procedure": source.choice(("MOVE-OUT", "MOVE-IN-VISIT", "CHILD-ALLOWANCE")),
        "form/received_at": stamp,
        "form/field[1]/field_id": "note",
        "form/field[1]/value": "架空の申請。\n見本として作成。",
    }
