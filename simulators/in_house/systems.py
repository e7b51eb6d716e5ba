"""What our systems do with what they have: each keeps the latest of a person, some refuse. Pure but for their memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

COLUMNS = "administrative-column-update"
LINKAGE = "atena-linkage-update"
MASTER = "master-copy-reconciliation-data"
COPY_RESULT = "copy-reconciliation-result"
CHANGE = "resident-change-notification"
SUPPLEMENT = "family-register-supplement-internal"
TAX = "tax-certificate-change"


class System:
    """Keeps the latest message of each type for each person."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held: dict[tuple[str, str], Mapping[str, Any]] = {}
        """(type, atena number or other name of the person) → items."""
        self.people: set[str] = set()
        """Atena numbers that this system knows; empty: whoever comes."""
        self.report: Counter[str] = Counter()
        """What was taken and refused of each type: the import report."""

    def fault(self, kind: str, items: Mapping[str, Any]) -> str | None:
        """Why this is not taken in; None: it is."""
        code = self._fault(kind, items)
        if code is not None:
            self.report[f"{kind}: {code}"] += 1
        return code

    def _fault(self, kind: str, items: Mapping[str, Any]) -> str | None:
        if self.people and "atena_number" in items and items["atena_number"] not in self.people:
            return "atena-unknown"
        return None

    def take(self, kind: str, items: Mapping[str, Any]) -> None:
        """It takes effect."""
        self.report[f"{kind}: accepted"] += 1
        self.held[kind, str(items.get("atena_number") or items.get("register_head") or items.get("run_id") or "")] = items

    def state(self) -> Mapping[str, Any]:
        """Counts; no personal data."""
        return {"held": len(self.held), "report": dict(self.report)}


class InternalLink(System):
    """共通基盤システム（庁内連携システム）: holds the copy of the register, compares it with the master (FR-2)."""

    def take(self, kind: str, items: Mapping[str, Any]) -> None:
        """It takes effect; a resident who is told of is known from then on."""
        super().take(kind, items)
        if kind == CHANGE and self.people:
            self.people.add(items["atena_number"])

    def differences(self, run_id: str) -> list[dict[str, str]]:
        """What master and copy do not agree about, of one run; the copy is what changes told (number of persons is not limited here)."""
        found = []
        for (kind, atena), master in self.held.items():
            if kind != MASTER or master.get("run_id") != run_id:
                continue
            copy = self.held.get((CHANGE, atena))
            if copy is None:
                found.append({"atena_number": atena, "kind": "missing"})
            elif str(copy.get("individual_number", "")) != str(master.get("individual_number", "")):
                found.append({"atena_number": atena, "kind": "item", "item_id": "individual_number"})
        return found


class Atena(System):
    """団体内統合宛名システム: one atena number for one Individual Number; a number may be exchanged for another (FS5-4)."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._by_number: dict[str, str] = {}

    def _fault(self, kind: str, items: Mapping[str, Any]) -> str | None:
        if kind == LINKAGE and self._by_number.get(items["individual_number"], items["atena_number"]) != items["atena_number"]:
            return "atena-conflict"
        return super()._fault(kind, items)

    def take(self, kind: str, items: Mapping[str, Any]) -> None:
        """It takes effect; the person's former Individual Number is free of it."""
        super().take(kind, items)
        if kind == LINKAGE:
            self._by_number = {number: atena for number, atena in self._by_number.items() if atena != items["atena_number"]}
            self._by_number[items["individual_number"]] = items["atena_number"]

    def number_of(self, atena: str) -> str | None:
        """The Individual Number to which an atena number is bound."""
        return next((number for number, each in self._by_number.items() if each == atena), None)


class FamilyRegister(System):
    """戸籍システム: takes supplement entries of domiciles in this city only (FS1-11, FS2-12)."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.elsewhere: set[str] = set()
        """Domiciles that are not found here."""

    def _fault(self, kind: str, items: Mapping[str, Any]) -> str | None:
        if kind == SUPPLEMENT and items.get("domicile") in self.elsewhere:
            return "domicile-not-found"
        return super()._fault(kind, items)


KINDS: Mapping[str, type[System]] = {
    "internal-link-system": InternalLink,
    "atena-system": Atena,
    "family-register-system": FamilyRegister,
}


def system_of(name: str) -> System:
    """The memory of the system of that spec id."""
    return KINDS.get(name, System)(name)
