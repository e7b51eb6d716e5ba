"""The prefecture server (都道府県サーバ): what it was told of whom, searches in it, and reconciliation with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

from message_formats import codes, samples, writing
from simulators.city import City
from simulators.errors import BadFault
from simulators.journal import Entry
from simulators.juki_cs.beginning import empty, of_city
from simulators.juki_cs.identity import identity_of
from simulators.soap.deciding import QuestionRefused
from simulators.soap.envelope import Record
from simulators.soap.party import SoapParty
from simulators.world.digesting import place_of, write_digests
from simulators.world.finding import FOUR, MOST, Names, chosen, fits, plain
from simulators.world.people import Elsewhere
from simulators.world.reconciling import Reconciler

NOTIFY = "NotifyIdentityInformation"
_GROUPS = {code: entry.more["group"] for code, entry in codes.table("change_reason").codes.items()}


class Prefecture(SoapParty):
    """The simulated prefecture server."""

    name: ClassVar[str] = "prefecture-server"
    title_en: ClassVar[str] = "Prefecture server of the Juki-net"
    title_ja: ClassVar[str] = "都道府県サーバ（住基ネット）"
    profile_name: ClassVar[str] = "prefecture_server"

    def __init__(self, *, city: City | None = None, city_seed: int = 1, quiet_s: float = 2.0, **parts: Any) -> None:
        """``city``: whose residents it knows from the beginning; ``quiet_s``: after which a reconciliation has its result; ``parts``: as at
        :class:`SoapParty`."""
        super().__init__(**parts)
        self._city = city
        self._beginning = of_city(city) if city is not None else empty()
        self._told: dict[str, int] = {}
        """Line of the journal that says what is held, by reference."""
        self._codes: dict[str, set[str]] = {}
        """Resident record codes by name, of those who were told."""
        self._names = Names(city)
        self.elsewhere = Elsewhere(city.seed if city is not None else city_seed)
        self.answerers["SearchIdentity"] = self.search
        self.reconciler = Reconciler(
            self,
            operation="ReconcileIdentityInformation",
            report="ReportReconciliation",
            kind="reconciliation-result",
            held=self.held,
            everybody=self._everybody,
            quiet_s=quiet_s,
        )

    # ---- what it knows ---------------------------------------------------------------------------------------------------------

    def recover(self, entry: Entry) -> None:
        super().recover(entry)
        self.reconciler.recover(entry)
        if entry["kind"] == "altered":
            self._note_told(self.vault.unseal(entry["sealed"], entry["delivery"]), entry)

    def learn(self, operation: str, items: Mapping[str, str], entry: Entry) -> None:
        self.reconciler.learn(operation, items, entry)
        if operation == NOTIFY:
            self._note_told(items, entry)

    def _note_told(self, items: Mapping[str, str], entry: Entry) -> None:
        self._told[entry["resident"]] = entry["seq"]
        self._codes.setdefault(plain(items.get("name", "")), set()).add(items["resident_record_code"])

    def forget(self) -> None:
        super().forget()
        self.reconciler.forget()
        self._told.clear()
        self._codes.clear()

    def state(self) -> dict[str, Any]:
        return {
            **super().state(),
            "population": self._city.population if self._city is not None else 0,
            "residents": len(self._told),
            "open_runs": self.reconciler.open,
        }

    def held(self, code: str) -> Mapping[str, str] | None:
        """Whom it holds under a code; None: nobody, or he moved out of the prefecture's city or died."""
        seq = self._told.get(self.references.of(code))
        if seq is None:
            resident = self._beginning(code)
            return identity_of(resident.load()) if resident is not None else None
        entry = self.journal.entries(seq - 1, 1)[0]
        items: Mapping[str, str] = self.vault.unseal(entry["sealed"], entry["delivery"])
        if entry["kind"] == "altered" and not items.get("name"):
            return None
        return None if _GROUPS.get(items.get("change_reason", "")) == "remove" else items

    async def _everybody(self) -> AsyncIterator[str]:
        for place in range(self._city.population if self._city is not None else 0):
            yield self.elsewhere.serials.code(place)
        for known in list(self._codes.values()):
            for code in sorted(known):
                yield code

    # ---- questions -------------------------------------------------------------------------------------------------------------

    async def search(self, record: Record) -> str:
        """本人確認情報検索 among the residents of the prefecture: the rule ``search-two-items`` is kept before.

        :raises QuestionRefused: more than a hundred fit.
        """
        asked = {item: record.items[item] for item in FOUR if item in record.items}
        await self._names.made()
        known = dict.fromkeys((*self._names.codes(asked["name"]), *sorted(self._codes.get(plain(asked["name"]), ()))))
        found = [dict(each) for each in map(self.held, known) if each is not None and fits(asked, each)]
        ours = samples.municipality_code()[:2]
        found += [
            person.identity for person in self.elsewhere.everybody() if person.municipality[:2] == ours and fits(asked, person.identity)
        ]
        if len(found) > MOST:
            raise QuestionRefused("too-many-matches")
        listed = chosen([{item: value for item, value in each.items() if item != "timestamp"} for each in found])
        items = {"request_id": record.items["request_id"], **listed}
        return writing.write("identity-search-result", items).to_bytes().decode()

    # ---- on command ------------------------------------------------------------------------------------------------------------

    async def do(self, what: str, values: dict[str, Any]) -> dict[str, Any]:
        """``alter``: holds another thing of somebody than it was told (``code``, ``changes``), or nothing (``missing``): for what a
        reconciliation must find. ``municipality``: names another one of the prefecture. ``digests``: its file for a reconciliation of
        everybody (``run``, ``secret``, ``cut_off``, ``out``)."""
        await asyncio.sleep(0)
        match what:
            case "alter":
                return self._alter(values)
            case "digests":
                return await self._digests(values)
            case "municipality":
                if not self.elsewhere.municipality(str(values.get("municipality"))):
                    raise BadFault("municipality-unknown", "the code of another municipality, with its check digit")
                return {"municipality": values["municipality"]}
        return await super().do(what, values)

    def _alter(self, values: dict[str, Any]) -> dict[str, Any]:
        code, changes = str(values.get("code", "")), dict(values.get("changes", {}))
        held = dict(self.held(code) or {})
        items = {"resident_record_code": code} if values.get("missing") else {**held, **changes, "resident_record_code": code}
        if not values.get("missing") and not items.get("name"):
            raise BadFault("do-incomplete", "alter needs a code that is held, or complete changes, or missing")
        delivery = f"altered-{self.journal.count + 1}"
        reference = self.references.of(code)
        self.note({"kind": "altered", "delivery": delivery, "resident": reference, "sealed": self.vault.seal(items, delivery)})
        return {"resident": reference}

    async def _digests(self, values: dict[str, Any]) -> dict[str, Any]:
        found = {held["resident_record_code"]: held async for code in self._everybody() if (held := self.held(code)) is not None}
        try:
            return {"records": write_digests(found.values(), **place_of(values))}
        except KeyError as error:
            raise BadFault("do-incomplete", f"digests needs {error.args[0]}") from error

    async def begin(self) -> None:
        await super().begin()
        self.reconciler.start()

    async def end(self) -> None:
        await self.reconciler.stop()
        await super().end()
