"""What the city CS holds: the residents by 住民票コード, and the request control numbers (依頼管理番号) that took effect.

Kept under keyed references; the items stay in the journal, sealed, and are read from there when a later update needs them. So the state is
small (a city of 400,000 fits), and a restart rebuilds it without unsealing anything. Those who lived in the city from the beginning come
from a look-up and are kept only once they have changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from simulators.journal import Entry, Journal
from simulators.juki_cs.checks import Items, Resident, as_held, refusal_of
from simulators.juki_cs.results import result
from simulators.references import References, Vault, subject_code
from simulators.soap.envelope import Record, Result

Beginning = Callable[[str], Resident | None]
"""Looks up, by resident record code, who lived in the city from the beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sealed:
    """A changed resident as the journal has it."""

    seq: int
    update: int
    abnormal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gone:
    """Known under another code now."""


_GONE = _Gone()


@dataclass(slots=True, kw_only=True)
class Applied:
    """What a call did: answers, journal entries, and the state that follows once the journal has them."""

    results: list[Result] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    residents: dict[str, Resident | _Gone] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)


class Residents:
    """The state of one city CS. Belongs to the event loop."""

    def __init__(self, *, references: References, vault: Vault, beginning: Beginning, memory_s: float, order_checked: bool = True) -> None:
        self._references = references
        self._vault = vault
        self._beginning = beginning
        self._memory_s = memory_s
        self._order_checked = order_checked
        self._changed: dict[str, _Sealed | _Gone] = {}
        self._requests: dict[str, float] = {}

    @property
    def changed(self) -> int:
        """Residents with an effect."""
        return len(self._changed)

    @property
    def remembered(self) -> int:
        """Request control numbers remembered."""
        return len(self._requests)

    def forget(self) -> None:
        """Back to the beginning."""
        self._changed.clear()
        self._requests.clear()

    def recover(self, entry: Entry) -> None:
        """Take over an effect from the journal."""
        self._note_effect(entry, entry["seq"], datetime.fromisoformat(entry["at"]).timestamp())

    def _note_effect(self, entry: Mapping[str, Any], seq: int, at: float) -> None:
        sealed = _Sealed(seq=seq, update=entry["update"], abnormal=entry["abnormal_last"])
        if "moved_to" in entry:
            self._changed[entry["resident"]] = _GONE
            self._changed[entry["moved_to"]] = sealed
        else:
            self._changed[entry["resident"]] = sealed
        self._requests[entry["request"]] = at

    def find(self, code: str, journal: Journal) -> Resident | None:
        """The resident under a code."""
        return self._find(code, self._references.of(code), journal, {})

    def _find(self, code: str, reference: str, journal: Journal, fresh: Mapping[str, Resident | _Gone]) -> Resident | None:
        held = fresh.get(reference) or self._changed.get(reference)
        if held is None:
            return self._beginning(code)
        if isinstance(held, _Sealed):
            entry = journal.entries(held.seq - 1, 1)[0]
            return as_held(self._vault.unseal(entry["sealed"], entry["request"]), update=held.update, abnormal=held.abnormal)
        return held if isinstance(held, Resident) else None

    def _remembers(self, control_number: str) -> bool:
        at = self._requests.get(control_number)
        if at is None:
            return False
        if time.time() - at > self._memory_s:
            del self._requests[control_number]
            return False
        return True

    def subject(self, record: Record) -> str:
        """The reference of the resident that a record is about."""
        return self._references.of(subject_code(record.items))

    def apply(
        self, record: Record, reference: str, journal: Journal, applied: Applied, *, refuse: str | None = None, say_duplicate: bool = False
    ) -> None:
        """Decide one record and note what follows in ``applied``; nothing changes before :meth:`take_over`.

        :param reference: of the resident, as :meth:`subject` says.
        :param refuse: an error code that a fault wants.
        :param say_duplicate: a fault wants the answer to say *duplicate*.
        """
        items = record.items
        number = items["request_control_number"]
        note = {
            "delivery": record.delivery_id,
            "request": number,
            "resident": reference,
            "update": int(items["update_sequence_number"]),
            "abnormal": int(items["abnormal_update_sequence_number"]) if "abnormal_update_sequence_number" in items else None,
        }
        if number in applied.requests or self._remembers(number):
            applied.entries.append({"kind": "duplicate", **note})
            applied.results.append(result(record.delivery_id, number, duplicate=True))
            return
        resident = self._find(subject_code(items), reference, journal, applied.residents)
        refusal = refuse or refusal_of(items, resident, order=self._order_checked)
        if refusal is not None:
            applied.entries.append({"kind": "refused", **note, "code": str(refusal), "injected": refuse is not None})
            applied.results.append(result(record.delivery_id, number, error_code=str(refusal)))
            return
        self._take_effect(items, reference, resident, note, applied)
        applied.results.append(result(record.delivery_id, number, duplicate=say_duplicate))

    def _take_effect(self, items: Items, reference: str, before: Resident | None, note: dict[str, Any], applied: Applied) -> None:
        last_abnormal = note["abnormal"] or (before.abnormal if before is not None else 0)
        after = as_held(items, update=note["update"], abnormal=last_abnormal)
        entry = {"kind": "effect", **note, "abnormal_last": last_abnormal, "sealed": self._vault.seal(items, note["request"])}
        if "former_resident_record_code" in items:
            new_reference = self._references.of(items["resident_record_code"])
            entry["moved_to"] = new_reference
            applied.residents[reference] = _GONE
            applied.residents[new_reference] = after
        else:
            applied.residents[reference] = after
        applied.entries.append(entry)
        applied.requests.append(note["request"])

    def take_over(self, applied: Applied, last_seq: int) -> None:
        """Make what a call did the state; the journal has its entries by now, the last one as ``last_seq``."""
        now = time.time()
        for seq, entry in enumerate(applied.entries, start=last_seq - len(applied.entries) + 1):
            if entry["kind"] == "effect":
                self._note_effect(entry, seq, now)


def counted(entries: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Entries by kind."""
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry["kind"]] = counts.get(entry["kind"], 0) + 1
    return counts
