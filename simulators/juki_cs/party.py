"""The city CS as a party: all operations of its profile, and behind it J-LIS, the other municipalities and the integrated terminals."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, ClassVar

from certs.peer import Authority
from message_formats import writing
from message_formats.profiles import Operation
from simulators.city import City
from simulators.faults import Subject
from simulators.journal import Entry
from simulators.juki_cs import updates
from simulators.juki_cs.beginning import empty, of_city
from simulators.juki_cs.doing import Doing
from simulators.juki_cs.identity import Identity
from simulators.juki_cs.relays import Relays
from simulators.juki_cs.residents import Residents
from simulators.party import Received
from simulators.soap.envelope import Call, Record, Result
from simulators.soap.notices import Notices
from simulators.soap.outbox import Outgoing
from simulators.soap.party import SoapParty
from simulators.soap.security import Security
from simulators.world.authority import NumberAuthority
from simulators.world.municipalities import Municipalities
from simulators.world.people import Elsewhere
from simulators.world.reconciling import Reconciler

PREFECTURE = "prefecture-server"


class JukiCs(SoapParty):
    """The simulated city CS."""

    name: ClassVar[str] = "city-cs"
    title_en: ClassVar[str] = "City CS of the Juki-net"
    title_ja: ClassVar[str] = "市町村CS（住基ネット）"
    profile_name: ClassVar[str] = "juki_cs"
    quick: ClassVar[frozenset[str]] = frozenset({updates.OPERATION})

    def __init__(
        self,
        *,
        salt: str,
        caller: str,
        authority: Authority,
        city: City | None = None,
        city_seed: int = 1,
        memory_s: float = 86400.0,
        order_checked: bool = True,
        seed: int = 0,
        security: Security | None = None,
        notices: Notices | None = None,
        delay_s: float = 0.2,
        quiet_s: float = 2.0,
        carries: Collection[str] = (),
    ) -> None:
        """``delay_s``: how long J-LIS and other municipalities take to answer; ``quiet_s``: after which a reconciliation has its result;
        ``carries``: parties whose leg is left to the city CS: it notifies the prefecture server, and passes destination information on to
        the card management system, instead of the gateway. The rest is explained at :class:`SoapParty`."""
        super().__init__(salt=salt, caller=caller, authority=authority, seed=seed, security=security, notices=notices)
        self.city = city
        self.carries = frozenset(carries)
        self.residents = Residents(
            references=self.references,
            vault=self.vault,
            beginning=of_city(city) if city is not None else empty(),
            memory_s=memory_s,
            order_checked=order_checked,
        )
        self.elsewhere = Elsewhere(city.seed if city is not None else city_seed)
        self.municipalities = Municipalities()
        self._certificates: dict[str, str | None] = {}
        """Move-out certificate data kept for whoever asks, by reference; for one municipality only, if it is named."""
        self.authority = NumberAuthority(self.elsewhere.serials, self._number_known)
        self.identity = Identity(self, city)
        self.relays = Relays(self, delay_s=delay_s)
        self.doing = Doing(self)
        self.reconcilers = tuple(
            Reconciler(self, operation=operation, report=report, kind=kind, held=held, everybody=self.everybody, quiet_s=quiet_s)
            for operation, report, kind, held in (
                ("ReconcileWithCore", "ReportCoreReconciliation", "core-cs-reconciliation-result", self.identity.of),
                ("ReconcileIdentityInformation", "ReportReconciliation", "reconciliation-result", self.identity.national),
            )
        )

    def _number_known(self, code: str) -> str | None:
        """The Individual Number that the file of the city CS, or the municipality where somebody lives, has."""
        resident = self.residents.find(code, self.journal)
        if resident is not None:
            return resident.load().get("individual_number")
        person = self.elsewhere.find(code)
        return person.number if person is not None else None

    async def everybody(self) -> AsyncIterator[str]:
        """Of everybody who may live here."""
        for place in range(self.city.population if self.city is not None else 0):
            yield self.elsewhere.serials.code(place)
        await self.identity.caught_up()
        for code in self.identity.updated_codes():
            yield code

    def has_certificate(self, reference: str, municipality: str) -> bool:
        """Whether move-out certificate data of that person may be given to that municipality."""
        return reference in self._certificates and self._certificates[reference] in (None, municipality)

    # ---- what it knows ---------------------------------------------------------------------------------------------------------

    def recover(self, entry: Entry) -> None:
        if entry["kind"] == "effect":
            self.residents.recover(entry)
            return
        super().recover(entry)
        self.municipalities.recover(entry)
        if entry["kind"] == "reconciled":
            for each in self.reconcilers:
                each.recover(entry)
        elif entry["kind"] == "allocated":
            self.authority.allocated += entry["count"]

    def learn(self, operation: str, items: Mapping[str, str], entry: Entry) -> None:
        if items:
            self.authority.learn(operation, items)
        if operation == "SendMoveOutCertificate":
            self._certificates[entry["resident"]] = entry.get("municipality")
        if "municipality" in entry:
            self.elsewhere.municipality(entry["municipality"])
            self.municipalities.learn(operation, entry)
        for each in self.reconcilers:
            each.learn(operation, items, entry)

    def forget(self) -> None:
        super().forget()
        self.residents.forget()
        self.identity.forget()
        self.authority.forget()
        self.municipalities.forget()
        self._certificates.clear()
        for each in self.reconcilers:
            each.forget()

    def state(self) -> dict[str, Any]:
        return {
            **super().state(),
            "population": self.city.population if self.city is not None else 0,
            "residents": self.residents.changed,
            "remembered": self.residents.remembered,
            **self.authority.state(),
            "certificates_kept": len(self._certificates),
            "open_runs": sum(each.open for each in self.reconcilers),
            "municipalities": self.municipalities.shown(),
        }

    # ---- updates ---------------------------------------------------------------------------------------------------------------

    def subject(self, record: Record, operation: Operation) -> Subject:
        if operation.name == updates.OPERATION:
            return (self.residents.subject(record), record.delivery_id, record.items["request_control_number"])
        return super().subject(record, operation)

    async def carried_out(self, call: Call, subjects: Sequence[Subject], received: Received) -> list[Result]:
        if call.operation.name != updates.OPERATION:
            return await super().carried_out(call, subjects, received)
        tell = self._notices_to_prefecture if PREFECTURE in self.carries else None
        results, counts, further = updates.apply(call, subjects, self.residents, self.journal, self.faults, tell)
        self.counters.update(counts)
        for entry in further:
            self._recovered(entry)
        received.outcome = ", ".join(f"{number} {kind}" for kind, number in counts.items())
        return results

    def invented(self, call: Call) -> list[Result]:
        return updates.invented(call) if call.operation.name == updates.OPERATION else super().invented(call)

    def _notices_to_prefecture(self, call: Call, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One notice for each update that took effect, in the order of the updates."""
        items = {record.delivery_id: record.items for record in call.records}
        effects = [entry for entry in entries if entry["kind"] == "effect"]
        return [self.outbox.entry(notice_to_prefecture(items[entry["delivery"]], entry["request"])) for entry in effects]

    # ---- neighbours and life ---------------------------------------------------------------------------------------------------

    async def do(self, what: str, values: dict[str, Any]) -> dict[str, Any]:
        return await self.doing.do(what, values)

    async def begin(self) -> None:
        await super().begin()
        for each in self.reconcilers:
            each.start()

    async def end(self) -> None:
        for each in self.reconcilers:
            await each.stop()
        await super().end()


_NOTICED = {
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
}


def notice_to_prefecture(items: Mapping[str, str], request: str) -> Outgoing:
    """都道府県知事への通知 of one update; its id follows from the update's 依頼管理番号."""
    found = {name: items[item] for item, name in _NOTICED.items() if item in items}
    xml = writing.write("identity-information-notice", found).to_bytes().decode()
    made = str(uuid.uuid5(uuid.NAMESPACE_URL, f"identity-information-notice:{request}"))
    return Outgoing(operation="NotifyIdentityInformation", delivery_id=made, xml=xml, to=PREFECTURE)
