"""What a day of the city asks of the register (F1-1 and what hangs on it), and what happens elsewhere because of it. Deterministic by seed.

Each event becomes its identity update and all that follows from it; births and arrivals from abroad ask for a number and tell where the
card is to go; of those who moved out, the destination's notice comes some days later; on each day somebody moves in with a card (F1-4,
F2-3), cards are delivered, and somebody who is domiciled here moved elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from message_formats import samples, writing
from simulators.city import City, Event, spoiled
from simulators.city.daily import following
from simulators.references import References
from simulators.register.messages import Door, Outgoing, of_type, outgoing, random_looking_id
from simulators.replay.concerned import Concerned, concerned
from simulators.replay.ways import CARDS, CITY_CS, DESTINATION, EPHEMERAL, GENERATION, MOVE_OUT
from simulators.world.people import Elsewhere, Person

NOTICE_AFTER_DAYS = 2
"""The destination's notice comes so many days after somebody moved out; a card is delivered then."""
DOMICILE = samples.municipality_code("99305")
"""Where families are registered that are not registered here (:mod:`simulators.city.daily`)."""
SPECIAL_OUT_EVERY = 10
"""So many move-outs, one by a holder of a card."""
SPECIAL_EVERY = 100
"""So many events, one special move-in with a card; one supplement from elsewhere; one wrongly entered in-city move."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A message of the register, and whose number must have come before it may go."""

    message: Outgoing
    waits_for_number_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something that a party begins: what its control API is told."""

    party: str
    what: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class DayPlan:
    """One day."""

    number: int
    messages: list[Planned]
    happenings: list[Happening]
    right: dict[str, bytes]
    """Of what was entered wrongly, what it should have said, by id."""
    concerned: dict[str, Concerned]
    """Whom each update concerns, by id, where somebody besides the Juki-net must know."""


class Month:
    """The days of a city, one after another."""

    def __init__(
        self,
        city: City,
        references: References,
        *,
        types: Collection[str],
        events_a_day: int | None = None,
        notice_after: int = NOTICE_AFTER_DAYS,
    ) -> None:
        """``types``: those that go to somebody; ``events_a_day``: instead of an average day's, which differ a little;
        ``notice_after``: days after which the destination's notice comes."""
        self._city, self._references = city, references
        self._types = frozenset(types)
        self._events, self._after = events_a_day, notice_after
        self._elsewhere = Elsewhere(city.seed)
        self._notices: defaultdict[int, list[Happening]] = defaultdict(list)
        self._numbered = self._gone = 0
        self.special: dict[str, Person] = {}
        """Who moves in with a card, by code: asked for, and not there yet."""

    def day(self, number: int) -> DayPlan:
        """The plan of one day; days are asked for in order."""
        events = list(self._city.day(number, self._events or (self._city.average_events() if number == 1 else None)))
        return self.plan(number, events, self._wrong(events))

    def due(self, number: int) -> list[Happening]:
        """What was planned for a day before it."""
        return self._notices.pop(number, [])

    def plan(self, number: int, events: Iterable[Event], wrong: Collection[str]) -> DayPlan:
        """A day of these events, of which ``wrong`` (ids of in-city moves) are entered with a mistake."""
        plan = DayPlan(number=number, messages=[], happenings=self.due(number), right={}, concerned={})
        for place, event in enumerate(events):
            sent = event
            if event.ce_id in wrong:
                sent, plan.right[event.ce_id] = spoiled(event), event.xml
            plan.messages += self._of_event(sent)
            if (who := concerned(event, self._city)) is not None:
                plan.concerned[event.ce_id] = who
            self._elsewhere_of(event, place, plan)
        return plan

    @staticmethod
    def _wrong(events: Iterable[Event]) -> frozenset[str]:
        moves = [event.ce_id for event in events if event.reason == "MOVE"]
        return frozenset(moves[::SPECIAL_EVERY])

    # ---- the register ----------------------------------------------------------------------------------------------------------

    def _of_event(self, event: Event) -> Iterator[Planned]:
        time = stamp(event.ce_time)
        first = outgoing(event.xml, id=event.ce_id, time=time, references=self._references).handled_by(event.operator, event.terminal)
        code = event.items["resident_record_code"] or ""
        yield Planned(message=first, waits_for_number_of=code if event.reason == "NUM_ADD" else None)
        for each in following((event,), self._city.people):
            if each.type in self._types:
                yield Planned(message=self._made(each.type, each.xml, each.ce_id, time, self._municipality(each.type, event)))
        if event.reason in ("BIRTH", "IN_ABR"):
            yield from self._new_number(event, code, time)

    def _new_number(self, event: Event, code: str, time: str) -> Iterator[Planned]:
        self._numbered += 1
        wanted: dict[str, dict[str, Any]] = {} if event.reason == "BIRTH" else {GENERATION: {"resident_record_code": code}}
        wanted[DESTINATION] = {
            **samples.items(DESTINATION, 1 + self._numbered % 9_000),
            "destination_control_number": f"{self._city.seed % 1000:03d}{self._numbered:020d}",
            "person[1]/resident_record_code": code,
            "person[1]/individual_number": self._city.people.resident(event.resident).individual_number,
        }
        for kind, items in wanted.items():
            if kind in self._types:
                yield Planned(message=self._made(kind, written(kind, items), f"{event.ce_id}-{kind}", time))

    @staticmethod
    def _municipality(kind: str, event: Event) -> str | None:
        if kind == "move-in-notice":
            return event.items["previous_municipality_code"]
        return DOMICILE if kind == "family-register-supplement-notice" else None

    def _made(self, kind: str, xml: bytes, id: str, time: str, municipality: str | None = None) -> Outgoing:
        door: Door | None = "https" if kind in EPHEMERAL else None
        return of_type(kind, xml, id=id, time=time, references=self._references, municipality=municipality, door=door)

    # ---- elsewhere -------------------------------------------------------------------------------------------------------------

    def _elsewhere_of(self, event: Event, place: int, plan: DayPlan) -> None:
        if event.reason == "OUT_DOM":
            told = {"code": event.items["resident_record_code"], "name": event.items["name_kanji"], "date": event.items["change_date"]}
            notice = Happening(party=CITY_CS, what={"do": "move-in-notice", "municipality": DOMICILE, **told})
            self._notices[plan.number + self._after].append(notice)
            self._gone += 1
            if self._gone % SPECIAL_OUT_EVERY == 1 and MOVE_OUT in self._types:
                plan.messages.append(self._special_out(event))
                asks = {"do": "move-out-certificate-request", "municipality": DOMICILE, "code": event.items["resident_record_code"]}
                self._notices[plan.number + self._after].append(Happening(party=CITY_CS, what=asks))
        if event.reason in ("BIRTH", "IN_ABR") and DESTINATION in self._types:
            card = {"code": event.items["resident_record_code"], "card": f"SAMPLE-CARD-{self._numbered:08d}", "event": "ISSUED"}
            self._notices[plan.number + self._after].append(Happening(party=CARDS, what={"do": "card", **card}))
        if place % SPECIAL_EVERY == 0:
            index = plan.number * 37 + place // SPECIAL_EVERY
            if "move-out-certificate-request" in self._types:
                plan.messages.append(self._special(index, event, plan))
            plan.happenings.append(Happening(party=CITY_CS, what={"do": "supplement", "municipality": DOMICILE, "index": index % 1000}))
        if plan.number == 1 and place == 0:
            plan.happenings.append(Happening(party=CITY_CS, what={"do": "allocate", "count": 20}))

    def _special_out(self, event: Event) -> Planned:
        """特例転出: the city CS has the certificate data before the destination asks for them (F1-3)."""
        now = event.items
        further = {
            "head_name": now["name_kanji"], "relationship": "世帯主", "destination_address": "虚構県別天市例示町４番地",
            "move_out_on": now["change_date"], "domicile": "虚構県架空市見本町１番地", "register_head": now["name_kanji"],
            "special_move_out": "1",
        }  # fmt: skip
        items = {name: now[name] for name in ("resident_record_code", "address", "birth_date", "sex", "individual_number")}
        items |= {"name": now["name_kanji"], "birth_date@text": now.get("birth_date@text")}
        items |= {f"further_items/{name}": value for name, value in further.items()}
        xml = written(MOVE_OUT, items)
        return Planned(message=self._made(MOVE_OUT, xml, f"{event.ce_id}-{MOVE_OUT}", stamp(event.ce_time), DOMICILE))

    def _special(self, index: int, event: Event, plan: DayPlan) -> Planned:
        """特例転入: the register asks the origin; the rest follows when the data have come (:meth:`arrived`)."""
        self._elsewhere.municipality(DOMICILE)
        person = self._elsewhere.person(DOMICILE, index % 1000)
        kind = "move-out-certificate-request"
        items = {"resident_record_code": person.code, "requesting_municipality": samples.municipality_code()}
        self.special[person.code] = person
        made = self._made(kind, written(kind, items), f"{event.ce_id}-{kind}", stamp(event.ce_time), DOMICILE)
        return Planned(message=made)

    def arrived(self, code: str, day: int, at: datetime) -> list[Outgoing]:
        """The certificate data of somebody who moves in with a card are there: the origin hears of it, and the card goes on."""
        person = self.special.pop(code, None)
        if person is None:
            return []
        when = f"{self._city.date_of(day):%Y%m%d}"
        notice = {"resident_record_code": code, "name": person.name, "move_in_date": when, "new_municipality": samples.municipality_code()}
        card = {"resident_record_code": code, "card_identifier": f"SAMPLE-CARD-{code[:10]}", "continuation": "1"}
        found = {"move-in-notice": notice, "card-continuation-request": card}
        return [
            self._made(kind, written(kind, items), random_looking_id("arrived", str(day), code, kind), stamp(at), municipality)
            for (kind, items), municipality in zip(found.items(), (DOMICILE, None), strict=True)
            if kind in self._types
        ]

    def handed_on(self, kind: str, items: Mapping[str, str | None], name: str, at: datetime) -> list[Outgoing]:
        """What the register has for another of our systems goes on as a message of its own (FS2-12)."""
        return [self._made(kind, written(kind, items), name, stamp(at))] if kind in self._types else []


def written(kind: str, items: Mapping[str, str | None]) -> bytes:
    """The XML."""
    return writing.write(kind, items).to_bytes()


def stamp(at: datetime) -> str:
    """As CloudEvents have it."""
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
