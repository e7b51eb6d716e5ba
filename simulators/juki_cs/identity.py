"""Identity information (本人確認情報) as the city CS knows it: ours from its own file, all others from the national server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from message_formats import writing
from simulators.city import City
from simulators.juki_cs.checks import Resident
from simulators.soap.deciding import QuestionRefused
from simulators.soap.envelope import Record
from simulators.world.finding import FOUR, MOST, Names, chosen, fits, plain

if TYPE_CHECKING:
    from simulators.juki_cs.party import JukiCs

_ITEMS = {
    "resident_record_code": "resident_record_code",
    "name_kanji": "name",
    "birth_date": "birth_date",
    "birth_date@text": "birth_date@text",
    "sex": "sex",
    "address": "address",
    "individual_number": "individual_number",
    "change_reason": "change_reason",
    "change_date": "change_date",
    "change_date@text": "change_date@text",
    "timestamp": "timestamp",
}
MOST_CANDIDATES = 20
"""That an answer of J-LIS names where several persons fit."""
CHUNK = 500
"""Lines of the journal that are read in one go."""


def identity_of(items: Mapping[str, str | None]) -> dict[str, str]:
    """Of the items of an ``identity-information-update``; with the time of the update."""
    return {name: value for item, name in _ITEMS.items() if (value := items.get(item)) is not None}


class Identity:
    """Answers questions about people."""

    def __init__(self, cs: JukiCs, city: City | None) -> None:
        self._cs, self._city = cs, city
        self._names = Names(city)
        self._changed: dict[str, set[str]] = {}
        """Resident record codes by name, of those who were updated."""
        self._indexed = 0
        cs.answerers |= {
            "ConfirmIdentity": self.confirm,
            "SearchIdentity": self.search,
            "InquireIdentity": self.inquire,
        }

    def forget(self) -> None:
        """Nobody was updated."""
        self._changed.clear()
        self._indexed = 0

    # ---- by code ---------------------------------------------------------------------------------------------------------------

    def of(self, code: str) -> dict[str, str] | None:
        """Our resident under a code (or under the one that he had before); None: nobody lives here under it."""
        cs = self._cs
        return self._present(cs.residents.find(cs.authority.current(code), cs.journal))

    def _present(self, resident: Resident | None) -> dict[str, str] | None:
        """With the number that J-LIS has meanwhile."""
        if resident is None or not resident.present:
            return None
        found = identity_of(resident.load())
        if "individual_number" not in found and (number := self._cs.authority.given(found["resident_record_code"])) is not None:
            found["individual_number"] = number
        return found

    def anywhere(self, code: str) -> dict[str, str] | None:
        """Somebody in the whole country, as the national server has him: with the number that J-LIS gave, be it known here or not."""
        found = self.of(code)
        if found is None:
            person = self._cs.elsewhere.find(self._cs.authority.current(code))
            found = person.identity if person is not None else None
        if found is not None and (number := self._cs.authority.number(found["resident_record_code"])) is not None:
            found["individual_number"] = number
        return found

    def national(self, code: str) -> dict[str, str] | None:
        """Our resident, as the national server has him."""
        return self.anywhere(code) if self.of(code) is not None else None

    # ---- by the four items -----------------------------------------------------------------------------------------------------

    async def ours(self, asked: Mapping[str, str]) -> list[dict[str, str]]:
        """Our residents who fit; by their name, which every search names."""
        await self._names.made()
        await self.caught_up()
        codes = dict.fromkeys((*self._names.codes(asked["name"]), *sorted(self._changed.get(plain(asked["name"]), ()))))
        found: dict[str, dict[str, str]] = {}
        for each in filter(None, map(self.of, codes)):
            if fits(asked, each):
                found[each["resident_record_code"]] = each
        return list(found.values())

    async def caught_up(self) -> None:
        """Read what took effect since the last time."""
        cs = self._cs
        while self._indexed < cs.journal.count:
            entries = cs.journal.entries(self._indexed, CHUNK)
            for entry in entries:
                if entry["kind"] == "effect":
                    items = cs.vault.unseal(entry["sealed"], entry["request"])
                    self._changed.setdefault(plain(items["name_kanji"]), set()).add(items["resident_record_code"])
            self._indexed += len(entries)
            await asyncio.sleep(0)

    def updated_codes(self) -> Iterator[str]:
        """Of those who were updated, as far as :meth:`caught_up`."""
        for codes in list(self._changed.values()):
            yield from sorted(codes)

    async def everywhere(self, asked: Mapping[str, str]) -> list[dict[str, str]]:
        """Everybody who fits: ours from our own file, the others from the national server."""
        found = await self.ours(asked)
        return found or [person.identity for person in self._cs.elsewhere.everybody() if fits(asked, person.identity)]

    # ---- dialogues -------------------------------------------------------------------------------------------------------------

    async def confirm(self, record: Record) -> str:
        """本人確認: by the code on the card, or by all four items."""
        items = record.items
        if "resident_record_code" in items:
            one = self.anywhere(items["resident_record_code"])
            found = [one] if one is not None and fits(_four(items), one) else []
        else:
            found = await self.everywhere(_four(items))
        answer = {"request_id": items["request_id"], "match": "0" if not found else "1" if len(found) == 1 else "2"}
        if len(found) == 1:
            answer |= _in_group(found[0])
        return _written("identity-confirmation-result", answer)

    async def search(self, record: Record) -> str:
        """本人確認情報検索: a list without Individual Numbers. Less than the name with the address or the birth date is refused
        before, by the rule ``search-two-items``.

        :raises QuestionRefused: more than a hundred fit.
        """
        asked = _four(record.items)
        found = await self.everywhere(asked)
        if len(found) > MOST:
            raise QuestionRefused("too-many-matches")
        return _written("identity-search-result", {"request_id": record.items["request_id"], **chosen([_shown(each) for each in found])})

    async def inquire(self, record: Record) -> str:
        """機構への情報照会: by code or number one person, by the four items everybody who fits; several are without their Individual
        Numbers.

        :raises QuestionRefused: nobody, or more than an answer holds.
        """
        items = record.items
        if "resident_record_code" in items:
            one = self.anywhere(items["resident_record_code"])
        elif "individual_number" in items:
            code = self._cs.authority.code(items["individual_number"])
            one = self.anywhere(code) if code is not None else None
            one = one or next((each.identity for each in self._cs.elsewhere.everybody() if each.number == items["individual_number"]), None)
        else:
            found = await self.everywhere(_four(items))
            if len(found) > 1:
                return self._candidates(items["request_id"], found)
            one = found[0] if found else None
        if one is None:
            raise QuestionRefused("no-match")
        return _written("identity-inquiry-result", {"request_id": items["request_id"], **_in_group(one, "identity_information[1]")})

    def _candidates(self, request_id: str, found: list[dict[str, str]]) -> str:
        """Somebody will choose among them, and ask for that one by the code."""
        if len(found) > MOST_CANDIDATES:
            raise QuestionRefused("too-many-matches")
        items = {"request_id": request_id}
        for place, each in enumerate(found, start=1):
            shown = {item: value for item, value in each.items() if item != "individual_number"}
            items |= _in_group(shown, f"identity_information[{place}]")
        return _written("identity-inquiry-result", items)


def _four(items: Mapping[str, str]) -> dict[str, str]:
    return {item: items[item] for item in FOUR if item in items}


def _shown(found: Mapping[str, str]) -> dict[str, str]:
    return {item: value for item, value in found.items() if item != "timestamp"}


def _in_group(found: Mapping[str, str], group: str = "identity_information") -> dict[str, str]:
    return {f"{group}/{item}": value for item, value in _shown(found).items()}


def _written(kind: str, items: Mapping[str, str | None]) -> str:
    return writing.write(kind, items).to_bytes().decode()
