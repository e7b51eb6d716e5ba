"""The card management system of J-LIS (個人番号カード管理システム): destination information, and what happens to each card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

from message_formats import codes
from message_formats.errors import FormatError
from simulators.errors import BadFault
from simulators.journal import Entry
from simulators.soap.deciding import TAKEN, Decision, outgoing
from simulators.soap.envelope import Record
from simulators.soap.outbox import GATEWAY
from simulators.soap.party import SoapParty

CITY_CS = "city-cs"
_EVENTS = codes.table("card_event")
ISSUED, ABOLISHED, COLLECTED, RETURNED = (_EVENTS.of(name).code for name in ("ISSUED", "ABOLISHED", "COLLECTED", "RETURNED"))


class CardManagement(SoapParty):
    """The simulated card management system."""

    name: ClassVar[str] = "card-management-system"
    title_en: ClassVar[str] = "Card management system"
    title_ja: ClassVar[str] = "個人番号カード管理システム"
    profile_name: ClassVar[str] = "card_management"

    def __init__(self, **parts: Any) -> None:
        """``parts``: as at :class:`SoapParty`."""
        super().__init__(**parts)
        self._destinations: dict[str, str] = {}
        """送付先管理番号 by the reference of the first person."""
        self._cards: dict[str, tuple[str, str]] = {}
        """(whose, last event) by reference of the card. A card that nobody told of was issued elsewhere, and is good."""
        self._continued: set[str] = set()
        self.takers |= {"UpdateCards": self._update, "RequestCardContinuation": self._continue}

    # ---- records ---------------------------------------------------------------------------------------------------------------

    def _card(self, items: Mapping[str, str]) -> tuple[str, tuple[str, str] | None]:
        reference = self.references.of(items["card_identifier"])
        return reference, self._cards.get(reference)

    def _update(self, record: Record) -> Decision:
        """In the order of events: a card is issued once, and what is abolished can only be collected or returned."""
        items = record.items
        _, known = self._card(items)
        if known is None:
            return TAKEN
        whose, last = known
        if whose != self.references.of(items["resident_record_code"]):
            return Decision(code="card-of-another")
        if items["event"] == ISSUED:
            return Decision(code="card-issued-before")
        if last == ABOLISHED and items["event"] not in (COLLECTED, RETURNED):
            return Decision(code="card-abolished")
        return TAKEN

    def _continue(self, record: Record) -> Decision:
        """継続利用 after a move."""
        _, known = self._card(record.items)
        if known is not None and known[1] in (ABOLISHED, COLLECTED, RETURNED):
            return Decision(code="card-abolished")
        return TAKEN

    # ---- what it knows ---------------------------------------------------------------------------------------------------------

    def learn(self, operation: str, items: Mapping[str, str], entry: Entry) -> None:
        match operation:
            case "SendDestinationInformation":
                self._destinations[entry["resident"]] = items["destination_control_number"]
            case "UpdateCards":
                self._cards[self._card(items)[0]] = (entry["resident"], items["event"])
            case "RequestCardContinuation":
                self._continued.add(self._card(items)[0])

    def forget(self) -> None:
        super().forget()
        self._destinations.clear()
        self._cards.clear()
        self._continued.clear()

    def state(self) -> dict[str, Any]:
        events = Counter(last for _, last in self._cards.values())
        return {
            **super().state(),
            "destinations": len(self._destinations),
            "cards": len(self._cards),
            "continued": len(self._continued),
            "card_events": {_EVENTS.codes[code].symbol: number for code, number in sorted(events.items())},
        }

    # ---- on command ------------------------------------------------------------------------------------------------------------

    async def do(self, what: str, values: dict[str, Any]) -> dict[str, Any]:
        """``card``: something happened to a card (``code``, ``card``, ``event``); our city hears of it through the city CS, or directly
        (``via``: ``gateway``)."""
        if what != "card":
            return await super().do(what, values)
        try:
            items = {
                "resident_record_code": str(values["code"]),
                "event": _EVENTS.of(str(values.get("event", "ISSUED"))).code,
                "card_identifier": str(values["card"]),
            }
            to = GATEWAY if values.get("via") == GATEWAY else CITY_CS
            message = outgoing("UpdateCards", "card-management-update", items, to=to)
        except (KeyError, FormatError) as error:
            raise BadFault("do-invalid", "card needs code, card and event") from error
        record = Record(delivery_id=f"own-{message.delivery_id}"[:64], items=items)
        decision = self._update(record)
        if decision.code is not None:
            raise BadFault(decision.code, "this cannot happen to that card")
        note = {"kind": "taken", "operation": "UpdateCards", "delivery": record.delivery_id, "by": self.name}
        entry = {**note, "resident": self.references.of(items["resident_record_code"])}
        self.note({**entry, "sealed": self.vault.seal(items, record.delivery_id)}, self.outbox.entry(message))
        return {"deliveries": [message.delivery_id]}
