"""What happens in the city, day by day: a stream of register events with the real mix, each as an ``identity-information-update``.

Rates are those of 芽室町 (about 144 events a year for 1,000 residents) and of the national statistics for births and deaths. On a peak day
there are four times as many as on an average working day. A day is computed from the seed and the days before it, so the same
city gives the same stream always.
"""

from __future__ import annotations

import bisect
import heapq
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta, timezone

from message_formats import codes, kana
from message_formats.repertoire import gaiji_count
from message_formats.samples import municipality_code
from simulators.city import names
from simulators.city.people import BIRTHS, People, Resident, address
from simulators.city.render import identity_xml

_JST = timezone(timedelta(hours=9))
_OPENS, _OFFICE_S = time(8, 45), int(8.5 * 3600)

# Events a year for 1,000 residents, by what happens. A move concerns whole households.
_RATES: tuple[tuple[str, float], ...] = (
    ("BIRTH", 5.5),
    ("DEATH", 12.9),
    ("IN_DOM", 40.0),
    ("IN_ABR", 6.0),
    ("OUT_DOM", 38.0),
    ("OUT_ABR", 4.0),
    ("MOVE", 27.0),
    ("HH_HEAD", 6.0),
    ("AMEND_OFF", 4.0),
)
# How many move together, on average: somebody chosen among all residents lives in a larger household than the average one.
_TOGETHER = {"IN_DOM": 2.0, "IN_ABR": 2.0, "OUT_DOM": 2.7, "OUT_ABR": 2.7, "MOVE": 2.7}
EVENTS_PER_1000 = sum(rate for _, rate in _RATES)
WORKING_DAYS = 245
PEAK = 4
KINDS = tuple(kind for kind, _ in _RATES)
"""What a day can be restricted to."""
_TRIES = 200
"""Draws before a small city is asked who lives there at all."""
_FOLLOW_UP = 0.05  # share of events after which the same resident has another one on the same day


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of the register, ready to be sent.

    :ivar order: place within its day, from 0; events are sent in this order.
    :ivar ce_id: the CloudEvents id.
    :ivar change_reason: the two-digit code; ``reason`` is its symbolic name.
    :ivar sequence: 更新順番号: 1, 2, 3… for each resident through the stream.
    :ivar corrects: the ``ce_id`` of the event that this one replaces.
    """

    day: int
    order: int
    resident: int
    ce_id: str
    ce_time: datetime
    change_reason: str
    reason: str
    sequence: int
    request_control_number: str
    items: Mapping[str, str | None] = field(repr=False)
    xml: bytes = field(repr=False)
    corrects: str | None = None
    operator: str = "staff-101"
    terminal: str = "terminal-01"


class _Life:
    """What has changed for one resident since the first day."""

    __slots__ = ("changes", "here", "sequence")

    def __init__(self, here: bool) -> None:
        self.here = here
        self.sequence = 0
        self.changes: dict[str, str | None] = {}


class World:
    """The state of the city after some days. Grows with what has changed only."""

    def __init__(self) -> None:
        self.lives: dict[int, _Life] = {}
        self.next_mover: int | None = None
        self.next_birth = BIRTHS
        self.days_done = 0


class Day:
    """The events of one day, in order; advances ``world`` as it goes."""

    def __init__(self, people: People, world: World, number: int, count: int, when: date, kinds: Collection[str] = KINDS) -> None:
        """``kinds``: what may happen, of :data:`KINDS`; what follows from it on the same day happens as well."""
        self._people = people
        self._world = world
        self._number = number
        self._count = count
        self._date = when
        self._random = random.Random(f"renkei-city/{people.seed}/{people.population}/{number}")
        self._kinds = [kind for kind in KINDS if kind in kinds]
        self._bounds: list[float] = []
        total = 0.0
        for kind, rate in _RATES:
            if kind not in self._kinds:
                continue
            total += rate / _TOGETHER.get(kind, 1.0)
            self._bounds.append(total)
        self._pending: list[tuple[int, int, int, str]] = []
        self._moving_to: dict[int, int] = {}
        self._made = 0

    def events(self) -> Iterator[Event]:
        """All events of the day. Consume it wholly: the world is of use only then.

        :raises ValueError: nobody is left to whom anything of these kinds could happen.
        """
        empty = 0
        while self._made < self._count:
            if self._pending and self._pending[0][0] <= self._made:
                _, _, resident, reason = heapq.heappop(self._pending)
                if self._life(resident).here:
                    yield self._event(resident, reason)
                continue
            kind = self._kinds[bisect.bisect(self._bounds, self._random.random() * self._bounds[-1])]
            happening = self._happening(kind)
            empty = 0 if happening else empty + 1
            if empty > _TRIES:
                raise ValueError(f"nobody is left in this city of {self._people.population} on day {self._number}")
            for resident, reason in happening:
                if self._made >= self._count:
                    break
                yield self._event(resident, reason)
        self._world.days_done = self._number

    def _life(self, resident: int) -> _Life:
        life = self._world.lives.get(resident)
        if life is None:
            life = self._world.lives[resident] = _Life(resident < self._people.population)
        return life

    def _happening(self, kind: str) -> list[tuple[int, str]]:
        if kind in ("IN_DOM", "IN_ABR"):
            return [(resident, kind) for resident in self._next_movers()]
        if kind == "BIRTH":
            return self._birth()
        resident = self._somebody()
        if resident is None:
            return []
        if kind in ("OUT_DOM", "OUT_ABR", "MOVE"):
            together = [member for member in self._people.household(resident) if self._known(member) and self._life(member).here]
            self._moving_to |= dict.fromkeys(together, self._random.getrandbits(48))  # all to one address
            return [(member, kind) for member in together]
        if kind == "DEATH":
            return self._death(resident)
        return [(resident, kind)]

    def _known(self, resident: int) -> bool:
        return resident < self._people.population or resident in self._world.lives

    def _somebody(self) -> int | None:
        for _ in range(_TRIES):
            resident = self._random.randrange(self._people.population)
            if self._life_here(resident):
                return resident
        # nearly all of the first day have left: one of those who live here now, if there is anyone
        here = [resident for resident in range(self._people.population) if self._life_here(resident)]
        here += [resident for resident, life in self._world.lives.items() if resident >= self._people.population and life.here]
        return self._random.choice(here) if here else None

    def _life_here(self, resident: int) -> bool:
        life = self._world.lives.get(resident)
        return resident < self._people.population if life is None else life.here

    def _next_movers(self) -> tuple[int, ...]:
        world = self._world
        if world.next_mover is None:
            last = self._people.household(self._people.population - 1)
            world.next_mover = last[-1] + 1  # the household that the population's end may have cut in two stays out
        household = self._people.household(world.next_mover)
        world.next_mover = household[-1] + 1
        return household

    def _birth(self) -> list[tuple[int, str]]:
        for _ in range(_TRIES):
            child = self._world.next_birth
            self._world.next_birth += 1
            if self._life_here(self._people.parent(child)):
                # The number of a newborn is generated by J-LIS after the resident record code: it follows on the same day.
                self._later(child, "NUM_ADD")
                return [(child, "BIRTH")]
        return []

    def _death(self, resident: int) -> list[tuple[int, str]]:
        happening = [(resident, "DEATH")]
        if self._people.resident(resident).relationship == "世帯主":
            survivors = [member for member in self._people.household(resident) if member != resident and self._known(member)]
            survivors = [member for member in survivors if self._life(member).here]
            if survivors:
                happening.append((survivors[0], "HH_HEAD"))
        return happening

    def _later(self, resident: int, reason: str) -> None:
        position = self._made + 1 + self._random.randrange(1, 12)
        heapq.heappush(self._pending, (position, len(self._pending), resident, reason))

    def _event(self, resident: int, reason: str) -> Event:
        life = self._life(resident)
        when = datetime.combine(self._date, _OPENS, _JST) + timedelta(
            milliseconds=int(_OFFICE_S * 1000 * (self._made + self._random.random()) / max(self._count, 1))
        )
        group = codes.table("change_reason").of(reason).more["group"]
        life.here = group != "remove"
        life.sequence += 1
        person = self._people.resident(resident)
        items = self._items(person, life, reason, when)
        order = self._made
        self._made += 1
        if reason != "NUM_ADD" and life.here and self._random.random() < _FOLLOW_UP:
            self._later(resident, self._random.choice(("MOVE", "AMEND_OFF", "HH_CHANGE")))
        return Event(
            day=self._number,
            order=order,
            resident=resident,
            ce_id=f"{self._people.seed:x}-{self._number:05d}-{order:07d}",
            ce_time=when.astimezone(UTC),
            change_reason=items["change_reason"] or "",
            reason=reason,
            sequence=life.sequence,
            request_control_number=items["request_control_number"] or "",
            items=items,
            xml=identity_xml(items),
            operator=items["operating_site_id"] or "",
            terminal=items["operating_terminal_id"] or "",
        )

    def _items(self, person: Resident, life: _Life, reason: str, when: datetime) -> dict[str, str | None]:
        today = f"{self._date:%Y%m%d}"
        group = codes.table("change_reason").of(reason).more["group"]
        metadata: dict[str, str | None] = {
            "notified_on": today,
            "change_reason": codes.table("change_reason").of(reason).code,
            "change_date": today,
            "change_reason_detail": "01",
            "request_control_number": f"R{self._people.seed % 10_000:04d}{self._number:05d}{self._made:07d}",
            "operating_site_id": f"SITE{1 + self._random.randrange(4):02d}",
            "operating_terminal_id": f"TERM{1 + self._random.randrange(24):04d}",
            "update_sequence_number": str(life.sequence),
            "record_status_flag": "2" if group == "remove" else "1",
            "timestamp": f"{when:%Y%m%d%H%M%S}{when.microsecond // 1000:03d}",
        }
        changes = life.changes
        if reason in ("IN_DOM", "IN_ABR", "BIRTH"):
            changes |= {"resident_since": today, "address_since": today}
            if reason == "BIRTH":
                changes |= {"birth_date": today, "individual_number": None}
            if reason == "IN_DOM":
                base, place = names.OTHER_CITIES[self._random.randrange(len(names.OTHER_CITIES))]
                previous = f"{place}例示町{self._random.randrange(1, 9)}丁目{self._random.randrange(1, 30)}番"
                metadata |= {"previous_municipality_code": municipality_code(base), "previous_address": previous}
                metadata["previous_address_gaiji_count"] = str(gaiji_count(previous))
        elif reason == "NUM_ADD":
            changes["individual_number"] = person.individual_number
        elif reason == "MOVE":
            new = address(self._people.bits(b"moved", self._moving_to.pop(person.index, 0) or self._random.getrandbits(48)))
            changes |= {
                "town_code": new.town_code,
                "postal_code": new.postal_code,
                "address": new.text,
                "address_gaiji_count": str(gaiji_count(new.text)),
                "address_since": today,
            }
        elif reason == "HH_HEAD":
            changes["relationship"] = "世帯主"
        elif reason == "HH_CHANGE":
            changes["relationship"] = "同居人" if (changes.get("relationship") or person.relationship) != "同居人" else "縁故者"
        elif reason == "AMEND_OFF":
            now = changes.get("name_furigana") or person.kana
            corrected = f"{person.kana}ー" if now == person.kana else person.kana
            changes |= {"name_furigana": corrected, "name_kana_normalised": kana.normalised(corrected)}
        items = base_items(person, municipality_code())
        items.update(changes)
        items.update(metadata)
        items["gaiji_flag"] = "1" if any(items[count] not in (None, "0") for count in _COUNTS) else "0"
        return items


_COUNTS = ("name_gaiji_count", "address_gaiji_count", "previous_address_gaiji_count")


def base_items(person: Resident, municipality: str) -> dict[str, str | None]:
    """The 36 items of a resident as the city CS holds them on the first day: no update yet (更新順番号 0)."""
    name_gaiji, address_gaiji = gaiji_count(person.name), gaiji_count(person.address.text)
    items: dict[str, str | None] = {
        "resident_record_code": person.resident_record_code,
        "name_kanji": person.name,
        "name_gaiji_count": str(name_gaiji),
        "name_furigana": person.kana,
        "name_kana_normalised": kana.normalised(person.kana),
        "birth_date": person.birth_date,
        "sex": person.sex,
        "municipality_code": municipality,
        "town_code": person.address.town_code,
        "postal_code": person.address.postal_code,
        "address": person.address.text,
        "address_gaiji_count": str(address_gaiji),
        "individual_number": person.individual_number,
        "resident_since": person.resident_since,
        "address_since": person.address_since,
        "notified_on": person.resident_since,
        "previous_municipality_code": None,
        "previous_address": None,
        "previous_address_gaiji_count": None,
        "relationship": person.relationship,
        "change_reason": "16",
        "change_date": person.resident_since,
        "change_reason_detail": "02",
        "former_resident_record_code": None,
        "resident_record_code_used_from": None,
        "request_control_number": f"INITIAL{person.index:08d}",
        "operating_site_id": "SITE00",
        "operating_terminal_id": "TERM0000",
        "update_sequence_number": "0",
        "abnormal_update_sequence_number": None,
        "update_prohibited_flag": "0",
        "prospective_resident_flag": "0",
        "exclusive_lock_flag": "0",
        "gaiji_flag": "1" if name_gaiji or address_gaiji else "0",
        "record_status_flag": "1",
        "timestamp": f"{person.resident_since}090000000",
    }
    if person.birth_text is not None:
        items["birth_date@text"] = person.birth_text
    return items


def replacement(event: Event, *, abnormal: int = 1, items: Mapping[str, str | None] | None = None) -> Event:
    """The register's replacement of a refused or held event (異常時更新順番号): same place in the order, another request control number.

    :param abnormal: 1, 2… for each resident.
    :param items: the corrected items; those of the event itself if there was nothing wrong with them.
    """
    number = f"{event.request_control_number}X{abnormal}"
    corrected = dict(items if items is not None else event.items)
    corrected |= {"request_control_number": number, "abnormal_update_sequence_number": str(abnormal)}
    return replace(
        event,
        ce_id=f"{event.ce_id}-x{abnormal}",
        ce_time=event.ce_time + timedelta(hours=1),
        request_control_number=number,
        items=corrected,
        xml=identity_xml(corrected),
        corrects=event.ce_id,
    )


def spoiled(event: Event) -> Event:
    """The same event with an item that an in-city move may not change: the city CS refuses it (E102). For in-city moves only."""
    if event.reason != "MOVE":
        raise ValueError("only an in-city move can change too much")
    items = dict(event.items)
    items["sex"] = "2" if items["sex"] == "1" else "1"
    return replace(event, items=items, xml=identity_xml(items))


def alone(people: People, number: int, count: int, when: date, resident: int, reasons: Sequence[str]) -> list[Event]:
    """What happens to one resident to whom nothing else happens, one reason after another: the last events of a day of ``count``."""
    day = Day(people, World(), number, count, when)
    day._made = count - len(reasons)
    return [day._event(resident, reason) for reason in reasons]
